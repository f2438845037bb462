//! The endpoints of a container that a test creates without the planner.

use std::collections::BTreeMap;

use cimandat::{
    name::NetworkName,
    plan::{Address, EndpointSpec},
    project::{ContainerSpec, NetworkMode},
};

/// Returns an endpoint in each network of the specification, with the service's name and its
/// aliases.
pub fn endpoints(
    service: &str,
    spec: &ContainerSpec,
    networks: &BTreeMap<NetworkName, String>,
) -> BTreeMap<String, EndpointSpec> {
    let NetworkMode::Networks(attached) = &spec.network else {
        return BTreeMap::new();
    };
    let endpoint = |(name, attachment): (&NetworkName, &cimandat::project::Attachment)| {
        let mut aliases = attachment.aliases.clone();
        aliases.push(service.to_owned());
        aliases.sort();
        let endpoint = EndpointSpec {
            aliases,
            ipv4: attachment.ipv4.clone().map(Address::Given),
            ipv6: attachment.ipv6.clone(),
            mac: attachment.mac.clone(),
            priority: attachment.priority,
            links: attachment.links.clone(),
            options: attachment.options.clone(),
        };
        Some((networks.get(name)?.clone(), endpoint))
    };
    attached.iter().filter_map(endpoint).collect()
}
