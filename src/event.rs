//! The vocabulary of runs: what happened, for people and machines.
//!
//! Events are the only thing that the executor and the reporters share. They carry the run's own
//! clock, serialise as one JSON object each, and hold no secret value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::plan::Change;
use crate::{
    name::{ContainerName, ProjectName, ServiceName},
    plan::{Reason, StepId, Subject},
    state::ContainerStatus,
};

/// Version of the event stream; raised when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// In front of the verb of a run that takes place on a simulated engine.
pub const REHEARSED: &str = "rehearse ";

/// The verb of a run, wherever that takes place.
#[must_use]
pub fn plain(verb: &str) -> &str {
    verb.strip_prefix(REHEARSED).unwrap_or(verb)
}

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventEnvelope {
    /// [`VERSION`].
    pub v: u32,
    /// Since the start of the run.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// It happened on a simulated engine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins. The first event.
    RunStarted {
        /// The project.
        project: ProjectName,
        /// `up`, `down`, `build`, …
        verb: String,
        /// All services of the project in dependency order, with those that nothing happens to.
        services: Vec<ServiceSummary>,
        /// What the run is for.
        #[serde(default, skip_serializing_if = "Purpose::is_project")]
        purpose: Purpose,
    },
    /// With the images built and pulled, other things happen than [`Event::RunStarted`] says.
    Replanned {
        /// As there.
        services: Vec<ServiceSummary>,
    },
    /// A step's action begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// `creating container`, …
        verb: String,
        /// Its object's name on the engine.
        object: String,
        /// Why.
        reason: Reason,
    },
    /// A step's action is done.
    StepFinished {
        /// Which.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// `creating container`, …
        verb: String,
        /// How long it took.
        #[serde(with = "seconds")]
        elapsed: Duration,
    },
    /// A step's action failed.
    StepFailed {
        /// Which.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// `creating container`, …
        verb: String,
        /// Its object's name on the engine.
        object: String,
        /// Why, and what to do where that is known.
        failure: Failure,
        /// The run goes on all the same.
        non_fatal: bool,
    },
    /// What a long action is at. May be dropped.
    Progress {
        /// Which step.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// Where it stands.
        progress: Progress,
    },
    /// A gate is being asked from now on.
    ReadinessStarted {
        /// Which step.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// Its probes (`http 3001 /health`).
        probes: Vec<String>,
        /// The deadline.
        #[serde(with = "seconds")]
        timeout: Duration,
    },
    /// A probe got an answer that differs from its last one. May be dropped.
    ProbeResult {
        /// Which step.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// The probe.
        probe: String,
        /// What came back.
        answer: String,
        /// How often it has been asked.
        attempts: u32,
    },
    /// A gate has passed.
    Ready {
        /// Which step.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// Since the gate was opened.
        #[serde(with = "seconds")]
        elapsed: Duration,
    },
    /// A gate has failed.
    ReadinessFailed {
        /// Which step.
        step: StepId,
        /// Whom it is for.
        subject: Subject,
        /// All that is known.
        report: Box<GateReport>,
        /// The run goes on all the same.
        non_fatal: bool,
    },
    /// Every gate has passed and has to stay green for so long.
    Stabilizing {
        /// How long.
        #[serde(rename = "for", with = "seconds")]
        duration: Duration,
    },
    /// A container of the new generation ended or became unhealthy after its gate had passed.
    UnhealthyAfterReady {
        /// Whose.
        subject: Subject,
        /// All that is known.
        report: Box<GateReport>,
    },
    /// Somebody asked the run to stop.
    Interrupted {
        /// What the run does about it.
        #[serde(default)]
        response: Response,
    },
    /// From here on the run goes back.
    RollbackStarted {
        /// In a sentence fragment.
        cause: String,
    },
    /// The new generation is the current one; nothing goes back from here.
    Committed,
    /// A part of the new generation is the current one, and the rest is as it was; nothing goes
    /// back from here.
    PartiallyCommitted {
        /// Services that are new.
        committed: Vec<ServiceName>,
        /// Services that are as they were before.
        rolled_back: Vec<ServiceName>,
    },
    /// Something a person should know.
    Warning {
        /// A lower-case fragment.
        text: String,
    },
    /// The last event.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// The whole run.
        #[serde(with = "seconds")]
        elapsed: Duration,
        /// The chain of steps that the end waited for.
        critical_path: Vec<PathSegment>,
        /// Volumes that a failed deploy made and that are kept.
        retained_volumes: Vec<String>,
        /// Containers that failed and are kept, stopped, for somebody to look at.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retained_containers: Vec<ContainerName>,
        /// Volumes that hold again what they held before the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        restored_volumes: Vec<String>,
        /// Jobs that were started and whose deeds were not undone, as the manifest says of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        irreversible_jobs: Vec<ServiceName>,
        /// Why it did not get to where it was to, in a fragment; `None`: it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// What was not brought back or not cleaned up, each in a fragment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unfinished: Vec<String>,
        /// Its journal is open: a recovery goes on from here.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recoverable: bool,
    },
}

impl Event {
    /// The step that it is about, if it is about one.
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

/// A service as a reporter needs to know it before anything happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Its name.
    pub service: ServiceName,
    /// It is a job.
    pub job: bool,
    /// How many containers.
    pub replicas: u32,
    /// What happens to it, in a word.
    pub change: Change,
    /// Services that it waits for.
    pub depends_on: Vec<ServiceName>,
    /// What happens to each of its containers; empty: the same to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Replica>,
}

/// A container of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Counted from 1.
    pub replica: u32,
    /// What happens to it.
    pub change: Change,
}

/// What a run is for, besides its verb.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Purpose {
    /// The project.
    #[default]
    Project,
    /// Only the services that were named.
    Services,
    /// The rollback of a deploy that was interrupted.
    RollBack {
        /// Its number.
        deploy: u64,
    },
    /// The rest of a deploy that was interrupted after its commit.
    Finish {
        /// Its number.
        deploy: u64,
    },
}

impl Purpose {
    /// Whether it is the one that goes without saying.
    #[must_use]
    pub fn is_project(&self) -> bool {
        *self == Self::Project
    }
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A lower-case fragment.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The last lines of what was going on (a build step's output).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// All that is known about a gate that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// The container.
    pub container: ContainerName,
    /// Why the wait ended, in a fragment (`not ready within 60 s`, `exited with code 3`).
    pub cause: String,
    /// Since the gate was opened.
    #[serde(with = "seconds")]
    pub after: Duration,
    /// Each probe with its last answer and how often it was asked.
    pub answers: Vec<LastAnswer>,
    /// How the container does, if the engine could tell.
    pub condition: Option<ContainerStatus>,
    /// The last lines of the container's log of this start, each as an [`excerpt`].
    pub log: Vec<String>,
    /// Why its log could not be read, in a fragment; `None`: it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What a person can do about it, where that is known; each a fragment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

/// The most characters of a line that somebody else wrote which an event or a report repeats.
const EXCERPT: usize = 400;
/// As much more is repeated rather than replaced by its size, so that an excerpt of an excerpt is
/// the same.
const SLACK: usize = 40;

/// The beginning of a line that somebody else wrote, and how long the line is where that is not
/// all of it.
#[must_use]
pub fn excerpt(line: &str) -> String {
    let total = line.chars().count();
    if total <= EXCERPT + SLACK {
        return line.to_owned();
    }
    let kept: String = line.chars().take(EXCERPT).collect();
    // An escape sequence that is cut in two would swallow what follows it.
    let kept = match kept.rfind('\u{1b}') {
        Some(escape) if kept.len() - escape < SLACK => &kept[..escape],
        _ => &kept,
    };
    format!("{kept}… ({total} characters)")
}

/// The last answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// `http 3001 /health`.
    pub probe: String,
    /// What came back.
    pub answer: String,
    /// How often it was asked.
    pub attempts: u32,
    /// It had passed.
    pub passed: bool,
}

/// Where a long action stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "kebab-case")]
pub enum Progress {
    /// A step of a build began, moved on or ended.
    BuildStep {
        /// Identifies the step inside its build.
        digest: String,
        /// `[backend build 3/7] RUN npm ci`.
        name: String,
        /// How it does.
        state: BuildStepState,
    },
    /// Output of a build step.
    BuildOutput {
        /// The step.
        digest: String,
        /// One line.
        line: String,
    },
    /// Layers of an image on their way.
    Pull {
        /// Bytes that have arrived.
        done: u64,
        /// Bytes in all, as far as known.
        total: u64,
        /// Layers that are complete.
        layers_done: u32,
        /// Layers in all.
        layers: u32,
    },
    /// A build's context on its way.
    Context {
        /// Bytes that were sent.
        sent: u64,
    },
}

/// How a step of a build does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildStepState {
    /// It runs.
    Running,
    /// It took nothing: its result was there.
    Cached,
    /// It is done, after so many seconds.
    Done(f64),
    /// It failed.
    Failed,
}

/// How a run ended. The exit code says the same (see `exit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As asked for, with changes.
    Converged,
    /// There was nothing to do.
    Unchanged,
    /// Refused or failed before anything that runs was touched.
    Aborted,
    /// Failed, and the old state is back and healthy.
    RolledBack,
    /// Interrupted, and the old state is back and healthy.
    Cancelled,
    /// Failed, and the way back failed too: an operator is needed.
    RollbackFailed,
    /// Interrupted again while it rolled back: `recover` goes on from there.
    RollbackInterrupted,
    /// A removal that could not remove everything, or was interrupted before it had.
    RemovalIncomplete,
}

/// What a run does when somebody asks it to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It ends as soon as what is under way has ended; nothing is rolled back.
    #[default]
    Stop,
    /// It rolls back, or does so already.
    RollBack,
    /// It is committed, and finishes.
    Finish,
    /// It ends at once: `recover` goes on from there.
    Leave,
}

/// A part of the chain that the end waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSegment {
    /// Whom it was for.
    pub subject: Subject,
    /// `starting container`, `waiting until ready`, …
    pub verb: String,
    /// How long it took.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
}

/// Durations as seconds with a fraction, in milliseconds' precision.
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
    fn long_line_becomes_its_beginning_and_its_length() {
        let short = "x".repeat(EXCERPT);
        assert_eq!(excerpt(&short), short);
        let long = excerpt(&"ä".repeat(313_000));
        assert!(long.starts_with("ää"), "{long}");
        assert!(long.ends_with("ä… (313000 characters)"), "{long}");
        assert_eq!(excerpt(&long), long);
    }

    #[test]
    fn escape_sequence_is_not_cut_in_two() {
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
