//! Finds the containers that prevent the removal of an object.

use std::collections::HashMap;

use bollard::{errors::Error as Wire, query_parameters::ListContainersOptionsBuilder};

use super::{Docker, error::Operation};
use crate::{engine::EngineError, state::label};

/// An object that cannot be removed while containers use it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Used<'a> {
    /// A network, with its id.
    Network(&'a str),
    /// A volume.
    Volume,
    /// An image.
    Image,
}

/// Returns why an object was not removed. If containers use it, the error has their names and the
/// command that frees it; otherwise it is the engine's own error.
pub(super) async fn unremoved(
    docker: &Docker,
    doing: Operation<'_>,
    used: Used<'_>,
    wire: Wire,
) -> EngineError {
    let refused = doing.failed(wire);
    let EngineError::Api { object, .. } = &refused else {
        return refused;
    };
    let (kind, key, value) = match used {
        Used::Network(id) => ("network", "network", id),
        Used::Volume => ("volume", "volume", object.as_str()),
        Used::Image => ("image", "ancestor", object.as_str()),
    };
    // A container that is not running has no endpoint in a network.
    let all = !matches!(used, Used::Network(_));
    // If the engine does not list the users, its first error is good enough.
    let Ok(users) = users(docker, (key, value), all).await else {
        return refused;
    };
    let Some((first, _)) = users.first() else {
        return refused;
    };
    let help = match used {
        Used::Network(_) => users
            .iter()
            .map(|(name, _)| format!("`docker network disconnect --force {object} {name}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Used::Volume | Used::Image => format!("remove the container first (`docker rm {first}`)"),
    };
    let named: Vec<String> = users
        .iter()
        .map(|(name, owner)| format!("container `{name}` ({owner})"))
        .collect();
    EngineError::InUse {
        thing: format!("{kind} `{object}`"),
        users: named.join(", "),
        help,
    }
}

/// Returns the names and the owners of the containers that a filter matches.
async fn users(
    docker: &Docker,
    (key, value): (&str, &str),
    all: bool,
) -> Result<Vec<(String, String)>, Wire> {
    let filters = HashMap::from([(key, vec![value])]);
    let options = ListContainersOptionsBuilder::new()
        .all(all)
        .filters(&filters)
        .build();
    let found = docker.client.list_containers(Some(options)).await?;
    let users = found.into_iter().filter_map(|container| {
        let name = container.names?.into_iter().next()?;
        let labels = container.labels.unwrap_or_default();
        let owner = match (
            labels.get(label::PROJECT),
            labels.get(label::COMPOSE_PROJECT),
        ) {
            (Some(project), _) | (None, Some(project)) => format!("of project `{project}`"),
            (None, None) => "of no project".to_owned(),
        };
        Some((name.trim_start_matches('/').to_owned(), owner))
    });
    Ok(users.collect())
}
