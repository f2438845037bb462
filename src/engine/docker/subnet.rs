//! The address range of a network for which the manifest gives none.
//!
//! An engine accepts a requested container address only in a network that was created with an
//! explicit range. So this module chooses a range as the engine itself would: from the engine's
//! address pools, without an overlap with any network, route or name server. The engine assigns
//! addresses by itself from one half of the range.

use std::{fs, net::Ipv4Addr};

use bollard::{
    models::{Network as Found, NetworkCreateRequest},
    query_parameters::{InspectNetworkOptions, ListNetworksOptions},
};

use super::{Docker, error::present};
use crate::{
    engine::EngineError,
    plan::halved,
    project::{Network, Subnet},
};

/// The default pools of an engine, each with the prefix length of its parts:
/// `GetLocalScopeDefaultNetworks` of the engine's sources, versions 18.09 to 28.5.
const POOLS: [(&str, u32); 7] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

/// A range of IPv4 addresses: the first address and the prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range(u32, u32);

impl Range {
    fn parse(cidr: &str) -> Option<Self> {
        let (address, prefix) = cidr.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|it| *it <= 32)?;
        Some(Self(address.parse::<Ipv4Addr>().ok()?.into(), prefix))
    }

    fn overlaps(self, other: Self) -> bool {
        let shortest = self.1.min(other.1);
        let network = |address: u32| address.checked_shr(32 - shortest).unwrap_or(0);
        network(self.0) == network(other.0)
    }

    /// Returns the parts of the range with this prefix length.
    fn parts(self, prefix: u32) -> impl Iterator<Item = Self> {
        let step = 1_u64 << (32 - prefix.min(32));
        let count = 1_u64 << prefix.saturating_sub(self.1).min(32);
        let first = u64::from(self.0);
        (0..count).filter_map(move |index| {
            let address = u32::try_from(first + index * step).ok()?;
            Some(Self(address, prefix))
        })
    }
}

/// Returns whether a range is chosen for a network. Not for a network with IPv6: the engine assigns
/// each container an IPv6 address that cannot be requested again.
pub(super) fn is_chosen(network: &Network) -> bool {
    network.subnets.is_empty() && network.driver == "bridge" && !network.ipv6
}

/// Returns a free range of the engine's pools, without the first `skipped` ones, which other
/// clients are taking. `None`: no range is left.
pub(super) async fn choose(
    docker: &Docker,
    (verb, name): (&str, &str),
    skipped: usize,
) -> Result<Option<Subnet>, EngineError> {
    let doing = docker.doing(verb, name);
    let networks = docker
        .client
        .list_networks(None::<ListNetworksOptions>)
        .await;
    let networks = networks.map_err(|wire| doing.failed(wire))?;
    let mut taken: Vec<Range> = networks.iter().flat_map(ranges).collect();
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    taken.extend(name_servers(&read("/etc/resolv.conf")));
    // If `/etc/resolv.conf` names only the stub resolver of this machine, this file names the
    // servers.
    taken.extend(name_servers(&read("/run/systemd/resolve/resolv.conf")));
    let routes = read("/proc/net/route");
    taken.extend(routed(&routes, false));
    let elsewhere = routed(&routes, true);
    let info = docker.client.info().await;
    let info = info.map_err(|wire| doing.failed(wire))?;
    let pools: Vec<(Range, u32)> = match info.default_address_pools {
        Some(pools) if !pools.is_empty() => {
            let pools = pools.iter();
            let pool = |base: &Option<String>, size: Option<i64>| {
                let prefix = size.and_then(|size| u32::try_from(size).ok())?;
                Some((Range::parse(base.as_deref()?)?, prefix))
            };
            pools.filter_map(|it| pool(&it.base, it.size)).collect()
        }
        _ => POOLS
            .iter()
            .filter_map(|(base, prefix)| Some((Range::parse(base)?, *prefix)))
            .collect(),
    };
    // The engine ignores routes through a gateway, and those of a VPN may lead everywhere. A range
    // that hides none of these routes is still preferred.
    let all = [taken.as_slice(), elsewhere.as_slice()].concat();
    let best = free(&pools, &all, skipped);
    Ok(best.or_else(|| free(&pools, &taken, skipped)))
}

/// Returns the first part of the pools that overlaps nothing, after `skipped` such parts.
fn free(pools: &[(Range, u32)], taken: &[Range], skipped: usize) -> Option<Subnet> {
    let parts = pools.iter().flat_map(|(pool, prefix)| pool.parts(*prefix));
    let mut free = parts.filter(|part| !taken.iter().any(|it| it.overlaps(*part)));
    let part = free.nth(skipped)?;
    halved(&format!("{}/{}", Ipv4Addr::from(part.0), part.1))
}

/// Returns the range that the engine chooses, if this machine cannot see the engine's routes or
/// finds no free range beside them. The engine creates the network, which is then removed again.
pub(super) async fn engine_choice(
    docker: &Docker,
    verb: &str,
    body: &NetworkCreateRequest,
) -> Result<Option<Subnet>, EngineError> {
    let doing = docker.doing(verb, &body.name);
    let failed = |wire| doing.failed(wire);
    let made = docker.client.create_network(body.clone()).await;
    let made = made.map_err(failed)?;
    let found = docker
        .client
        .inspect_network(&made.id, None::<InspectNetworkOptions>)
        .await;
    let removed = docker.client.remove_network(&made.id).await;
    present(removed).map_err(failed)?;
    let ipam = found.map_err(failed)?.ipam.and_then(|ipam| ipam.config);
    let mut subnets = ipam.into_iter().flatten().filter_map(|it| it.subnet);
    Ok(subnets.find_map(|subnet| halved(&subnet)))
}

fn ranges(network: &Found) -> Vec<Range> {
    let ipam = network.ipam.as_ref().and_then(|it| it.config.as_ref());
    let subnets = ipam.into_iter().flatten();
    subnets
        .filter_map(|it| Range::parse(it.subnet.as_deref()?))
        .collect()
}

/// Returns the ranges that this machine has a route to, through a gateway or directly, except the
/// default route. Addresses in the text of the kernel's table are hexadecimal numbers in the host's
/// byte order.
fn routed(table: &str, by_gateway: bool) -> Vec<Range> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(columns.get(index)?, 16).ok();
        let (network, mask) = (u32::from_be(number(1)?), u32::from_be(number(7)?));
        let wanted = (number(2)? != 0) == by_gateway;
        (mask != 0 && wanted).then_some(Range(network, mask.count_ones()))
    })
    .collect()
}

/// Returns the name servers of a `resolv.conf`, each as a range of one address.
fn name_servers(text: &str) -> Vec<Range> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words
            .nth(1)
            .filter(|_| line.trim_start().starts_with("nameserver"))?;
        address.parse::<Ipv4Addr>().ok()
    });
    addresses.map(|it| Range(it.into(), 32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(cidr: &str) -> Range {
        Range::parse(cidr).unwrap()
    }

    fn check_free(pools: &[(&str, u32)], taken: &[&str], expected: Option<&str>) {
        let pools: Vec<_> = pools.iter().map(|(it, size)| (range(it), *size)).collect();
        let taken: Vec<_> = taken.iter().map(|it| range(it)).collect();
        let found = free(&pools, &taken, 0).map(|it| it.subnet);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn first_free_range_of_pools_is_chosen() {
        check_free(&POOLS, &["172.17.0.0/16"], Some("172.18.0.0/16"));
        let most = ["172.16.0.0/12", "192.168.0.0/20"];
        check_free(&POOLS, &most, Some("192.168.16.0/20"));
        // A narrow route occupies the whole part.
        check_free(
            &[("10.0.0.0/15", 16)],
            &["10.0.7.0/24"],
            Some("10.1.0.0/16"),
        );
        check_free(&[("10.0.0.0/16", 24)], &["10.0.0.0/8"], None);
        check_free(&[("10.0.0.0/24", 24)], &["0.0.0.0/1"], None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn default_route_is_not_a_taken_range() {
        let table = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0
tun0\t00000080\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0
br-0123456789ab\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";
        assert_eq!(routed(table, false), [range("172.18.0.0/16")]);
        let vpn = [range("0.0.0.0/1"), range("128.0.0.0/1")];
        assert_eq!(routed(table, true), vpn);
    }

    #[test]
    fn name_servers_occupy_ranges_of_one_address() {
        let text = "\
# nameserver 10.0.0.1
search example.org
nameserver 127.0.0.53
 nameserver\t172.19.0.2
nameserver fd00::1
options edns0
";
        let expected = [range("127.0.0.53/32"), range("172.19.0.2/32")];
        assert_eq!(name_servers(text), expected);
        check_free(&POOLS[1..], &["172.18.0.2/32"], Some("172.19.0.0/16"));
    }
}
