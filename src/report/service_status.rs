//! How one service stands in a run: what the board knows of it, and the state that follows.
//!
//! Data and one derivation; events are applied by [`super::fold`].

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

/// A service or a job as the board shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// It is a job.
    pub job: bool,
    /// How many containers.
    pub replicas: u32,
    /// What happens to it.
    pub change: Change,
    /// What happens to each of its containers.
    pub containers: Vec<Replica>,
    /// Services that it waits for.
    pub depends_on: Vec<ServiceName>,
    /// What follows from all below.
    pub state: State,
    /// Since when it has that state, on the run's clock.
    pub since: Duration,
    /// Steps under way.
    pub running: BTreeMap<StepId, Running>,
    /// Its replicas whose gate has passed since the run's direction last changed.
    pub passed: BTreeSet<u32>,
    /// What the last step did, in the past tense.
    pub last: Option<String>,
    /// Why its first failed step failed.
    pub failed: Option<String>,
    /// A step has begun that changes its containers, other than the names by which they are found.
    pub touched: bool,
}

/// What a service is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing happens to it.
    Unchanged,
    /// Its turn has not come.
    Waiting,
    /// A step is under way (`creating container`).
    Working(String),
    /// Its gate is asked.
    Asked,
    /// Its gates have passed.
    Ready,
    /// A job ended with 0.
    Done,
    /// Its last step is done, and no gate follows (`removed container`).
    Did(String),
    /// It failed.
    Failed,
}

impl State {
    /// Nobody has to wait for it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Unchanged | Self::Ready | Self::Done | Self::Did(_) | Self::Failed => true,
            Self::Waiting | Self::Working(_) | Self::Asked => false,
        }
    }
}

/// A step under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// `creating container`, …
    pub verb: String,
    /// Its object's name on the engine; empty for a gate.
    pub object: String,
    /// Since when, on the run's clock.
    pub since: Duration,
    /// What it is at, as far as it tells.
    pub detail: Detail,
}

/// What a step is at.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// It does not tell.
    None,
    /// A gate: the last probe that answered, with its answer.
    Gate(Option<(String, String)>),
    /// A build: the steps that run, in the order in which they began.
    Build(Vec<BuildStep>),
    /// A build's context on its way: bytes sent.
    Context(u64),
    /// Layers on their way.
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
}

/// A step of a build that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// Identifies it inside its build.
    pub digest: String,
    /// `[backend build 3/7] RUN npm ci`.
    pub name: String,
    /// Since when, on the run's clock.
    pub since: Duration,
}

impl ServiceStatus {
    /// A service of which nothing has happened.
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

    /// Other things happen to it than was said first.
    pub fn replan(&mut self, participant: &ServiceSummary, at: Duration) {
        self.replicas = participant.replicas.max(1);
        self.change = participant.change;
        self.containers = containers(participant);
        self.depends_on.clone_from(&participant.depends_on);
        self.settle(at);
    }

    /// A step begins that changes its containers. Of a service that is kept those are the same
    /// containers, and stay so.
    pub fn touch(&mut self) {
        self.touched |= self.change != Change::NoOp;
    }

    /// The highest number of its containers, those that go among them.
    #[must_use]
    pub fn numbers(&self) -> u32 {
        let numbers = self.containers.iter().map(|it| it.replica);
        numbers.max().unwrap_or(1).max(self.replicas)
    }

    /// A step or gate has begun.
    pub fn begin(&mut self, step: StepId, running: Running) {
        let at = running.since;
        self.running.insert(step, running);
        self.settle(at);
    }

    /// A step has ended well.
    pub fn end(&mut self, step: StepId, verb: &str, at: Duration) {
        self.running.remove(&step);
        self.last = Some(phrases::past_tense(verb));
        self.settle(at);
    }

    /// The gate of a replica has passed.
    pub fn pass(&mut self, step: StepId, replica: u32, at: Duration) {
        self.running.remove(&step);
        self.passed.insert(replica);
        self.settle(at);
    }

    /// A step or gate has failed. Only the first reason is kept: the others follow from it.
    pub fn fail(&mut self, step: Option<StepId>, cause: String, at: Duration) {
        if let Some(step) = step {
            self.running.remove(&step);
        }
        self.passed.clear();
        self.failed.get_or_insert(cause);
        self.settle(at);
    }

    /// Others went back, and it stays as it had become.
    pub fn stay(&mut self, at: Duration) {
        self.passed = (1..=self.replicas).collect();
        self.settle(at);
    }

    /// The run goes back from here: what had passed no longer counts.
    pub fn turn(&mut self, at: Duration) {
        self.passed.clear();
        self.running.clear();
        self.settle(at);
    }

    /// Derives the state anew; `at` is when, in case it is another one.
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
                // Old containers are cleared away behind a service that is ready.
                _ if all_passed => State::Ready,
                _ => State::Working(running.verb.clone()),
            };
        }
        if all_passed {
            return if self.job { State::Done } else { State::Ready };
        }
        // A gate that passes later than a failure does so on the way back.
        if self.failed.is_some() {
            return State::Failed;
        }
        match (&self.last, self.change) {
            (None, Change::NoOp) => State::Unchanged,
            (Some(last), Change::Remove | Change::NoOp) => State::Did(last.clone()),
            // Made in advance, or between two of its steps.
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
