//! `certificate` and `authority`: certificates of the project's own authority.

use crate::{name::CertificateName, span::Spanned};

/// A certificate that the project's authority signs.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its name.
    pub name: Spanned<CertificateName>,
    /// Names and addresses that it is valid for; at least one.
    pub hosts: Vec<Spanned<String>>,
    /// For how many days.
    pub days: Option<Spanned<u32>>,
}

/// A certificate put into a container: `tls.crt`, `tls.key` and `ca.crt` in a folder.
#[derive(Debug, Clone)]
pub struct CertificateUse {
    /// Which.
    pub name: Spanned<CertificateName>,
    /// Absolute, inside the container.
    pub folder: Spanned<String>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permissions.
    pub mode: Option<u32>,
}

/// The authority's own certificate put into a container, as `ca.crt` in a folder.
#[derive(Debug, Clone)]
pub struct AuthorityUse {
    /// Absolute, inside the container.
    pub folder: Spanned<String>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permissions.
    pub mode: Option<u32>,
}
