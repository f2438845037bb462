//! Placement of the project's networks: where each network exists or is to be created.
//!
//! A network cannot be changed, and containers cannot stay attached to it while it is removed. A
//! network with a changed definition therefore gets a successor under another name. The old
//! containers keep the old network until the commit, so that a rollback is possible. The labels
//! identify the current network.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Deserialize;

use super::{
    FieldChange, PreflightError,
    change::field_changes,
    prepare::{definition, networks_of},
};
use crate::{
    name::{NetworkName, ServiceName},
    project::{Network, Project, Service},
    state::{Container, Resource, State},
};

/// The option that names the bridge device on the host. Only one network can have a given device
/// name.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// Networks of a project, by name in the manifest.
pub(super) type Networks = BTreeMap<NetworkName, Placed>;

/// Placement of a network that exists or is to be created.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    /// Name on the engine.
    pub engine_name: String,
    /// Digest of the definition, for the label.
    pub definition: String,
    /// Network that this one replaces, because its definition changed.
    pub predecessor: Option<Predecessor>,
}

/// A network with a definition that no longer matches the manifest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Predecessor {
    /// Name on the engine.
    pub engine_name: String,
    /// Changed fields; empty if the old definition is not recorded.
    pub changes: Vec<FieldChange>,
    /// Whether the two networks cannot exist at the same time, because they need the same addresses
    /// or the same device.
    pub contends: bool,
}

/// Returns the placement of each network.
pub(super) fn place(project: &Project, state: &State) -> Networks {
    let networks = project.networks.iter();
    networks
        .map(|(name, network)| (name.clone(), placed(project, state, name, network)))
        .collect()
}

fn placed(project: &Project, state: &State, name: &NetworkName, network: &Network) -> Placed {
    let definition = definition(&network.definition());
    let at = |engine_name: &str, predecessor| Placed {
        engine_name: engine_name.to_owned(),
        definition: definition.clone(),
        predecessor,
    };
    if network.external {
        return at(&network.engine_name, None);
    }
    let ours = |it: &Resource| it.project.as_deref() == Some(project.name.as_str());
    let its: Vec<(&String, &Resource)> = state
        .networks
        .iter()
        .filter(|(_, it)| ours(it))
        .filter(|(at, it)| it.name.as_deref() == Some(name.as_str()) || **at == network.engine_name)
        .collect();
    let same = |it: &Resource| {
        let known = it.definition.as_ref();
        known.is_none_or(|known| *known == definition)
    };
    if let Some((found, _)) = its.iter().find(|(_, it)| same(it)) {
        return at(found, None);
    }
    let Some((old, resource)) = its.first() else {
        return at(&network.engine_name, None);
    };
    let predecessor = Some(predecessor(old, resource, network));
    if state.networks.contains_key(&network.engine_name) {
        let short = definition.get(..8).unwrap_or(&definition);
        return at(&format!("{}.{short}", network.engine_name), predecessor);
    }
    at(&network.engine_name, predecessor)
}

fn predecessor(engine_name: &str, old: &Resource, network: &Network) -> Predecessor {
    let mut wanted = serde_json::to_value(network.definition()).unwrap_or_default();
    let mut changes = Vec::new();
    let mut contends = false;
    if let Some(record) = &old.record {
        // Only the name in the manifest counts, because the old network may be a successor itself.
        if let (Some(fields), Some(name)) = (wanted.as_object_mut(), record.get("engine_name")) {
            fields.insert("engine_name".to_owned(), name.clone());
        }
        changes = field_changes(record, &wanted);
        contends = Network::deserialize(record).is_ok_and(|old| contend(&old, network));
    }
    Predecessor {
        engine_name: engine_name.to_owned(),
        changes,
        contends,
    }
}

/// Returns whether two networks cannot exist at the same time.
fn contend(old: &Network, new: &Network) -> bool {
    let device = |network: &Network| network.options.get(BRIDGE_NAME).cloned();
    let addresses = old.subnets.iter().any(|old| {
        let mut new = new.subnets.iter();
        new.any(|new| overlap(&old.subnet, &new.subnet).unwrap_or(true))
    });
    addresses || device(old).is_some() && device(old) == device(new)
}

/// Returns whether two address ranges overlap; `None` if one of them is invalid.
fn overlap(one: &str, other: &str) -> Option<bool> {
    let ((one, its), (other, others)) = (range(one)?, range(other)?);
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    };
    let ((one, four), (other, also)) = (bits(one), bits(other));
    if four != also {
        return Some(false);
    }
    // The shorter prefix is decisive.
    let free = 128 - its.min(others);
    Some(free == 128 || one >> free == other >> free)
}

fn range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= most).then_some((address, prefix))
}

/// Returns a network of a service that its container has to leave, because the name refers to
/// another network now.
pub(super) fn moved(
    networks: &Networks,
    service: &Service,
    container: &Container,
) -> Option<NetworkName> {
    let mut its = networks_of(service);
    its.find(|name| is_away(networks, name, container)).cloned()
}

/// Returns whether a container is attached to another network than the one that a name refers to.
fn is_away(networks: &Networks, name: &NetworkName, container: &Container) -> bool {
    let Some(placed) = networks.get(name) else {
        return false;
    };
    let record = container.record.as_ref();
    match record.and_then(|record| record.networks.get(name)) {
        Some(recorded) => *recorded != placed.engine_name,
        None => placed.predecessor.is_some(),
    }
}

/// Returns an error for each network that cannot be created or replaced now.
pub(super) fn refusals(
    project: &Project,
    state: &State,
    networks: &Networks,
    chosen: &BTreeSet<&ServiceName>,
) -> Vec<PreflightError> {
    let mut refusals = Vec::new();
    for (name, placed) in networks {
        let users = project.services.values();
        let (here, others): (Vec<&Service>, Vec<&Service>) = users
            .filter(|service| networks_of(service).any(|used| used == name))
            .partition(|service| chosen.contains(&service.name));
        let moves = |service: &&&Service| {
            let mut its = state.containers.iter();
            its.any(|(at, it)| {
                it.service == service.name
                    && !state.is_superseded(at)
                    && is_away(networks, name, it)
            })
        };
        if !here.is_empty() && !state.networks.contains_key(&placed.engine_name) {
            refusals.extend(range_held(project, state, name, placed));
        }
        let old = placed.predecessor.as_ref().filter(|_| !here.is_empty());
        if let Some(old) = old.filter(|old| old.contends) {
            let name = old.engine_name.clone();
            refusals.push(PreflightError::NetworkContends { name });
        } else if here.iter().any(|service| moves(&service))
            && let Some(left) = others.iter().find(moves)
        {
            refusals.push(PreflightError::NetworkLeft {
                name: old
                    .map_or(&placed.engine_name, |old| &old.engine_name)
                    .clone(),
                service: left.name.clone(),
            });
        }
    }
    refusals
}

/// Returns an error if a network of another project uses an address range of a network to create.
fn range_held(
    project: &Project,
    state: &State,
    name: &NetworkName,
    placed: &Placed,
) -> Option<PreflightError> {
    let network = project.networks.get(name).filter(|it| !it.external)?;
    network.subnets.iter().find_map(|wanted| {
        state.foreign_ranges.iter().find_map(|(holder, ranges)| {
            let held = |range: &&String| overlap(range, &wanted.subnet) == Some(true);
            Some(PreflightError::RangeHeld {
                name: placed.engine_name.clone(),
                subnet: wanted.subnet.clone(),
                held: ranges.iter().find(held)?.clone(),
                holder: holder.clone(),
            })
        })
    })
}

/// Returns the networks of the project that are no longer needed, by name on the engine.
pub(super) fn left_over<'a>(
    project: &'a Project,
    state: &'a State,
    networks: &'a Networks,
) -> impl Iterator<Item = (&'a String, &'a Resource)> {
    state.networks.iter().filter(move |(name, it)| {
        let ours = it.project.as_deref() == Some(project.name.as_str());
        let wanted = networks.values().any(|placed| placed.engine_name == **name);
        ours && !wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_overlap(one: &str, other: &str, expected: Option<bool>) {
        assert_eq!(overlap(one, other), expected, "{one} {other}");
        assert_eq!(overlap(other, one), expected, "{other} {one}");
    }

    #[test]
    fn ranges_overlap_if_one_contains_the_other() {
        check_overlap("10.1.0.0/16", "10.1.2.0/24", Some(true));
        check_overlap("10.1.0.0/24", "10.1.1.0/24", Some(false));
        check_overlap("0.0.0.0/0", "10.1.1.0/24", Some(true));
        check_overlap("10.1.2.3/32", "10.1.2.3/32", Some(true));
        check_overlap("fd00::/64", "fd00::1:0:0/112", Some(true));
        check_overlap("fd00::/64", "fd01::/64", Some(false));
        check_overlap("fd00::/64", "10.0.0.0/8", Some(false));
        check_overlap("10.0.0.0/33", "10.0.0.0/8", None);
        check_overlap("ten/8", "10.0.0.0/8", None);
    }
}
