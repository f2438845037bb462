//! Status of one service in a run: the recorded facts, and the state that is derived from them.
//!
//! Data and one derivation; [`super::run_view`] applies the events.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::phrases;
use crate::{
    event::{Change, Replica, ServiceSummary},
    name::ServiceName,
    plan::StepId,
};

/// Status of a service or job.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: ServiceName,
    /// The service is a job.
    pub job: bool,
    /// Number of replicas.
    pub replicas: u32,
    /// Overall change of the service.
    pub change: Change,
    /// Change of each container.
    pub containers: Vec<Replica>,
    /// Services that this one waits for.
    pub depends_on: Vec<ServiceName>,
    /// State, derived from the fields below.
    pub state: State,
    /// Time of the last state change, on the run's clock.
    pub since: Duration,
    /// Running steps.
    pub running: BTreeMap<StepId, Running>,
    /// Replicas whose gate has passed since the run started or began to roll back.
    pub passed: BTreeSet<u32>,
    /// Last completed step, in the past tense.
    pub last: Option<String>,
    /// Reason of the first failed step.
    pub failed: Option<String>,
    /// A step that changes the containers has begun; changes of their network names do not count.
    pub touched: bool,
}

/// State of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing happens to the service.
    Unchanged,
    /// The service waits for its turn.
    Waiting,
    /// A step is running (`creating container`).
    Working(String),
    /// The gate is being probed.
    Asked,
    /// The gates of all replicas have passed.
    Ready,
    /// A job exited with code 0.
    Done,
    /// The last step is complete, and no gate follows (`removed container`).
    Did(String),
    /// The service failed.
    Failed,
}

impl State {
    /// Whether no other service has to wait for this one.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Unchanged | Self::Ready | Self::Done | Self::Did(_) | Self::Failed => true,
            Self::Waiting | Self::Working(_) | Self::Asked => false,
        }
    }
}

/// A running step.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Name of the action: `creating container`, …
    pub verb: String,
    /// Engine name of the object; empty for a gate.
    pub object: String,
    /// Start time, on the run's clock.
    pub since: Duration,
    /// Progress, as far as the step reports it.
    pub detail: Detail,
}

/// Progress of a running step.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// The step reports no progress.
    None,
    /// A gate: the last probe that answered, with its answer.
    Gate(Option<(String, String)>),
    /// A build: the running steps, in the order of their start.
    Build(Vec<BuildStep>),
    /// The transfer of a build context: bytes sent.
    Context(u64),
    /// A pull: the download of layers.
    Pull {
        /// Bytes downloaded.
        done: u64,
        /// Total bytes, as far as known.
        total: u64,
        /// Complete layers.
        layers_done: u32,
        /// Total layers.
        layers: u32,
    },
}

/// A running build step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// Identifier within the build.
    pub digest: String,
    /// Name of the step: `[backend build 3/7] RUN npm ci`.
    pub name: String,
    /// Start time, on the run's clock.
    pub since: Duration,
}

impl ServiceStatus {
    /// Creates the status of a service before its first step.
    #[must_use]
    pub fn new(participant: &ServiceSummary, at: Duration) -> Self {
        let mut standing = Self {
            name: participant.service.clone(),
            job: participant.job,
            replicas: participant.replicas.max(1),
            change: participant.change,
            containers: containers(participant),
            depends_on: participant.depends_on.clone(),
            state: State::Unchanged,
            since: at,
            running: BTreeMap::new(),
            passed: BTreeSet::new(),
            last: None,
            failed: None,
            touched: false,
        };
        standing.settle(at);
        standing
    }

    /// Applies a changed plan.
    pub fn replan(&mut self, participant: &ServiceSummary, at: Duration) {
        self.replicas = participant.replicas.max(1);
        self.change = participant.change;
        self.containers = containers(participant);
        self.depends_on.clone_from(&participant.depends_on);
        self.settle(at);
    }

    /// Records that a step begins to change the service's containers. The containers of an
    /// unchanged service stay the same, so it is not marked.
    pub fn touch(&mut self) {
        self.touched |= self.change != Change::NoOp;
    }

    /// Returns the highest replica number, including containers that are removed.
    #[must_use]
    pub fn numbers(&self) -> u32 {
        let numbers = self.containers.iter().map(|it| it.replica);
        numbers.max().unwrap_or(1).max(self.replicas)
    }

    /// Records the start of a step or gate.
    pub fn begin(&mut self, step: StepId, running: Running) {
        let at = running.since;
        self.running.insert(step, running);
        self.settle(at);
    }

    /// Records the success of a step.
    pub fn end(&mut self, step: StepId, verb: &str, at: Duration) {
        self.running.remove(&step);
        self.last = Some(phrases::past_tense(verb));
        self.settle(at);
    }

    /// Records that the gate of a replica has passed.
    pub fn pass(&mut self, step: StepId, replica: u32, at: Duration) {
        self.running.remove(&step);
        self.passed.insert(replica);
        self.settle(at);
    }

    /// Records the failure of a step or gate. Only the first reason is kept, because the others
    /// follow from it.
    pub fn fail(&mut self, step: Option<StepId>, cause: String, at: Duration) {
        if let Some(step) = step {
            self.running.remove(&step);
        }
        self.passed.clear();
        self.failed.get_or_insert(cause);
        self.settle(at);
    }

    /// Records that the service stays committed while others were rolled back.
    pub fn stay(&mut self, at: Duration) {
        self.passed = (1..=self.replicas).collect();
        self.settle(at);
    }

    /// Starts the rollback: passed gates no longer count.
    pub fn turn(&mut self, at: Duration) {
        self.passed.clear();
        self.running.clear();
        self.settle(at);
    }

    /// Derives the state; `at` becomes the time of the change if the state differs.
    fn settle(&mut self, at: Duration) {
        let state = self.derive();
        if state != self.state {
            self.state = state;
            self.since = at;
        }
    }

    fn derive(&self) -> State {
        let all_passed = self.passed.len() >= self.replicas as usize;
        if let Some(running) = self.running.values().next_back() {
            return match running.detail {
                Detail::Gate(_) => State::Asked,
                // Old containers are removed after the service is ready.
                _ if all_passed => State::Ready,
                _ => State::Working(running.verb.clone()),
            };
        }
        if all_passed {
            return if self.job { State::Done } else { State::Ready };
        }
        // A gate that passes after a failure does so during the rollback.
        if self.failed.is_some() {
            return State::Failed;
        }
        match (&self.last, self.change) {
            (None, Change::NoOp) => State::Unchanged,
            (Some(last), Change::Remove | Change::NoOp) => State::Did(last.clone()),
            // The container was created in advance, or the service is between two steps.
            (_, _) => State::Waiting,
        }
    }
}

fn containers(participant: &ServiceSummary) -> Vec<Replica> {
    if !participant.containers.is_empty() {
        return participant.containers.clone();
    }
    let all = 1..=participant.replicas.max(1);
    let change = participant.change;
    all.map(|replica| Replica { replica, change }).collect()
}
