//! The phases of a run, and the results it waits for. Data only.

use std::time::Duration;

use super::gate::GateMachine;
use crate::plan::{Action, StepId};

/// Current phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not started.
    Created,
    /// Started; the plan is being recorded in the journal.
    OpeningJournal,
    /// Deploying the new generation.
    Deploying,
    /// Every step is done; the run waits for the stabilization window. `over`: the window has
    /// passed.
    Stabilizing { over: bool },
    /// Probing all gates and inspecting all containers once more, concurrently.
    Confirming,
    /// Confirmed; the commit is being recorded.
    Committing,
    /// Committed; replaced resources are being removed.
    CleaningUp,
    /// Failed; waiting for running actions.
    Aborting,
    /// Rolling back to the old generation.
    RollingBack,
    /// Finished; further inputs are ignored.
    Finished,
}

/// Work that waits for a journal record.
#[derive(Debug)]
pub(super) enum PendingRecord {
    /// Start of the run.
    Opening,
    /// Start of steps, with their actions.
    Steps(Vec<(StepId, Action)>),
    /// The commit.
    Commit,
    /// No work.
    Nothing,
}

/// Direction of a run from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Deploy the new generation.
    Deploy,
    /// Roll back an interrupted deploy, for this reason.
    Rollback(String),
    /// Complete an interrupted deploy after its commit.
    RollForward,
}

/// Why a container is inspected.
#[derive(Debug)]
pub(super) enum InspectReason {
    /// The gate failed, and the report needs the container's status.
    FailureReport(Box<FailedGate>),
    /// The container may have exited while its gate was open.
    PossibleExit,
    /// The container may have exited, or is unhealthy for the reason `why`, after its gate had
    /// passed. `renewed`: another event arrived since the inspection began.
    PostReadyCheck { why: Option<String>, renewed: bool },
}

/// A failed gate or check.
#[derive(Debug)]
pub(super) struct FailedGate {
    pub wait: GateMachine,
    /// Cause, as a sentence fragment.
    pub why: String,
    /// Time since the gate was opened.
    pub after: Duration,
}
