//! The create body: which network stack a container has, and how it is attached.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use bollard::models::{EndpointIpamConfig, EndpointSettings};

use super::Order;
use crate::{
    engine::{EngineError, docker::Api},
    name::NetworkName,
    project::{Attachment, NetworkMode},
};

/// The engine's own network has no name server, and an alias in it is refused.
const DEFAULT_BRIDGE: &str = "bridge";

/// The engine's network mode; of several networks the first, which gives the default route.
pub(super) fn mode(order: Order<'_>) -> Result<String, EngineError> {
    match &order.request.spec.network {
        NetworkMode::Networks(attached) => match first(attached) {
            Some(network) => engine_name(order, network).map(str::to_owned),
            None => Ok("none".to_owned()),
        },
        NetworkMode::Host => Ok("host".to_owned()),
        NetworkMode::None => Ok("none".to_owned()),
        NetworkMode::Service(service) => Ok(format!("container:{}", order.peer(service.as_str())?)),
        NetworkMode::Container(container) => Ok(format!("container:{container}")),
    }
}

/// The network with the highest priority, and of several the first by name.
pub(super) fn first(attached: &BTreeMap<NetworkName, Attachment>) -> Option<&NetworkName> {
    attached
        .iter()
        .min_by_key(|(_, attachment)| Reverse(attachment.priority))
        .map(|(network, _)| network)
}

/// A network's name on the engine.
pub(super) fn engine_name<'a>(
    order: Order<'a>,
    network: &NetworkName,
) -> Result<&'a str, EngineError> {
    order
        .request
        .networks
        .get(network)
        .map(String::as_str)
        .ok_or_else(|| {
            order
                .doing
                .refused(0, format!("network `{network}` has no name on the engine"))
        })
}

/// The endpoints that this engine takes at create, by the network's name on the engine.
pub(super) fn at_create(
    order: Order<'_>,
) -> Result<HashMap<String, EndpointSettings>, EngineError> {
    let NetworkMode::Networks(attached) = &order.request.spec.network else {
        return Ok(HashMap::new());
    };
    let first = first(attached);
    attached
        .iter()
        .filter(|(network, _)| order.api >= Api::SEVERAL_NETWORKS || Some(*network) == first)
        .map(|(network, attachment)| {
            let name = engine_name(order, network)?.to_owned();
            let endpoint = endpoint(order, &name, attachment)?;
            Ok((name, endpoint))
        })
        .collect()
}

/// One endpoint, with the service's name among its aliases.
pub(super) fn endpoint(
    order: Order<'_>,
    network: &str,
    attachment: &Attachment,
) -> Result<EndpointSettings, EngineError> {
    if attachment.mac.is_some() {
        order.demand(Api::SEVERAL_NETWORKS, "a fixed hardware address")?;
    }
    let mut aliases = vec![order.request.service.to_string()];
    for alias in &attachment.aliases {
        if !aliases.contains(alias) {
            aliases.push(alias.clone());
        }
    }
    let fixed = attachment.ipv4.is_some() || attachment.ipv6.is_some();
    Ok(EndpointSettings {
        aliases: (network != DEFAULT_BRIDGE).then_some(aliases),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: attachment.ipv4.clone(),
            ipv6_address: attachment.ipv6.clone(),
            ..EndpointIpamConfig::default()
        }),
        mac_address: attachment.mac.clone(),
        driver_opts: (!attachment.options.is_empty())
            .then(|| attachment.options.clone().into_iter().collect()),
        gw_priority: (order.api >= Api::GATEWAY_PRIORITY).then_some(attachment.priority),
        ..EndpointSettings::default()
    })
}
