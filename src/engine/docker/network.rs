//! Networks: make and remove.

use std::collections::HashMap;

use bollard::{
    errors::Error as Wire,
    models::{
        EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest,
    },
    query_parameters::{
        InspectNetworkOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    },
};
use futures::future::join_all;

use super::{
    Docker, container,
    error::{present, status},
};
use crate::{
    engine::EngineError,
    name::ContainerName,
    plan::{ConnectNetwork, CreateNetwork},
    project::Network,
    state::label,
};

/// Makes a network; one of the same name and definition that is ours is left alone.
///
/// An engine before 25 allows several networks of one name, so the name is looked up first.
pub(super) async fn create(docker: &Docker, request: &CreateNetwork) -> Result<(), EngineError> {
    let verb = "creating network";
    let name = request.network.engine_name.as_str();
    if let Some(labels) = labels_of(docker, verb, name).await? {
        return check(docker, request, &labels);
    }
    match docker.client.create_network(body(request)).await {
        Ok(_) => Ok(()),
        // Somebody was faster: the same question as before.
        Err(wire) if status(&wire) == Some(409) => match labels_of(docker, verb, name).await? {
            Some(labels) => check(docker, request, &labels),
            None => Err(docker.doing(verb, name).failed(wire)),
        },
        Err(wire) => Err(docker.doing(verb, name).failed(wire)),
    }
}

fn check(
    docker: &Docker,
    request: &CreateNetwork,
    labels: &HashMap<String, String>,
) -> Result<(), EngineError> {
    let name = request.network.engine_name.as_str();
    if labels.get(label::PROJECT).map(String::as_str) != Some(request.project.as_str()) {
        return Err(EngineError::Foreign {
            name: name.to_owned(),
        });
    }
    if labels.get(label::DEFINITION) != Some(&request.definition) {
        return Err(docker
            .doing("creating network", name)
            .refused(409, "it exists already with another definition".to_owned()));
    }
    Ok(())
}

/// The labels of the network of exactly this name: the engine's filter also finds longer names.
async fn labels_of(
    docker: &Docker,
    verb: &str,
    name: &str,
) -> Result<Option<HashMap<String, String>>, EngineError> {
    let filters = HashMap::from([("name", vec![name])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = docker
        .client
        .list_networks(Some(options))
        .await
        .map_err(|wire| docker.doing(verb, name).failed(wire))?;
    Ok(found
        .into_iter()
        .find(|network| network.name.as_deref() == Some(name))
        .map(|network| network.labels.unwrap_or_default()))
}

fn body(request: &CreateNetwork) -> NetworkCreateRequest {
    let network = &request.network;
    let mut labels: HashMap<String, String> = network.labels.clone().into_iter().collect();
    labels.extend([
        (label::PROJECT.to_owned(), request.project.to_string()),
        (label::NAME.to_owned(), request.name.to_string()),
        (label::DEFINITION.to_owned(), request.definition.clone()),
        (
            label::RECORD.to_owned(),
            serde_json::to_string(network).unwrap_or_default(),
        ),
        (
            label::COMPOSE_PROJECT.to_owned(),
            request.project.to_string(),
        ),
    ]);
    NetworkCreateRequest {
        name: network.engine_name.clone(),
        driver: Some(network.driver.clone()),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        enable_ipv6: Some(network.ipv6),
        options: Some(network.options.clone().into_iter().collect()),
        ipam: ipam(network),
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    }
}

fn ipam(network: &Network) -> Option<Ipam> {
    if network.subnets.is_empty() {
        return None;
    }
    let pools = network.subnets.iter().map(|subnet| IpamConfig {
        subnet: Some(subnet.subnet.clone()),
        ip_range: subnet.range.clone(),
        gateway: subnet.gateway.clone(),
        ..IpamConfig::default()
    });
    Some(Ipam {
        config: Some(pools.collect()),
        ..Ipam::default()
    })
}

/// Attaches a container to one more network; one that is attached already is left alone.
pub(super) async fn connect(docker: &Docker, request: &ConnectNetwork) -> Result<(), EngineError> {
    let verb = "connecting container";
    container::own_or_gone(docker, verb, &request.container).await?;
    let links = request.links.iter();
    let links: Vec<String> = links.map(|(name, to)| format!("{to}:{name}")).collect();
    let body = NetworkConnectRequest {
        container: request.container.to_string(),
        endpoint_config: Some(EndpointSettings {
            links: (!links.is_empty()).then_some(links),
            ..EndpointSettings::default()
        }),
    };
    match docker.client.connect_network(&request.network, body).await {
        Ok(()) => Ok(()),
        Err(wire) if already_connected(&wire) => Ok(()),
        Err(wire) => Err(docker.doing(verb, request.container.as_str()).failed(wire)),
    }
}

/// Detaches a container from a network; one that is not attached, or gone, is fine, and so is a
/// network that is gone: a container that does not run would still look for it at its start.
pub(super) async fn disconnect(
    docker: &Docker,
    network: &str,
    name: &ContainerName,
) -> Result<(), EngineError> {
    let verb = "disconnecting container";
    if container::own(docker, verb, name).await?.is_none() {
        return Ok(());
    }
    let body = NetworkDisconnectRequest {
        container: name.to_string(),
        force: Some(true),
    };
    match present(docker.client.disconnect_network(network, body).await) {
        Ok(_) => Ok(()),
        Err(wire) if not_connected(&wire) => Ok(()),
        Err(wire) => Err(docker.doing(verb, name.as_str()).failed(wire)),
    }
}

/// Whether an engine refuses because there is nothing to do.
pub(super) fn already_connected(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("already exists in network") || message.contains("already attached"))
}

/// Removes a network that bears our label; one that is gone is fine.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let doing = docker.doing("removing network", name);
    let inspected = docker
        .client
        .inspect_network(name, None::<InspectNetworkOptions>)
        .await;
    let Some(network) = present(inspected).map_err(|wire| doing.failed(wire))? else {
        return Ok(());
    };
    let labels = network.labels.unwrap_or_default();
    let Some(project) = labels.get(label::PROJECT) else {
        return Err(EngineError::Foreign {
            name: name.to_owned(),
        });
    };
    // By id: a name may also be the beginning of another network's id.
    let id = network.id.as_deref().unwrap_or(name);
    if labels.get(label::DEFINITION).map(String::as_str) == Some(label::HANDOVER) {
        detach(docker, id, project)
            .await
            .map_err(|wire| doing.failed(wire))?;
    }
    present(docker.client.remove_network(id).await)
        .map(|_| ())
        .map_err(|wire| doing.failed(wire))
}

/// Detaches the project's containers from a network, also those that do not run, as they could not
/// start without it.
async fn detach(docker: &Docker, id: &str, project: &str) -> Result<(), Wire> {
    let filters = HashMap::from([
        ("network", vec![id.to_owned()]),
        ("label", vec![format!("{}={project}", label::PROJECT)]),
    ]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let attached = docker.client.list_containers(Some(options)).await?;
    let containers = attached.into_iter().filter_map(|it| it.id);
    let detached = containers.map(|container| {
        let body = NetworkDisconnectRequest {
            container,
            force: Some(true),
        };
        docker.client.disconnect_network(id, body)
    });
    for detached in join_all(detached).await {
        // A container may go, or be detached, at the same time.
        match present(detached) {
            Ok(_) => {}
            Err(wire) if not_connected(&wire) || going(&wire) => {}
            Err(wire) => return Err(wire),
        }
    }
    Ok(())
}

fn not_connected(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("is not connected to"))
}

/// Whether an engine refuses because the container is just being removed.
fn going(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("is marked for removal"))
}
