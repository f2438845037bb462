//! Puts secrets, configs and certificates into a container that was just created.
//!
//! Each folder is sent as one archive, built in memory: a value is never written to a disk of this
//! machine. A folder with a volume of its own accepts files even if the root file system is
//! read-only.

use std::io;

use bollard::{body_full, query_parameters::UploadToContainerOptionsBuilder};
use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::{Docker, VERB};
use crate::{engine::EngineError, plan::CreateContainer, project::FileSet, secret::Secret};

/// Puts all files of a container in place. Repeating it has no further effect.
pub(super) async fn put(docker: &Docker, request: &CreateContainer) -> Result<(), EngineError> {
    let name = request.name.as_str();
    for set in &request.spec.files {
        // Files go into a volume directly. Elsewhere paths start at the root, so that the engine
        // creates missing folders (mode 755, owned by root) and leaves existing ones unchanged.
        let (base, prefix) = if set.volume {
            (set.folder.as_str(), "")
        } else {
            ("/", set.folder.trim_matches('/'))
        };
        let archive = archive(set, prefix).map_err(|error| {
            docker
                .doing(VERB, name)
                .broke(format!("packing the files of `{}`: {error}", set.folder))
        })?;
        let options = UploadToContainerOptionsBuilder::new().path(base).build();
        docker
            .client
            .upload_to_container(name, Some(options), body_full(archive))
            .await
            .map_err(|wire| {
                let verb = format!("putting files into `{}` of container", set.folder);
                docker.doing(&verb, name).failed(wire)
            })?;
    }
    Ok(())
}

/// Builds an archive of the files of a set, below a prefix, in the format that the engine unpacks.
fn archive(set: &FileSet, prefix: &str) -> io::Result<Bytes> {
    let mut builder = Builder::new(Vec::new());
    for file in &set.files {
        let Some(content) = file.content.as_ref().map(Secret::expose) else {
            let text = format!(
                "the value of `{}` is no longer stored; only its digest is known",
                file.name
            );
            return Err(io::Error::other(text));
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_uid(u64::from(file.uid));
        header.set_gid(u64::from(file.gid));
        header.set_mode(file.mode);
        let path = if prefix.is_empty() {
            file.name.clone()
        } else {
            format!("{prefix}/{}", file.name)
        };
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    builder.into_inner().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::project::InjectedFile;

    #[test]
    fn files_archive_keeps_owner_mode_and_content() {
        let set = FileSet {
            folder: "/etc/app".into(),
            volume: false,
            files: vec![InjectedFile {
                name: "key".into(),
                uid: 999,
                gid: 998,
                mode: 0o400,
                digest: String::new(),
                content: Some(Secret::new(b"s3cret".to_vec())),
            }],
        };
        let bytes = archive(&set, "etc/app").unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("etc/app/key"));
        assert_eq!(entry.header().uid().unwrap(), 999);
        assert_eq!(entry.header().gid().unwrap(), 998);
        assert_eq!(entry.header().mode().unwrap(), 0o400);
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "s3cret");
        assert!(entries.next().is_none());
    }
}
