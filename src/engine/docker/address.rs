//! The way from this machine to a port of a container.
//!
//! A container's own address is dialled when the engine is local and this machine has a route to
//! it over the very bridge of the container's network; the bridge's name proves that it is not
//! another engine's network of the same range (a rootless engine, a virtual machine). A container in
//! several networks has several addresses, and all of them are dialled. Otherwise a
//! published port will do for probes that speak a protocol; never for a bare connect, which the
//! engine's proxy accepts with nothing behind it.

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

/// The option that gives a network's bridge another name than the engine's choice.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// A way to a port of a container, or an address that there is none to.
#[derive(Debug, PartialEq)]
pub(super) struct Way {
    /// Which address of the container, where it has several.
    pub place: Option<String>,
    /// Where to dial, and what: the probe, with the port as seen from here. `None`: this machine
    /// has no route.
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

/// The ways to a container, one for each of its addresses; at least one leads there.
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

/// The container whose network stack this one shares; `None`: it has its own.
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
            "container `{name}`, whose network it shares, is gone"
        ))),
        Err(error) => Err(ProbeResult::Pending(error.to_string())),
    }
}

/// The engine's name of how a container is attached.
pub(super) fn network_mode(inspected: &ContainerInspectResponse) -> &str {
    let config = inspected.host_config.as_ref();
    config
        .and_then(|config| config.network_mode.as_deref())
        .unwrap_or_default()
}

/// All addresses of a container, in the order of its networks, with the way to each.
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

/// The addresses of an endpoint; the engine writes an empty text for none.
fn addresses(endpoint: &EndpointSettings) -> impl Iterator<Item = IpAddr> {
    let texts = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    texts
        .into_iter()
        .filter_map(|text| text.as_deref()?.parse().ok())
}

/// Whether this machine's route to an address is the bridge of its network.
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

/// The interface of this machine's most exact route to an address; the default route is none.
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

/// As [`interface_to`], from the text of the kernel's table: addresses in the host's byte order,
/// as hexadecimal numbers.
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

/// As [`interface_in`], from the table for IPv6: an address is 32 digits in the order of the
/// network, and the length of its prefix follows.
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

/// Whether an interface is the bridge of a network: by the engine's own rule for its name, or as
/// the network's options say.
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

/// The published port of a probe, for those that hear more than that somebody accepts.
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

/// The port of the host that leads to a port of the container.
fn host_port(inspected: &ContainerInspectResponse, port: u16) -> Option<u16> {
    let ports = inspected.network_settings.as_ref()?.ports.as_ref()?;
    let bindings = ports.get(&format!("{port}/tcp"))?.as_ref()?;
    bindings
        .iter()
        .find_map(|binding| binding.host_port.as_ref()?.parse().ok())
}

/// The address of the engine's host.
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
    fn the_most_exact_route_leads() {
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
    fn most_exact_ipv6_route_leads() {
        let to = |address: &str| interface_in_v6(TABLE_V6, address.parse().unwrap());
        assert_eq!(to("fd00:0:0:1::2").as_deref(), Some("br-0123456789ab"));
        assert_eq!(to("fd00:0:0:2::2").as_deref(), Some("wide"));
        assert_eq!(to("fe80::1"), None);
    }
}
