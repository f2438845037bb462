//! Replacement of running containers: whether the old or the new container runs first.
//!
//! Pure. The decision is based on the observed state of the old container, and not only on the
//! manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    Change, Decision, OverlapConflict, PreflightError, diff,
    endpoints::{has_names, names},
    networks::Networks,
    preflight::{blocks, ports_conflict, same_address, same_volume},
    prepare::networks_of,
    rollout::is_in_place,
};
use crate::{
    name::{NetworkName, ServiceName},
    project::{
        ContainerSpec, Kind, Mount, MountKind, NetworkMode, PortBinding, Project, Service,
        UpdateOrder,
    },
    state::{Container, PublishedPort, State, Status},
};

/// How a running container is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum UpdateStrategy {
    /// The new container starts, proves itself and takes over while the old one still runs.
    StartFirst {
        /// Networks with external access, which the new container joins only when it takes over.
        /// Host ports are published there.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        withheld: BTreeSet<NetworkName>,
        /// Host ports that move from the old to the new container.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ports: Vec<u16>,
        /// Whether the old container stops before the ports move, so that requests in progress are
        /// finished.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        finishes: bool,
    },
    /// The old container stops before the new one starts.
    StopFirst {
        /// Conflict that prevents an overlap.
        because: OverlapConflict,
    },
}

impl UpdateStrategy {
    /// Returns whether the new container starts while the old one runs.
    #[must_use]
    pub fn is_start_first(&self) -> bool {
        matches!(self, Self::StartFirst { .. })
    }

    /// Returns the effect on clients, as a sentence.
    #[must_use]
    pub fn effect(&self) -> String {
        match self {
            Self::StartFirst { ports, .. } if ports.is_empty() => {
                "no interruption; open connections stay open until the old container stops"
                    .to_owned()
            }
            Self::StartFirst {
                ports, finishes, ..
            } => {
                let ports = listed(ports);
                if *finishes {
                    format!(
                        "{ports} does not answer while the old container finishes its requests and \
                         stops"
                    )
                } else {
                    format!(
                        "{ports} does not answer for about 0.2 s; requests in progress through it \
                         are cut"
                    )
                }
            }
            Self::StopFirst { .. } => "does not answer from the stop of the old container until \
                                       the new one is ready; requests in progress end with the \
                                       old container"
                .to_owned(),
        }
    }

    /// Returns the change to the manifest that shortens the interruption, if there is one.
    #[must_use]
    pub fn improvement(&self) -> Option<String> {
        match self {
            Self::StartFirst { .. } => None,
            Self::StopFirst { because } => because.improvement(),
        }
    }
}

fn listed(ports: &[u16]) -> String {
    let plural = if ports.len() == 1 { "" } else { "s" };
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!("port{plural} {}", ports.join(", "))
}

impl fmt::Display for UpdateStrategy {
    /// Formats the strategy as a sentence fragment: `stop first, as both publish port 80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartFirst { .. } => f.write_str("start first"),
            Self::StopFirst { because } => write!(f, "stop first, as {because}"),
        }
    }
}

/// Decides how each running container that is replaced is updated.
///
/// # Errors
/// Returns the services that must start first and cannot.
pub(super) fn settle(
    project: &Project,
    state: &State,
    networks: &Networks,
    decisions: &mut [Decision],
) -> Result<(), Vec<PreflightError>> {
    let mut refusals = Vec::new();
    let settled: Vec<Option<UpdateStrategy>> = decisions
        .iter()
        .map(|decision| {
            let (service, old) = replaced(project, state, decision)?;
            let revived = decision.revived.as_ref();
            let replacement = Replacement {
                project,
                state,
                networks,
                service,
                replica: decision.replica,
                old,
                revived: revived.and_then(|name| state.containers.get(name)),
            };
            let found = match taken_over(project, decisions, decision, old) {
                Some(obstacle) => Err(obstacle),
                None => replacement.start_first(),
            };
            let stop = |because| UpdateStrategy::StopFirst { because };
            Some(match (service.update.order, found) {
                (UpdateOrder::StopFirst, found) => {
                    stop(found.err().unwrap_or(OverlapConflict::Asked))
                }
                (_, Ok(start_first)) => start_first,
                (UpdateOrder::Auto, Err(because)) => stop(because),
                (UpdateOrder::StartFirst, Err(because)) => {
                    refusals.push(PreflightError::CannotStartFirst {
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

/// Returns a service that keeps running, with its running container that is replaced.
fn replaced<'a>(
    project: &'a Project,
    state: &'a State,
    decision: &Decision,
) -> Option<(&'a Service, &'a Container)> {
    let service = project.services.get(&decision.service)?;
    let old = state.containers.get(decision.current.as_ref()?)?;
    // A paused or restarting container serves no clients.
    let both = decision.change == Change::Replace
        && service.kind == Kind::Service
        && old.condition.status == Status::Running;
    both.then_some((service, old))
}

/// A running container, and the service of its replacement.
struct Replacement<'a> {
    project: &'a Project,
    state: &'a State,
    networks: &'a Networks,
    service: &'a Service,
    replica: u32,
    old: &'a Container,
    /// Retained container that takes its place instead of a new one.
    revived: Option<&'a Container>,
}

impl Replacement<'_> {
    /// Returns how the new container starts first, or the first conflict between the two
    /// containers.
    fn start_first(&self) -> Result<UpdateStrategy, OverlapConflict> {
        let spec = &self.service.container;
        let obstacle = shared_stack(self.project, self.service)
            .or_else(|| {
                let name = self.service.container_name.clone()?;
                Some(OverlapConflict::Name { name })
            })
            .or_else(|| self.host_name())
            .or_else(|| self.same_number())
            .or_else(|| fixed_address(spec, self.old))
            .or_else(|| written_by_both(self.project, spec, self.old));
        if let Some(obstacle) = obstacle {
            return Err(obstacle);
        }
        let ports = self.ports();
        let withheld = match ports.first() {
            Some(port) => self.withheld(*port)?,
            None => BTreeSet::new(),
        };
        if let Some(obstacle) = self.unkept(&withheld) {
            return Err(obstacle);
        }
        let finishes = !ports.is_empty() && self.service.update.drain.is_some();
        Ok(UpdateStrategy::StartFirst {
            withheld,
            ports,
            finishes,
        })
    }

    /// Returns the host ports that both containers publish.
    fn ports(&self) -> Vec<u16> {
        let wanted: Vec<PortBinding> = self.service.ports_of(self.replica).collect();
        let both = |held: &&PublishedPort| wanted.iter().any(|port| ports_conflict(port, held));
        let held = self.old.ports.iter().filter(both);
        let ports: BTreeSet<u16> = held.map(|held| held.published).collect();
        ports.into_iter().collect()
    }

    /// Returns the networks that the new container must not join before it takes over its ports:
    /// all networks with external access. The container has to reach its dependencies without them.
    fn withheld(&self, port: u16) -> Result<BTreeSet<NetworkName>, OverlapConflict> {
        let (inner, outer): (BTreeSet<&NetworkName>, BTreeSet<&NetworkName>) =
            networks_of(self.service).partition(|name| self.is_internal(name));
        let dependencies = self.service.depends_on.keys();
        let unreached: Vec<ServiceName> = dependencies
            .filter_map(|name| self.project.services.get(name))
            .filter(|other| other.kind == Kind::Service)
            .filter(|other| !networks_of(other).any(|name| inner.contains(name)))
            .map(|other| other.name.clone())
            .collect();
        // A retained container starts with its existing networks. A container that is only in
        // internal networks publishes no ports.
        let bound = inner.is_empty() || outer.is_empty() || self.revived.is_some();
        if bound || !unreached.is_empty() {
            return Err(OverlapConflict::Port { port, unreached });
        }
        Ok(outer.into_iter().cloned().collect())
    }

    fn is_internal(&self, name: &NetworkName) -> bool {
        let network = self.project.networks.get(name);
        network.is_some_and(|it| !it.external && it.internal)
    }

    /// Returns the conflict if the old container gives up names in a network and would lose its
    /// address there.
    fn unkept(&self, withheld: &BTreeSet<NetworkName>) -> Option<OverlapConflict> {
        let mut names = networks_of(self.service).filter(|name| !withheld.contains(*name));
        let name = names.find(|name| {
            let network = self.project.networks.get(*name);
            let placed = self.networks.get(*name);
            let Some((network, placed)) = network.zip(placed) else {
                return false;
            };
            // There is no conflict if the old container has no names to give up. In an external
            // network, the new container may take a name that the old one does not have.
            let setup = self.old.setup.as_ref();
            let endpoint = setup.and_then(|it| it.endpoints.get(&placed.engine_name));
            let found = endpoint.is_some_and(|it| !it.aliases.is_empty())
                || network.external && !self.names_in(name).is_empty();
            let resource = self.state.networks.get(&placed.engine_name);
            let kept = resource.is_some_and(|it| !network.external && it.takes_addresses());
            has_names(network) && found && !kept
        })?;
        let network = self.project.networks.get(name);
        Some(OverlapConflict::Network {
            network: name.clone(),
            external: network.is_some_and(|it| it.external),
        })
    }

    /// Returns the names of the new container in a network.
    fn names_in(&self, name: &NetworkName) -> Vec<String> {
        let NetworkMode::Networks(attached) = &self.service.container.network else {
            return Vec::new();
        };
        let network = self.project.networks.get(name);
        let (network, service) = (network.zip(attached.get(name)), &self.service.name);
        network.map_or_else(Vec::new, |(network, attachment)| {
            let with_service = network.has_service_names();
            names(service, attachment, &network.engine_name, with_service)
        })
    }

    /// Returns the conflict if clients resolve the service by the host name of the new container.
    fn host_name(&self) -> Option<OverlapConflict> {
        let name = self.service.container.hostname.clone()?;
        let mut networks = networks_of(self.service);
        let resolves = networks.any(|network| self.names_in(network).contains(&name));
        resolves.then_some(OverlapConflict::HostName { name })
    }

    /// Returns the conflict if a retained container that is restarted has the same address as the
    /// running one.
    fn same_number(&self) -> Option<OverlapConflict> {
        let numbers = |container: &Container| -> BTreeMap<NetworkName, u32> {
            let record = container.record.as_ref();
            record.map(|it| it.addresses.clone()).unwrap_or_default()
        };
        let (its, old) = (numbers(self.revived?), numbers(self.old));
        let (network, _) = its.iter().find(|(name, it)| old.get(*name) == Some(it))?;
        let record = self.old.record.as_ref()?;
        let address = self.old.networks.get(record.networks.get(network)?)?;
        Some(OverlapConflict::Address {
            address: address.clone(),
        })
    }
}

/// Returns the conflict if the service shares namespaces or mounts with others, in either
/// direction.
fn shared_stack(project: &Project, service: &Service) -> Option<OverlapConflict> {
    match &service.container.network {
        NetworkMode::Host => return Some(OverlapConflict::HostNetwork),
        NetworkMode::Container(with) => {
            return Some(OverlapConflict::Shares { with: with.clone() });
        }
        NetworkMode::Networks(_) | NetworkMode::None | NetworkMode::Service(_) => {}
    }
    let peer = diff::shared(service).into_iter().next();
    let sharer = || {
        let mut others = project.services.values();
        let other = others.find(|other| diff::shared(other).contains(&service.name))?;
        Some(other.name.clone())
    };
    let with = peer.or_else(sharer)?.to_string();
    Some(OverlapConflict::Shares { with })
}

fn fixed_address(spec: &ContainerSpec, old: &Container) -> Option<OverlapConflict> {
    let found = same_address(spec, old);
    let NetworkMode::Networks(networks) = &spec.network else {
        return None;
    };
    // An IP address is observed only while a container runs, and a MAC address never.
    let mut fixed = networks
        .values()
        .flat_map(|it| [&it.ipv4, &it.ipv6, &it.mac])
        .flatten()
        .cloned();
    let address = found.or_else(|| fixed.next())?;
    Some(OverlapConflict::Address { address })
}

/// Returns the conflict if both containers mount the same object and at least one can write to it,
/// unless it is declared as shared.
fn written_by_both(
    project: &Project,
    spec: &ContainerSpec,
    old: &Container,
) -> Option<OverlapConflict> {
    let shared: BTreeSet<&str> = project
        .volumes
        .values()
        .filter(|it| it.shared)
        .map(|it| it.engine_name.as_str())
        .collect();
    let declared = |name: &str| {
        let mut volumes = project.volumes.iter();
        let found = volumes.find(|(_, it)| it.engine_name == name);
        found.map(|(volume, _)| volume.to_string())
    };
    if let Some(name) = same_volume(spec, old, &shared) {
        return Some(OverlapConflict::Mount {
            name: name.to_owned(),
            volume: declared(name),
        });
    }
    let folders: BTreeSet<&str> = spec.files.iter().map(|set| set.folder.as_str()).collect();
    let mut carried = old.volumes.iter().filter(|(target, volume)| {
        volume.anonymous && volume.writable && !folders.contains(target.as_str())
    });
    let carried = carried.next().map(|(target, _)| target.clone());
    let name = carried.or_else(|| same_folder(spec, old).map(str::to_owned))?;
    Some(OverlapConflict::Mount { name, volume: None })
}

/// Returns a host folder that both containers mount and at least one can write to. Sockets are
/// excluded, because two containers cannot corrupt them.
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

/// Returns the conflict if another service or replica cannot start before this replica's old
/// container has stopped.
fn taken_over(
    project: &Project,
    decisions: &[Decision],
    decision: &Decision,
    old: &Container,
) -> Option<OverlapConflict> {
    let changing = |it: &&Decision| it.change != Change::Remove && !is_in_place(it.change);
    let other = |it: &&Decision| (&it.service, it.replica) != (&decision.service, decision.replica);
    let mut others = decisions.iter().filter(changing).filter(other);
    let taker = others.find(|other| {
        let service = project.services.get(&other.service);
        service.is_some_and(|service| blocks(project, (service, other.replica), decision, old))
    })?;
    let to = taker.service.clone();
    let replica = (to == decision.service).then_some(taker.replica);
    Some(OverlapConflict::HandsOver { to, replica })
}
