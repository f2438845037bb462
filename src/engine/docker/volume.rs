//! Volumes: create and remove.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{Volume, VolumeCreateRequest},
    query_parameters::RemoveVolumeOptions,
};

use super::{
    Docker,
    error::present,
    users::{self, Used},
};
use crate::{engine::EngineError, plan::CreateVolume, state::label};

/// Creates a volume. A volume of the project with the same name is left unchanged, with its data.
///
/// The engine itself accepts any existing volume with the requested name, regardless of its
/// creator. So the volume is inspected first.
pub(super) async fn create(docker: &Docker, request: &CreateVolume) -> Result<(), EngineError> {
    let volume = &request.volume;
    let name = volume.engine_name.as_str();
    if let Some(labels) = labels_of(docker, "creating volume", name).await? {
        let project = labels.get(label::PROJECT).map(String::as_str);
        return if project == Some(request.project.as_str()) {
            Ok(())
        } else {
            Err(EngineError::NotOwned {
                name: name.to_owned(),
            })
        };
    }
    let mut labels: HashMap<String, String> = volume.labels.clone().into_iter().collect();
    labels.extend([
        (label::PROJECT.to_owned(), request.project.to_string()),
        (label::NAME.to_owned(), request.name.to_string()),
        (label::DEFINITION.to_owned(), request.definition.clone()),
        (label::GENERATION.to_owned(), request.generation.to_string()),
        (
            label::RECORD.to_owned(),
            serde_json::to_string(&volume.definition()).unwrap_or_default(),
        ),
        (
            label::COMPOSE_PROJECT.to_owned(),
            request.project.to_string(),
        ),
    ]);
    let body = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some(volume.driver.clone()),
        driver_opts: Some(volume.options.clone().into_iter().collect()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    docker
        .client
        .create_volume(body)
        .await
        .map(|_| ())
        .map_err(|wire| docker.doing("creating volume", name).failed(wire))
}

/// Removes a volume with cimandat's label. Succeeds if the volume does not exist.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let verb = "removing volume";
    match labels_of(docker, verb, name).await? {
        None => return Ok(()),
        Some(labels) if !labels.contains_key(label::PROJECT) => {
            return Err(EngineError::NotOwned {
                name: name.to_owned(),
            });
        }
        Some(_) => {}
    }
    let removed = docker
        .client
        .remove_volume(name, None::<RemoveVolumeOptions>)
        .await;
    match present(removed) {
        Ok(_) => Ok(()),
        Err(wire) => {
            let doing = docker.doing(verb, name);
            Err(users::unremoved(docker, doing, Used::Volume, wire).await)
        }
    }
}

pub(super) async fn labels_of(
    docker: &Docker,
    verb: &str,
    name: &str,
) -> Result<Option<HashMap<String, String>>, EngineError> {
    present(docker.client.inspect_volume(name).await)
        .map(|volume| volume.map(|volume| volume.labels))
        .map_err(|wire| docker.doing(verb, name).failed(wire))
}

/// Returns whether a volume is a snapshot or holds the journal, and so belongs to no service.
pub(super) fn is_auxiliary(labels: &HashMap<String, String>) -> bool {
    labels.contains_key(label::SNAPSHOT_OF) || labels.contains_key(label::ROLE)
}

/// Returns the generations that created the project's own volumes, by name. Volumes of other
/// projects are not included.
pub(super) fn generations(volumes: &[Volume], project: &str) -> BTreeMap<String, u64> {
    let ours = |labels: &HashMap<String, String>| {
        let bears = labels.get(label::PROJECT).map(String::as_str) == Some(project);
        bears && !is_auxiliary(labels)
    };
    let own = volumes.iter().filter(|it| ours(&it.labels));
    own.filter_map(|it| Some((it.name.clone(), generation(&it.labels)?)))
        .collect()
}

/// Returns the generation that created an object, if its labels have it.
pub(super) fn generation(labels: &HashMap<String, String>) -> Option<u64> {
    labels.get(label::GENERATION)?.parse().ok()
}
