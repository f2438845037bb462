//! Endpoints of containers in their networks: names and addresses.

use std::collections::BTreeMap;

use super::{Address, EndpointSpec, addresses::Numbers, networks::Networks};
use crate::{
    name::{NetworkName, ServiceName},
    project::{Attachment, ContainerSpec, Network, NetworkMode, Project, Service},
    state::{Container, State},
};

/// The engine's default network, which does not resolve names.
const DEFAULT_BRIDGE: &str = "bridge";

/// Returns whether containers are resolved by name in a network.
pub(super) fn has_names(network: &Network) -> bool {
    network.engine_name != DEFAULT_BRIDGE
}

/// Returns the names of a service in a network, sorted. In an external network, only explicit names
/// count, because other projects may have a service of the same name.
pub(super) fn names(
    service: &ServiceName,
    attachment: &Attachment,
    engine_name: &str,
    with_service: bool,
) -> Vec<String> {
    if engine_name == DEFAULT_BRIDGE {
        return Vec::new();
    }
    let mut names = attachment.aliases.clone();
    if with_service {
        names.push(service.to_string());
    }
    names.sort();
    names.dedup();
    names
}

/// Returns the endpoints of a new container of a service, with its names, by the network's name in
/// the manifest.
pub(super) fn wanted(
    project: &Project,
    networks: &Networks,
    service: &Service,
    numbers: &Numbers,
) -> BTreeMap<NetworkName, (String, EndpointSpec)> {
    let NetworkMode::Networks(attached) = &service.container.network else {
        return BTreeMap::new();
    };
    let endpoint = |(name, attachment): (&NetworkName, &Attachment)| {
        let (network, placed) = (project.networks.get(name)?, networks.get(name)?);
        let given = attachment.ipv4.clone().map(Address::Given);
        let number = numbers.get(name).copied().map(Address::Reserved);
        let spec = EndpointSpec {
            aliases: names(
                &service.name,
                attachment,
                &placed.engine_name,
                network.has_service_names(),
            ),
            ipv4: given.or(number),
            ipv6: attachment.ipv6.clone(),
            mac: attachment.mac.clone(),
            priority: attachment.priority,
            links: attachment.links.clone(),
            options: attachment.options.clone(),
        };
        Some((name.clone(), (placed.engine_name.clone(), spec)))
    };
    attached.iter().filter_map(endpoint).collect()
}

/// Returns the observed endpoints of a container, by the network's name on the engine.
pub(super) fn found(state: &State, container: &Container) -> BTreeMap<String, EndpointSpec> {
    let recorded = recorded(container);
    let endpoints = container.setup.iter().flat_map(|setup| &setup.endpoints);
    let spec = |(engine_name, endpoint): (&String, &crate::state::Endpoint)| {
        let attachment = recorded.get(engine_name);
        let network = state.networks.get(engine_name);
        let address = container.networks.get(engine_name).cloned();
        let address = address.filter(|it| it.parse::<std::net::Ipv4Addr>().is_ok());
        let takes = network.is_some_and(crate::state::Resource::takes_addresses);
        let spec = EndpointSpec {
            aliases: endpoint.aliases.clone(),
            ipv4: endpoint
                .ipv4
                .clone()
                .or(address.filter(|_| takes))
                .map(Address::Given),
            ipv6: endpoint.ipv6.clone(),
            mac: attachment.and_then(|it| it.mac.clone()),
            priority: endpoint.priority.unwrap_or_default(),
            links: attachment.map_or_else(Vec::new, |it| it.links.clone()),
            options: endpoint.options.clone(),
        };
        (engine_name.clone(), spec)
    };
    endpoints.map(spec).collect()
}

/// Returns the attachments of a container as recorded from the manifest, by the network's name on
/// the engine.
fn recorded(container: &Container) -> BTreeMap<String, Attachment> {
    let Some(record) = &container.record else {
        return BTreeMap::new();
    };
    let spec = serde_json::from_value::<ContainerSpec>(record.spec.clone()).unwrap_or_default();
    let NetworkMode::Networks(attached) = spec.network else {
        return BTreeMap::new();
    };
    let attached = attached.into_iter();
    attached
        .filter_map(|(name, attachment)| Some((record.networks.get(&name)?.clone(), attachment)))
        .collect()
}

/// Returns the same endpoint without names.
pub(super) fn nameless(endpoint: &EndpointSpec) -> EndpointSpec {
    EndpointSpec {
        aliases: Vec::new(),
        ..endpoint.clone()
    }
}
