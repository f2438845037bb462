//! Networks: create, attach, detach and remove.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    time::Duration,
};

use bollard::{
    errors::Error as Wire,
    models::{
        EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
        NetworkCreateRequest, NetworkDisconnectRequest,
    },
    query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder},
};
use tokio::time::sleep;

use super::{
    Api, Docker, container,
    error::{Operation, present, status},
    port_owner, subnet,
    users::{self, Used},
};
use crate::{
    engine::EngineError,
    name::ContainerName,
    plan::{Address, CreateNetwork, EndpointSpec, reserved},
    project::Subnet,
    state::{Resource, label},
};

/// The engine's default network. It has no name server, and the engine refuses aliases in it.
const DEFAULT_BRIDGE: &str = "bridge";

/// How many ranges are tried for a network when other clients take them first.
const RANGE_ATTEMPTS: usize = 20;

/// First pause before the removal of a network is retried. An engine before 25 frees the endpoints
/// of ended containers a moment after it reports the end. Each pause is twice the previous one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Upper bound of a single pause. All pauses together take at most twice as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Creates a network. A network of the project with the same name and definition is left unchanged.
///
/// An engine before 25 allows several networks of one name, so the name is looked up first.
pub(super) async fn create(docker: &Docker, request: &CreateNetwork) -> Result<(), EngineError> {
    let verb = "creating network";
    let name = request.network.engine_name.as_str();
    if let Some(labels) = labels_of(docker, verb, name).await? {
        return check(docker, request, &labels);
    }
    if subnet::is_chosen(&request.network) {
        return create_in_free_range(docker, request).await;
    }
    match docker.client.create_network(body(request)).await {
        Ok(_) => Ok(()),
        // Another client was faster, so the network is checked like an existing one.
        Err(wire) if status(&wire) == Some(409) => match labels_of(docker, verb, name).await? {
            Some(labels) => check(docker, request, &labels),
            None => Err(docker.doing(verb, name).failed(wire)),
        },
        Err(wire) => Err(docker.doing(verb, name).failed(wire)),
    }
}

/// Creates a network in a free range. If another client takes the range first, the next range is
/// tried.
async fn create_in_free_range(docker: &Docker, request: &CreateNetwork) -> Result<(), EngineError> {
    let verb = "creating network";
    let name = request.network.engine_name.as_str();
    // Networks of one run are created concurrently.
    let _one_at_a_time = docker.ranges.lock().await;
    let mut body = body(request);
    for attempt in 1_usize.. {
        let mut subnet = None;
        if docker.place.is_local() {
            subnet = subnet::choose(docker, (verb, name), attempt - 1).await?;
        }
        // The engine may find a free range that this machine cannot see.
        if subnet.is_none() {
            subnet = subnet::engine_choice(docker, verb, &body).await?;
        }
        body.ipam = ipam(subnet.as_slice());
        match docker.client.create_network(body.clone()).await {
            Err(wire) if overlaps(&wire) && subnet.is_some() && attempt < RANGE_ATTEMPTS => {
                body.ipam = None;
            }
            Ok(_) => break,
            Err(wire) => return Err(docker.doing(verb, name).failed(wire)),
        }
    }
    Ok(())
}

/// Returns whether the engine refuses a range because it overlaps or equals another network's
/// range.
fn overlaps(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("verlap") || message.contains("failed to allocate gateway"))
}

fn check(
    docker: &Docker,
    request: &CreateNetwork,
    labels: &HashMap<String, String>,
) -> Result<(), EngineError> {
    let name = request.network.engine_name.as_str();
    if labels.get(label::PROJECT).map(String::as_str) != Some(request.project.as_str()) {
        return Err(EngineError::NotOwned {
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

/// Returns the labels of the network with exactly this name. The engine's filter also finds longer
/// names.
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
        ipam: ipam(&network.subnets),
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    }
}

fn ipam(subnets: &[Subnet]) -> Option<Ipam> {
    if subnets.is_empty() {
        return None;
    }
    let pools = subnets.iter().map(|subnet| IpamConfig {
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

/// Returns the settings of an endpoint. A numbered address is taken from the part of the network's
/// range from which the engine assigns no addresses. If the engine chose the range itself, the
/// endpoint gets no fixed address.
pub(super) async fn settings(
    docker: &Docker,
    verb: &str,
    network: &str,
    spec: &EndpointSpec,
) -> Result<EndpointSettings, EngineError> {
    let doing = docker.doing(verb, network);
    if spec.mac.is_some() && docker.api() < Api::SEVERAL_NETWORKS {
        let message = format!(
            "a fixed MAC address needs engine API 1.44, and this engine speaks {}",
            docker.greeting.api
        );
        return Err(doing.refused(0, message));
    }
    let ipv4 = match &spec.ipv4 {
        None => None,
        Some(Address::Given(address)) => Some(address.clone()),
        Some(Address::Reserved(number)) => numbered(docker, verb, network, *number).await?,
    };
    let fixed = ipv4.is_some() || spec.ipv6.is_some();
    Ok(EndpointSettings {
        aliases: (network != DEFAULT_BRIDGE).then(|| spec.aliases.clone()),
        links: (!spec.links.is_empty()).then(|| spec.links.clone()),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: ipv4,
            ipv6_address: spec.ipv6.clone(),
            ..EndpointIpamConfig::default()
        }),
        mac_address: spec.mac.clone(),
        driver_opts: (!spec.options.is_empty()).then(|| spec.options.clone().into_iter().collect()),
        gw_priority: (docker.api() >= Api::GATEWAY_PRIORITY).then_some(spec.priority),
        ..EndpointSettings::default()
    })
}

async fn numbered(
    docker: &Docker,
    verb: &str,
    network: &str,
    number: u32,
) -> Result<Option<String>, EngineError> {
    let found = docker
        .client
        .inspect_network(network, None::<InspectNetworkOptions>)
        .await
        .map_err(|wire| docker.doing(verb, network).failed(wire))?;
    let labels = found.labels.unwrap_or_default();
    let given = resource(&labels, found.ipam.as_ref(), 0);
    let mut subnets = given.subnets.iter().filter(|_| given.takes_addresses());
    Ok(subnets
        .find_map(|subnet| reserved(subnet, number))
        .map(|address| address.to_string()))
}

/// Returns the [`Resource`] for a network or a volume, from its labels and its address ranges.
pub(super) fn resource(
    labels: &HashMap<String, String>,
    ipam: Option<&Ipam>,
    users: usize,
) -> Resource {
    let label = |key: &str| labels.get(key).cloned();
    let ipam = ipam.and_then(|it| it.config.as_ref());
    let subnet = |config: &IpamConfig| {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Some(Subnet {
            subnet: text(&config.subnet)?,
            range: text(&config.ip_range),
            gateway: text(&config.gateway),
        })
    };
    Resource {
        project: label(label::PROJECT),
        name: label(label::NAME),
        definition: label(label::DEFINITION),
        users,
        id: None,
        record: label(label::RECORD).and_then(|record| serde_json::from_str(&record).ok()),
        subnets: ipam.into_iter().flatten().filter_map(subnet).collect(),
    }
}

/// Attaches a container to a network. A container that is already attached is left unchanged.
///
/// An engine that was killed may keep an endpoint that its container does not have. The engine then
/// refuses with the same message, so the container is inspected, and such an endpoint is freed
/// first.
pub(super) async fn connect(
    docker: &Docker,
    doing: Operation<'_>,
    (network, container): (&str, &ContainerName),
    wanted: &EndpointSettings,
) -> Result<(), EngineError> {
    let connect = || {
        let body = NetworkConnectRequest {
            container: container.to_string(),
            endpoint_config: Some(wanted.clone()),
        };
        docker.client.connect_network(network, body)
    };
    match connect().await {
        Ok(()) => return Ok(()),
        Err(wire) if already_connected(&wire) => {}
        Err(wire) => return Err(refusal(docker, doing, container, wire).await),
    }
    let found = container::inspect(docker, doing.verb, container).await?;
    let networks = found.and_then(|it| it.network_settings?.networks);
    if networks.is_some_and(|it| it.contains_key(network)) {
        return Ok(());
    }
    disconnect(docker, doing, (network, container)).await?;
    connect().await.map_err(|wire| doing.failed(wire))
}

/// Returns why a container was not attached: a host port that it publishes may be taken.
async fn refusal(
    docker: &Docker,
    doing: Operation<'_>,
    container: &ContainerName,
    wire: Wire,
) -> EngineError {
    let found = container::inspect(docker, doing.verb, container).await;
    if let Ok(Some(found)) = found
        && let Some(taken) = port_owner::port_taken(docker, &found, &wire).await
    {
        return taken;
    }
    doing.failed(wire)
}

/// Detaches a container from a network by force. Succeeds if the container is not attached, or if
/// the network does not exist: a container that is not running may still refer to a removed
/// network.
pub(super) async fn disconnect(
    docker: &Docker,
    doing: Operation<'_>,
    (network, container): (&str, &ContainerName),
) -> Result<(), EngineError> {
    let body = NetworkDisconnectRequest {
        container: container.to_string(),
        force: Some(true),
    };
    match present(docker.client.disconnect_network(network, body).await) {
        Ok(_) => Ok(()),
        Err(wire) if not_connected(&wire) => Ok(()),
        Err(wire) => Err(doing.failed(wire)),
    }
}

/// Returns whether the engine refuses because such an endpoint exists.
fn already_connected(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("already exists in network") || message.contains("already attached"))
}

/// Removes a network with cimandat's label. Succeeds if the network does not exist.
///
/// An engine occasionally loses the container of an endpoint, and then refuses permanently to
/// remove the network. Such endpoints are freed if they still exist after half of the total pause
/// time.
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
    if !labels.contains_key(label::PROJECT) {
        return Err(EngineError::NotOwned {
            name: name.to_owned(),
        });
    }
    // By id, because a name may also be the beginning of another network's id.
    let id = network.id.as_deref().unwrap_or(name);
    let mut pause = FIRST_PAUSE;
    let mut lost = BTreeSet::new();
    loop {
        let Err(wire) = present(docker.client.remove_network(id).await) else {
            return Ok(());
        };
        let has_endpoints = has_endpoints(&wire);
        match users::unremoved(docker, doing, Used::Network(id), wire).await {
            // The engine itself lists no container that uses the network.
            EngineError::Api { .. } if has_endpoints && pause < LONGEST_PAUSE => {
                sleep(pause).await;
            }
            EngineError::Api { message, .. } if has_endpoints => {
                return Err(EngineError::InUse {
                    thing: format!("network `{name}`"),
                    users: format!("an endpoint whose container does not exist ({message})"),
                    help: "restart the engine, which has lost track of it, then run the command \
                           again"
                        .to_owned(),
                });
            }
            why => return Err(why),
        }
        if pause >= LONGEST_PAUSE / 8 {
            let before = mem::take(&mut lost);
            lost = free_lost_endpoints(docker, doing, id, &before).await;
        }
        pause *= 2;
    }
}

/// Frees the endpoints of a network that had no container `before` and have none now, and whose container
/// does not exist. Returns the endpoints without a container.
///
/// A container that is just starting has such an endpoint for a moment. Failures are ignored: the removal
/// of the network reports its own.
async fn free_lost_endpoints(
    docker: &Docker,
    doing: Operation<'_>,
    network: &str,
    before: &BTreeSet<String>,
) -> BTreeSet<String> {
    let options = None::<InspectNetworkOptions>;
    let inspected = docker.client.inspect_network(network, options).await;
    let endpoints = inspected.ok().and_then(|it| it.containers);
    let mut lost = endpoints.unwrap_or_default();
    // The engine lists an endpoint without a container under the endpoint's own id.
    lost.retain(|key, _| key.starts_with("ep-"));
    for (_, endpoint) in lost.iter().filter(|(key, _)| before.contains(*key)) {
        let name = endpoint.name.as_deref();
        let Some(name) = name.and_then(|it| ContainerName::new(it).ok()) else {
            continue;
        };
        if matches!(
            container::inspect(docker, doing.verb, &name).await,
            Ok(None)
        ) {
            let _ = disconnect(docker, doing, (network, &name)).await;
        }
    }
    lost.into_keys().collect()
}

/// Returns whether the engine refuses because containers are attached.
fn has_endpoints(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("has active endpoints"))
}

/// Returns whether the engine refuses because the container is not in the network.
fn not_connected(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("is not connected to"))
}
