//! `volume`, `bind` and `tmpfs` in a service: what is mounted into its container.

use std::path::PathBuf;

use crate::{
    name::VolumeName,
    span::{Span, Spanned},
    unit::ByteSize,
};

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is declared.
    pub span: Span,
    /// Absolute, inside the container.
    pub target: Spanned<String>,
    /// It cannot be written.
    pub read_only: bool,
    /// What it is.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A declared volume.
    Volume {
        /// Which.
        name: Spanned<VolumeName>,
        /// The image's files at the target are not copied into an empty volume.
        nocopy: bool,
        /// A folder in the volume.
        subpath: Option<String>,
    },
    /// A volume without a name.
    Anonymous,
    /// A file or folder of the host.
    Bind {
        /// Absolute.
        source: Spanned<PathBuf>,
        /// A missing source is made as a folder, instead of being a mistake.
        create: bool,
        /// Of mounts below it: `rprivate`, `rshared`, …
        propagation: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// The most it holds.
        size: Option<ByteSize>,
        /// Its permissions.
        mode: Option<u32>,
    },
}
