//! Lifecycle of an existing container: start, stop, rename, remove, restart policy.
//!
//! Each function inspects the container first (0.6 ms) and refuses one without cimandat's label.

use std::{collections::HashMap, time::Duration};

use bollard::{
    errors::Error as Wire,
    models::{ContainerInspectResponse, ContainerUpdateBody, RestartPolicyNameEnum},
    query_parameters::{
        InspectContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
        RenameContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use futures::TryStreamExt;

use super::{
    Docker,
    error::{present, status},
    observe::is_anonymous,
    port_owner,
};
use crate::{
    engine::EngineError,
    name::ContainerName,
    project::{ContainerSpec, RestartPolicy},
    state::{ContainerRecord, label},
};

/// Time that the engine may need to answer in addition to a grace period.
const MARGIN: Duration = Duration::from_mins(1);

/// Inspects a container. `None`: no container has that name.
pub(super) async fn inspect(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
) -> Result<Option<ContainerInspectResponse>, EngineError> {
    let inspected = docker
        .client
        .inspect_container(name.as_str(), None::<InspectContainerOptions>)
        .await;
    present(inspected).map_err(|wire| docker.doing(verb, name.as_str()).failed(wire))
}

/// Like [`inspect`], but a container without cimandat's label is an error.
pub(super) async fn own(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
) -> Result<Option<ContainerInspectResponse>, EngineError> {
    let inspected = inspect(docker, verb, name).await?;
    match &inspected {
        Some(found) if !labels(found).contains_key(label::PROJECT) => Err(EngineError::NotOwned {
            name: name.to_string(),
        }),
        _ => Ok(inspected),
    }
}

/// Like [`own`], but a missing container is an error.
pub(super) async fn own_or_gone(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
) -> Result<ContainerInspectResponse, EngineError> {
    own(docker, verb, name).await?.ok_or_else(|| gone(name))
}

fn gone(name: &ContainerName) -> EngineError {
    EngineError::NotFound {
        what: format!("container `{name}`"),
    }
}

/// Returns the labels of a container; an empty map if it has none.
pub(super) fn labels(inspected: &ContainerInspectResponse) -> HashMap<String, String> {
    let config = inspected.config.as_ref();
    config
        .and_then(|config| config.labels.clone())
        .unwrap_or_default()
}

/// Starts a container. A running container is left unchanged.
pub(super) async fn start(docker: &Docker, name: &ContainerName) -> Result<(), EngineError> {
    let verb = "starting container";
    let inspected = own_or_gone(docker, verb, name).await?;
    let started = docker
        .client
        .start_container(name.as_str(), None::<StartContainerOptions>)
        .await;
    match started {
        Ok(()) => Ok(()),
        Err(wire) => match port_owner::port_taken(docker, &inspected, &wire).await {
            Some(taken) => Err(taken),
            None => Err(docker.doing(verb, name.as_str()).failed(wire)),
        },
    }
}

/// Stops a container and returns when it has ended. Succeeds if it is not running or does not
/// exist.
pub(super) async fn stop(
    docker: &Docker,
    name: &ContainerName,
    grace: Option<Duration>,
) -> Result<(), EngineError> {
    let verb = "stopping container";
    let Some(inspected) = own(docker, verb, name).await? else {
        return Ok(());
    };
    let config = inspected.config.as_ref();
    let own_grace = config
        .and_then(|config| config.stop_timeout)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(ContainerSpec::STOP_GRACE, Duration::from_secs);
    let mut options = StopContainerOptionsBuilder::new();
    if let Some(grace) = grace {
        options = options.t(whole_seconds(grace));
    }
    let client = docker
        .client
        .clone()
        .with_timeout(grace.unwrap_or(own_grace).saturating_add(MARGIN));
    let stopped = client
        .stop_container(name.as_str(), Some(options.build()))
        .await;
    present(stopped)
        .map(|_| ())
        .map_err(|wire| docker.doing(verb, name.as_str()).failed(wire))
}

/// Rounds a grace period up to whole seconds, which is the engine's unit.
fn whole_seconds(grace: Duration) -> i32 {
    let whole = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// Renames a container. Succeeds if it already has the new name.
pub(super) async fn rename(
    docker: &Docker,
    from: &ContainerName,
    to: &ContainerName,
) -> Result<(), EngineError> {
    let verb = "renaming container";
    if own(docker, verb, from).await?.is_none() {
        return match own(docker, verb, to).await? {
            Some(_) => Ok(()),
            None => Err(gone(from)),
        };
    }
    let options = RenameContainerOptionsBuilder::new()
        .name(to.as_str())
        .build();
    match docker.client.rename_container(from.as_str(), options).await {
        Ok(()) => Ok(()),
        Err(wire) => {
            if status(&wire) == Some(409) {
                // A container without cimandat's label gets its own error; otherwise the engine's
                // error stands.
                own(docker, verb, to).await?;
            }
            Err(docker.doing(verb, from.as_str()).failed(wire))
        }
    }
}

/// Removes a stopped container and the anonymous volumes that were created for it.
pub(super) async fn remove(docker: &Docker, name: &ContainerName) -> Result<(), EngineError> {
    let verb = "removing container";
    let Some(inspected) = own(docker, verb, name).await? else {
        return Ok(());
    };
    let options = RemoveContainerOptionsBuilder::new().v(true).build();
    let removed = docker
        .client
        .remove_container(name.as_str(), Some(options))
        .await;
    match present(removed) {
        Ok(_) => {}
        Err(wire) if already_going(&wire) => wait_until_removed(docker, verb, name).await?,
        Err(wire) => return Err(docker.doing(verb, name.as_str()).failed(wire)),
    }
    remove_carried(docker, verb, &inspected).await
}

fn already_going(wire: &Wire) -> bool {
    matches!(wire, Wire::DockerResponseServerError { status_code: 409, message }
        if message.contains("already in progress"))
}

async fn wait_until_removed(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
) -> Result<(), EngineError> {
    let options = WaitContainerOptionsBuilder::new()
        .condition("removed")
        .build();
    let waited = docker
        .client
        .wait_container(name.as_str(), Some(options))
        .try_collect::<Vec<_>>()
        .await;
    match present(waited) {
        Ok(_) | Err(Wire::DockerContainerWaitError { .. }) => Ok(()),
        Err(wire) => Err(docker.doing(verb, name.as_str()).failed(wire)),
    }
}

/// Removes the anonymous volumes that were carried over. They are mounted by name, and the engine
/// keeps volumes with a name, so the last container that mounts one has to remove it. A volume that
/// another container still mounts, or that the manifest declares, stays.
async fn remove_carried(
    docker: &Docker,
    verb: &str,
    inspected: &ContainerInspectResponse,
) -> Result<(), EngineError> {
    let declared = declared_volumes(inspected);
    let carried = inspected
        .mounts
        .iter()
        .flatten()
        .filter_map(|mount| mount.name.as_deref())
        .filter(|name| is_anonymous(name) && !declared.iter().any(|declared| declared == name));
    for volume in carried {
        let removed = docker
            .client
            .remove_volume(volume, None::<RemoveVolumeOptions>)
            .await;
        match present(removed) {
            Ok(_) => {}
            Err(wire) if status(&wire) == Some(409) => {}
            Err(wire) => return Err(docker.doing(verb, volume).failed(wire)),
        }
    }
    Ok(())
}

/// Returns the [`ContainerRecord`] from the container's labels.
pub(super) fn record(inspected: &ContainerInspectResponse) -> Option<ContainerRecord> {
    serde_json::from_str(labels(inspected).get(label::RECORD)?).ok()
}

fn declared_volumes(inspected: &ContainerInspectResponse) -> Vec<String> {
    let record = record(inspected);
    let mounts = record
        .as_ref()
        .and_then(|record| record.spec.get("mounts")?.as_array());
    mounts
        .into_iter()
        .flatten()
        .filter_map(|mount| Some(mount.get("engine_name")?.as_str()?.to_owned()))
        .collect()
}

/// Sets the restart policy of a container.
pub(super) async fn set_restart_policy(
    docker: &Docker,
    name: &ContainerName,
    policy: RestartPolicy,
) -> Result<(), EngineError> {
    let verb = "setting the restart policy of container";
    own_or_gone(docker, verb, name).await?;
    let body = ContainerUpdateBody {
        restart_policy: Some(restart_policy(policy)),
        ..ContainerUpdateBody::default()
    };
    docker
        .client
        .update_container(name.as_str(), body)
        .await
        .map_err(|wire| docker.doing(verb, name.as_str()).failed(wire))
}

/// Converts a restart policy to the engine's type.
pub(super) fn restart_policy(policy: RestartPolicy) -> bollard::models::RestartPolicy {
    let (name, max) = match policy {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, 0),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, 0),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
        RestartPolicy::OnFailure { max } => (RestartPolicyNameEnum::ON_FAILURE, i64::from(max)),
    };
    bollard::models::RestartPolicy {
        name: Some(name),
        maximum_retry_count: Some(max),
    }
}
