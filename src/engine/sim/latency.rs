//! How long things take in a simulated world.

use std::time::Duration;

use crate::plan::Action;

/// A question that changes nothing, all calls of it together (a no-op, which is questions only,
/// takes some 40 ms: `benches/README.md`).
const LOOK: Duration = Duration::from_millis(10);
/// Writing a record, or taking or giving back the lock (5 to 12 ms: `ARCHITECTURE.md`).
const RECORD: Duration = Duration::from_millis(8);
/// Making a container (55 ms in the run of the README).
const CREATE: Duration = Duration::from_millis(50);
/// Starting one (0.3 s there; with the end of the one before it is 0.65 to 0.97 s).
const START: Duration = Duration::from_millis(300);
/// Stopping one, besides the time that its own program takes.
const STOP: Duration = Duration::from_millis(100);
/// Making or removing a network, which sets up a bridge.
const NETWORK: Duration = Duration::from_millis(100);
/// Removing a container with its file system.
const REMOVE: Duration = Duration::from_millis(50);
/// Names, labels and settings: one entry is changed.
const ENTRY: Duration = Duration::from_millis(10);
/// Copying a volume of 200 MB and 1,000 files (2.5 s: `ARCHITECTURE.md`).
const COPY: Duration = Duration::from_millis(2500);
/// A command inside of a container.
const HOOK: Duration = Duration::from_millis(50);
/// Pulling an image; nobody can know: a guess that is seen to be one.
const PULL: Duration = Duration::from_secs(10);
/// Building an image; a guess as well.
const BUILD: Duration = Duration::from_secs(30);

/// How long things take.
#[derive(Debug, Clone)]
pub struct Latency(Times);

#[derive(Debug, Clone)]
enum Times {
    /// Reproducible from the seed (the generator is `SplitMix64`).
    Drawn { seed: u64, longest: Duration },
    /// As on a machine that was measured.
    Nominal,
}

impl Latency {
    /// Everything takes a time between nothing and `longest`.
    #[must_use]
    pub fn new(seed: u64, longest: Duration) -> Self {
        Self(Times::Drawn { seed, longest })
    }

    /// Nothing takes any time.
    #[must_use]
    pub fn instant() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// Everything takes about what it took where it was measured.
    #[must_use]
    pub fn nominal() -> Self {
        Self(Times::Nominal)
    }

    /// How long a question takes.
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

    /// How long a call that changes something takes until its effect, and from there until its
    /// answer; without an action it is about journal or lock.
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
