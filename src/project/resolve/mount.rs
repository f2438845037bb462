//! Resolves the mounts of a container: volumes, binds and tmpfs.

use std::path::Path;

use super::{EngineHost, cleaned, resolver::Resolver};
use crate::{
    manifest,
    project::{BindCreation, Mount, MountKind, link::dangling},
    span::Span,
};

impl Resolver<'_> {
    /// Resolves the mounts, sorted by target.
    pub(super) fn mounts(&mut self, service: &manifest::Service) -> Vec<Mount> {
        let mut mounts: Vec<_> = service
            .mounts
            .iter()
            .filter_map(|mount| self.mount(mount))
            .collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        mounts
    }

    fn mount(&mut self, mount: &manifest::Mount) -> Option<Mount> {
        let kind = match &mount.kind {
            manifest::MountKind::Volume {
                name,
                nocopy,
                subpath,
            } => MountKind::Volume {
                volume: name.value.clone(),
                engine_name: self.volume_engine_name(self.manifest.volumes.get(&name.value)?),
                nocopy: *nocopy,
                subpath: subpath.clone(),
            },
            manifest::MountKind::Anonymous => MountKind::Anonymous,
            manifest::MountKind::Bind {
                source,
                create,
                propagation,
            } => MountKind::Bind {
                source: self.bind_source(&source.value, *create, source.span)?,
                create: if *create {
                    BindCreation::Folder
                } else {
                    BindCreation::Refuse
                },
                propagation: propagation.clone(),
            },
            manifest::MountKind::Tmpfs {
                size,
                mode,
                exec,
                uid,
                gid,
            } => MountKind::Tmpfs {
                size: *size,
                mode: *mode,
                exec: *exec,
                uid: *uid,
                gid: *gid,
            },
        };
        Some(Mount {
            target: mount.target.value.clone(),
            read_only: mount.read_only,
            kind,
        })
    }

    fn bind_source(&mut self, source: &Path, create: bool, at: Span) -> Option<String> {
        let source = cleaned(source);
        let seen = self.resolution.engine == EngineHost::ThisMachine;
        // The engine judges a path that this user may not read. A dangling link is never created.
        let is_missing = seen && source.try_exists().is_ok_and(|there| !there);
        if is_missing && (!create || dangling(&source).is_some()) {
            let help = "make it, or let `up` make a folder there: `create=#true`".to_owned();
            self.missing("bind source", &source, at, Some(help));
            return None;
        }
        Some(source.display().to_string())
    }
}
