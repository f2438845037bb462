//! Settings of a run, besides its plan. Data only.

use std::time::Duration;

use crate::{
    event::{Purpose, ServiceSummary},
    journal::Writer,
    name::ProjectName,
    state::State,
};

/// Settings of a run, besides its plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the project.
    pub project: ProjectName,
    /// Verb of the command: `up`, `down`, `build`, …
    pub verb: String,
    /// Purpose of the run, for reporters.
    pub purpose: Purpose,
    /// All services, for reporters.
    pub services: Vec<ServiceSummary>,
    /// State that the plan was made from. A failed run rolls back to it.
    pub origin: State,
    /// What to do when a step fails.
    pub on_failure: FailurePolicy,
    /// Keep new containers that failed, stopped, for inspection.
    pub keep_failed: bool,
    /// How long containers have to stay ready before the commit.
    pub stabilization: Stabilization,
    /// Longest duration of the deploy, without cleanup and rollback.
    pub deadline: Option<Duration>,
    /// Journal writer; `None` if the run does not have to be recoverable.
    pub journal: Option<Writer>,
    /// Maximum number of concurrent builds and pulls; `None`: no limit.
    pub images_at_a_time: Option<usize>,
}

/// How long containers have to stay ready before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stabilization {
    /// All containers, for this time after the last gate has passed; may be zero.
    For(Duration),
    /// Each container that the run has started, for a time after its own gate has passed:
    /// [`Stabilization::PROBED`] if it answered a probe, [`Stabilization::STARTED`] if it is only
    /// known to run.
    ByEvidence,
}

impl Stabilization {
    /// No stabilization window.
    pub const NONE: Self = Self::For(Duration::ZERO);
    /// Time for a container that has answered a probe. Its gate is probed once more afterwards.
    pub const PROBED: Duration = Duration::from_millis(500);
    /// Time for a container that is only known to run. Programs that fail at startup mostly do so
    /// within 5 s.
    pub const STARTED: Duration = Duration::from_secs(5);
}

/// What to do when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Roll back everything.
    RollbackAll,
    /// Finish and commit the services that do not depend on the failed service; roll back the rest.
    RollbackSubtree,
    /// Stop, and leave everything as it is.
    Leave,
    /// Continue with steps that do not depend on the failed one; roll back nothing (`down`).
    Continue,
}
