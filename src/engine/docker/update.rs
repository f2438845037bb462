//! What can be set on a container while it runs: its limits, and whether it is frozen.
//!
//! Each looks at the container first (0.6 ms) and refuses one that does not bear our label.

use bollard::{
    errors::Error as Wire,
    models::{ContainerInspectResponse, ContainerUpdateBody},
};

use super::{Docker, container::own_or_gone, create::bytes};
use crate::{engine::EngineError, name::ContainerName, state::ResourceLimits};

/// Sets what a container may use; what is not said stays as it is.
pub(super) async fn set_allowance(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
    allowance: ResourceLimits,
) -> Result<(), EngineError> {
    own_or_gone(docker, verb, name).await?;
    let body = ContainerUpdateBody {
        nano_cpus: allowance.nano_cpus,
        // Together, as the one bounds the other.
        memory: allowance.memory.map(bytes),
        memory_swap: allowance.swap.map(bytes),
        memory_reservation: allowance.reserved.map(bytes),
        pids_limit: allowance.pids,
        ..ContainerUpdateBody::default()
    };
    docker
        .client
        .update_container(name.as_str(), body)
        .await
        .map_err(|wire| docker.doing(verb, name.as_str()).failed(wire))
}

/// Freezes a container, or lets it go on; one that is so already is left alone.
pub(super) async fn set_paused(
    docker: &Docker,
    verb: &str,
    name: &ContainerName,
    paused: bool,
) -> Result<(), EngineError> {
    let found = own_or_gone(docker, verb, name).await?;
    if is_paused(&found) == paused {
        return Ok(());
    }
    let done = if paused {
        docker.client.pause_container(name.as_str()).await
    } else {
        docker.client.unpause_container(name.as_str()).await
    };
    match done {
        Ok(()) => Ok(()),
        // Somebody was faster.
        Err(wire) if already(&wire) => Ok(()),
        Err(wire) => Err(docker.doing(verb, name.as_str()).failed(wire)),
    }
}

fn is_paused(found: &ContainerInspectResponse) -> bool {
    let state = found.state.as_ref();
    state.and_then(|state| state.paused).unwrap_or_default()
}

fn already(wire: &Wire) -> bool {
    // With status 409 the one, and with 500 the other.
    matches!(wire, Wire::DockerResponseServerError { message, .. }
        if message.contains("is already paused") || message.contains("is not paused"))
}
