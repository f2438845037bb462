//! The create body: mounts.
//!
//! Uses `Mounts` and not `Binds`, because `Binds` would silently create a folder for a missing
//! source.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{Mount as Body, MountBindOptions, MountType, MountVolumeOptions};

use super::CreateRequest;
use crate::{
    engine::{EngineError, docker::Api},
    project::{BindCreation, Mount, MountKind},
};

/// Returns the declared mounts, the folders of files, and the anonymous volumes that are carried
/// over.
pub(super) fn mounts(order: CreateRequest<'_>) -> Vec<Body> {
    let request = order.request;
    let declared = request.spec.mounts.iter();
    let mut mounts: Vec<Body> = declared
        .filter(|mount| !as_old_bind(order, mount))
        .filter_map(|mount| body(order, mount))
        .collect();
    let folders = request.spec.files.iter().filter(|set| set.volume);
    mounts.extend(folders.map(|set| {
        Body {
            volume_options: Some(MountVolumeOptions {
                // Below `/run`, an image has no content that a container could need.
                no_copy: Some(set.folder.starts_with("/run/")),
                ..MountVolumeOptions::default()
            }),
            ..volume(&set.folder, None)
        }
    }));
    let declared = request.spec.mounts.iter().map(|mount| &mount.target);
    let folders = request.spec.files.iter().filter(|set| set.volume);
    let targets = declared.chain(folders.map(|set| &set.folder));
    let taken: BTreeSet<&str> = targets.map(|it| it.trim_end_matches('/')).collect();
    let carried = request.carried_over.iter();
    mounts.extend(
        carried
            // A target that is declared now no longer belongs to the image. A folder of files is
            // never carried over, because its content belongs to this container.
            .filter(|(target, _)| !taken.contains(target.trim_end_matches('/')))
            .map(|(target, name)| volume(target, Some(name.clone()))),
    );
    mounts
}

/// Refuses a mount that the engine's API version does not support.
pub(super) fn check(order: CreateRequest<'_>) -> Result<(), EngineError> {
    let mounts = order.request.spec.mounts.iter();
    for mount in mounts {
        if let MountKind::Volume {
            subpath: Some(subpath),
            ..
        } = &mount.kind
        {
            let what = format!("mounting the folder `{subpath}` of a volume");
            order.demand(Api::SUBPATH, &what)?;
        }
    }
    Ok(())
}

/// Returns whether a bind mount needs the form of `Binds`: an engine before API 1.42 creates a
/// missing source only for that form.
fn as_old_bind(order: CreateRequest<'_>, mount: &Mount) -> bool {
    order.api < Api::MAKES_BIND_SOURCES
        && matches!(
            mount.kind,
            MountKind::Bind {
                create: BindCreation::Folder,
                ..
            }
        )
}

/// Returns the bind mounts of [`as_old_bind`], in the form of `Binds`.
pub(super) fn binds_of_old_engines(order: CreateRequest<'_>) -> Option<Vec<String>> {
    let mounts = order.request.spec.mounts.iter();
    let binds: Vec<String> = mounts
        .filter(|mount| as_old_bind(order, mount))
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind {
                source,
                propagation,
                ..
            } => {
                let mode = if mount.read_only { "ro" } else { "rw" };
                let propagation = propagation.as_deref().unwrap_or("rprivate");
                Some(format!("{source}:{}:{mode},{propagation}", mount.target))
            }
            _ => None,
        })
        .collect();
    (!binds.is_empty()).then_some(binds)
}

fn volume(target: &str, source: Option<String>) -> Body {
    Body {
        target: Some(target.to_owned()),
        source,
        typ: Some(MountType::VOLUME),
        ..Body::default()
    }
}

/// Returns the tmpfs mounts, by target. A tmpfs in `Mounts` could not have an owner.
pub(super) fn tmpfs(order: CreateRequest<'_>) -> Option<HashMap<String, String>> {
    let mounts = order.request.spec.mounts.iter();
    let tmpfs: HashMap<String, String> = mounts
        .filter_map(|mount| Some((mount.target.clone(), tmpfs_options(mount)?)))
        .collect();
    (!tmpfs.is_empty()).then_some(tmpfs)
}

/// Returns the options of a tmpfs mount, in the format of `mount -o`. `None` for other mounts.
fn tmpfs_options(mount: &Mount) -> Option<String> {
    let MountKind::Tmpfs {
        size,
        mode,
        exec,
        uid,
        gid,
    } = &mount.kind
    else {
        return None;
    };
    let access = if mount.read_only { "ro" } else { "rw" };
    let programs = if *exec { "exec" } else { "noexec" };
    let mut options = vec![access.to_owned(), programs.to_owned()];
    options.extend(size.map(|size| format!("size={}", size.0)));
    options.extend(mode.map(|mode| format!("mode={mode:o}")));
    options.extend(uid.map(|uid| format!("uid={uid}")));
    options.extend(gid.map(|gid| format!("gid={gid}")));
    Some(options.join(","))
}

/// Converts a mount. `None` for a tmpfs, which is not in the engine's `Mounts`.
fn body(order: CreateRequest<'_>, mount: &Mount) -> Option<Body> {
    let made = match &mount.kind {
        MountKind::Volume {
            engine_name,
            nocopy,
            subpath,
            ..
        } => Body {
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(*nocopy),
                subpath: subpath.clone(),
                ..MountVolumeOptions::default()
            }),
            ..volume(&mount.target, Some(engine_name.clone()))
        },
        MountKind::Anonymous => {
            let carried = order.request.carried_over.get(&mount.target);
            volume(&mount.target, carried.cloned())
        }
        MountKind::Bind {
            source,
            create,
            propagation,
        } => Body {
            target: Some(mount.target.clone()),
            source: Some(source.clone()),
            typ: Some(MountType::BIND),
            bind_options: Some(MountBindOptions {
                propagation: propagation
                    .as_deref()
                    .and_then(|propagation| propagation.parse().ok()),
                create_mountpoint: (*create == BindCreation::Folder).then_some(true),
                ..MountBindOptions::default()
            }),
            ..Body::default()
        },
        MountKind::Tmpfs { .. } => return None,
    };
    Some(Body {
        read_only: Some(mount.read_only),
        ..made
    })
}
