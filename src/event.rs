//! The events of a run, for people and machines.
//!
//! Events are the only interface between the executor and the reporters. They carry the time since
//! the start of the run, serialise as one JSON object each, and contain no secret value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::plan::Change;
use crate::{
    name::{ContainerName, ProjectName, ServiceName},
    plan::{Reason, StepId, Subject},
    state::ContainerStatus,
};

/// Version of the event stream. Incremented when a field changes its meaning or is removed.
pub const VERSION: u32 = 2;

/// Prefix of the verb of a run on a simulated engine.
pub const SIMULATED: &str = "simulate ";

/// Returns the verb of a run without the [`SIMULATED`] prefix.
#[must_use]
pub fn plain(verb: &str) -> &str {
    verb.strip_prefix(SIMULATED).unwrap_or(verb)
}

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventEnvelope {
    /// Always [`VERSION`].
    pub v: u32,
    /// Time since the start of the run, in seconds.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// The event happened on a simulated engine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The event itself.
    #[serde(flatten)]
    pub event: Event,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run has started. The first event.
    RunStarted {
        /// The project.
        project: ProjectName,
        /// Verb of the command: `up`, `down`, `build`, …
        verb: String,
        /// All services of the project in dependency order, including the unchanged ones.
        services: Vec<ServiceSummary>,
        /// Purpose of the run.
        #[serde(default, skip_serializing_if = "Purpose::is_project")]
        purpose: Purpose,
    },
    /// After images were built and pulled, the changes differ from those in [`Event::RunStarted`].
    Replanned {
        /// All services of the project in dependency order, as in [`Event::RunStarted`].
        services: Vec<ServiceSummary>,
    },
    /// The action of a step has started.
    StepStarted {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Verb of the action, for example `creating container`.
        verb: String,
        /// Name of the object on the engine.
        object: String,
        /// Reason for the step.
        reason: Reason,
    },
    /// The action of a step has succeeded.
    StepFinished {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Verb of the action, for example `creating container`.
        verb: String,
        /// Duration of the step, in seconds.
        #[serde(with = "seconds")]
        elapsed: Duration,
    },
    /// The action of a step has failed.
    StepFailed {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Verb of the action, for example `creating container`.
        verb: String,
        /// Name of the object on the engine.
        object: String,
        /// Error message, with help if there is any.
        failure: Failure,
        /// The run continues despite the failure.
        non_fatal: bool,
    },
    /// Progress of a long action. May be dropped.
    Progress {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Current progress.
        progress: Progress,
    },
    /// A gate has been opened and is being probed.
    ReadinessStarted {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Probes of the gate (`http 3001 /health`).
        probes: Vec<String>,
        /// Timeout of the gate, in seconds.
        #[serde(with = "seconds")]
        timeout: Duration,
    },
    /// The result of a probe differs from its last one. May be dropped.
    ProbeResult {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Text of the probe.
        probe: String,
        /// Result of the probe.
        answer: String,
        /// Number of attempts so far.
        attempts: u32,
    },
    /// A gate has passed.
    Ready {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Time since the gate was opened, in seconds.
        #[serde(with = "seconds")]
        elapsed: Duration,
    },
    /// A gate has failed.
    ReadinessFailed {
        /// Step id.
        step: StepId,
        /// Service or resource that the step is for.
        subject: Subject,
        /// Report about the failed gate.
        report: Box<GateReport>,
        /// The run continues despite the failure.
        non_fatal: bool,
    },
    /// Every gate has passed. All containers have to stay ready for the stabilization window.
    Stabilizing {
        /// Length of the stabilization window, in seconds.
        #[serde(rename = "for", with = "seconds")]
        duration: Duration,
    },
    /// A container exited or became unhealthy after its gate had passed.
    UnhealthyAfterReady {
        /// Service of the container.
        subject: Subject,
        /// Report about the container.
        report: Box<GateReport>,
    },
    /// The run was asked to stop.
    Interrupted {
        /// How the run responds.
        #[serde(default)]
        response: Response,
    },
    /// The rollback has started.
    RollbackStarted {
        /// Cause of the rollback, as a sentence fragment.
        cause: String,
    },
    /// The new generation is the current one. It is no longer rolled back.
    Committed,
    /// A part of the new generation is the current one, and the rest was rolled back. The committed
    /// part is no longer rolled back.
    PartiallyCommitted {
        /// Services of the new generation.
        committed: Vec<ServiceName>,
        /// Services that were rolled back.
        rolled_back: Vec<ServiceName>,
    },
    /// A warning for the user.
    Warning {
        /// Warning, as a lower-case sentence fragment.
        text: String,
    },
    /// The run has finished. The last event.
    RunFinished {
        /// Outcome of the run.
        outcome: Outcome,
        /// Duration of the whole run, in seconds.
        #[serde(with = "seconds")]
        elapsed: Duration,
        /// Critical path: the chain of steps that determined the duration.
        critical_path: Vec<PathSegment>,
        /// Volumes that a failed deploy created and that are kept.
        retained_volumes: Vec<String>,
        /// Containers that failed and are kept, stopped, for inspection.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retained_containers: Vec<ContainerName>,
        /// Volumes that were restored to their content before the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        restored_volumes: Vec<String>,
        /// Jobs that were started and whose changes were not undone, because the manifest declares
        /// them irreversible.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        irreversible_jobs: Vec<ServiceName>,
        /// Cause of the failure, as a sentence fragment; `None` if the run reached its goal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// Changes that were not rolled back or resources that were not cleaned up, each as a
        /// sentence fragment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unfinished: Vec<String>,
        /// The journal is open: a recovery continues from here.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recoverable: bool,
    },
}

impl Event {
    /// Returns the step id of the event, if it has one.
    pub fn step_mut(&mut self) -> Option<&mut StepId> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepFinished { step, .. }
            | Self::StepFailed { step, .. }
            | Self::Progress { step, .. }
            | Self::ReadinessStarted { step, .. }
            | Self::ProbeResult { step, .. }
            | Self::Ready { step, .. }
            | Self::ReadinessFailed { step, .. } => Some(step),
            Self::RunStarted { .. }
            | Self::Replanned { .. }
            | Self::Stabilizing { .. }
            | Self::UnhealthyAfterReady { .. }
            | Self::Interrupted { .. }
            | Self::RollbackStarted { .. }
            | Self::Committed
            | Self::PartiallyCommitted { .. }
            | Self::Warning { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// A service as reporters need it before the run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Name of the service.
    pub service: ServiceName,
    /// The service is a job.
    pub job: bool,
    /// Number of containers.
    pub replicas: u32,
    /// Change of the service.
    pub change: Change,
    /// Services that the service waits for.
    pub depends_on: Vec<ServiceName>,
    /// Change of each container; empty if it is the same for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Replica>,
}

/// A container of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Change of the container.
    pub change: Change,
}

/// Purpose of a run, besides its verb.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Purpose {
    /// The whole project.
    #[default]
    Project,
    /// Only the services that were named on the command line.
    Services,
    /// The rollback of a deploy that was interrupted.
    RollBack {
        /// Number of the deploy.
        deploy: u64,
    },
    /// The rest of a deploy that was interrupted after its commit.
    Finish {
        /// Number of the deploy.
        deploy: u64,
    },
}

impl Purpose {
    /// Whether the purpose is the default, [`Purpose::Project`].
    #[must_use]
    pub fn is_project(&self) -> bool {
        *self == Self::Project
    }
}

/// A failure message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Error, as a lower-case sentence fragment.
    pub message: String,
    /// How to fix the failure, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Last lines of output of the failed action, for example of a build step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// Report about a failed gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Container of the gate.
    pub container: ContainerName,
    /// Cause of the failure, as a sentence fragment (`not ready within 60 s`, `exited with code
    /// 3`).
    pub cause: String,
    /// Time since the gate was opened, in seconds.
    #[serde(with = "seconds")]
    pub after: Duration,
    /// Each probe with its last result and its number of attempts.
    pub answers: Vec<LastAnswer>,
    /// Status of the container; `None` if it could not be inspected.
    pub condition: Option<ContainerStatus>,
    /// Last lines of the container's log since its last start, each as an [`excerpt`].
    pub log: Vec<String>,
    /// Why the log could not be read, as a sentence fragment; `None` if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// How to fix the failure, if known; each a sentence fragment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

/// Maximum number of characters that an event or a report repeats of a line from another program.
const EXCERPT: usize = 400;
/// Lines that are longer by up to this number of characters are not shortened, so that an excerpt
/// of an excerpt stays the same.
const SLACK: usize = 40;

/// Shortens a line from another program. Returns its beginning, followed by its total length if it
/// was shortened.
#[must_use]
pub fn excerpt(line: &str) -> String {
    let total = line.chars().count();
    if total <= EXCERPT + SLACK {
        return line.to_owned();
    }
    let kept: String = line.chars().take(EXCERPT).collect();
    // A truncated escape sequence would swallow the text that follows it.
    let kept = match kept.rfind('\u{1b}') {
        Some(escape) if kept.len() - escape < SLACK => &kept[..escape],
        _ => &kept,
    };
    format!("{kept}… ({total} characters)")
}

/// The last result of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// Text of the probe, for example `http 3001 /health`.
    pub probe: String,
    /// Result of the last attempt.
    pub answer: String,
    /// Number of attempts.
    pub attempts: u32,
    /// The probe has passed.
    pub passed: bool,
}

/// Progress of a long action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "kebab-case")]
pub enum Progress {
    /// A build step has started, progressed or ended.
    BuildStep {
        /// Identifier of the step within its build.
        digest: String,
        /// Name of the step, for example `[backend build 3/7] RUN npm ci`.
        name: String,
        /// State of the step.
        state: BuildStepState,
    },
    /// Output of a build step.
    BuildOutput {
        /// Identifier of the step within its build.
        digest: String,
        /// One line of output.
        line: String,
    },
    /// Download of the layers of an image.
    Pull {
        /// Bytes that have been downloaded.
        done: u64,
        /// Total number of bytes, as far as known.
        total: u64,
        /// Number of complete layers.
        layers_done: u32,
        /// Total number of layers.
        layers: u32,
    },
    /// Upload of a build context.
    Context {
        /// Bytes that have been sent.
        sent: u64,
    },
}

/// State of a build step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildStepState {
    /// The step is running.
    Running,
    /// The result was already in the build cache.
    Cached,
    /// The step succeeded, after this number of seconds.
    Done(f64),
    /// The step failed.
    Failed,
}

/// Outcome of a run. Determines the exit code (see `exit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The project was changed as requested.
    Converged,
    /// No change was necessary.
    Unchanged,
    /// Refused, or failed before any running container was changed.
    Aborted,
    /// Failed; the old state is restored and healthy.
    RolledBack,
    /// Interrupted; the old state is restored and healthy.
    Cancelled,
    /// The deploy failed and its rollback failed too. An operator is needed.
    RollbackFailed,
    /// Interrupted again during the rollback. `recover` continues from there.
    RollbackInterrupted,
    /// A removal did not remove everything, because of a failure or an interruption.
    RemovalIncomplete,
}

/// How a run responds to a request to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It ends when the running actions have ended. Nothing is rolled back.
    #[default]
    Stop,
    /// It rolls back, or is already rolling back.
    RollBack,
    /// It is committed, and finishes.
    Finish,
    /// It ends at once. `recover` continues from there.
    Leave,
}

/// A segment of the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSegment {
    /// Service or resource that the step was for.
    pub subject: Subject,
    /// Verb of the step, for example `starting container` or `waiting until ready`.
    pub verb: String,
    /// Duration of the step, in seconds.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
}

/// Serialises durations as seconds with millisecond precision.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::cast_precision_loss, reason = "a run takes less than 2^52 ms")]
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_millis() as f64 / 1000.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_keeps_start_and_length_of_long_line() {
        let short = "x".repeat(EXCERPT);
        assert_eq!(excerpt(&short), short);
        let long = excerpt(&"ä".repeat(313_000));
        assert!(long.starts_with("ää"), "{long}");
        assert!(long.ends_with("ä… (313000 characters)"), "{long}");
        assert_eq!(excerpt(&long), long);
    }

    #[test]
    fn excerpt_does_not_split_escape_sequence() {
        let line = format!(
            "{}\u{1b}[31mred{}",
            "x".repeat(EXCERPT - 2),
            "x".repeat(SLACK)
        );
        assert!(
            excerpt(&line).ends_with("x… (446 characters)"),
            "{}",
            excerpt(&line)
        );
    }
}
