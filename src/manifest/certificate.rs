//! `certificate` and `authority`: certificates that the project's own authority signs.

use super::{
    context::LowerContext,
    node::Node,
    reader::{Reader, unknown_node},
    scalar::{ContainerPath, whole},
};
use crate::{name::CertificateName, span::Spanned};

/// A certificate that the project's authority signs.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Name of the certificate.
    pub name: Spanned<CertificateName>,
    /// Host names and addresses for which the certificate is valid; at least one.
    pub hosts: Vec<Spanned<String>>,
    /// Validity in days, 1 to 3650.
    pub days: Option<Spanned<u32>>,
}

/// A certificate put into a container: `tls.crt`, `tls.key` and `ca.crt` in a folder.
#[derive(Debug, Clone)]
pub struct CertificateUse {
    /// Name of the certificate.
    pub name: Spanned<CertificateName>,
    /// Folder inside the container, absolute.
    pub folder: Spanned<String>,
    /// User ID of the owner.
    pub uid: Option<u32>,
    /// Group ID of the owner.
    pub gid: Option<u32>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// The authority's own certificate put into a container, as `ca.crt` in a folder.
#[derive(Debug, Clone)]
pub struct AuthorityUse {
    /// Folder inside the container, absolute.
    pub folder: Spanned<String>,
    /// User ID of the owner.
    pub uid: Option<u32>,
    /// Group ID of the owner.
    pub gid: Option<u32>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// Reads a declared `certificate`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Certificate> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let mut hosts: Vec<Spanned<String>> = reader.placed("host").into_iter().collect();
    // Authorities that browsers trust sign for at most 397 days; this one may sign for ten years.
    let days = reader.raw("days").and_then(|scalar| {
        Some(Spanned::new(
            whole(scalar, scope, "`days`", 1..=3650)?,
            scalar.span,
        ))
    });
    for child in reader.children() {
        match child.name.value.as_str() {
            "host" => {
                let mut inner = Reader::new(child, scope);
                hosts.extend(inner.all("a host"));
                inner.end();
            }
            _ => unknown_node(child, "a certificate", &["host"], scope),
        }
    }
    if hosts.is_empty() && node.property("host").is_none() {
        reader.missing(
            "a host",
            Some("`host=\"postgres\"`, or `host` nodes in its block"),
        );
    }
    reader.end();
    Some(Certificate {
        name: name?,
        hosts,
        days,
    })
}

/// Reads `certificate NAME FOLDER` in a service.
pub(super) fn lower_use(node: &Node, scope: &LowerContext<'_>) -> Option<CertificateUse> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let folder = reader.argument::<ContainerPath>("a folder in the container");
    let (uid, gid, mode) = reader.ownership();
    reader.end();
    Some(CertificateUse {
        name: name?,
        folder: folder?.map(|path| path.0),
        uid,
        gid,
        mode,
    })
}

/// Reads `authority FOLDER` in a service.
pub(super) fn lower_authority(node: &Node, scope: &LowerContext<'_>) -> Option<AuthorityUse> {
    let mut reader = Reader::new(node, scope);
    let folder = reader.argument::<ContainerPath>("a folder in the container");
    let (uid, gid, mode) = reader.ownership();
    reader.end();
    Some(AuthorityUse {
        folder: folder?.map(|path| path.0),
        uid,
        gid,
        mode,
    })
}
