//! Resources that new services take over from removed containers: host ports and volumes.
//!
//! A renamed service consists of a new service and a removed one. A takeover shows that the new
//! service gets the resources of the removed one.

use std::fmt;

use serde::Serialize;

use super::{
    Change, Decision,
    preflight::{blocks, ports_conflict},
    rollout::creates_container,
};
use crate::{
    name::ServiceName,
    project::{MountKind, Project, Service},
    state::{Container, State},
};

/// Resources that one service takes over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// The new service.
    pub service: ServiceName,
    /// Service of the removed container.
    pub from: ServiceName,
    /// Host ports.
    pub ports: Vec<u16>,
    /// Volumes, by name on the engine.
    pub volumes: Vec<String>,
    /// Whether the old container stops before the new one starts.
    pub stops_first: bool,
}

/// Returns all takeovers by services with new containers.
pub(super) fn takeovers(project: &Project, state: &State, decisions: &[Decision]) -> Vec<Takeover> {
    let mut found: Vec<Takeover> = Vec::new();
    for new in decisions.iter().filter(|it| creates_container(it.change)) {
        let Some(service) = project.services.get(&new.service) else {
            continue;
        };
        let going = decisions.iter().filter(|it| {
            let name = it.current.as_ref();
            it.change == Change::Remove
                && it.service != new.service
                && name.is_some_and(|name| !state.is_superseded(name))
        });
        for old in going {
            let held = old.current.as_ref().and_then(|it| state.containers.get(it));
            let Some(held) = held else { continue };
            let place = (service, new.replica);
            let takeover = Takeover {
                service: new.service.clone(),
                from: old.service.clone(),
                ports: ports(place, held),
                volumes: volumes(service, held),
                stops_first: blocks(project, place, old, held),
            };
            if takeover.ports.is_empty() && takeover.volumes.is_empty() {
                continue;
            }
            let mut others = found.iter_mut();
            let same = others.find(|it| it.service == takeover.service && it.from == takeover.from);
            match same {
                Some(known) => known.extend(takeover),
                None => found.push(takeover),
            }
        }
    }
    found
}

fn ports((service, replica): (&Service, u32), held: &Container) -> Vec<u16> {
    let wanted = service.ports_of(replica);
    let wanted = wanted.filter(|port| held.ports.iter().any(|held| ports_conflict(port, held)));
    let mut ports: Vec<u16> = wanted.filter_map(|port| port.published).collect();
    ports.sort_unstable();
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

impl Takeover {
    /// Adds the takeover of another replica, so that all replicas are described by one sentence.
    fn extend(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.ports.sort_unstable();
        self.ports.dedup();
        for volume in other.volumes {
            if !self.volumes.contains(&volume) {
                self.volumes.push(volume);
            }
        }
        self.stops_first |= other.stops_first;
    }
}

/// Formats sorted ports: `port 80`, `ports 8081-8083`.
fn words(ports: &[u16]) -> Vec<String> {
    let follows = |one: &u16, next: &u16| one.checked_add(1) == Some(*next);
    let ranges = ports.chunk_by(follows).filter_map(|range| {
        let (first, last) = (range.first()?, range.last()?);
        Some(if first == last {
            format!("port {first}")
        } else {
            format!("ports {first}-{last}")
        })
    });
    ranges.collect()
}

impl fmt::Display for Takeover {
    /// Formats the takeover as a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let volumes = self.volumes.iter().map(|name| format!("volume {name}"));
        let ports = words(&self.ports).into_iter();
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
