//! The lifecycle of a simulated container between start and exit, and the effect of a restart of
//! the engine.

use std::time::Duration;

use super::{SimContainer, World};
use crate::{
    engine::{ContainerEvent, ContainerEventKind},
    name::ContainerName,
    project::RestartPolicy,
    state::{PublishedPort, Status},
};

/// The exit code of a killed container.
const KILLED: i64 = 137;
/// The exit code of a container that went down with the engine's host: its end was not observed.
const UNSEEN: i64 = 255;
/// The first port of the host that is assigned if none is requested.
const FIRST_FREE_PORT: u16 = 32_768;

/// The way in which an engine ends before it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::sim) enum EngineEnd {
    /// The engine was stopped and stops its containers first, gracefully.
    Stopped,
    /// The engine was killed, but its containers were not. It stops them when it is back, and that
    /// counts as a manual stop.
    Killed,
    /// The host lost power, with all containers on it.
    PowerCut,
}

impl World {
    /// A container starts to run.
    pub fn begin(&mut self, name: &ContainerName, now: Duration) {
        self.note_rivals(name);
        let epoch = self.epoch;
        let Some(thing) = self.containers.get_mut(name) else {
            return;
        };
        thing.condition.status = Status::Running;
        thing.condition.error = None;
        // The engine forgets the code of the last exit, but not that there was one.
        thing.condition.exit_code = thing.condition.exit_code.map(|_| 0);
        thing.condition.health = None;
        thing.begin(now, epoch);
        thing.starts += 1;
        thing.log = vec![format!(
            "{} of generation {} started",
            thing.service, thing.generation
        )];
        self.hold(name);
        self.write(name);
    }

    /// A container binds its ports of the host, if it publishes any.
    pub fn hold(&mut self, name: &ContainerName) {
        let given = self.containers.values().flat_map(|it| &it.holds);
        let mut free = given
            .map(|port| port.published.saturating_add(1))
            .fold(FIRST_FREE_PORT, u16::max);
        let publishes = |it: &SimContainer| self.publishes(it);
        let publishes = self.containers.get(name).is_some_and(publishes);
        let Some(thing) = self.containers.get_mut(name) else {
            return;
        };
        let holds = thing.ports.iter().map(|port| PublishedPort {
            host_ip: port.host_ip.clone(),
            published: port.published.unwrap_or_else(|| {
                free = free.saturating_add(1);
                free - 1
            }),
            target: port.target,
            protocol: port.protocol,
        });
        thing.holds = holds.filter(|_| publishes).collect();
    }

    /// Stops a container on request. The engine does not restart it afterwards.
    pub fn stop(&mut self, name: &ContainerName, exit_code: i64) -> Option<ContainerEvent> {
        let thing = self.containers.get_mut(name)?;
        if !thing.condition.status.is_up() {
            return None;
        }
        thing.stopped_by_hand = true;
        if thing.condition.status == Status::Restarting {
            thing.condition.status = Status::Exited;
            return None;
        }
        thing.over(exit_code);
        Some(died(name, exit_code))
    }

    /// Like [`World::stop`], by force.
    pub fn kill(&mut self, name: &ContainerName) -> Option<ContainerEvent> {
        self.stop(name, KILLED)
    }

    /// A container exits by itself. A later start makes the call a no-op.
    pub fn end(
        &mut self,
        id: &str,
        starts: u64,
        exit_code: i64,
        out_of_memory: bool,
    ) -> Vec<ContainerEvent> {
        let found = self
            .containers
            .iter_mut()
            .find(|(_, it)| it.id == id && it.starts == starts);
        let runs = |it: &SimContainer| it.condition.status == Status::Running;
        let Some((name, thing)) = found.filter(|(_, it)| runs(it)) else {
            return Vec::new();
        };
        thing.over(exit_code);
        thing.condition.oom_killed = out_of_memory;
        if thing.comes_back() {
            thing.condition.status = Status::Restarting;
        }
        thing.log.push(format!("exiting with code {exit_code}"));
        let killed = out_of_memory.then(|| ContainerEvent {
            container: name.clone(),
            what: ContainerEventKind::OutOfMemory,
        });
        killed.into_iter().chain([died(name, exit_code)]).collect()
    }

    /// The engine restarts a container that exited by itself.
    pub fn restart(&mut self, id: &str, now: Duration) -> Option<ContainerEvent> {
        let mut containers = self.containers.iter_mut();
        let (name, thing) = containers.find(|(_, it)| it.id == id)?;
        if thing.condition.status != Status::Restarting {
            return None;
        }
        thing.condition.restarts += 1;
        let name = name.clone();
        self.begin(&name, now);
        Some(started(&name))
    }

    /// The engine ends.
    pub fn engine_ends(&mut self, how: EngineEnd) {
        for thing in self.containers.values_mut() {
            if !thing.condition.status.is_up() {
                continue;
            }
            thing.over(match how {
                EngineEnd::Stopped | EngineEnd::Killed => 0,
                EngineEnd::PowerCut => UNSEEN,
            });
            thing.stopped_by_hand |= how == EngineEnd::Killed;
        }
    }

    /// The engine is back, and restarts containers as their restart policies say.
    pub fn engine_returns(&mut self, now: Duration) -> Vec<ContainerEvent> {
        let back = self
            .containers
            .iter()
            .filter(|(_, it)| !it.condition.status.is_up() && it.starts > 0 && it.comes_back());
        let back: Vec<ContainerName> = back.map(|(name, _)| name.clone()).collect();
        let mut notices = Vec::new();
        for name in back {
            self.begin(&name, now);
            notices.push(started(&name));
        }
        notices
    }

    /// Removes all stopped containers and keeps their anonymous volumes. The lock is removed too,
    /// because it is a container. The journal stays, because it is in a volume.
    pub fn prune_containers(&mut self) {
        self.lock = None;
        self.containers.retain(|_, it| it.condition.status.is_up());
        self.foreign.retain(|_, it| it.running);
    }
}

impl SimContainer {
    /// Marks the container as exited.
    fn over(&mut self, exit_code: i64) {
        self.condition.status = Status::Exited;
        self.condition.exit_code = Some(exit_code);
        self.condition.oom_killed = false;
        self.holds.clear();
    }

    /// Whether the engine restarts the container after its last exit.
    fn comes_back(&self) -> bool {
        match self.policy {
            RestartPolicy::No => false,
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !self.stopped_by_hand,
            RestartPolicy::OnFailure { max } => {
                let failed = self.condition.exit_code.is_some_and(|code| code != 0);
                failed && (max == 0 || self.condition.restarts < max)
            }
        }
    }
}

fn died(name: &ContainerName, exit_code: i64) -> ContainerEvent {
    ContainerEvent {
        container: name.clone(),
        what: ContainerEventKind::Died { exit_code },
    }
}

fn started(name: &ContainerName) -> ContainerEvent {
    ContainerEvent {
        container: name.clone(),
        what: ContainerEventKind::Started,
    }
}
