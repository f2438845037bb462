//! What services that are new take over from containers that go: ports of the host and volumes.
//!
//! A service that was renamed is one that is new and one that goes; this says that the first gets
//! what the second had.

use std::fmt;

use serde::Serialize;

use super::{
    Change, Decision,
    preflight::{clash, in_the_way},
    switch::makes,
};
use crate::{
    name::ServiceName,
    project::{MountKind, Project, Service},
    state::{Container, State},
};

/// What one service takes over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// The service that is new.
    pub service: ServiceName,
    /// The service whose container goes.
    pub from: ServiceName,
    /// Ports of the host.
    pub ports: Vec<u16>,
    /// Volumes, by name on the engine.
    pub volumes: Vec<String>,
    /// The old container stops before the new one starts.
    pub stops_first: bool,
}

/// All that is taken over, by the services that are new.
pub(super) fn takeovers(project: &Project, state: &State, decisions: &[Decision]) -> Vec<Takeover> {
    let mut found: Vec<Takeover> = Vec::new();
    for new in decisions.iter().filter(|it| makes(it.change)) {
        let Some(service) = project.services.get(&new.service) else {
            continue;
        };
        let going = decisions.iter().filter(|it| {
            let name = it.current.as_ref();
            it.change == Change::Remove
                && it.service != new.service
                && name.is_some_and(|name| !state.is_retired(name))
        });
        for old in going {
            let held = old.current.as_ref().and_then(|it| state.containers.get(it));
            let Some(held) = held else { continue };
            let takeover = Takeover {
                service: new.service.clone(),
                from: old.service.clone(),
                ports: ports(service, held),
                volumes: volumes(service, held),
                stops_first: in_the_way(project, service, old, held),
            };
            let something = !takeover.ports.is_empty() || !takeover.volumes.is_empty();
            // Of several replicas each would say the same.
            if something && !found.contains(&takeover) {
                found.push(takeover);
            }
        }
    }
    found
}

fn ports(service: &Service, held: &Container) -> Vec<u16> {
    let wanted = service.container.ports.iter();
    let wanted = wanted.filter(|port| held.ports.iter().any(|held| clash(port, held)));
    let mut ports: Vec<u16> = wanted.filter_map(|port| port.published).collect();
    ports.dedup();
    ports
}

fn volumes(service: &Service, held: &Container) -> Vec<String> {
    let mounts = service.container.mounts.iter();
    let named = mounts.filter_map(|mount| match &mount.kind {
        MountKind::Volume { engine_name, .. } => Some(engine_name),
        _ => None,
    });
    let had = named.filter(|name| held.volumes.values().any(|it| it.name == **name));
    had.cloned().collect()
}

impl fmt::Display for Takeover {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.ports.iter().map(|port| format!("port {port}"));
        let volumes = self.volumes.iter().map(|name| format!("volume {name}"));
        let mut things: Vec<String> = ports.chain(volumes).collect();
        let last = things.pop().unwrap_or_default();
        write!(f, "`{}` takes over ", self.service)?;
        if !things.is_empty() {
            write!(f, "{} and ", things.join(", "))?;
        }
        write!(f, "{last} from `{}`", self.from)?;
        if self.stops_first {
            f.write_str(", which stops first")?;
        }
        Ok(())
    }
}
