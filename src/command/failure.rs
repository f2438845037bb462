//! Why a command failed, where that has not been told by a run's own report.

use thiserror::Error;

use super::session;
use crate::{
    diagnostic::Report,
    engine::{EngineError, Lock},
    journal,
    plan::PreflightError,
    project::vault::StoreError,
};

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The manifest has mistakes.
    #[error("the manifest has mistakes")]
    Manifest(Box<Report>),
    /// Something is in the way; nothing was touched.
    #[error("refused, nothing was touched")]
    Refused(Vec<PreflightError>),
    /// The engine does not do as asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Somebody else changes the project.
    #[error("the project is locked by {}", session::holder_name(.0))]
    Locked(Box<Lock>),
    /// Somebody has taken the lock away.
    #[error(
        "another command removed this command's lock; the deploy stopped there (run `cimandat \
         recover`)"
    )]
    LockLost,
    /// The journal says what cannot be.
    #[error("the journal is damaged: {0}")]
    Journal(journal::JournalError),
    /// What an image is built from cannot be read.
    #[error("the build of `{service}` cannot be prepared: {cause}")]
    Inputs {
        /// Whose image.
        service: String,
        /// Why.
        cause: String,
    },
    /// The secrets beside the manifest cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was to be rotated cannot be.
    #[error("{message}")]
    Rotation {
        /// A fragment.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Ctrl-C could not be listened to.
    #[error("listening to signals: {0}")]
    Signals(std::io::Error),
    /// A rehearsal has no time of its own to pass.
    #[error("starting the rehearsal: {0}")]
    Runtime(std::io::Error),
    /// An argument makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl CommandError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.help(),
            Self::Store(error) => error.help(),
            Self::Rotation { help, .. } => help.clone(),
            Self::Locked(_) => Some(
                "wait for it with `--lock-wait 15m`; if it is certain that nobody is at work, \
                 `cimandat unlock --force` takes the lock away"
                    .to_owned(),
            ),
            Self::LockLost => Some("`cimandat recover` goes on from there".to_owned()),
            Self::Journal(journal::JournalError::Later) => {
                Some("use the version of the program that deployed last".to_owned())
            }
            Self::Journal(_) => Some(
                "look with `cimandat ps` and `cimandat plan` at what is there; then \
                 `cimandat recover --forget` gives the journal up"
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
