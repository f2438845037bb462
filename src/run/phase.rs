//! Where a run is, and what it waits to be told. Data only.

use std::time::Duration;

use super::gate::GateMachine;
use crate::plan::{Action, StepId};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    Created,
    /// Begun; what it is about to do is being written down.
    OpeningJournal,
    /// On its way to the new generation.
    Deploying,
    /// Every step is done; waiting whether all stays well. `over`: for long enough.
    Stabilizing { over: bool },
    /// Everything is asked and looked at once more, all at the same time.
    Confirming,
    /// All is proven; the commit is being written down.
    Committing,
    /// Committed; what is not needed any more goes.
    CleaningUp,
    /// It failed; what is in flight is waited for.
    Aborting,
    /// On its way to the old generation.
    RollingBack,
    /// Nothing happens any more.
    Finished,
}

/// What waits for a record.
#[derive(Debug)]
pub(super) enum PendingRecord {
    /// The run itself.
    Opening,
    /// Steps that were begun, with what each does.
    Steps(Vec<(StepId, Action)>),
    /// The commit.
    Commit,
    /// Nothing.
    Nothing,
}

/// Which way a run takes from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// To the new generation.
    Deploy,
    /// To the old one, as an earlier run was cut off; why.
    Rollback(String),
    /// On from the commit of an earlier run that was cut off.
    RollForward,
}

/// Why a container is looked at.
#[derive(Debug)]
pub(super) enum InspectReason {
    /// Its gate failed: the report needs it.
    FailureReport(Box<FailedGate>),
    /// It seems to have ended while its gate was open.
    PossibleExit,
    /// It seems to have ended, or is unwell for this reason, after its gate had passed. `renewed`:
    /// something happened to it since it is looked at.
    PostReadyCheck { why: Option<String>, renewed: bool },
}

/// A gate or check that failed.
#[derive(Debug)]
pub(super) struct FailedGate {
    pub wait: GateMachine,
    /// In a fragment.
    pub why: String,
    /// Since it was opened.
    pub after: Duration,
}
