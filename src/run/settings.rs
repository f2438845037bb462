//! What a run goes by, besides its plan. Data only.

use std::time::Duration;

use crate::{
    event::{Purpose, ServiceSummary},
    journal::Writer,
    name::ProjectName,
    state::State,
};

/// What a run goes by, besides its plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project.
    pub project: ProjectName,
    /// `up`, `down`, `build`, …
    pub verb: String,
    /// What it is for, for those who watch.
    pub purpose: Purpose,
    /// All services, for those who watch.
    pub services: Vec<ServiceSummary>,
    /// The world that the plan was made from, and that a failed run goes back to.
    pub origin: State,
    /// What happens when a step fails.
    pub on_failure: FailurePolicy,
    /// New containers that failed are kept, stopped, for somebody to look at.
    pub keep_failed: bool,
    /// How long containers have to stay ready before the commit.
    pub stabilization: Stabilization,
    /// The longest that the way forward may take.
    pub deadline: Option<Duration>,
    /// Writes down what the run does; `None`: nothing has to be found again should it be cut off.
    pub journal: Option<Writer>,
    /// The most builds and pulls at a time; `None`: no limit.
    pub images_at_a_time: Option<usize>,
}

/// How long containers have to stay ready before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stabilization {
    /// All of them, for so long after the last gate has passed; may be zero.
    For(Duration),
    /// Each that the run has started, since its own gate passed: shorter where a probe has asked it
    /// than where it merely runs.
    ByEvidence,
}

impl Stabilization {
    /// Not at all.
    pub const NONE: Self = Self::For(Duration::ZERO);
    /// For a container that has answered a probe; its gate is asked once more after that.
    pub const PROBED: Duration = Duration::from_millis(500);
    /// For a container of which is only known that it runs: programs that fail at their start mostly
    /// do so within 5 s.
    pub const STARTED: Duration = Duration::from_secs(5);
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// What was done is undone.
    RollbackAll,
    /// What does not wait for the failed service is done, and stays; the rest is undone.
    RollbackSubtree,
    /// Everything stays as it is then.
    Leave,
    /// What does not need the failed step is done all the same; nothing is undone (`down`).
    Continue,
}
