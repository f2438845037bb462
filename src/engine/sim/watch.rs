//! Invariants that are recorded while a simulated world changes, and forks of a world.
//!
//! Some invariants must hold at every moment and cannot be checked in the final state: that no
//! container starts before its dependencies are ready, and which containers run at the same time on
//! the same files.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::{Inner, Latency, Sim, world::SimContainer};
use crate::{
    name::ServiceName,
    plan::Action,
    project::{Dependency, Kind, Probe, Until},
};

/// Two containers of different services and generations that ran at the same time over a volume
/// which at least one of them can write to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeRace {
    /// Name of the volume on the engine.
    pub volume: String,
    /// A service, and the generation of its container.
    pub one: (ServiceName, u64),
    /// The other service, and the generation of its container.
    pub other: (ServiceName, u64),
}

impl Sim {
    /// Creates another engine with a copy of the current world. Pending calls, and the faults and
    /// events that are scheduled at calls, are not copied. Requires a running Tokio runtime.
    #[must_use]
    pub fn fork(&self, pace: Latency) -> Self {
        let inner = self.lock();
        let twin = Self {
            birth: self.birth,
            ..Self::in_world(inner.world.clone(), pace)
        };
        twin.learn(&inner);
        for (name, thing) in &inner.world.containers {
            let Some(end) = inner.script(name).ends else {
                continue;
            };
            if thing.condition.status.is_up() {
                let rest = (thing.started + end.after).saturating_sub(self.now());
                let (twin, id, starts) = (twin.clone(), thing.id.clone(), thing.starts);
                tokio::spawn(async move {
                    sleep(rest).await;
                    if twin.ended(&id, starts, end.exit_code, end.out_of_memory) {
                        twin.start_again(&id).await;
                    }
                });
            }
        }
        twin
    }

    fn learn(&self, other: &Inner) {
        let mut inner = self.lock();
        inner.scripts.clone_from(&other.scripts);
        inner.checks.clone_from(&other.checks);
        (inner.boot_count, inner.down) = (other.boot_count, other.down);
    }

    /// Returns the pairs of containers of different services that ran at the same time on one
    /// volume. Two of one service would be a violated invariant.
    #[must_use]
    pub fn meetings(&self) -> BTreeSet<VolumeRace> {
        self.lock().world.meetings.clone()
    }
}

impl Inner {
    /// Records a violation if a container is started for the first time before its dependencies are
    /// ready.
    pub(super) fn note_order(&mut self, action: &Action, now: Duration) {
        let Action::StartContainer(name) = action else {
            return;
        };
        let world = &self.world;
        let Some(thing) = world.containers.get(name) else {
            return;
        };
        // A container that ran before is restarted on a best-effort basis, even if its dependency
        // is lost.
        if thing.starts > 0 {
            return;
        }
        let mut early = Vec::new();
        let needs = thing.record.iter().flat_map(|it| &it.depends_on);
        for (need, dependency) in needs {
            let all = || {
                let those = world.containers.iter();
                those.filter(move |(_, it)| it.service == *need)
            };
            let became = |(name, it): (_, &SimContainer)| {
                it.starts > 0 && (dependency.until == Until::Started || self.became(name, it, now))
            };
            let mut own = all().filter(|(_, it)| it.generation == thing.generation);
            let stands = all().any(|(name, it)| became((name, it)) && exists(it, dependency));
            if dependency.required && all().count() > 0 && !(own.all(became) && stands) {
                early.push(format!("`{name}` was started before `{need}` was ready"));
            }
        }
        self.world.violations.extend(early);
    }

    /// Whether a container passed its gate since its last start, or would have passed it.
    fn became(
        &self,
        name: &crate::name::ContainerName,
        thing: &SimContainer,
        now: Duration,
    ) -> bool {
        let Some(record) = &thing.record else {
            return true;
        };
        if let Kind::Job { .. } = record.kind {
            return thing.condition.exit_code == Some(0) && !thing.condition.status.is_up();
        }
        let asked = record
            .ready
            .probes
            .iter()
            .any(|it| !matches!(it, Probe::Started));
        let ready = self.script(name).ready_after;
        // A container that ran when the world was created passed its gate long before.
        !asked || thing.started.is_zero() || ready.is_some_and(|after| thing.started + after <= now)
    }
}

/// Whether a container can satisfy a dependency. A container that just exited by itself still can.
fn exists(thing: &SimContainer, dependency: &Dependency) -> bool {
    dependency.until == Until::Completed || thing.condition.status.is_up() || !thing.stopped_by_hand
}
