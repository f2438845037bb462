//! Addresses on which this machine can reach a port of a container.
//!
//! The container's own address is dialled when the engine is local and this machine routes to that
//! address over the bridge of the container's network. The bridge's name proves that the address
//! does not belong to another engine's network of the same range (a rootless engine, a virtual
//! machine). A container in several networks has several addresses, and all of them are dialled.
//!
//! Otherwise a published port is used, but only for probes that speak a protocol. A bare connect
//! would prove nothing, because the engine's proxy accepts it even when nothing listens behind the
//! proxy.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bollard::{
    models::{ContainerInspectResponse, EndpointSettings},
    query_parameters::InspectNetworkOptions,
};
use tokio::net::lookup_host;

use super::{Docker, container, error::present};
use crate::{engine::ProbeResult, name::ContainerName, project::Probe};

/// The network option that names the bridge, in place of the engine's choice.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// An address of a container, and how to dial it if this machine has a route.
#[derive(Debug, PartialEq)]
pub(super) struct Way {
    /// The address and its network, for messages; `None` if the container has only one address.
    pub place: Option<String>,
    /// The address to dial and the probe, with the port as seen from this machine. `None`: this
    /// machine has no route to the address.
    pub to: Option<(IpAddr, Probe)>,
}

impl Way {
    fn only(address: IpAddr, probe: Probe) -> Vec<Self> {
        vec![Self {
            place: None,
            to: Some((address, probe)),
        }]
    }
}

/// Returns one [`Way`] for each address of the container. At least one of them can be dialled.
pub(super) async fn reach(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
    probe: &Probe,
) -> Result<Vec<Way>, ProbeResult> {
    let holder = network_holder(docker, inspected).await?;
    let holder = holder.as_ref().unwrap_or(inspected);
    if network_mode(holder) == "host" {
        return Ok(Way::only(engine_host(docker).await?, probe.clone()));
    }
    if docker.place.is_local() {
        let ways = routed(docker, holder, probe).await;
        if ways.iter().any(|way| way.to.is_some()) {
            return Ok(ways);
        }
    }
    published(docker, holder, probe).await
}

/// Returns the container whose network stack this one shares. `None`: the container has its own.
async fn network_holder(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
) -> Result<Option<ContainerInspectResponse>, ProbeResult> {
    let Some(other) = network_mode(inspected).strip_prefix("container:") else {
        return Ok(None);
    };
    let name = ContainerName::new(other)
        .map_err(|error| ProbeResult::Impossible(format!("it shares the network of: {error}")))?;
    match container::inspect(docker, "looking at container", &name).await {
        Ok(Some(holder)) => Ok(Some(holder)),
        Ok(None) => Err(ProbeResult::Impossible(format!(
            "container `{name}`, whose network it shares, does not exist"
        ))),
        Err(error) => Err(ProbeResult::Pending(error.to_string())),
    }
}

/// Returns the network mode of a container, as the engine names it.
pub(super) fn network_mode(inspected: &ContainerInspectResponse) -> &str {
    let config = inspected.host_config.as_ref();
    config
        .and_then(|config| config.network_mode.as_deref())
        .unwrap_or_default()
}

/// Returns all addresses of a container in the order of its networks, each with its route.
async fn routed(docker: &Docker, inspected: &ContainerInspectResponse, probe: &Probe) -> Vec<Way> {
    let settings = inspected.network_settings.as_ref();
    let Some(networks) = settings.and_then(|settings| settings.networks.as_ref()) else {
        return Vec::new();
    };
    let mut endpoints: Vec<(&String, &EndpointSettings)> = networks.iter().collect();
    endpoints.sort_by_key(|(network, _)| *network);
    let mut ways = Vec::new();
    for (network, endpoint) in endpoints {
        for address in addresses(endpoint) {
            let leads = leads_to(docker, address, (network, endpoint)).await;
            ways.push(Way {
                place: Some(format!("{address} in network `{network}`")),
                to: leads.then(|| (address, probe.clone())),
            });
        }
    }
    if let [only] = &mut ways[..] {
        only.place = None;
    }
    ways
}

/// Returns the addresses of an endpoint. The engine writes an empty string for a missing address.
fn addresses(endpoint: &EndpointSettings) -> impl Iterator<Item = IpAddr> {
    let texts = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    texts
        .into_iter()
        .filter_map(|text| text.as_deref()?.parse().ok())
}

/// Returns whether this machine routes to an address over the bridge of the address's network.
async fn leads_to(
    docker: &Docker,
    address: IpAddr,
    (network, endpoint): (&str, &EndpointSettings),
) -> bool {
    let Some(interface) = interface_to(address) else {
        return false;
    };
    let id = endpoint.network_id.as_deref().unwrap_or_default();
    is_bridge_of(docker, &interface, network, id).await
}

/// Returns the interface of the most specific route to an address. The default route is ignored.
fn interface_to(address: IpAddr) -> Option<String> {
    let table = match address {
        IpAddr::V4(_) => "/proc/net/route",
        IpAddr::V6(_) => "/proc/net/ipv6_route",
    };
    let table = fs::read_to_string(table).ok()?;
    match address {
        IpAddr::V4(address) => interface_in(&table, address),
        IpAddr::V6(address) => interface_in_v6(&table, address),
    }
}

/// Like [`interface_to`], for IPv4, from the text of the kernel's table. Addresses in the table are
/// hexadecimal numbers in the host's byte order.
fn interface_in(table: &str, address: Ipv4Addr) -> Option<String> {
    let address = u32::from_ne_bytes(address.octets());
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(columns.get(index)?, 16).ok();
        let (network, mask) = (number(1)?, number(7)?);
        (mask != 0 && address & mask == network).then(|| (mask.count_ones(), columns[0]))
    })
    .max_by_key(|(length, _)| *length)
    .map(|(_, interface)| interface.to_owned())
}

/// Like [`interface_in`], for IPv6. An address in the table is 32 hexadecimal digits in network
/// byte order, followed by its prefix length.
fn interface_in_v6(table: &str, address: Ipv6Addr) -> Option<String> {
    let address = u128::from(address);
    let rows = table.lines();
    rows.filter_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let network = u128::from_str_radix(columns.first()?, 16).ok()?;
        let length = u32::from_str_radix(columns.get(1)?, 16).ok()?;
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?)?;
        (address & mask == network).then_some((length, *columns.last()?))
    })
    .max_by_key(|(length, _)| *length)
    .map(|(_, interface)| interface.to_owned())
}

/// Returns whether an interface is the bridge of a network, either by the engine's naming rule or
/// by the network's options.
async fn is_bridge_of(docker: &Docker, interface: &str, network: &str, id: &str) -> bool {
    if interface.strip_prefix("br-") == id.get(..12) && !id.is_empty() {
        return true;
    }
    let inspected = docker
        .client
        .inspect_network(network, None::<InspectNetworkOptions>)
        .await;
    let Ok(Some(found)) = present(inspected) else {
        return false;
    };
    let options = found.options.unwrap_or_default();
    options.get(BRIDGE_NAME).map(String::as_str) == Some(interface)
}

/// Returns the published port for a probe that speaks a protocol. A bare connect is refused,
/// because it would only prove that the engine's proxy accepts.
async fn published(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
    probe: &Probe,
) -> Result<Vec<Way>, ProbeResult> {
    let mut moved = probe.clone();
    let (Probe::Http { port, .. }
    | Probe::Postgres { port, .. }
    | Probe::Redis { port, .. }
    | Probe::Grpc { port, .. }) = &mut moved
    else {
        return Err(ProbeResult::Impossible(
            "this machine has no route to the container's network, and a connect through a \
             published port would prove nothing"
                .to_owned(),
        ));
    };
    let Some(outside) = host_port(inspected, *port) else {
        return Err(ProbeResult::Impossible(format!(
            "this machine has no route to the container's network, and its port {port} is not \
             published"
        )));
    };
    *port = outside;
    Ok(Way::only(engine_host(docker).await?, moved))
}

/// Returns the host port that is published for a port of the container.
fn host_port(inspected: &ContainerInspectResponse, port: u16) -> Option<u16> {
    let ports = inspected.network_settings.as_ref()?.ports.as_ref()?;
    let bindings = ports.get(&format!("{port}/tcp"))?.as_ref()?;
    bindings
        .iter()
        .find_map(|binding| binding.host_port.as_ref()?.parse().ok())
}

/// Resolves the address of the engine's host.
pub(super) async fn engine_host(docker: &Docker) -> Result<IpAddr, ProbeResult> {
    let host = docker.place.host();
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = lookup_host((host, 0)).await;
    found
        .ok()
        .and_then(|mut found| found.next())
        .map(|address| address.ip())
        .ok_or_else(|| ProbeResult::Pending(format!("the engine's host `{host}` has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
wide\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0
br-0123456789ab\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn most_specific_ipv4_route_is_used() {
        let to = |address: [u8; 4]| interface_in(TABLE, Ipv4Addr::from(address));
        assert_eq!(to([172, 18, 0, 2]).as_deref(), Some("br-0123456789ab"));
        assert_eq!(to([172, 19, 0, 2]).as_deref(), Some("wide"));
        assert_eq!(to([10, 9, 8, 7]), None);
    }

    const TABLE_V6: &str = "\
fd000000000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 br-0123456789ab
fd000000000000000000000000000000 10 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     wide
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    fn most_specific_ipv6_route_is_used() {
        let to = |address: &str| interface_in_v6(TABLE_V6, address.parse().unwrap());
        assert_eq!(to("fd00:0:0:1::2").as_deref(), Some("br-0123456789ab"));
        assert_eq!(to("fd00:0:0:2::2").as_deref(), Some("wide"));
        assert_eq!(to("fe80::1"), None);
    }
}
