//! Errors of commands, except those that the report of a run has covered.

use thiserror::Error;

use super::session;
use crate::{
    diagnostic::Report,
    engine::{EngineError, Lock},
    journal,
    plan::PreflightError,
    project::vault::StoreError,
};

/// Error that ends a command.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The manifest has errors.
    #[error("the manifest has errors")]
    Manifest(Box<Report>),
    /// A preflight check failed. Nothing was changed.
    #[error("refused, nothing was changed")]
    Refused(Vec<PreflightError>),
    /// The engine rejected a request or is unavailable.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Another process holds the project's lock.
    #[error("the project is locked by {}", session::holder_name(.0))]
    Locked(Box<Lock>),
    /// Another command broke this command's lock.
    #[error(
        "another command removed this command's lock; the deploy stopped there (run `cimandat \
         recover`)"
    )]
    LockLost,
    /// The journal is corrupt, or an incompatible version wrote it.
    #[error("the journal is damaged: {0}")]
    Journal(journal::JournalError),
    /// The inputs of an image build cannot be read.
    #[error("the build of `{service}` cannot be prepared: {cause}")]
    Inputs {
        /// Service that the image is built for.
        service: String,
        /// Cause of the error.
        cause: String,
    },
    /// The secret store beside the manifest cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret or certificate cannot be rotated.
    #[error("{message}")]
    Rotation {
        /// Error message, as a sentence fragment.
        message: String,
        /// Suggested remedy, if one is known.
        help: Option<String>,
    },
    /// The signal handler for Ctrl-C could not be installed.
    #[error("listening to signals: {0}")]
    Signals(std::io::Error),
    /// The runtime of a simulation could not be started.
    #[error("starting the simulation: {0}")]
    Runtime(std::io::Error),
    /// An argument is invalid.
    #[error("{0}")]
    Usage(String),
}

impl CommandError {
    /// Returns a suggested remedy, if one is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.help(),
            Self::Store(error) => error.help(),
            Self::Rotation { help, .. } => help.clone(),
            Self::Locked(_) => Some(
                "wait for it with `--lock-timeout 15m`; if its holder is certainly not running, \
                 `cimandat unlock --force` releases the lock"
                    .to_owned(),
            ),
            Self::LockLost => Some("run `cimandat recover` to continue".to_owned()),
            Self::Journal(journal::JournalError::Later) => {
                Some("use the version of cimandat that deployed last".to_owned())
            }
            Self::Journal(journal::JournalError::Earlier) => Some(
                "take the project down with the version that deployed it, or discard the journal \
                 with `cimandat recover --discard-journal`"
                    .to_owned(),
            ),
            Self::Journal(_) => Some(
                "inspect the state with `cimandat ps` and `cimandat plan`; then \
                 `cimandat recover --discard-journal` discards the journal"
                    .to_owned(),
            ),
            Self::Manifest(_)
            | Self::Refused(_)
            | Self::Inputs { .. }
            | Self::Signals(_)
            | Self::Runtime(_)
            | Self::Usage(_) => None,
        }
    }
}

impl From<Report> for CommandError {
    fn from(report: Report) -> Self {
        Self::Manifest(Box::new(report))
    }
}
