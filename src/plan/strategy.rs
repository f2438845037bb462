//! How a running container is replaced: which of the two runs first, and what decides that.
//!
//! Pure. Decided from what the old container is observed to have, and not from the manifest alone.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    Change, Decision, Refusal, diff,
    preflight::{clash, in_the_way, same_address, same_volume},
    switch::stays,
};
use crate::{
    name::ServiceName,
    project::{ContainerSpec, Kind, Mount, MountKind, NetworkMode, Project, Service, UpdateOrder},
    state::{Container, State},
};

/// How a running container is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Strategy {
    /// The new one starts, proves itself and takes over while the old one still runs.
    StartFirst,
    /// The old one stops before the new one starts.
    StopFirst {
        /// Why.
        because: Obstacle,
    },
}

/// Why two containers of a service do not run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum Obstacle {
    /// The manifest says so.
    Asked,
    /// Both publish the same port of the host.
    Port {
        /// Which.
        port: u16,
    },
    /// Both have the same address in a network.
    Address {
        /// Which; a hardware address too.
        address: String,
    },
    /// Both can write to the same files.
    Mount {
        /// The volume, the folder of the host, or the place of a nameless volume.
        name: String,
    },
    /// It is in the network of the host.
    HostNetwork,
    /// It shares namespaces or mounts with another container.
    Shares {
        /// That one's service, or a container that is not of the project.
        with: String,
    },
    /// Its container's name is fixed.
    Name {
        /// As the manifest says.
        name: String,
    },
    /// Another service takes over what the old one holds.
    HandsOver {
        /// Who takes it.
        to: ServiceName,
    },
}

impl Strategy {
    /// Whether the new container starts while the old one runs.
    #[must_use]
    pub fn is_start_first(&self) -> bool {
        matches!(self, Self::StartFirst)
    }
}

impl fmt::Display for Strategy {
    /// A fragment: `stop first, as both publish port 80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartFirst => f.write_str("start first"),
            Self::StopFirst { because } => write!(f, "stop first, as {because}"),
        }
    }
}

impl fmt::Display for Obstacle {
    /// A fragment that follows on `as`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the manifest asks for it"),
            Self::Port { port } => write!(f, "both publish port {port}"),
            Self::Address { address } => write!(f, "both have the address `{address}`"),
            Self::Mount { name } => write!(f, "both can write to `{name}`"),
            Self::HostNetwork => f.write_str("it is in the host's network"),
            Self::Shares { with } => write!(f, "it shares with `{with}`"),
            Self::Name { name } => write!(f, "its container is always called `{name}`"),
            Self::HandsOver { to } => write!(f, "`{to}` takes over what it holds"),
        }
    }
}

/// Settles for every container that runs and is replaced how that is done.
///
/// # Errors
/// With the services that are to start first and cannot.
pub(super) fn settle(
    project: &Project,
    state: &State,
    decisions: &mut [Decision],
) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    let settled: Vec<Option<Strategy>> = decisions
        .iter()
        .map(|decision| {
            let (service, old) = replaced(project, state, decision)?;
            let found = obstacle(project, service, old)
                .or_else(|| taken_over(project, decisions, decision, old));
            let stop = |because| Strategy::StopFirst { because };
            Some(match (service.update.order, found) {
                (UpdateOrder::StopFirst, found) => stop(found.unwrap_or(Obstacle::Asked)),
                (_, None) => Strategy::StartFirst,
                (UpdateOrder::Auto, Some(because)) => stop(because),
                (UpdateOrder::StartFirst, Some(because)) => {
                    refusals.push(Refusal::CannotStartFirst {
                        service: service.name.clone(),
                        because: because.clone(),
                    });
                    stop(because)
                }
            })
        })
        .collect();
    for (decision, strategy) in decisions.iter_mut().zip(settled) {
        decision.strategy = strategy;
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        refusals.dedup();
        Err(refusals)
    }
}

/// A service that keeps running, with its container that runs and is replaced.
fn replaced<'a>(
    project: &'a Project,
    state: &'a State,
    decision: &Decision,
) -> Option<(&'a Service, &'a Container)> {
    let service = project.services.get(&decision.service)?;
    let old = state.containers.get(decision.current.as_ref()?)?;
    let both = decision.change == Change::Replace
        && service.kind == Kind::Service
        && old.condition.status.is_up();
    both.then_some((service, old))
}

/// The first thing that the old and the new container of a service cannot both have.
fn obstacle(project: &Project, service: &Service, old: &Container) -> Option<Obstacle> {
    let spec = &service.container;
    shared_stack(project, service)
        .or_else(|| {
            let name = service.container_name.clone()?;
            Some(Obstacle::Name { name })
        })
        .or_else(|| {
            let wanted = |held| spec.ports.iter().any(|port| clash(port, held));
            let held = old.ports.iter().find(|held| wanted(held))?;
            let port = held.published;
            Some(Obstacle::Port { port })
        })
        .or_else(|| fixed_address(spec, old))
        .or_else(|| {
            let name = written_by_both(spec, old)?;
            Some(Obstacle::Mount { name })
        })
}

/// Namespaces or mounts that are shared with others, in either direction.
fn shared_stack(project: &Project, service: &Service) -> Option<Obstacle> {
    match &service.container.network {
        NetworkMode::Host => return Some(Obstacle::HostNetwork),
        NetworkMode::Container(with) => return Some(Obstacle::Shares { with: with.clone() }),
        NetworkMode::Networks(_) | NetworkMode::None | NetworkMode::Service(_) => {}
    }
    let peer = diff::shared(service).into_iter().next();
    let sharer = || {
        let mut others = project.services.values();
        let other = others.find(|other| diff::shared(other).contains(&service.name))?;
        Some(other.name.clone())
    };
    let with = peer.or_else(sharer)?.to_string();
    Some(Obstacle::Shares { with })
}

fn fixed_address(spec: &ContainerSpec, old: &Container) -> Option<Obstacle> {
    let found = same_address(spec, old);
    let NetworkMode::Networks(networks) = &spec.network else {
        return None;
    };
    // An address is only seen of a container that runs, and a hardware address not at all.
    let mut fixed = networks
        .values()
        .flat_map(|it| [&it.ipv4, &it.ipv6, &it.mac])
        .flatten()
        .cloned();
    let address = found.or_else(|| fixed.next())?;
    Some(Obstacle::Address { address })
}

/// What both containers have mounted and at least one can write to.
fn written_by_both(spec: &ContainerSpec, old: &Container) -> Option<String> {
    let folders: BTreeSet<&str> = spec.files.iter().map(|set| set.folder.as_str()).collect();
    let mut carried = old.volumes.iter().filter(|(target, volume)| {
        volume.anonymous && volume.writable && !folders.contains(target.as_str())
    });
    same_volume(spec, old)
        .map(str::to_owned)
        .or_else(|| carried.next().map(|(target, _)| target.clone()))
        .or_else(|| same_folder(spec, old).map(str::to_owned))
}

/// A folder of the host that both have. A socket is no file that two could spoil.
fn same_folder<'a>(spec: &'a ContainerSpec, old: &Container) -> Option<&'a str> {
    let recorded: Option<Vec<Mount>> = old.record.as_ref().map(|record| {
        let mounts = record.spec.get("mounts").cloned();
        mounts
            .and_then(|mounts| serde_json::from_value(mounts).ok())
            .unwrap_or_default()
    });
    let mut binds = spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, .. } => Some((source.as_str(), mount.read_only)),
        MountKind::Volume { .. } | MountKind::Anonymous | MountKind::Tmpfs { .. } => None,
    });
    let found = binds.find(|(source, read_only)| {
        let socket = source.rsplit('.').next() == Some("sock");
        let writes = match &recorded {
            None => !read_only,
            Some(mounts) => mounts.iter().any(|old| {
                let same =
                    matches!(&old.kind, MountKind::Bind { source: its, .. } if its == source);
                same && !(*read_only && old.read_only)
            }),
        };
        !socket && writes
    });
    found.map(|(source, _)| source)
}

/// Another service that cannot start before this one's old container has stopped.
fn taken_over(
    project: &Project,
    decisions: &[Decision],
    decision: &Decision,
    old: &Container,
) -> Option<Obstacle> {
    let changing = |it: &&Decision| it.change != Change::Remove && !stays(it.change);
    let other = |it: &&Decision| (&it.service, it.replica) != (&decision.service, decision.replica);
    let mut others = decisions.iter().filter(changing).filter(other);
    let taker = others.find(|other| {
        let service = project.services.get(&other.service);
        service.is_some_and(|service| in_the_way(project, service, decision, old))
    })?;
    let to = taker.service.clone();
    Some(Obstacle::HandsOver { to })
}
