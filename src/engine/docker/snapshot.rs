//! Snapshots of volumes: create, restore, remove.
//!
//! Data goes through the archive API, out of one container and into another. Neither container is
//! ever started. There are two because the engine locks a container while an archive of it is
//! transferred. The copy works on any engine and with any image, even one without a shell, and runs
//! no program that could do harm. Owner, group, mode, links, pipes and times (in whole seconds) are
//! preserved. Holes of sparse files are filled. Sockets and extended attributes are not copied.
//!
//! A snapshot records whether it is complete: a file beside its data is written last.

use std::{collections::HashMap, io, time::Duration};

use bollard::{
    body_full, body_try_stream,
    models::{
        ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, VolumeCreateRequest,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, RemoveVolumeOptions,
        UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tar::{Builder, Header};
use tokio::sync::mpsc;

use super::{Docker, container, error::present, volume};
use crate::{engine::EngineError, name::ContainerName, plan::VolumeSnapshot, state::label};

/// Mount target of a volume; also the name of the volume's folder in a snapshot.
const VOLUME: &str = "/volume";
/// Mount target of a snapshot.
const SNAPSHOT: &str = "/snapshot";
/// Name of the file with the status of a snapshot.
const MARK: &str = "mark";
/// Status of a snapshot that holds all data of its volume.
const WHOLE: &str = "whole";
/// Status of a snapshot whose data is completely restored to its volume.
const RESTORED: &str = "restored";

/// Timeout of a copy.
const LONGEST: Duration = Duration::from_hours(24);
/// Number of zero bytes at the end of a complete archive; a truncated archive has fewer.
const ARCHIVE_END: usize = 1024;
/// Size limit of a small archive in bytes. The archive of an empty folder is smaller.
const EMPTY: usize = 16 * 1024;
/// Maximum number of archive parts that wait between the two ends of a copy.
const WAITING: usize = 16;

/// Creates a snapshot, in place of one with the same name.
pub(super) async fn take(docker: &Docker, request: &VolumeSnapshot) -> Result<(), EngineError> {
    let copy = Copy {
        docker,
        request,
        verb: "copying volume",
    };
    let name = request.name.as_str();
    remove(docker, name).await?;
    copy.expect_source().await?;
    copy.make_snapshot().await?;
    let volume = copy.helper(CopyDirection::Volume).await?;
    let snapshot = copy.helper(CopyDirection::Snapshot).await?;
    copy.carry((&volume, VOLUME), (&snapshot, SNAPSHOT)).await?;
    copy.mark(&snapshot, WHOLE).await?;
    container::remove(docker, &volume).await?;
    container::remove(docker, &snapshot).await
}

/// Restores a snapshot to its volume and removes the snapshot. A snapshot that was already restored
/// is only removed, because the volume has been written to since then.
pub(super) async fn restore(docker: &Docker, request: &VolumeSnapshot) -> Result<(), EngineError> {
    let copy = Copy {
        docker,
        request,
        verb: "restoring volume",
    };
    if own_labels(docker, copy.verb, &request.name)
        .await?
        .is_none()
    {
        return Ok(());
    }
    copy.expect_source().await?;
    let volume = copy.helper(CopyDirection::Volume).await?;
    let snapshot = copy.helper(CopyDirection::Snapshot).await?;
    match copy.marked(&snapshot).await?.as_deref() {
        Some(RESTORED) => {}
        Some(WHOLE) => {
            copy.empty(&volume).await?;
            let data = format!("{SNAPSHOT}{VOLUME}");
            copy.carry((&snapshot, &data), (&volume, "/")).await?;
            copy.mark(&snapshot, RESTORED).await?;
        }
        _ => {
            let doing = docker.doing(copy.verb, &request.source);
            let text = format!("snapshot `{}` of the volume is incomplete", request.name);
            return Err(doing.refused(0, text));
        }
    }
    remove(docker, &request.name).await
}

/// Removes a snapshot and the remains of an interrupted copy. Succeeds if the snapshot does not
/// exist.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let verb = "removing snapshot";
    for side in [CopyDirection::Volume, CopyDirection::Snapshot] {
        container::remove(docker, &side.helper_of(name)).await?;
    }
    if own_labels(docker, verb, name).await?.is_none() {
        return Ok(());
    }
    let removed = docker
        .client
        .remove_volume(name, None::<RemoveVolumeOptions>)
        .await;
    present(removed)
        .map(|_| ())
        .map_err(|wire| docker.doing(verb, name).failed(wire))
}

/// Returns the labels of a snapshot. `None`: it does not exist. Any other volume is an error, so
/// that it is never touched.
async fn own_labels(
    docker: &Docker,
    verb: &str,
    name: &str,
) -> Result<Option<HashMap<String, String>>, EngineError> {
    match volume::labels_of(docker, verb, name).await? {
        Some(labels) if !labels.contains_key(label::SNAPSHOT_OF) => Err(EngineError::NotOwned {
            name: name.to_owned(),
        }),
        labels => Ok(labels),
    }
}

/// The volume that a helper container mounts.
#[derive(Debug, Clone, Copy)]
enum CopyDirection {
    Volume,
    Snapshot,
}

impl CopyDirection {
    fn helper_of(self, snapshot: &str) -> ContainerName {
        let end = match self {
            Self::Volume => "volume",
            Self::Snapshot => "copy",
        };
        // Names of volumes use the characters of container names. A very long name is identified by
        // its end, which contains the generation.
        let name = format!("{snapshot}.{end}");
        let skipped = name.len().saturating_sub(180);
        let name = name.get(skipped..).unwrap_or_default();
        let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        ContainerName::new(name)
            .unwrap_or_else(|_| unreachable!("the end of a volume's name names a container"))
    }
}

/// One copy, with the parameters that all its parts need.
struct Copy<'a> {
    docker: &'a Docker,
    request: &'a VolumeSnapshot,
    verb: &'static str,
}

impl Copy<'_> {
    fn failed(&self, wire: bollard::errors::Error) -> EngineError {
        self.docker
            .doing(self.verb, &self.request.source)
            .failed(wire)
    }

    /// Fails if the source volume does not exist, because the engine would create an empty one.
    async fn expect_source(&self) -> Result<(), EngineError> {
        let source = &self.request.source;
        match volume::labels_of(self.docker, self.verb, source).await? {
            Some(_) => Ok(()),
            None => Err(EngineError::NotFound {
                what: format!("volume `{source}`"),
            }),
        }
    }

    async fn make_snapshot(&self) -> Result<(), EngineError> {
        let request = self.request;
        let labels = HashMap::from([
            (label::PROJECT.to_owned(), request.project.to_string()),
            (label::NAME.to_owned(), request.volume.to_string()),
            (label::SNAPSHOT_OF.to_owned(), request.source.clone()),
            (label::GENERATION.to_owned(), request.generation.to_string()),
        ]);
        let body = VolumeCreateRequest {
            name: Some(request.name.clone()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let made = self.docker.client.create_volume(body).await;
        made.map(|_| ()).map_err(|wire| self.failed(wire))
    }

    /// Creates a container that is never started, and replaces one that an interrupted copy left.
    async fn helper(&self, side: CopyDirection) -> Result<ContainerName, EngineError> {
        let request = self.request;
        let name = side.helper_of(&request.name);
        container::remove(self.docker, &name).await?;
        let (source, target) = match side {
            CopyDirection::Volume => (&request.source, VOLUME),
            CopyDirection::Snapshot => (&request.name, SNAPSHOT),
        };
        let mount = Mount {
            target: Some(target.to_owned()),
            source: Some(source.clone()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(request.image.clone()),
            // Never run. The engine requires one if the image has none.
            entrypoint: Some(vec!["never-started".to_owned()]),
            labels: Some(HashMap::from([
                (label::PROJECT.to_owned(), request.project.to_string()),
                (label::SNAPSHOT.to_owned(), request.name.clone()),
            ])),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(name.as_str())
            .build();
        let made = self
            .docker
            .client
            .create_container(Some(options), body)
            .await;
        made.map(|_| name).map_err(|wire| self.failed(wire))
    }

    /// Copies a folder with all its content from one container into a folder of another.
    async fn carry(
        &self,
        (from, folder): (&ContainerName, &str),
        (into, base): (&ContainerName, &str),
    ) -> Result<(), EngineError> {
        let (send, receive) = mpsc::channel(WAITING);
        let read = async {
            let options = DownloadFromContainerOptionsBuilder::new()
                .path(folder)
                .build();
            let client = &self.docker.client;
            let mut archive =
                std::pin::pin!(client.download_from_container(from.as_str(), Some(options)));
            let mut zeros = 0;
            while let Some(part) = archive.next().await {
                let part = match part {
                    Ok(part) => part,
                    Err(wire) => {
                        // Prevents the transferred part from being accepted as a complete archive.
                        let _ = send.send(Err(io::Error::other("interrupted"))).await;
                        return Err(self.failed(wire));
                    }
                };
                zeros = trailing_zeros(zeros, &part);
                if send.send(Ok(part)).await.is_err() {
                    // The other end has failed and reports the reason.
                    return Ok(());
                }
            }
            if zeros < ARCHIVE_END {
                let _ = send.send(Err(io::Error::other("interrupted"))).await;
                let doing = self.docker.doing(self.verb, &self.request.source);
                return Err(doing.broke("the engine broke off in the middle".to_owned()));
            }
            drop(send);
            Ok(())
        };
        let options = UploadToContainerOptionsBuilder::new().path(base).build();
        let body = body_try_stream(stream::unfold(receive, |mut receive| async {
            let part: Result<Bytes, io::Error> = receive.recv().await?;
            Some((part, receive))
        }));
        let client = self.docker.client.clone().with_timeout(LONGEST);
        let write = client.upload_to_container(into.as_str(), Some(options), body);
        let (read, written) = tokio::join!(read, write);
        read?;
        written.map_err(|wire| self.failed(wire))
    }

    /// Removes all content of the volume.
    ///
    /// The archive API can only add and replace. A file that replaces a folder also removes the
    /// folder's content. The replacement fails only afterwards, because the folder itself is in use
    /// as a mount. The failure does not show whether anything is left, so the content is checked.
    async fn empty(&self, helper: &ContainerName) -> Result<(), EngineError> {
        let file = archive(VOLUME.trim_start_matches('/'), b"");
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let client = self.docker.client.clone().with_timeout(LONGEST);
        let answer = client
            .upload_to_container(helper.as_str(), Some(options), body_full(file))
            .await;
        if self.is_empty(helper).await? {
            return Ok(());
        }
        let doing = self.docker.doing(self.verb, &self.request.source);
        Err(match answer {
            Err(wire) => doing.failed(wire),
            Ok(()) => doing.broke("the volume's content could not be removed".to_owned()),
        })
    }

    async fn is_empty(&self, helper: &ContainerName) -> Result<bool, EngineError> {
        let Some(bytes) = self.download(helper, VOLUME).await? else {
            return Ok(false);
        };
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().map(Iterator::count);
        Ok(matches!(entries, Ok(1)))
    }

    /// Downloads a small archive. `None`: the path does not exist, or the archive is not small.
    async fn download(
        &self,
        helper: &ContainerName,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let client = &self.docker.client;
        let mut parts =
            std::pin::pin!(client.download_from_container(helper.as_str(), Some(options)));
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await {
            match present(part).map_err(|wire| self.failed(wire))? {
                Some(part) => bytes.extend_from_slice(&part),
                None => return Ok(None),
            }
            if bytes.len() > EMPTY {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Writes the status of the snapshot.
    async fn mark(&self, helper: &ContainerName, word: &str) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new()
            .path(SNAPSHOT)
            .build();
        let file = body_full(archive(MARK, word.as_bytes()));
        let client = &self.docker.client;
        client
            .upload_to_container(helper.as_str(), Some(options), file)
            .await
            .map_err(|wire| self.failed(wire))
    }

    async fn marked(&self, helper: &ContainerName) -> Result<Option<String>, EngineError> {
        let path = format!("{SNAPSHOT}/{MARK}");
        let bytes = self.download(helper, &path).await?;
        Ok(bytes.and_then(|bytes| content(&bytes)))
    }
}

/// Returns the text of the only file in an archive.
fn content(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let mut file = archive.entries().ok()?.next()?.ok()?;
    io::read_to_string(&mut file).ok()
}

/// Builds an archive of one file that is owned by root.
fn archive(name: &str, content: &[u8]) -> Bytes {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    let mut builder = Builder::new(Vec::new());
    // Writing to memory does not fail, and the names are short constants.
    let _ = builder.append_data(&mut header, name, content);
    builder.into_inner().map(Bytes::from).unwrap_or_default()
}

/// Returns the number of zeros at the end of the data, given the number before this part.
fn trailing_zeros(before: usize, part: &[u8]) -> usize {
    let zeros = part.iter().rev().take_while(|byte| **byte == 0).count();
    if zeros == part.len() {
        before + zeros
    } else {
        zeros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_end_is_detected_for_any_part_size() {
        let bytes = archive("mark", b"whole");
        for size in [1, 7, 512, 4096] {
            let zeros = bytes.chunks(size).fold(0, trailing_zeros);
            assert!(zeros >= ARCHIVE_END, "{size}");
        }
        let cut = &bytes[..1024];
        assert!(cut.chunks(100).fold(0, trailing_zeros) < ARCHIVE_END);
    }

    #[test]
    fn snapshot_mark_reads_back_as_written() {
        assert_eq!(content(&archive(MARK, b"whole")).as_deref(), Some("whole"));
        assert_eq!(content(b""), None);
    }

    #[test]
    fn long_volume_name_yields_valid_helper_names() {
        let long = format!("{}.before-g7", "v".repeat(240));
        let name = CopyDirection::Snapshot.helper_of(&long);
        assert!(name.as_str().ends_with(".before-g7.copy"), "{name}");
        assert_ne!(name, CopyDirection::Volume.helper_of(&long));
    }
}
