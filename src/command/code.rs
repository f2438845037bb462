//! How a command ended, as an exit code.

use super::{CommandError, CommandOutcome};
use crate::{engine::EngineError, event::Outcome};

/// The codes of `cimandat`. The table stands in the README and in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// As asked for, changed or not.
    Converged = 0,
    /// Usage or internal.
    Failed = 1,
    /// `plan --exit-code`: there are changes.
    Changes = 2,
    /// The manifest or something found before the first change; untouched.
    Refused = 3,
    /// A build, a pull or the preparation failed; untouched.
    NotPrepared = 4,
    /// Failed and rolled back; the old state is healthy.
    RolledBack = 5,
    /// Failed, and the way back failed too: an operator is needed.
    Stuck = 6,
    /// Somebody else changes the project.
    Locked = 7,
    /// Interrupted and rolled back.
    Interrupted = 8,
    /// Interrupted again while it rolled back: `recover` goes on from there.
    RollbackInterrupted = 9,
    /// Not everything that was to be removed was.
    RemovalIncomplete = 10,
    /// No engine answers.
    NoEngine = 125,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// The code of a command's end.
#[must_use]
pub fn code(end: &Result<CommandOutcome, CommandError>) -> ExitCode {
    match end {
        Ok(CommandOutcome::Ok) => ExitCode::Converged,
        Ok(CommandOutcome::ChangesPending) => ExitCode::Changes,
        Ok(CommandOutcome::Run(verdict)) => match verdict {
            Outcome::Converged | Outcome::Unchanged => ExitCode::Converged,
            Outcome::Aborted => ExitCode::NotPrepared,
            Outcome::RolledBack => ExitCode::RolledBack,
            Outcome::Cancelled => ExitCode::Interrupted,
            Outcome::RollbackFailed => ExitCode::Stuck,
            Outcome::RollbackInterrupted => ExitCode::RollbackInterrupted,
            Outcome::RemovalIncomplete => ExitCode::RemovalIncomplete,
        },
        Err(
            CommandError::Manifest(_) | CommandError::Refused(_) | CommandError::Rotation { .. },
        ) => ExitCode::Refused,
        Err(CommandError::Locked(_)) => ExitCode::Locked,
        // What was begun is left for the one who has the lock now, or for an operator.
        Err(CommandError::LockLost | CommandError::Journal(_)) => ExitCode::Stuck,
        Ok(CommandOutcome::ImageFailure) | Err(CommandError::Inputs { .. }) => {
            ExitCode::NotPrepared
        }
        Err(CommandError::Engine(
            EngineError::Unreachable { .. } | EngineError::PermissionDenied { .. },
        )) => ExitCode::NoEngine,
        Err(
            CommandError::Engine(_)
            | CommandError::Store(_)
            | CommandError::Signals(_)
            | CommandError::Runtime(_)
            | CommandError::Usage(_),
        ) => ExitCode::Failed,
    }
}
