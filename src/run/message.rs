//! The inputs and effects of a [`Run`](super::Run). Data only.

use std::time::Duration;

use super::{gate::GateTimer, summary::RunSummary};
use crate::{
    engine::{ContainerEvent, EngineError, Inspection, ProbeResult},
    event::{Event, Progress},
    journal::JournalRecord,
    name::ContainerName,
    plan::{Action, StepId},
    project::{Check, Probe},
};

/// An input of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Start the run; the event subscription is active. Sent once, as the first input.
    Begin,
    /// The event subscription failed. Sent instead of [`Input::Begin`].
    WatchFailed(EngineError),
    /// An action finished.
    ActionFinished(StepId, Result<(), EngineError>),
    /// An action reported progress.
    ActionProgress(StepId, Progress),
    /// A probe or check returned a result.
    ProbeAnswered {
        /// Step of the gate or check.
        step: StepId,
        /// Index of the probe among the gate's probes.
        question: usize,
        /// Result of the probe.
        answer: ProbeResult,
    },
    /// Result of an inspection; `None` if the container could not be inspected.
    Inspected(StepId, Option<Inspection>),
    /// No client is connected to the container of the step.
    ClientsGone(StepId),
    /// Result of a journal write. Results arrive in the order of the records.
    JournalWritten(Result<(), EngineError>),
    /// A timer fired.
    TimerFired(TimerId),
    /// A container event of the engine.
    ContainerEvent(ContainerEvent),
    /// The event subscription is active again after it was lost. Events may be missing.
    WatchResumed,
    /// A request to stop the run. A later second request stops it at once.
    Interrupted,
}

/// An effect to perform. Effects are performed in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write this journal record; then [`Input::JournalWritten`]. The run requests the recorded
    /// steps only after that.
    WriteJournal(Box<JournalRecord>),
    /// Perform this action; then [`Input::ActionFinished`].
    Perform(StepId, Action),
    /// Probe this container; then [`Input::ProbeAnswered`].
    Probe {
        /// Step of the gate.
        step: StepId,
        /// Index of the probe among the gate's probes.
        question: usize,
        /// Container to probe.
        container: ContainerName,
        /// Probe to run.
        probe: Probe,
        /// Timeout of the probe.
        patience: Duration,
    },
    /// Run this check; then [`Input::ProbeAnswered`] with index 0.
    Check {
        /// Step of the check.
        step: StepId,
        /// Container that the check is about, if there is one.
        container: Option<ContainerName>,
        /// Check to run.
        check: Check,
        /// Timeout of the check.
        patience: Duration,
    },
    /// Inspect this container; then [`Input::Inspected`].
    Inspect(StepId, ContainerName),
    /// Wait until no client is connected to this container; then [`Input::ClientsGone`].
    AwaitClientsGone {
        /// Step that drains the container.
        step: StepId,
        /// Container to drain.
        container: ContainerName,
        /// Connections that have been idle for this time are not counted. `None`: all are counted.
        idle: Option<Duration>,
    },
    /// Start a timer; then [`Input::TimerFired`].
    StartTimer(TimerId, Duration),
    /// Cancel all tasks and timers of this step. Their results are ignored.
    Cancel(StepId),
    /// Report this event.
    Emit(Event),
    /// The run is finished. The last effect.
    Finish(RunSummary),
}

/// A timer of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerId {
    /// Timer of a gate or check.
    Step(StepId, GateTimer),
    /// End of the drain time of a step.
    Drain(StepId),
    /// Retry of an action.
    Retry(StepId),
    /// End of the stabilization window.
    Stabilization,
    /// Deadline of the deploy.
    Deadline,
}

impl TimerId {
    /// Returns the step that the timer belongs to; `None` for a timer of the whole run.
    #[must_use]
    pub fn step(self) -> Option<StepId> {
        match self {
            Self::Step(step, _) | Self::Drain(step) | Self::Retry(step) => Some(step),
            Self::Stabilization | Self::Deadline => None,
        }
    }
}
