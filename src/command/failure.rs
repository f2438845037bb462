//! Why a command failed, where that has not been told by a run's own report.

use thiserror::Error;

use crate::{diagnostic::Report, engine::EngineError, plan::Refusal, project::vault::StoreError};

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The manifest has mistakes.
    #[error("the manifest has mistakes")]
    Manifest(Box<Report>),
    /// Something is in the way; nothing was touched.
    #[error("refused, nothing was touched")]
    Refused(Vec<Refusal>),
    /// The engine does not do as asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
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
    /// An argument makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl From<Report> for CommandError {
    fn from(report: Report) -> Self {
        Self::Manifest(Box::new(report))
    }
}
