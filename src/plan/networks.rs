//! Where each network of the project is, or is to be made.
//!
//! A network cannot be changed, and what is attached to it cannot stay while it is removed. So one
//! whose definition changed gets a successor under another name: the old containers, and the way
//! back, keep the old one until the commit. Which of them is meant is said by the labels.

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

/// The option by which a bridge gets its name on the host, which only one can have.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// The networks of a project, by the manifest's names.
pub(super) type Networks = BTreeMap<NetworkName, Placed>;

/// Where a network is, or is to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    /// Its name on the engine.
    pub engine_name: String,
    /// Digest of its definition, for the label.
    pub definition: String,
    /// The one that it follows, because its definition changed.
    pub predecessor: Option<Predecessor>,
}

/// A network whose definition is not the manifest's any more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Predecessor {
    /// Its name on the engine.
    pub engine_name: String,
    /// What changed; empty where it is not recorded what it was made from.
    pub changes: Vec<FieldChange>,
    /// Both cannot be there at a time: they want the same addresses, or the same device.
    pub contends: bool,
}

/// Finds the place of each network.
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
        // Only the manifest's own name counts: the old one may be a successor itself.
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

/// Whether two networks cannot be there at a time.
fn contend(old: &Network, new: &Network) -> bool {
    let device = |network: &Network| network.options.get(BRIDGE_NAME).cloned();
    let addresses = old.subnets.iter().any(|old| {
        let mut new = new.subnets.iter();
        new.any(|new| overlap(&old.subnet, &new.subnet).unwrap_or(true))
    });
    addresses || device(old).is_some() && device(old) == device(new)
}

/// Whether two ranges of addresses have one in common; `None`: one of them cannot be read.
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
    // The shorter prefix decides.
    let free = 128 - its.min(others);
    Some(free == 128 || one >> free == other >> free)
}

fn range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= most).then_some((address, prefix))
}

/// A network of a service that its container is not to stay on: another one is meant now.
pub(super) fn moved(
    networks: &Networks,
    service: &Service,
    container: &Container,
) -> Option<NetworkName> {
    let mut its = networks_of(service);
    its.find(|name| is_away(networks, name, container)).cloned()
}

/// Whether a container is attached to another network than the one that is meant by a name.
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

/// Networks that cannot be left for others now.
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

/// A range of a network that is to be made which another project's network has.
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

/// The networks of the project that nobody is to use any more, by name on the engine.
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
    fn ranges_overlap_where_one_holds_the_other() {
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
