//! Probe results of a simulated container.

use std::time::Duration;

use super::{Inner, Sim};
use crate::{engine::ProbeResult, name::ContainerName, project::Probe, state::Status};

impl Sim {
    /// Returns the result of a probe now, and the time at which the result will change.
    pub(super) fn probe(
        &self,
        container: &ContainerName,
        probe: &Probe,
    ) -> (ProbeResult, Option<Duration>) {
        let mut inner = self.lock();
        let Some(thing) = inner.world.containers.get(container) else {
            return (
                ProbeResult::Impossible("no such container".to_owned()),
                None,
            );
        };
        let up = thing.condition.status.is_up();
        let script = inner.script(container);
        let not_yet = |text: &str| ProbeResult::Pending(text.to_owned());
        match probe {
            Probe::Exit => match (up, thing.condition.status, thing.condition.exit_code) {
                (false, Status::Exited, Some(0)) => {
                    (ProbeResult::Passed("exit code 0".into()), None)
                }
                (false, Status::Exited, Some(code)) => (
                    ProbeResult::Impossible(format!("exited with code {code}")),
                    None,
                ),
                _ => (
                    not_yet("it runs"),
                    script.ends.map(|end| thing.started + end.after),
                ),
            },
            _ if !up => (not_yet("it does not run"), None),
            _ if thing.condition.status == Status::Paused => (not_yet("it is frozen"), None),
            Probe::Started => (ProbeResult::Passed("it runs".to_owned()), None),
            _ => {
                let Some(after) = script.ready_after else {
                    let role = inner.role(thing);
                    inner.acted.extend(role);
                    return (not_yet("connection refused"), None);
                };
                let ready = thing.started + after.saturating_sub(thing.earlier);
                if ready <= self.now() {
                    (ProbeResult::Passed("it answers".into()), None)
                } else {
                    (not_yet("connection refused"), Some(ready))
                }
            }
        }
    }
}

impl Inner {
    /// Records that a container exited as its behavior says.
    pub(super) fn note_end(&mut self, id: &str) {
        let mut containers = self.world.containers.values();
        let role = containers
            .find(|it| it.id == id)
            .and_then(|it| self.role(it));
        self.acted.extend(role);
    }
}
