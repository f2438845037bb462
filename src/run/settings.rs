//! What a run goes by, besides its plan. Data only.

use std::time::Duration;

use crate::{event::Participant, journal::Writer, name::ProjectName, state::State};

/// What a run goes by, besides its plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project.
    pub project: ProjectName,
    /// `up`, `down`, `build`, …
    pub verb: String,
    /// All services, for those who watch.
    pub services: Vec<Participant>,
    /// The world that the plan was made from, and that a failed run goes back to.
    pub origin: State,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// New containers that failed are kept, stopped, for somebody to look at.
    pub keep_failed: bool,
    /// How long every container has to stay well after the last gate passed; may be zero.
    pub settle: Duration,
    /// The longest that the way forward may take.
    pub deadline: Option<Duration>,
    /// Writes down what the run does; `None`: nothing has to be found again should it be cut off.
    pub journal: Option<Writer>,
    /// The most builds and pulls at a time; `None`: no limit.
    pub images_at_a_time: Option<usize>,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// What was done is undone.
    GoBack,
    /// What does not wait for the failed service is done, and stays; the rest is undone.
    GoBackInPart,
    /// Everything stays as it is then.
    Stay,
}
