//! The create body: the network stack of a container and its endpoints.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use bollard::models::EndpointSettings;
use futures::future::try_join_all;

use super::{CreateRequest, VERB};
use crate::{
    engine::{
        EngineError,
        docker::{Api, Docker, network::settings},
    },
    plan::EndpointSpec,
    project::NetworkMode,
};

/// Returns the engine's network mode. Of several networks it is the first, which provides the
/// default route.
pub(super) fn mode(order: CreateRequest<'_>) -> Result<String, EngineError> {
    match &order.request.spec.network {
        NetworkMode::Networks(_) => {
            Ok(first(&order.request.endpoints).unwrap_or("none").to_owned())
        }
        NetworkMode::Host => Ok("host".to_owned()),
        NetworkMode::None => Ok("none".to_owned()),
        NetworkMode::Service(service) => Ok(format!("container:{}", order.peer(service.as_str())?)),
        NetworkMode::Container(container) => Ok(format!("container:{container}")),
    }
}

/// Returns the network with the highest priority, and of several the first by name.
pub(super) fn first(endpoints: &BTreeMap<String, EndpointSpec>) -> Option<&str> {
    let first = endpoints
        .iter()
        .min_by_key(|(_, endpoint)| Reverse(endpoint.priority));
    first.map(|(network, _)| network.as_str())
}

/// Returns the endpoints that this engine accepts at create, by the network's name on the engine.
pub(super) async fn at_create(
    docker: &Docker,
    order: CreateRequest<'_>,
) -> Result<HashMap<String, EndpointSettings>, EngineError> {
    let endpoints = &order.request.endpoints;
    let first = first(endpoints);
    let taken = endpoints.iter().filter(|(network, _)| {
        order.api >= Api::SEVERAL_NETWORKS || Some(network.as_str()) == first
    });
    let made = taken.map(|(network, spec)| async move {
        let endpoint = settings(docker, VERB, network, spec).await?;
        Ok((network.clone(), endpoint))
    });
    Ok(try_join_all(made).await?.into_iter().collect())
}
