//! Where a run is, and what it waits to be told. Data only.

use std::time::Duration;

use super::gate::Wait;
use crate::plan::{Action, StepId};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    Idle,
    /// Begun; what it is about to do is being written down.
    Opening,
    /// On its way to the new generation.
    Forward,
    /// Every step is done; waiting whether all stays well. `over`: for long enough.
    Settling { over: bool },
    /// Everything is asked and looked at once more, all at the same time.
    Confirming,
    /// All is proven; the commit is being written down.
    Committing,
    /// Committed; what is not needed any more goes.
    Cleanup,
    /// It failed; what is in flight is waited for.
    Draining,
    /// On its way to the old generation.
    Back,
    /// Nothing happens any more.
    Over,
}

/// What waits for a record.
#[derive(Debug)]
pub(super) enum Awaited {
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
pub(super) enum Course {
    /// To the new generation.
    Forward,
    /// To the old one, as an earlier run was cut off; why.
    Back(String),
    /// On from the commit of an earlier run that was cut off.
    Onward,
}

/// Why a container is looked at.
#[derive(Debug)]
pub(super) enum Inquiry {
    /// Its gate failed: the report needs it.
    Report(Box<FailedWait>),
    /// It seems to have ended while its gate was open.
    Suspicion,
    /// It seems to have ended, or is unwell for this reason, after its gate had passed. `renewed`:
    /// something happened to it since it is looked at.
    Relapse { why: Option<String>, renewed: bool },
}

/// A gate or check that failed.
#[derive(Debug)]
pub(super) struct FailedWait {
    pub wait: Wait,
    /// In a fragment.
    pub why: String,
    /// Since it was opened.
    pub after: Duration,
}
