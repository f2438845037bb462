//! Sockets of a network namespace: unavailable on systems other than Linux.

use std::{io, path::Path};

use super::Socket;

/// Has no values, because socket diagnosis is unavailable on this system.
pub(super) enum Diagnosis {}

impl Diagnosis {
    pub(super) fn of(_process: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn tcp(&self) -> io::Result<Vec<Socket>> {
        match *self {}
    }
}
