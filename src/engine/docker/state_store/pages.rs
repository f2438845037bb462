//! Pages of the journal: files in a volume, which a container mounts that is never started. Pages
//! are transferred as archives (5 to 12 ms each way, measured) and survive a kill of the engine.
//!
//! The volume is authoritative. A container that was pruned is recreated with the volume.

use std::{
    collections::HashMap,
    io::{self, Read},
    time::Duration,
};

use bollard::{
    body_full,
    models::ContainerInspectResponse,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, RemoveVolumeOptions, RenameContainerOptionsBuilder,
        UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::time::sleep;

use super::{Created, labels, make, remove};
use crate::{
    engine::{
        EngineError,
        docker::{
            Docker, container,
            error::{present, status},
            volume,
        },
    },
    journal::{Collection, Page},
    name::ProjectName,
    state::label,
};

const WRITING: &str = "writing the journal";
const READING: &str = "reading the journal";
const REMOVING: &str = "removing the journal";

/// Where the volume is mounted.
const PLACE: &str = "/state";
/// Maximum number of attempts while another process is creating or removing the container.
const TRIES: u32 = 100;
/// The pause between two attempts.
const SHORTLY: Duration = Duration::from_millis(50);

/// Returns the name of the container and of its volume.
fn name(project: &ProjectName) -> String {
    format!("cimandat.state.{project}")
}

/// Creates the container, and the volume if there is none. Existing ones must belong to the
/// project.
pub(super) async fn open(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    open_as(docker, project, &name(project)).await
}

async fn open_as(docker: &Docker, project: &ProjectName, named: &str) -> Result<(), EngineError> {
    let volume = name(project);
    let mut tries = 0;
    loop {
        tries += 1;
        let labels = labels(project, label::JOURNAL);
        let made = make(docker, WRITING, named, labels, Some((&volume, PLACE))).await?;
        let found = match &made {
            Created::New(_) => volume::labels_of(docker, WRITING, &volume).await?,
            Created::Taken => find(docker, named).await?.as_ref().map(container::labels),
        };
        match (made, found) {
            (_, Some(labels)) if is_journal(&labels, project) => return Ok(()),
            // The engine assigns the name before it shows the container.
            (Created::Taken, None) if tries < TRIES => sleep(SHORTLY).await,
            (Created::New(id), _) => {
                remove(docker, WRITING, &id).await?;
                break;
            }
            (Created::Taken, _) => break,
        }
    }
    Err(EngineError::NotOwned {
        name: named.to_owned(),
    })
}

fn is_journal(labels: &HashMap<String, String>, project: &ProjectName) -> bool {
    labels.get(label::PROJECT).map(String::as_str) == Some(project.as_str())
        && labels.get(label::ROLE).map(String::as_str) == Some(label::JOURNAL)
}

async fn find(
    docker: &Docker,
    name: &str,
) -> Result<Option<ContainerInspectResponse>, EngineError> {
    present(docker.client.inspect_container(name, None).await)
        .map_err(|wire| docker.doing(WRITING, name).failed(wire))
}

/// Returns whether a container was created by a version that kept the pages in the container
/// itself.
fn is_without_volume(container: &ContainerInspectResponse) -> bool {
    let mut mounts = container.mounts.iter().flatten();
    mounts.all(|mount| mount.destination.as_deref() != Some(PLACE))
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
    if upload(docker, &name, &archive).await? {
        return Ok(());
    }
    prepare(docker, project).await?;
    if upload(docker, &name, &archive).await? {
        return Ok(());
    }
    Err(EngineError::NotFound {
        what: "the journal".to_owned(),
    })
}

/// Uploads an archive. `false`: the container or its folder does not exist.
async fn upload(docker: &Docker, container: &str, archive: &Bytes) -> Result<bool, EngineError> {
    let options = UploadToContainerOptionsBuilder::new().path(PLACE).build();
    let written = docker
        .client
        .upload_to_container(container, Some(options), body_full(archive.clone()))
        .await;
    match written {
        Err(wire) if status(&wire) == Some(404) => Ok(false),
        written => written
            .map(|()| true)
            .map_err(|wire| docker.doing(WRITING, container).failed(wire)),
    }
}

/// Creates the container and volume for the pages. Only the lock holder calls this function. The
/// pages of a container without a volume are copied into a volume. Until the copy is complete, the
/// old container is authoritative.
async fn prepare(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    let name = name(project);
    let old = find(docker, &name).await?;
    if !old.as_ref().is_some_and(is_without_volume) {
        return open(docker, project).await;
    }
    let draft = draft_of(&name);
    open_as(docker, project, &draft).await?;
    for collection in [Collection::Journal, Collection::History] {
        let pages = download(docker, &name, &format!("/{}", collection.folder())).await?;
        let pages = unpacked(docker, &name, collection, pages)?;
        let archive = pack(&pages).map_err(|error| {
            let doing = docker.doing(WRITING, &name);
            doing.broke(format!("packing it: {error}"))
        })?;
        // Another process may have removed the draft, so the source stays until all of it is
        // copied.
        if !upload(docker, &draft, &archive).await? {
            return Err(EngineError::NotFound {
                what: format!("container `{draft}`"),
            });
        }
    }
    remove(docker, WRITING, &name).await?;
    let options = RenameContainerOptionsBuilder::new().name(&name).build();
    let renamed = docker.client.rename_container(&draft, options).await;
    renamed.map_err(|wire| docker.doing(WRITING, &name).failed(wire))
}

fn draft_of(name: &str) -> String {
    format!("{name}.draft")
}

pub(super) async fn read(
    docker: &Docker,
    project: &ProjectName,
    collection: Collection,
) -> Result<Vec<Page>, EngineError> {
    let name = name(project);
    let path = format!("{PLACE}/{}", collection.folder());
    let mut archive = download(docker, &name, &path).await?;
    if archive.is_none() {
        archive = match find(docker, &name).await? {
            Some(old) if is_without_volume(&old) => {
                download(docker, &name, &format!("/{}", collection.folder())).await?
            }
            // Either nothing was written in this collection, or another reader has just created the
            // container.
            Some(_) => download(docker, &name, &path).await?,
            None => {
                let volume = volume::labels_of(docker, READING, &name).await?;
                if volume.is_some_and(|labels| is_journal(&labels, project)) {
                    open(docker, project).await?;
                    download(docker, &name, &path).await?
                } else {
                    None
                }
            }
        };
    }
    unpacked(docker, &name, collection, archive)
}

/// Downloads a folder. `None`: the container does not exist, or the folder does not.
async fn download(
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<Vec<u8>>, EngineError> {
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(path)
        .build();
    let chunks = docker
        .client
        .download_from_container(container, Some(options))
        .try_collect::<Vec<Bytes>>()
        .await;
    let chunks = present(chunks).map_err(|wire| docker.doing(READING, container).failed(wire))?;
    Ok(chunks.map(|chunks| chunks.concat()))
}

/// Removes the container and the volume. A reader may recreate the container in between.
pub(super) async fn discard(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    let name = name(project);
    let volume = volume::labels_of(docker, REMOVING, &name).await?;
    let ours = volume.is_some_and(|labels| is_journal(&labels, project));
    let mut tries = 0;
    loop {
        tries += 1;
        remove(docker, REMOVING, &draft_of(&name)).await?;
        remove(docker, REMOVING, &name).await?;
        if !ours {
            return Ok(());
        }
        let options = None::<RemoveVolumeOptions>;
        match present(docker.client.remove_volume(&name, options).await) {
            Ok(_) => return Ok(()),
            Err(wire) if status(&wire) == Some(409) && tries < TRIES => sleep(SHORTLY).await,
            Err(wire) => return Err(docker.doing(REMOVING, &name).failed(wire)),
        }
    }
}

fn unpacked(
    docker: &Docker,
    name: &str,
    collection: Collection,
    archive: Option<Vec<u8>>,
) -> Result<Vec<Page>, EngineError> {
    let pages = archive
        .map(|archive| unpack(collection, &archive))
        .transpose();
    let pages = pages.map_err(|error| {
        let doing = docker.doing(READING, name);
        doing.broke(format!("unpacking it: {error}"))
    })?;
    Ok(pages.unwrap_or_default())
}

fn pack(pages: &[Page]) -> io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for page in pages {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(page.content.len() as u64);
        header.set_mode(0o600);
        let path = format!("{}/{}", page.collection.folder(), page.name);
        archive.append_data(&mut header, path, page.content.as_slice())?;
    }
    archive.into_inner().map(Bytes::from)
}

fn unpack(collection: Collection, archive: &[u8]) -> io::Result<Vec<Page>> {
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
            collection,
            name,
            content,
        });
    }
    Ok(pages)
}
