//! `deploy` and `verify`: how a deploy goes, and what is checked when every gate has passed.

use std::time::Duration;

use super::StatusSet;
use crate::{name::ServiceName, span::Spanned};

/// How a deploy goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deploy {
    /// What is put back when something fails.
    pub rollback: Option<RollbackScope>,
    /// How long every gate has to stay green after the last has passed.
    pub settle: Option<Duration>,
    /// The longest that the whole deploy may take.
    pub deadline: Option<Duration>,
    /// How many generations are remembered.
    pub keep: Option<u32>,
}

/// What is put back when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackScope {
    /// Everything that the deploy changed.
    All,
    /// The failed service and what depends on it.
    Subtree,
    /// Nothing.
    None,
}

/// One check of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A request from where `cimandat` runs is answered as expected.
    Http {
        /// The whole address, `http://` or `https://`.
        url: String,
        /// Accepted status codes.
        status: Option<StatusSet>,
        /// A text that the body must hold.
        contains: Option<String>,
    },
    /// A service's port is not published on this host.
    Unreachable {
        /// The service.
        service: Spanned<ServiceName>,
        /// Its port.
        port: u16,
    },
    /// A command in a service's container exits with 0.
    Exec {
        /// The service.
        service: Spanned<ServiceName>,
        /// Program and arguments.
        command: Vec<String>,
        /// A text that its output must hold.
        contains: Option<String>,
    },
}
