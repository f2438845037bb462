//! Addresses of containers: the address of each service's container in each network, and its place
//! in the network's range.
//!
//! In a network that `cimandat` creates, the engine assigns addresses from one half of the range
//! only. The other half is reserved for `cimandat`. A container keeps its reserved address for as
//! long as it exists, even while it is stopped, so that nothing else takes the address after a
//! restart of the engine. Reserved addresses are numbered, because the range of a network is known
//! only after the network has been created.

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

/// Numbers of a container's reserved addresses, by the network's name in the manifest.
pub(super) type Numbers = BTreeMap<NetworkName, u32>;

/// Addresses of a container to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Addresses that the container has once it is committed.
    pub last: Numbers,
    /// Addresses that the container has until it takes over from another container.
    pub interim: Numbers,
}

/// Assigns address numbers to all containers to create.
///
/// A new container inherits the address of the container that it replaces in three cases: the two
/// never run at the same time, a published port moves between them, or the manifest requires it.
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
    // A retained container that is restarted already has its addresses.
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

/// Returns the numbers of the addresses that the manifest or the settings of an existing container
/// assign, by the network's name on the engine.
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

/// Returns the smallest number that is not taken.
fn free(taken: &BTreeSet<u32>) -> u32 {
    (0..=u32::MAX)
        .find(|it| !taken.contains(it))
        .unwrap_or_default()
}

/// Returns the address numbers that are recorded on a container, by the network's name on the
/// engine.
fn numbers_of(container: &Container) -> impl Iterator<Item = (&str, u32)> {
    let record = container.record.iter();
    record.flat_map(|record| {
        record.addresses.iter().filter_map(|(network, number)| {
            let engine_name = record.networks.get(network)?;
            Some((engine_name.as_str(), *number))
        })
    })
}

/// Returns whether containers of a service get a numbered address in a network. Jobs get none,
/// because they end. An address in the manifest takes precedence.
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

/// Returns the address number of the replaced container, if the new container is to inherit it.
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

/// Returns the address with this number among those of a range that the engine does not assign by
/// itself; `None` if there is no such address.
///
/// Numbers count upward from the first address outside the part that the engine assigns from. If
/// the engine assigns from the whole range, they count downward from its last address.
#[must_use]
pub fn reserved(subnet: &Subnet, number: u32) -> Option<Ipv4Addr> {
    let number = usize::try_from(number).ok()?;
    all_reserved(subnet)?.nth(number).map(Ipv4Addr::from)
}

/// Returns the number of an address; `None` if the engine may assign the address by itself, or if
/// its number is above 65535, which no container gets.
fn number_of(subnet: &Subnet, address: &str) -> Option<u32> {
    let address: u32 = address.parse::<Ipv4Addr>().ok()?.into();
    let mut numbers = (0..=u32::from(u16::MAX)).zip(all_reserved(subnet)?);
    let (number, _) = numbers.find(|(_, it)| *it == address)?;
    Some(number)
}

/// Returns the addresses of a range that the engine does not assign by itself, in the order of
/// their numbers.
fn all_reserved(subnet: &Subnet) -> Option<Box<dyn Iterator<Item = u32>>> {
    let (first, last) = bounds(&subnet.subnet)?;
    let gateway: Option<u32> = match &subnet.gateway {
        Some(gateway) => Some(gateway.parse::<Ipv4Addr>().ok()?.into()),
        None => Some(first + 1),
    };
    let usable = move |address: &u32| Some(*address) != gateway;
    // The network address and the broadcast address are not usable.
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

/// Returns the first and the last address of a range in CIDR notation.
fn bounds(cidr: &str) -> Option<(u32, u32)> {
    let (address, prefix) = cidr.split_once('/')?;
    let address: u32 = address.parse::<Ipv4Addr>().ok()?.into();
    let prefix: u32 = prefix.parse().ok().filter(|it| *it <= 32)?;
    let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
    Some((address & !hosts, address | hosts))
}

/// Returns a subnet with this range, of which the engine assigns the upper half. The gateway is the
/// first host address.
///
/// Returns `None` if the range is not an IPv4 range or has a prefix longer than 28.
#[must_use]
pub fn halved(cidr: &str) -> Option<Subnet> {
    let (first, last) = bounds(cidr)?;
    let prefix: u32 = cidr.split_once('/')?.1.parse().ok()?;
    // A prefix of 28 is the smallest range with addresses for both halves.
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
    fn reserved_addresses_are_outside_dynamic_range() {
        let halved = halved("172.18.0.0/16").unwrap();
        assert_eq!(halved.range.as_deref(), Some("172.18.128.0/17"));
        check_reserved(&halved, 0, Some("172.18.0.2"));
        check_reserved(&halved, 32_765, Some("172.18.127.255"));
        check_reserved(&halved, 32_766, None);
    }

    #[test]
    fn low_dynamic_range_reserves_higher_addresses() {
        let low = subnet("10.1.0.0/24", Some("10.1.0.0/25"), Some("10.1.0.1"));
        check_reserved(&low, 0, Some("10.1.0.128"));
        check_reserved(&low, 126, Some("10.1.0.254"));
        check_reserved(&low, 127, None);
    }

    #[test]
    fn missing_dynamic_range_reserves_last_addresses() {
        let whole = subnet("10.1.0.0/29", None, None);
        check_reserved(&whole, 0, Some("10.1.0.6"));
        check_reserved(&whole, 4, Some("10.1.0.2"));
        check_reserved(&whole, 5, None);
        let gateway = subnet("10.1.0.0/29", None, Some("10.1.0.6"));
        check_reserved(&gateway, 0, Some("10.1.0.5"));
    }

    #[test]
    fn address_number_exists_only_for_reserved() {
        let halved = halved("172.18.0.0/16").unwrap();
        assert_eq!(number_of(&halved, "172.18.0.2"), Some(0));
        assert_eq!(number_of(&halved, "172.18.128.1"), None);
        let whole = subnet("10.1.0.0/29", None, None);
        assert_eq!(number_of(&whole, "10.1.0.6"), Some(0));
        assert_eq!(number_of(&whole, "10.1.0.1"), None, "the gateway");
    }

    #[test]
    fn invalid_ranges_reserve_nothing() {
        check_reserved(&subnet("fd00::/64", None, None), 0, None);
        check_reserved(&subnet("10.1.0.0/33", None, None), 0, None);
        assert_eq!(halved("10.1.0.0/29"), None);
    }
}
