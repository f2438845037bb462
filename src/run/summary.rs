//! How a run ended, and why. Data only; the exit code is made of it in `exit`.

use std::time::Duration;

use thiserror::Error;

use super::gate::shown;
use crate::{
    engine::EngineError,
    event::{Outcome, PathSegment},
    name::{ContainerName, ServiceName},
    plan::PartialCommit,
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// In a word.
    pub outcome: Outcome,
    /// The whole run.
    pub elapsed: Duration,
    /// Why it did not get to where it was to; `None`: it did.
    pub cause: Option<Cause>,
    /// What was not brought back (verdict `Stuck`) or not cleaned up, each in a fragment.
    pub unfinished: Vec<String>,
    /// The chain of steps that the end waited for.
    pub critical_path: Vec<PathSegment>,
    /// Volumes that a failed first deploy made and that are kept, by name on the engine.
    pub retained_volumes: Vec<String>,
    /// Containers that failed and are kept, stopped.
    pub retained_containers: Vec<ContainerName>,
    /// Who stays and who went back, where only a part went back.
    pub split: Option<PartialCommit>,
    /// Volumes that hold again what they held before, by name on the engine.
    pub restored_volumes: Vec<String>,
    /// Jobs that were started and whose deeds were not undone.
    pub irreversible_jobs: Vec<ServiceName>,
    /// Somebody asked it to stop, whether it could or not.
    pub interrupted: bool,
}

/// Why a run did not get to where it was to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cause {
    /// An action failed.
    #[error("{verb} `{object}` failed: {error}")]
    Step {
        /// `creating container`.
        verb: String,
        /// On the engine.
        object: String,
        /// Why.
        error: EngineError,
    },
    /// A container did not become ready.
    #[error("`{container}` did not become ready: {why}")]
    Gate {
        /// Which.
        container: ContainerName,
        /// In a fragment.
        why: String,
    },
    /// A check of the whole did not pass.
    #[error("the check `{check}` failed: {why}")]
    Check {
        /// Which.
        check: String,
        /// In a fragment.
        why: String,
    },
    /// A container that had become ready did not stay so.
    #[error("`{container}` did not stay ready: {why}")]
    UnhealthyAfterReady {
        /// Which.
        container: ContainerName,
        /// In a fragment.
        why: String,
    },
    /// The whole took longer than it may.
    #[error("not done within {}", shown(*.0))]
    Deadline(Duration),
    /// What was to be done could not be written down.
    #[error("{0}")]
    Journal(EngineError),
    /// The engine does not tell what happens to containers.
    #[error("cannot listen to the engine: {0}")]
    WatchFailed(EngineError),
    /// Somebody asked for it.
    #[error("interrupted")]
    Interrupted,
}
