//! Latency of the calls in a simulated world.

use std::time::Duration;

use crate::plan::Action;

/// A read, all its calls together (a no-op, which consists of reads only, takes some 40 ms:
/// `benches/README.md`).
const LOOK: Duration = Duration::from_millis(10);
/// Writing a journal record, or acquiring or releasing the lock (5 to 12 ms: `docs/decisions`).
const RECORD: Duration = Duration::from_millis(8);
/// Creating a container (55 ms in the run of the README).
const CREATE: Duration = Duration::from_millis(50);
/// Starting a container (0.3 s there; 0.65 to 0.97 s together with the stop of the previous one).
const START: Duration = Duration::from_millis(300);
/// Stopping a container, in addition to the time that its own program takes.
const STOP: Duration = Duration::from_millis(100);
/// Creating or removing a network, which sets up a bridge.
const NETWORK: Duration = Duration::from_millis(100);
/// Removing a container with its file system.
const REMOVE: Duration = Duration::from_millis(50);
/// Changing one entry, such as a name, a label or a setting.
const ENTRY: Duration = Duration::from_millis(10);
/// Copying a volume of 200 MB and 1,000 files (2.5 s: `docs/decisions`).
const COPY: Duration = Duration::from_millis(2500);
/// A command in a container.
const HOOK: Duration = Duration::from_millis(50);
/// Pulling an image. The real time is unknown: a guess, and obviously one.
const PULL: Duration = Duration::from_secs(10);
/// Building an image. A guess as well.
const BUILD: Duration = Duration::from_secs(30);

/// The latency of all calls.
#[derive(Debug, Clone)]
pub struct Latency(Times);

#[derive(Debug, Clone)]
enum Times {
    /// Random, reproducible from the seed (the generator is `SplitMix64`).
    Drawn { seed: u64, longest: Duration },
    /// As measured on a real machine.
    Nominal,
}

impl Latency {
    /// Draws each latency between zero and `longest`, reproducible from `seed`.
    #[must_use]
    pub fn new(seed: u64, longest: Duration) -> Self {
        Self(Times::Drawn { seed, longest })
    }

    /// Zero latency for all calls.
    #[must_use]
    pub fn instant() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// Approximately the latency that was measured on a real machine.
    #[must_use]
    pub fn nominal() -> Self {
        Self(Times::Nominal)
    }

    /// Draws the latency of a read.
    pub fn draw(&mut self) -> Duration {
        let Times::Drawn { seed, longest } = &mut self.0 else {
            return LOOK;
        };
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(mixed.checked_rem(micros).unwrap_or(0))
    }

    /// Returns the latency of a call until its effect, and from the effect until its answer. A call
    /// without an action concerns the journal or the lock.
    pub(super) fn of_call(&mut self, action: Option<&Action>) -> (Duration, Duration) {
        match self.0 {
            Times::Drawn { .. } => (self.draw(), self.draw()),
            Times::Nominal => (action.map_or(RECORD, nominal), Duration::ZERO),
        }
    }
}

fn nominal(action: &Action) -> Duration {
    match action {
        Action::BuildImage(_) => BUILD,
        Action::PullImage(_) => PULL,
        Action::CreateNetwork(_) | Action::RemoveNetwork(_) | Action::Cutover(_) => NETWORK,
        Action::SnapshotVolume(_) | Action::RestoreVolume(_) => COPY,
        Action::CreateContainer(_) => CREATE,
        Action::StartContainer(_) => START,
        Action::StopContainer { .. } => STOP,
        Action::RemoveContainer(_) => REMOVE,
        Action::RunHook(_) => HOOK,
        Action::CreateVolume(_)
        | Action::RemoveVolume(_)
        | Action::RemoveSnapshot(_)
        | Action::RenameContainer { .. }
        | Action::SetRestartPolicy { .. }
        | Action::SetAllowance { .. }
        | Action::SetPaused { .. }
        | Action::TagImage { .. }
        | Action::RemoveImage(_) => ENTRY,
    }
}
