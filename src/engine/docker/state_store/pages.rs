//! Pages of the journal: files in a volume that a container mounts which is never started, by
//! archive (5 to 12 ms each way, measured; they survive the engine's own end by force).
//!
//! The volume is what counts. A container that was pruned is made again over it.

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
/// How often something is tried again that another process is in the middle of: making the
/// container, or removing it.
const TRIES: u32 = 100;
/// The pause between two tries.
const SHORTLY: Duration = Duration::from_millis(50);

/// The name of the container, and of its volume.
fn name(project: &ProjectName) -> String {
    format!("cimandat.state.{project}")
}

/// Makes the container, and the volume where there is none; those that are there must be ours.
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
            // The engine gives the name away before it shows the container.
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

/// Whether a container was made by a version that kept the pages in the container itself.
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

/// Whether there was a place for it.
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

/// Makes the place for pages: only called by the holder of the lock. The pages of a container
/// without a volume are copied into one; until that is done, that container is what counts.
async fn prepare(docker: &Docker, project: &ProjectName) -> Result<(), EngineError> {
    let name = name(project);
    let old = find(docker, &name).await?;
    if !old.as_ref().is_some_and(is_without_volume) {
        return open(docker, project).await;
    }
    let draft = draft_of(&name);
    open_as(docker, project, &draft).await?;
    for shelf in [Collection::Journal, Collection::History] {
        let pages = download(docker, &name, &format!("/{}", shelf.folder())).await?;
        let pages = unpacked(docker, &name, shelf, pages)?;
        let archive = pack(&pages).map_err(|error| {
            let doing = docker.doing(WRITING, &name);
            doing.broke(format!("packing it: {error}"))
        })?;
        // Somebody may have removed the draft: what is read from stays until all of it is copied.
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
    shelf: Collection,
) -> Result<Vec<Page>, EngineError> {
    let name = name(project);
    let path = format!("{PLACE}/{}", shelf.folder());
    let mut archive = download(docker, &name, &path).await?;
    if archive.is_none() {
        archive = match find(docker, &name).await? {
            Some(old) if is_without_volume(&old) => {
                download(docker, &name, &format!("/{}", shelf.folder())).await?
            }
            // Nothing was written on this shelf, or another reader has just made the container.
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
    unpacked(docker, &name, shelf, archive)
}

/// `None`: there is no such container, or no such folder in it.
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

/// Removes container and volume. A reader may make the container again in between.
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
    shelf: Collection,
    archive: Option<Vec<u8>>,
) -> Result<Vec<Page>, EngineError> {
    let pages = archive.map(|archive| unpack(shelf, &archive)).transpose();
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
        let path = format!("{}/{}", page.shelf.folder(), page.name);
        archive.append_data(&mut header, path, page.content.as_slice())?;
    }
    archive.into_inner().map(Bytes::from)
}

fn unpack(shelf: Collection, archive: &[u8]) -> io::Result<Vec<Page>> {
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
