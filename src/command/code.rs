//! How a command ended, as an exit code.

use super::{CommandError, Done};
use crate::{engine::EngineError, event::Verdict};

/// The codes of `cimandat`. The table stands in the README and in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
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

/// The code of a command's end.
#[must_use]
pub fn code(end: &Result<Done, CommandError>) -> Code {
    match end {
        Ok(Done::Well) => Code::Converged,
        Ok(Done::Changes) => Code::Changes,
        Ok(Done::Run(verdict)) => match verdict {
            Verdict::Converged | Verdict::Unchanged => Code::Converged,
            Verdict::Untouched => Code::NotPrepared,
            Verdict::RolledBack => Code::RolledBack,
            Verdict::Interrupted => Code::Interrupted,
            Verdict::Stuck => Code::Stuck,
            Verdict::RollbackInterrupted => Code::RollbackInterrupted,
            Verdict::RemovalIncomplete => Code::RemovalIncomplete,
        },
        Err(
            CommandError::Manifest(_) | CommandError::Refused(_) | CommandError::Rotation { .. },
        ) => Code::Refused,
        Err(CommandError::Locked(_)) => Code::Locked,
        // What was begun is left for the one who has the lock now, or for an operator.
        Err(CommandError::LockLost | CommandError::Journal(_)) => Code::Stuck,
        Ok(Done::NoImages) | Err(CommandError::Inputs { .. }) => Code::NotPrepared,
        Err(CommandError::Engine(EngineError::Unreachable { .. } | EngineError::Denied { .. })) => {
            Code::NoEngine
        }
        Err(
            CommandError::Engine(_)
            | CommandError::Store(_)
            | CommandError::Signals(_)
            | CommandError::Runtime(_)
            | CommandError::Usage(_),
        ) => Code::Failed,
    }
}
