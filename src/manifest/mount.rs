//! `volume`, `bind` and `tmpfs` in a service: mounts of its container.

use std::path::PathBuf;

use super::{
    context::LowerContext,
    node::Node,
    reader::Reader,
    scalar::{ContainerPath, invalid},
};
use crate::{
    name::VolumeName,
    span::{Span, Spanned},
    unit::ByteSize,
};

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Span of the declaration.
    pub span: Span,
    /// Path inside the container, absolute.
    pub target: Spanned<String>,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// Kind of the mount.
    pub kind: MountKind,
}

/// Kind of a mount, with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A declared volume.
    Volume {
        /// Name of the volume.
        name: Spanned<VolumeName>,
        /// Whether an empty volume is left empty. By default, the image's files at the target are
        /// copied into it.
        nocopy: bool,
        /// Folder in the volume.
        subpath: Option<String>,
    },
    /// A volume without a name.
    Anonymous,
    /// A file or folder of the host.
    Bind {
        /// Path on the host, absolute.
        source: Spanned<PathBuf>,
        /// Whether a missing source is created as a folder; otherwise, it is an error.
        create: bool,
        /// Propagation of the mounts below the source: `rprivate`, `rshared`, …
        propagation: Option<String>,
    },
    /// A file system in memory.
    Tmpfs {
        /// Maximum size.
        size: Option<ByteSize>,
        /// Permission bits.
        mode: Option<u32>,
        /// Whether programs in the mount can be executed.
        exec: bool,
        /// User ID of the owner.
        uid: Option<u32>,
        /// Group ID of the owner.
        gid: Option<u32>,
    },
}

const PROPAGATIONS: &[(&str, &str)] = &[
    ("private", "private"),
    ("rprivate", "rprivate"),
    ("shared", "shared"),
    ("rshared", "rshared"),
    ("slave", "slave"),
    ("rslave", "rslave"),
];

/// Reads `volume`, `bind` or `tmpfs`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Mount> {
    let mut reader = Reader::new(node, scope);
    let found = match reader.name() {
        "volume" => volume(node, &mut reader),
        "bind" => bind(&mut reader),
        _ => tmpfs(&mut reader),
    };
    reader.end();
    let (target, read_only, kind) = found?;
    Some(Mount {
        span: node.head(),
        target: target.map(|path| path.0),
        read_only,
        kind,
    })
}

type Found = (Spanned<ContainerPath>, bool, MountKind);

fn volume(node: &Node, reader: &mut Reader<'_>) -> Option<Found> {
    let read_only = reader.flag("read-only");
    let nocopy = reader.flag("nocopy");
    let subpath = reader.property("subpath");
    if let Some(help) = misplaced(node) {
        let first = reader.next()?;
        reader.next();
        return invalid(first, reader.scope, "a volume's name", Some(&help));
    }
    let anonymous = node.arguments.len() == 1 && node.first_text().is_some_and(is_absolute);
    if anonymous {
        return Some((reader.argument("a path")?, read_only, MountKind::Anonymous));
    }
    let name = reader.argument("a volume's name and a path");
    if name.is_none() {
        reader.next();
        return None;
    }
    let target = reader.argument("a path in the container");
    Some((
        target?,
        read_only,
        MountKind::Volume {
            name: name?,
            nocopy,
            subpath,
        },
    ))
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

/// Returns the correct form for a volume in Compose's short form, or for a path on the host.
fn misplaced(node: &Node) -> Option<String> {
    let first = node.first_text()?;
    let on_host = |path: &str| path.starts_with(['.', '/', '~']);
    if let Some((source, rest)) = first.split_once(':') {
        let (target, mode) = rest.split_once(':').unwrap_or((rest, ""));
        let kind = if on_host(source) { "bind" } else { "volume" };
        let read_only = mode.split(',').any(|word| word == "ro");
        let option = if read_only { " read-only=#true" } else { "" };
        return Some(format!("write `{kind} \"{source}\" \"{target}\"{option}`"));
    }
    let two = node.arguments.len() > 1;
    (two && on_host(first)).then(|| "a path of this machine is mounted with `bind`".to_owned())
}

fn bind(reader: &mut Reader<'_>) -> Option<Found> {
    let source = reader.argument("a path of this machine and a path in the container");
    let target = source
        .as_ref()
        .and_then(|_| reader.argument("a path in the container"));
    let read_only = reader.flag("read-only");
    let create = reader.flag("create");
    let propagation = reader.word("propagation", PROPAGATIONS).map(str::to_owned);
    Some((
        target?,
        read_only,
        MountKind::Bind {
            source: source?,
            create,
            propagation,
        },
    ))
}

fn tmpfs(reader: &mut Reader<'_>) -> Option<Found> {
    let target = reader.argument("a path in the container");
    let read_only = reader.flag("read-only");
    let size = reader.property("size");
    let exec = reader.flag("exec");
    let (uid, gid, mode) = reader.ownership();
    Some((
        target?,
        read_only,
        MountKind::Tmpfs {
            size,
            mode,
            exec,
            uid,
            gid,
        },
    ))
}
