//! What a [`Run`](super::Run) is told, and what it wants done. Data only.

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

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Begin; the engine's notices are listened to. The first input, once.
    Begin,
    /// The engine's notices cannot be listened to: instead of [`Input::Begin`].
    WatchFailed(EngineError),
    /// An action ended.
    ActionFinished(StepId, Result<(), EngineError>),
    /// An action tells what it is at.
    ActionProgress(StepId, Progress),
    /// A probe or check was answered.
    ProbeAnswered {
        /// The gate's or the check's step.
        step: StepId,
        /// Its place among the gate's probes.
        question: usize,
        /// What came back.
        answer: ProbeResult,
    },
    /// A container was looked at; `None`: it could not be.
    Inspected(StepId, Option<Inspection>),
    /// No client is connected to a container any longer.
    ClientsGone(StepId),
    /// A record was written, or could not be: answers come in the order of the records.
    JournalWritten(Result<(), EngineError>),
    /// A sleep is over.
    TimerFired(TimerId),
    /// Something happened to a container.
    ContainerEvent(ContainerEvent),
    /// Notices were lost for a while, and are listened to again.
    WatchResumed,
    /// Somebody asks the run to stop; a second time later on, to stop at once.
    Interrupted,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write this down; then [`Input::Recorded`]. What it speaks of is asked for only then.
    WriteJournal(Box<JournalRecord>),
    /// Perform this action; then [`Input::Finished`].
    Perform(StepId, Action),
    /// Ask this container; then [`Input::Answered`].
    Probe {
        /// The gate's step.
        step: StepId,
        /// Its place among the gate's probes.
        question: usize,
        /// Which container.
        container: ContainerName,
        /// What it is asked.
        probe: Probe,
        /// The most that the answer may take.
        patience: Duration,
    },
    /// Make this check; then [`Input::Answered`] with question 0.
    Check {
        /// The check's step.
        step: StepId,
        /// The container that is meant, where one is.
        container: Option<ContainerName>,
        /// What is checked.
        check: Check,
        /// The most that the answer may take.
        patience: Duration,
    },
    /// Look how this container does; then [`Input::Examined`].
    Inspect(StepId, ContainerName),
    /// Wait until no client is connected to this container; then [`Input::ClientsGone`].
    AwaitClientsGone {
        /// The draining step.
        step: StepId,
        /// Whose clients.
        container: ContainerName,
        /// A connection that has been idle for so long is not counted.
        idle: Duration,
    },
    /// Wait for so long; then [`Input::Elapsed`].
    StartTimer(TimerId, Duration),
    /// Call off whatever goes on for this step: nothing of it is waited for any more.
    Cancel(StepId),
    /// Tell this to whom it may concern.
    Emit(Event),
    /// The run is over. The last effect.
    Finish(RunSummary),
}

/// What is slept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerId {
    /// A gate or check sleeps.
    Step(StepId, GateTimer),
    /// What is left ends by itself.
    Drain(StepId),
    /// Before an action is tried again.
    Retry(StepId),
    /// All gates have to stay green.
    Stabilization,
    /// The longest that the whole may take.
    Deadline,
}

impl TimerId {
    /// The step it belongs to, if it is one's.
    #[must_use]
    pub fn step(self) -> Option<StepId> {
        match self {
            Self::Step(step, _) | Self::Drain(step) | Self::Retry(step) => Some(step),
            Self::Stabilization | Self::Deadline => None,
        }
    }
}
