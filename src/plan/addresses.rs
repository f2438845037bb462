//! Addresses of containers: which each service's container gets in each network, and where they lie.
//!
//! A network that we make hands out addresses by itself from one half of its range only. The other
//! half is ours: an address of it is a container's own for as long as the container is there, also
//! while it is stopped, so that nothing else takes it after a restart of the engine. Such addresses
//! are numbered, as the range of a network is known only when the network was made.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{
    Change, Decision,
    endpoints::has_names,
    networks::Networks,
    prepare::networks_of,
    rollout::{ReplicaKey, creates_container},
    update_strategy::UpdateStrategy,
};
use crate::{
    name::NetworkName,
    project::{Kind, NetworkMode, Project, Service, Subnet},
    state::{Container, State},
};

/// The numbers of a container's addresses, by the manifest's name of the network.
pub(super) type Numbers = BTreeMap<NetworkName, u32>;

/// The addresses of a container that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Those that it has once it is committed.
    pub last: Numbers,
    /// Those that it has until it takes over from another container.
    pub interim: Numbers,
}

/// Numbers the addresses of all containers that are to be made.
///
/// One that takes the place of another gets its address where the two never run at the same time,
/// where a published port moves from one to the other, and where the manifest says so.
pub(super) fn assign(
    project: &Project,
    state: &State,
    networks: &Networks,
    decisions: &[Decision],
) -> BTreeMap<ReplicaKey, Assigned> {
    let mut taken = given(project, state, networks);
    for container in state.containers.values() {
        for (engine_name, number) in numbers_of(container) {
            taken.entry(engine_name).or_default().insert(number);
        }
    }
    let mut assigned = BTreeMap::new();
    // A kept container that runs again has its addresses.
    let made = decisions
        .iter()
        .filter(|it| creates_container(it.change) && it.revived.is_none());
    for decision in made {
        let Some(service) = project.services.get(&decision.service) else {
            continue;
        };
        let mut addresses = Assigned::default();
        for name in networks_of(service).filter(|name| is_numbered(project, service, name)) {
            let Some(placed) = networks.get(name) else {
                continue;
            };
            let used = taken.entry(&placed.engine_name).or_default();
            let inherited = inherited(state, (service, decision), name, &placed.engine_name);
            let both_run = matches!(&decision.strategy,
                Some(UpdateStrategy::StartFirst { withheld, .. }) if !withheld.contains(name));
            let interim = match inherited {
                Some(number) if !both_run => number,
                _ => free(used),
            };
            used.insert(interim);
            addresses.interim.insert(name.clone(), interim);
            let last = inherited.unwrap_or(interim);
            addresses.last.insert(name.clone(), last);
        }
        assigned.insert((decision.service.clone(), decision.replica), addresses);
    }
    assigned
}

/// The numbers of addresses that the manifest, or that of an existing container, gives to a container,
/// by the network's name on the engine.
fn given<'a>(
    project: &'a Project,
    state: &'a State,
    networks: &'a Networks,
) -> BTreeMap<&'a str, BTreeSet<u32>> {
    let mut given: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for service in project.services.values() {
        let NetworkMode::Networks(attached) = &service.container.network else {
            continue;
        };
        for (name, attachment) in attached {
            let network = project.networks.get(name).zip(networks.get(name));
            let Some(((network, placed), address)) = network.zip(attachment.ipv4.as_ref()) else {
                continue;
            };
            let number = network.subnets.iter().find_map(|it| number_of(it, address));
            given.entry(&placed.engine_name).or_default().extend(number);
        }
    }
    let setups = state.containers.values().filter_map(|it| it.setup.as_ref());
    for (engine_name, endpoint) in setups.flat_map(|setup| &setup.endpoints) {
        let network = state.networks.get(engine_name).zip(endpoint.ipv4.as_ref());
        let number = network.and_then(|(network, address)| {
            network.subnets.iter().find_map(|it| number_of(it, address))
        });
        given.entry(engine_name).or_default().extend(number);
    }
    given
}

/// The smallest number that is not taken.
fn free(taken: &BTreeSet<u32>) -> u32 {
    (0..=u32::MAX)
        .find(|it| !taken.contains(it))
        .unwrap_or_default()
}

/// The numbers that a container has, by the network's name on the engine.
fn numbers_of(container: &Container) -> impl Iterator<Item = (&str, u32)> {
    let record = container.record.iter();
    record.flat_map(|record| {
        record.addresses.iter().filter_map(|(network, number)| {
            let engine_name = record.networks.get(network)?;
            Some((engine_name.as_str(), *number))
        })
    })
}

/// Whether containers of a service get a numbered address in a network: jobs end, and an address
/// that the manifest gives is given.
fn is_numbered(project: &Project, service: &Service, name: &NetworkName) -> bool {
    let NetworkMode::Networks(attached) = &service.container.network else {
        return false;
    };
    let given = attached.get(name).is_none_or(|it| it.ipv4.is_some());
    let network = project.networks.get(name);
    service.kind == Kind::Service
        && !given
        && network.is_some_and(|it| !it.external && it.driver == "bridge" && has_names(it))
}

/// The number that the container which is replaced has, where the new one is to have it.
fn inherited(
    state: &State,
    (service, decision): (&Service, &Decision),
    network: &NetworkName,
    engine_name: &str,
) -> Option<u32> {
    let keeps = match &decision.strategy {
        Some(UpdateStrategy::StartFirst { withheld, .. }) => {
            withheld.contains(network) || service.update.keeps_address
        }
        Some(UpdateStrategy::StopFirst { .. }) | None => decision.change == Change::Replace,
    };
    let current = state.containers.get(decision.current.as_ref()?)?;
    let mut its = numbers_of(current).filter(|(name, _)| *name == engine_name);
    its.next().map(|(_, number)| number).filter(|_| keeps)
}

/// The address with this number among those of a range that the engine does not give by itself:
/// upward from the first one outside of the part that it gives from; downward from the last one where
/// it gives from all of it.
#[must_use]
pub fn reserved(subnet: &Subnet, number: u32) -> Option<Ipv4Addr> {
    let number = usize::try_from(number).ok()?;
    all_reserved(subnet)?.nth(number).map(Ipv4Addr::from)
}

/// The number of an address; `None`: the engine may give it by itself, or no container gets so high
/// a number.
fn number_of(subnet: &Subnet, address: &str) -> Option<u32> {
    let address: u32 = address.parse::<Ipv4Addr>().ok()?.into();
    let mut numbers = (0..=u32::from(u16::MAX)).zip(all_reserved(subnet)?);
    let (number, _) = numbers.find(|(_, it)| *it == address)?;
    Some(number)
}

/// The addresses of a range that the engine does not give by itself, in the order of their numbers.
fn all_reserved(subnet: &Subnet) -> Option<Box<dyn Iterator<Item = u32>>> {
    let (first, last) = bounds(&subnet.subnet)?;
    let gateway: Option<u32> = match &subnet.gateway {
        Some(gateway) => Some(gateway.parse::<Ipv4Addr>().ok()?.into()),
        None => Some(first + 1),
    };
    let usable = move |address: &u32| Some(*address) != gateway;
    // Neither the network's own address nor that of the broadcast.
    let (low, high) = (first.checked_add(1)?, last.checked_sub(1)?);
    Some(match &subnet.range {
        None => Box::new((low..=high).rev().filter(usable)),
        Some(range) => {
            let (begin, end) = bounds(range)?;
            let below = low..begin.max(low);
            let above = end.saturating_add(1).max(low)..=high;
            Box::new(below.chain(above).filter(usable))
        }
    })
}

/// The first and the last address of a range in CIDR form.
fn bounds(cidr: &str) -> Option<(u32, u32)> {
    let (address, prefix) = cidr.split_once('/')?;
    let address: u32 = address.parse::<Ipv4Addr>().ok()?.into();
    let prefix: u32 = prefix.parse().ok().filter(|it| *it <= 32)?;
    let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
    Some((address & !hosts, address | hosts))
}

/// The half of a range from which the engine hands out addresses, and its gateway: the upper half,
/// and the first address.
#[must_use]
pub fn halved(cidr: &str) -> Option<Subnet> {
    let (first, last) = bounds(cidr)?;
    let prefix: u32 = cidr.split_once('/')?.1.parse().ok()?;
    // The smallest range that has addresses for both.
    (prefix <= 28).then(|| Subnet {
        subnet: cidr.to_owned(),
        range: Some(format!(
            "{}/{}",
            Ipv4Addr::from(first + (last - first) / 2 + 1),
            prefix + 1
        )),
        gateway: Some(Ipv4Addr::from(first + 1).to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(subnet: &str, range: Option<&str>, gateway: Option<&str>) -> Subnet {
        Subnet {
            subnet: subnet.to_owned(),
            range: range.map(str::to_owned),
            gateway: gateway.map(str::to_owned),
        }
    }

    fn check_reserved(subnet: &Subnet, number: u32, expected: Option<&str>) {
        let found = reserved(subnet, number).map(|it| it.to_string());
        assert_eq!(found.as_deref(), expected, "{subnet:?} {number}");
    }

    #[test]
    fn reserved_addresses_lie_outside_of_the_dynamic_range() {
        let halved = halved("172.18.0.0/16").unwrap();
        assert_eq!(halved.range.as_deref(), Some("172.18.128.0/17"));
        check_reserved(&halved, 0, Some("172.18.0.2"));
        check_reserved(&halved, 32_765, Some("172.18.127.255"));
        check_reserved(&halved, 32_766, None);
    }

    #[test]
    fn a_dynamic_range_at_the_beginning_reserves_what_follows() {
        let low = subnet("10.1.0.0/24", Some("10.1.0.0/25"), Some("10.1.0.1"));
        check_reserved(&low, 0, Some("10.1.0.128"));
        check_reserved(&low, 126, Some("10.1.0.254"));
        check_reserved(&low, 127, None);
    }

    #[test]
    fn without_a_dynamic_range_the_last_addresses_are_reserved() {
        let whole = subnet("10.1.0.0/29", None, None);
        check_reserved(&whole, 0, Some("10.1.0.6"));
        check_reserved(&whole, 4, Some("10.1.0.2"));
        check_reserved(&whole, 5, None);
        let gateway = subnet("10.1.0.0/29", None, Some("10.1.0.6"));
        check_reserved(&gateway, 0, Some("10.1.0.5"));
    }

    #[test]
    fn number_of_an_address_is_found_among_the_reserved() {
        let halved = halved("172.18.0.0/16").unwrap();
        assert_eq!(number_of(&halved, "172.18.0.2"), Some(0));
        assert_eq!(number_of(&halved, "172.18.128.1"), None);
        let whole = subnet("10.1.0.0/29", None, None);
        assert_eq!(number_of(&whole, "10.1.0.6"), Some(0));
        assert_eq!(number_of(&whole, "10.1.0.1"), None, "the gateway");
    }

    #[test]
    fn bad_ranges_reserve_nothing() {
        check_reserved(&subnet("fd00::/64", None, None), 0, None);
        check_reserved(&subnet("10.1.0.0/33", None, None), 0, None);
        assert_eq!(halved("10.1.0.0/29"), None);
    }
}
