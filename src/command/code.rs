//! Exit codes of commands.

use super::{CommandError, CommandOutcome};
use crate::{engine::EngineError, event::Outcome};

/// Exit codes of `cimandat`. The README and `--help` list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The command succeeded, with or without changes.
    Converged = 0,
    /// Usage error or internal error.
    Failed = 1,
    /// `plan --exit-code`: there are changes.
    Changes = 2,
    /// The manifest or a preflight check failed. Nothing was changed.
    Refused = 3,
    /// A build, a pull or the preparation failed. Nothing was changed.
    PreparationFailed = 4,
    /// The deploy failed and was rolled back. The old state is healthy.
    RolledBack = 5,
    /// The deploy and its rollback failed. An operator is needed.
    RollbackFailed = 6,
    /// Another process holds the project's lock.
    Locked = 7,
    /// The command was interrupted and rolled back.
    Interrupted = 8,
    /// The rollback was interrupted. `recover` continues it.
    RollbackInterrupted = 9,
    /// Not every object could be removed.
    RemovalIncomplete = 10,
    /// The engine is unreachable.
    NoEngine = 125,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Returns the exit code for the result of a command.
#[must_use]
pub fn code(end: &Result<CommandOutcome, CommandError>) -> ExitCode {
    match end {
        Ok(CommandOutcome::Ok) => ExitCode::Converged,
        Ok(CommandOutcome::ChangesPending) => ExitCode::Changes,
        Ok(CommandOutcome::Run(verdict)) => match verdict {
            Outcome::Converged | Outcome::Unchanged => ExitCode::Converged,
            Outcome::Aborted => ExitCode::PreparationFailed,
            Outcome::RolledBack => ExitCode::RolledBack,
            Outcome::Cancelled => ExitCode::Interrupted,
            Outcome::RollbackFailed => ExitCode::RollbackFailed,
            Outcome::RollbackInterrupted => ExitCode::RollbackInterrupted,
            Outcome::RemovalIncomplete => ExitCode::RemovalIncomplete,
        },
        Err(
            CommandError::Manifest(_) | CommandError::Refused(_) | CommandError::Rotation { .. },
        ) => ExitCode::Refused,
        Err(CommandError::Locked(_)) => ExitCode::Locked,
        // The unfinished work is left to the current holder of the lock, or to an operator.
        Err(CommandError::LockLost | CommandError::Journal(_)) => ExitCode::RollbackFailed,
        Ok(CommandOutcome::ImageFailure) | Err(CommandError::Inputs { .. }) => {
            ExitCode::PreparationFailed
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
