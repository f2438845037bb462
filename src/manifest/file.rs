//! `secret` and `config` in a service: a file in its container.

use super::{context::LowerContext, node::Node, reader::Reader, scalar::Read};
use crate::span::Spanned;

/// A secret or a config that is put into a container as a file.
#[derive(Debug, Clone)]
pub struct FileUse<N> {
    /// Name of the secret or config.
    pub name: Spanned<N>,
    /// A file name, or an absolute path inside the container.
    pub target: Option<Spanned<String>>,
    /// User ID of the owner.
    pub uid: Option<u32>,
    /// Group ID of the owner.
    pub gid: Option<u32>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// Reads `secret NAME …` or `config NAME …` in a service.
pub(super) fn lower<N: Read>(node: &Node, scope: &LowerContext<'_>) -> Option<FileUse<N>> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let target = reader.placed("target");
    let (uid, gid, mode) = reader.ownership();
    reader.end();
    Some(FileUse {
        name: name?,
        target,
        uid,
        gid,
        mode,
    })
}
