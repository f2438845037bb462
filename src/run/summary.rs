//! The result of a run, and its cause. Data only. The exit code is derived from it in `exit`.

use std::time::Duration;

use thiserror::Error;

use super::gate::shown;
use crate::{
    engine::EngineError,
    event::{Outcome, PathSegment},
    name::{ContainerName, ServiceName},
    plan::PartialCommit,
};

/// Result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Duration of the whole run.
    pub elapsed: Duration,
    /// Cause of the failure; `None` if the run reached its goal.
    pub cause: Option<Cause>,
    /// Changes that were not rolled back (outcome `RollbackFailed`) or resources that were not
    /// cleaned up, each as a sentence fragment.
    pub unfinished: Vec<String>,
    /// Critical path: the chain of steps that determined the duration.
    pub critical_path: Vec<PathSegment>,
    /// Volumes that a failed first deploy created and that are kept, by name on the engine.
    pub retained_volumes: Vec<String>,
    /// Containers that failed and are kept, stopped.
    pub retained_containers: Vec<ContainerName>,
    /// Committed and rolled back services, if the deploy was only partly rolled back.
    pub split: Option<PartialCommit>,
    /// Volumes that were restored to their content before the run, by name on the engine.
    pub restored_volumes: Vec<String>,
    /// Jobs that were started and whose changes were not undone.
    pub irreversible_jobs: Vec<ServiceName>,
    /// The run was asked to stop, whether or not it could.
    pub interrupted: bool,
}

/// Why a run did not reach its goal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cause {
    /// An action failed.
    #[error("{verb} `{object}` failed: {error}")]
    Step {
        /// Verb of the action, for example `creating container`.
        verb: String,
        /// Name of the object on the engine.
        object: String,
        /// Error of the engine.
        error: EngineError,
    },
    /// A container did not become ready.
    #[error("`{container}` did not become ready: {why}")]
    Gate {
        /// Container of the gate.
        container: ContainerName,
        /// Reason, as a sentence fragment.
        why: String,
    },
    /// A `verify` check failed.
    #[error("the check `{check}` failed: {why}")]
    Check {
        /// Text of the check.
        check: String,
        /// Reason, as a sentence fragment.
        why: String,
    },
    /// A container was unhealthy after ready.
    #[error("`{container}` did not stay ready: {why}")]
    UnhealthyAfterReady {
        /// Container that failed.
        container: ContainerName,
        /// Reason, as a sentence fragment.
        why: String,
    },
    /// The deploy exceeded its deadline.
    #[error("not done within {}", shown(*.0))]
    Deadline(Duration),
    /// The journal could not be written.
    #[error("{0}")]
    Journal(EngineError),
    /// The subscription to the engine's container events failed.
    #[error("cannot subscribe to engine events: {0}")]
    WatchFailed(EngineError),
    /// The run was asked to stop.
    #[error("interrupted")]
    Interrupted,
}
