//! `secret` and `config` in a service: a file put into its container.

use crate::span::Spanned;

/// A secret or a config put into a container as a file.
#[derive(Debug, Clone)]
pub struct FileUse<N> {
    /// Which.
    pub name: Spanned<N>,
    /// A file name, or an absolute path inside the container.
    pub target: Option<Spanned<String>>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permissions.
    pub mode: Option<u32>,
}
