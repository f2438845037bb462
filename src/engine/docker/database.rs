//! Detects the database version that wrote a container's data directory.
//!
//! Reads one file through the container's archive, whether the container runs or not. Reads it only
//! for containers in the query.

use std::{collections::BTreeMap, io, pin::pin};

use bollard::{
    models::ContainerInspectResponse, query_parameters::DownloadFromContainerOptionsBuilder,
};
use futures::StreamExt;

use super::{Docker, error::present, observe::variable};
use crate::{
    engine::{EngineError, Query},
    name::ContainerName,
    state::Database,
};

/// Size limit in bytes. The archive of a file of one line is smaller.
const SMALL: usize = 16 * 1024;

/// Returns the databases of the containers in the query.
pub(super) async fn databases(
    docker: &Docker,
    query: &Query,
    inspected: &[Option<ContainerInspectResponse>],
) -> Result<BTreeMap<ContainerName, Database>, EngineError> {
    let mut found = BTreeMap::new();
    for container in inspected.iter().flatten() {
        let name = container
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/');
        let Ok(name) = ContainerName::new(name) else {
            continue;
        };
        if !query.databases.contains(&name) {
            continue;
        }
        for folder in folders(container) {
            if let Some(major) = version(docker, &name, &folder).await? {
                found.insert(name.clone(), Database { folder, major });
                break;
            }
        }
    }
    Ok(found)
}

/// Returns the possible data directories: `PGDATA` if it is set, otherwise the volumes.
fn folders(container: &ContainerInspectResponse) -> Vec<String> {
    let env = container
        .config
        .as_ref()
        .and_then(|config| config.env.as_deref());
    if let Some(folder) = variable(env, "PGDATA") {
        return vec![folder.trim_end_matches('/').to_owned()];
    }
    let mounts = container.mounts.iter().flatten();
    mounts
        .filter(|mount| mount.typ.as_deref() == Some("volume"))
        .filter_map(|mount| mount.destination.clone())
        .collect()
}

/// Reads `PG_VERSION` of a folder: `17`, or `9.6` before version 10. `None`: there is no such file.
async fn version(
    docker: &Docker,
    name: &ContainerName,
    folder: &str,
) -> Result<Option<String>, EngineError> {
    let path = format!("{folder}/PG_VERSION");
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(&path)
        .build();
    let client = &docker.client;
    let mut parts = pin!(client.download_from_container(name.as_str(), Some(options)));
    let mut bytes = Vec::new();
    while let Some(part) = parts.next().await {
        let failed = |wire| {
            docker
                .doing("reading the data of", name.as_str())
                .failed(wire)
        };
        match present(part).map_err(failed)? {
            Some(part) if bytes.len() < SMALL => bytes.extend_from_slice(&part),
            _ => return Ok(None),
        }
    }
    Ok(content(&bytes).as_deref().and_then(major))
}

fn content(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let mut file = archive.entries().ok()?.next()?.ok()?;
    io::read_to_string(&mut file).ok()
}

/// Returns the major version in the text of the file. `None`: the text is not a version.
fn major(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    (digits && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_parsed_from_pg_version() {
        assert_eq!(major("17\n").as_deref(), Some("17"));
        assert_eq!(major("9.6\n").as_deref(), Some("9.6"));
        assert_eq!(major("garbage"), None);
    }
}
