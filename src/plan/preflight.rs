//! Preflight checks: find conflicts of a deploy before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, Decision, PreflightError,
    change::field_changes,
    deploy::final_name,
    networks::{self, Networks},
    prepare::{networks_of, volume_definition, volumes_of},
    rollout::creates_container,
};
use crate::{
    project::{ContainerSpec, MountKind, NetworkMode, PortBinding, Project, Service},
    state::{Container, PublishedPort, Resource, State},
};

/// Returns all conflicts, by service and then by resource.
pub(super) fn refusals(
    project: &Project,
    state: &State,
    placed: &Networks,
    decisions: &[Decision],
) -> Vec<PreflightError> {
    let mut refusals = same_names(project, decisions);
    let mut services = BTreeSet::new();
    for decision in decisions
        .iter()
        .filter(|decision| decision.change != Change::Remove)
    {
        let Some(service) = project.services.get(&decision.service) else {
            continue;
        };
        services.insert(&service.name);
        let renamed = !creates_container(decision.change)
            && decision.current != Some(final_name(project, service, decision.replica));
        if creates_container(decision.change) || renamed {
            name_taken(project, state, service, decision.replica, &mut refusals);
        }
        if creates_container(decision.change) {
            ports_held(state, service, decision.replica, &mut refusals);
        }
    }
    let services: Vec<&Service> = services
        .into_iter()
        .filter_map(|name| project.services.get(name))
        .collect();
    refusals.extend(networks(project, state, placed, &services));
    let chosen = services.iter().map(|service| &service.name).collect();
    refusals.extend(networks::refusals(project, state, placed, &chosen));
    volumes(project, state, &services, &mut refusals);
    refusals
}

/// Returns an error for each pair of containers that would have the same name.
fn same_names(project: &Project, decisions: &[Decision]) -> Vec<PreflightError> {
    let mut known = BTreeMap::new();
    let wanted = decisions.iter().filter(|it| it.change != Change::Remove);
    wanted
        .filter_map(|decision| {
            let service = project.services.get(&decision.service)?;
            let name = final_name(project, service, decision.replica);
            let other = known.insert(name.clone(), service.name.clone())?;
            let service = service.name.clone();
            Some(PreflightError::SameName {
                service,
                other,
                name: name.to_string(),
            })
        })
        .collect()
}

/// Returns an error for each container with drift, for deploys that refuse drift.
pub(super) fn drifted(decisions: &[Decision]) -> impl Iterator<Item = PreflightError> {
    decisions.iter().filter_map(|decision| {
        let name = decision.current.as_ref()?.to_string();
        let changes = decision.drift.clone();
        (!changes.is_empty()).then_some(PreflightError::Drifted { name, changes })
    })
}

fn owner(project: Option<&String>) -> String {
    project.map_or_else(
        || "an unknown owner".to_owned(),
        |name| format!("project `{name}`"),
    )
}

fn name_taken(
    project: &Project,
    state: &State,
    service: &Service,
    replica: u32,
    refusals: &mut Vec<PreflightError>,
) {
    let name = final_name(project, service, replica);
    if let Some(foreign) = state.foreign.get(&name) {
        if foreign.project.as_deref() == Some(project.name.as_str()) {
            refusals.push(PreflightError::UnknownContainer {
                service: service.name.clone(),
                name: name.to_string(),
            });
            return;
        }
        refusals.push(PreflightError::ForeignContainer {
            service: service.name.clone(),
            name: name.to_string(),
            owner: owner(foreign.project.as_ref()),
        });
    }
}

fn ports_held(state: &State, service: &Service, replica: u32, refusals: &mut Vec<PreflightError>) {
    for port in service.ports_of(replica) {
        let holder = state.foreign.iter().find(|(_, foreign)| {
            foreign.running && foreign.ports.iter().any(|held| ports_conflict(&port, held))
        });
        if let (Some((name, _)), Some(published)) = (holder, port.published) {
            refusals.push(PreflightError::PortHeld {
                service: service.name.clone(),
                port: published,
                holder: name.to_string(),
            });
        }
    }
}

/// Returns whether a desired host port is unavailable while another port is held.
pub(super) fn ports_conflict(desired: &PortBinding, held: &PublishedPort) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    desired.published == Some(held.published)
        && desired.protocol == held.protocol
        && (all(&desired.host_ip) || all(&held.host_ip) || desired.host_ip == held.host_ip)
}

/// Returns whether a container to start and a running container cannot run at the same time: they
/// need the same port or fixed address, or write to the same volume.
pub(super) fn conflicts_with_spec(spec: &ContainerSpec, old: &Container) -> bool {
    let port = spec
        .ports
        .iter()
        .any(|desired| old.ports.iter().any(|held| ports_conflict(desired, held)));
    port || same_address(spec, old).is_some() || same_volume(spec, old, &BTreeSet::new()).is_some()
}

/// Returns whether a replica of a service cannot start while a container of another replica or
/// service runs.
pub(super) fn blocks(
    project: &Project,
    (service, replica): (&Service, u32),
    decision: &Decision,
    held: &Container,
) -> bool {
    let up = held.condition.status.is_up();
    if decision.change == Change::Remove && decision.service == service.name {
        // A container that an interrupted run left behind would answer in place of the new one.
        return up;
    }
    let shared = decision.change != Change::Remove
        && project
            .services
            .get(&decision.service)
            .is_some_and(|other| share_a_volume(service, other));
    let mut spec = service.spec_of(replica);
    if shared {
        spec.mounts.clear();
    }
    up && conflicts_with_spec(&spec, held)
}

/// Returns a fixed address that a running container has.
pub(super) fn same_address(spec: &ContainerSpec, old: &Container) -> Option<String> {
    let NetworkMode::Networks(networks) = &spec.network else {
        return None;
    };
    let mut fixed = networks.values().filter_map(|it| it.ipv4.as_ref());
    fixed
        .find(|fixed| old.networks.values().any(|held| held == *fixed))
        .cloned()
}

/// Returns a named volume that both containers mount and at least one can write to, except for
/// volumes that are `shared`.
pub(super) fn same_volume<'a>(
    spec: &'a ContainerSpec,
    old: &Container,
    shared: &BTreeSet<&str>,
) -> Option<&'a str> {
    spec.mounts.iter().find_map(|mount| match &mount.kind {
        MountKind::Volume { engine_name, .. } if shared.contains(engine_name.as_str()) => None,
        MountKind::Volume { engine_name, .. } => old
            .volumes
            .values()
            .any(|old| old.name == *engine_name && (old.writable || !mount.read_only))
            .then_some(engine_name.as_str()),
        MountKind::Anonymous | MountKind::Bind { .. } | MountKind::Tmpfs { .. } => None,
    })
}

/// Returns whether the new definitions of two services mount the same volume. The two services then
/// share it on purpose.
pub(super) fn share_a_volume(one: &Service, other: &Service) -> bool {
    volumes_of(one).any(|volume| volumes_of(other).any(|shared| shared == volume))
}

/// Returns how an existing resource relates to the desired one.
fn standing(project: &Project, found: &Resource, definition: &str) -> Occupant {
    match &found.project {
        Some(owner) if owner == project.name.as_str() => {
            let same = found
                .definition
                .as_deref()
                .is_none_or(|known| known == definition);
            if same {
                Occupant::Ours
            } else {
                Occupant::Changed
            }
        }
        owned => Occupant::Foreign(owner(owned.as_ref())),
    }
}

enum Occupant {
    Ours,
    Changed,
    Foreign(String),
}

fn networks(
    project: &Project,
    state: &State,
    placed: &Networks,
    services: &[&Service],
) -> Vec<PreflightError> {
    let used: BTreeSet<_> = services
        .iter()
        .flat_map(|service| networks_of(service))
        .collect();
    let refusal = |name| {
        let network = project.networks.get(name)?;
        let name = placed.get(name)?.engine_name.clone();
        match state.networks.get(&name) {
            None if network.external => Some(PreflightError::NoNetwork { name }),
            Some(found) if !network.external => match standing(project, found, "") {
                Occupant::Foreign(owner) => Some(PreflightError::ForeignNetwork { name, owner }),
                Occupant::Ours | Occupant::Changed => None,
            },
            _ => None,
        }
    };
    used.into_iter().filter_map(refusal).collect()
}

fn volumes(
    project: &Project,
    state: &State,
    services: &[&Service],
    into: &mut Vec<PreflightError>,
) {
    let used: BTreeSet<_> = services
        .iter()
        .flat_map(|service| volumes_of(service))
        .collect();
    for volume in used
        .into_iter()
        .filter_map(|name| project.volumes.get(name))
    {
        let name = volume.engine_name.clone();
        match state.volumes.get(&name) {
            None if volume.external => into.push(PreflightError::NoVolume { name }),
            Some(found) if !volume.external => {
                match standing(project, found, &volume_definition(volume)) {
                    Occupant::Ours => {}
                    Occupant::Changed => {
                        let wanted = serde_json::to_value(volume.definition()).unwrap_or_default();
                        let recorded = found.record.as_ref();
                        let changes = recorded
                            .map(|recorded| field_changes(recorded, &wanted))
                            .unwrap_or_default();
                        into.push(PreflightError::VolumeChanged { name, changes });
                    }
                    Occupant::Foreign(owner) => {
                        into.push(PreflightError::ForeignVolume { name, owner });
                    }
                }
            }
            _ => {}
        }
    }
}
