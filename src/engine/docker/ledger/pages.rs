//! Pages of the journal: files in a container that is never started, by archive (5 to 12 ms each
//! way, measured; they survive the engine's own end by force).

use std::io::{self, Read};

use bollard::{
    body_full,
    query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};
use bytes::Bytes;
use futures::TryStreamExt;

use super::{Made, labels, make};
use crate::{
    engine::{
        EngineError,
        docker::{
            Docker,
            error::{present, status},
        },
    },
    journal::{Page, Shelf},
    name::ProjectName,
    state::label,
};

const WRITING: &str = "writing the journal";
const READING: &str = "reading the journal";

/// The container's name.
pub(super) fn name(project: &ProjectName) -> String {
    format!("cimandat.state.{project}")
}

/// Makes the container; one that is there must be ours.
pub(super) async fn open(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    let name = name(project);
    match make(docker, WRITING, &name, labels(project, label::JOURNAL)).await? {
        Made::New(_) => Ok(()),
        Made::Taken => check(docker, project, &name).await,
    }
}

async fn check(docker: &Docker, project: &ProjectName, name: &str) -> Result<(), EngineError> {
    let inspected = present(docker.client.inspect_container(name, None).await)
        .map_err(|wire| docker.doing(WRITING, name).failed(wire))?;
    let labels = inspected.map(|found| super::super::container::labels(&found));
    let ours = |labels: &std::collections::HashMap<String, String>| {
        labels.get(label::PROJECT).map(String::as_str) == Some(project.as_str())
            && labels.get(label::ROLE).map(String::as_str) == Some(label::JOURNAL)
    };
    // One that is gone again can be made.
    if labels.is_none_or(|labels| ours(&labels)) {
        Ok(())
    } else {
        Err(EngineError::Foreign {
            name: name.to_owned(),
        })
    }
}

pub(super) async fn write(
    docker: &Docker,
    project: &ProjectName,
    pages: &[Page],
) -> Result<(), EngineError> {
    let name = name(project);
    let archive = pack(pages).map_err(|error| {
        let doing = docker.doing(WRITING, &name);
        doing.broke(format!("packing it: {error}"))
    })?;
    let upload = || {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let body = body_full(archive.clone());
        docker
            .client
            .upload_to_container(&name, Some(options), body)
    };
    let mut written = upload().await;
    if written
        .as_ref()
        .is_err_and(|wire| status(wire) == Some(404))
    {
        open(docker, project).await?;
        written = upload().await;
    }
    written.map_err(|wire| docker.doing(WRITING, &name).failed(wire))
}

pub(super) async fn read(
    docker: &Docker,
    project: &ProjectName,
    shelf: Shelf,
) -> Result<Vec<Page>, EngineError> {
    let name = name(project);
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(&format!("/{}", shelf.folder()))
        .build();
    let chunks = docker
        .client
        .download_from_container(&name, Some(options))
        .try_collect::<Vec<Bytes>>()
        .await;
    // Neither the container nor the folder needs to be there.
    let chunks = present(chunks).map_err(|wire| docker.doing(READING, &name).failed(wire))?;
    let Some(chunks) = chunks else {
        return Ok(Vec::new());
    };
    unpack(shelf, &chunks.concat()).map_err(|error| {
        let doing = docker.doing(READING, &name);
        doing.broke(format!("unpacking it: {error}"))
    })
}

fn pack(pages: &[Page]) -> io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for page in pages {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(page.content.len() as u64);
        header.set_mode(0o600);
        let path = format!("{}/{}", page.shelf.folder(), page.name);
        archive.append_data(&mut header, path, page.content.as_slice())?;
    }
    archive.into_inner().map(Bytes::from)
}

fn unpack(shelf: Shelf, archive: &[u8]) -> io::Result<Vec<Page>> {
    let mut archive = tar::Archive::new(archive);
    let mut pages = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?;
        let name = name
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        pages.push(Page {
            shelf,
            name,
            content,
        });
    }
    Ok(pages)
}
