//! What is in the way of a deploy, found before anything is touched.

use std::collections::BTreeSet;

use super::{
    Change, Decision, Refusal,
    deploy::final_name,
    prepare::{definition, networks_of, volumes_of},
    switch::makes,
};
use crate::{
    project::{PortBinding, Project, Service},
    state::{HeldPort, Resource, State},
};

/// All that is in the way, by service and then by resource.
pub(super) fn refusals(project: &Project, state: &State, decisions: &[Decision]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut services = BTreeSet::new();
    for decision in decisions
        .iter()
        .filter(|decision| decision.change != Change::Remove)
    {
        let Some(service) = project.services.get(&decision.service) else {
            continue;
        };
        services.insert(&service.name);
        if makes(decision.change) {
            name_taken(project, state, service, decision.replica, &mut refusals);
            ports_held(state, service, &mut refusals);
        }
    }
    let services: Vec<&Service> = services
        .into_iter()
        .filter_map(|name| project.services.get(name))
        .collect();
    networks(project, state, &services, &mut refusals);
    volumes(project, state, &services, &mut refusals);
    refusals
}

fn owner(project: Option<&String>) -> String {
    project.map_or_else(
        || "somebody else".to_owned(),
        |name| format!("project `{name}`"),
    )
}

fn name_taken(
    project: &Project,
    state: &State,
    service: &Service,
    replica: u32,
    refusals: &mut Vec<Refusal>,
) {
    let name = final_name(project, service, replica);
    if let Some(foreign) = state.foreign.get(&name) {
        refusals.push(Refusal::ForeignContainer {
            service: service.name.clone(),
            name: name.to_string(),
            owner: owner(foreign.project.as_ref()),
        });
    }
}

fn ports_held(state: &State, service: &Service, refusals: &mut Vec<Refusal>) {
    for port in &service.container.ports {
        let holder = state.foreign.iter().find(|(_, foreign)| {
            foreign.running && foreign.ports.iter().any(|held| clash(port, held))
        });
        if let (Some((name, _)), Some(published)) = (holder, port.published) {
            refusals.push(Refusal::PortHeld {
                service: service.name.clone(),
                port: published,
                holder: name.to_string(),
            });
        }
    }
}

/// Whether a wished-for port of the host cannot be had while another is held.
pub(super) fn clash(wished: &PortBinding, held: &HeldPort) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    wished.published == Some(held.published)
        && wished.protocol == held.protocol
        && (all(&wished.host_ip) || all(&held.host_ip) || wished.host_ip == held.host_ip)
}

/// How a resource that is there relates to the one that is wished for.
fn standing(project: &Project, found: &Resource, definition: &str) -> Standing {
    match &found.project {
        Some(owner) if owner == project.name.as_str() => {
            let same = found
                .definition
                .as_deref()
                .is_none_or(|known| known == definition);
            if same {
                Standing::Ours
            } else {
                Standing::Changed
            }
        }
        owned => Standing::Foreign(owner(owned.as_ref())),
    }
}

enum Standing {
    Ours,
    Changed,
    Foreign(String),
}

fn networks(project: &Project, state: &State, services: &[&Service], into: &mut Vec<Refusal>) {
    let used: BTreeSet<_> = services
        .iter()
        .flat_map(|service| networks_of(service))
        .collect();
    for network in used
        .into_iter()
        .filter_map(|name| project.networks.get(name))
    {
        let name = network.engine_name.clone();
        match state.networks.get(&name) {
            None if network.external => into.push(Refusal::NoNetwork { name }),
            Some(found) if !network.external => {
                match standing(project, found, &definition(network)) {
                    Standing::Ours => {}
                    Standing::Changed => into.push(Refusal::NetworkChanged { name }),
                    Standing::Foreign(owner) => into.push(Refusal::ForeignNetwork { name, owner }),
                }
            }
            _ => {}
        }
    }
}

fn volumes(project: &Project, state: &State, services: &[&Service], into: &mut Vec<Refusal>) {
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
            None if volume.external => into.push(Refusal::NoVolume { name }),
            Some(found) if !volume.external => {
                match standing(project, found, &definition(volume)) {
                    Standing::Ours => {}
                    Standing::Changed => into.push(Refusal::VolumeChanged { name }),
                    Standing::Foreign(owner) => into.push(Refusal::ForeignVolume { name, owner }),
                }
            }
            _ => {}
        }
    }
}
