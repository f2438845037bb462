//! The way from this machine to a port of a container.
//!
//! A container's own address is dialled when the engine is local and this machine has a route to
//! it over the very bridge of the container's network; the bridge's name proves that it is not
//! another engine's network of the same range (a rootless engine, a virtual machine). Otherwise a
//! published port will do for probes that speak a protocol; never for a bare connect, which the
//! engine's proxy accepts with nothing behind it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use bollard::{
    models::{ContainerInspectResponse, EndpointSettings},
    query_parameters::InspectNetworkOptions,
};
use tokio::net::lookup_host;

use super::{Docker, container, error::present};
use crate::{engine::Answer, name::ContainerName, project::Probe};

/// The option that gives a network's bridge another name than the engine's choice.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// Where to dial, and what: the probe, with the port as seen from here.
pub(super) async fn reach(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
    probe: &Probe,
) -> Result<(IpAddr, Probe), Answer> {
    let holder = network_holder(docker, inspected).await?;
    let holder = holder.as_ref().unwrap_or(inspected);
    if network_mode(holder) == "host" {
        return Ok((engine_host(docker).await?, probe.clone()));
    }
    if docker.place.is_local()
        && let Some(address) = routed(docker, holder).await
    {
        return Ok((address, probe.clone()));
    }
    published(docker, holder, probe).await
}

/// The container whose network stack this one shares; `None`: it has its own.
async fn network_holder(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
) -> Result<Option<ContainerInspectResponse>, Answer> {
    let Some(other) = network_mode(inspected).strip_prefix("container:") else {
        return Ok(None);
    };
    let name = ContainerName::new(other)
        .map_err(|error| Answer::Never(format!("it shares the network of: {error}")))?;
    match container::inspect(docker, "looking at container", &name).await {
        Ok(Some(holder)) => Ok(Some(holder)),
        Ok(None) => Err(Answer::Never(format!(
            "container `{name}`, whose network it shares, is gone"
        ))),
        Err(error) => Err(Answer::NotYet(error.to_string())),
    }
}

/// The engine's name of how a container is attached.
pub(super) fn network_mode(inspected: &ContainerInspectResponse) -> &str {
    let config = inspected.host_config.as_ref();
    config
        .and_then(|config| config.network_mode.as_deref())
        .unwrap_or_default()
}

/// The first of the container's addresses that this machine has a way to.
async fn routed(docker: &Docker, inspected: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = inspected.network_settings.as_ref()?.networks.as_ref()?;
    let mut endpoints: Vec<(&String, &EndpointSettings)> = networks.iter().collect();
    endpoints.sort_by_key(|(network, _)| *network);
    for (network, endpoint) in endpoints {
        let Some(address) = endpoint
            .ip_address
            .as_deref()
            .and_then(|address| address.parse::<Ipv4Addr>().ok())
        else {
            continue;
        };
        let Some(interface) = interface_to(address) else {
            continue;
        };
        let id = endpoint.network_id.as_deref().unwrap_or_default();
        if is_bridge_of(docker, &interface, network, id).await {
            return Some(IpAddr::V4(address));
        }
    }
    None
}

/// The interface of this machine's most exact route to an address; the default route is none.
fn interface_to(address: Ipv4Addr) -> Option<String> {
    interface_in(&fs::read_to_string("/proc/net/route").ok()?, address)
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
) -> Result<(IpAddr, Probe), Answer> {
    let mut moved = probe.clone();
    let (Probe::Http { port, .. }
    | Probe::Postgres { port, .. }
    | Probe::Redis { port, .. }
    | Probe::Grpc { port, .. }) = &mut moved
    else {
        return Err(Answer::Never(
            "this machine has no route to the container's network, and a connect through a \
             published port would prove nothing"
                .to_owned(),
        ));
    };
    let Some(outside) = host_port(inspected, *port) else {
        return Err(Answer::Never(format!(
            "this machine has no route to the container's network, and its port {port} is not \
             published"
        )));
    };
    *port = outside;
    Ok((engine_host(docker).await?, moved))
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
pub(super) async fn engine_host(docker: &Docker) -> Result<IpAddr, Answer> {
    let host = docker.place.host();
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = lookup_host((host, 0)).await;
    found
        .ok()
        .and_then(|mut found| found.next())
        .map(|address| address.ip())
        .ok_or_else(|| Answer::NotYet(format!("the engine's host `{host}` has no address")))
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
}
