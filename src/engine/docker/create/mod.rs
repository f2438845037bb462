//! Creates a container: its create body, its networks, its files. Does not start it.

mod body;
mod files;
mod host;
mod mounts;
mod networks;

pub(super) use self::host::bytes;
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{
    Api, Docker, container,
    error::{Operation, status},
    network::{self, settings},
};
use crate::{engine::EngineError, plan::CreateContainer, state::label};

const VERB: &str = "creating container";

/// The inputs for the parts of a create body.
#[derive(Clone, Copy)]
struct CreateRequest<'a> {
    request: &'a CreateContainer,
    api: Api,
    doing: Operation<'a>,
}

impl CreateRequest<'_> {
    /// Refuses a feature that the engine's API version does not support.
    fn demand(&self, least: Api, what: &str) -> Result<(), EngineError> {
        if self.api >= least {
            return Ok(());
        }
        Err(self.doing.refused(
            0,
            format!(
                "{what} needs engine API {}.{}, and this engine speaks {}.{}",
                least.0, least.1, self.api.0, self.api.1
            ),
        ))
    }

    /// Returns the container of a service whose namespace or mounts are shared.
    fn peer(&self, service: &str) -> Result<&str, EngineError> {
        self.request
            .peers
            .get(service)
            .map(crate::name::ContainerName::as_str)
            .ok_or_else(|| {
                self.doing.refused(
                    0,
                    format!("this container shares a namespace or mounts with service `{service}`, which has no \
                         container"),
                )
            })
    }
}

/// Creates a container and puts its files in place.
///
/// If the container already exists and was created from the same request, only steps that may be
/// missing are repeated.
pub(super) async fn create(docker: &Docker, request: &CreateContainer) -> Result<(), EngineError> {
    let name = request.name.as_str();
    let order = CreateRequest {
        request,
        api: docker.api(),
        doing: docker.doing(VERB, name),
    };
    let body = body::body(docker, order).await?;
    let mut options = CreateContainerOptionsBuilder::new().name(name);
    if let Some(platform) = &request.platform {
        options = options.platform(platform);
    }
    let created = docker
        .client
        .create_container(Some(options.build()), body)
        .await;
    match created {
        Ok(_) => {}
        Err(wire) if status(&wire) == Some(409) => leftover(docker, request).await?,
        Err(wire) => return Err(order.doing.failed(wire)),
    }
    connect_others(docker, order).await?;
    files::put(docker, request).await
}

/// Checks the container that already has the name.
async fn leftover(docker: &Docker, request: &CreateContainer) -> Result<(), EngineError> {
    let name = request.name.as_str();
    let doing = docker.doing(VERB, name);
    let Some(found) = container::inspect(docker, VERB, &request.name).await? else {
        return Err(doing.refused(
            409,
            "a container that is being removed still has this name".into(),
        ));
    };
    let labels = container::labels(&found);
    if labels.get(label::PROJECT).map(String::as_str) != Some(request.project.as_str()) {
        return Err(EngineError::NotOwned {
            name: name.to_owned(),
        });
    }
    let ours = body::own_labels(request, doing)?;
    if ours
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
    {
        return Ok(());
    }
    Err(doing.refused(
        409,
        "a container of another generation of this project has the name".to_owned(),
    ))
}

/// Connects the other networks before the start. An engine before API 1.44 accepts one network at
/// create.
async fn connect_others(docker: &Docker, order: CreateRequest<'_>) -> Result<(), EngineError> {
    if order.api >= Api::SEVERAL_NETWORKS {
        return Ok(());
    }
    let endpoints = &order.request.endpoints;
    let first = networks::first(endpoints);
    for (network, spec) in endpoints {
        if Some(network.as_str()) == first {
            continue;
        }
        let wanted = settings(docker, VERB, network, spec).await?;
        let place = (network.as_str(), &order.request.name);
        // The container may be connected already, by an attempt whose response was lost.
        network::connect(docker, order.doing, place, &wanted).await?;
    }
    Ok(())
}
