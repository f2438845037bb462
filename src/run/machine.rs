//! The machine of a run: what is done next, given what happened.
//!
//! Performs no I/O, reads no clock, spawns nothing: time comes in as a value with each input, and
//! what is to be done goes out as data. Gates are in `gates`, the way back in `retreat`.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use super::{
    gate::Wait,
    message::{Effect, Input, TimerId},
    outcome::Cause,
    schedule::{Part, Schedule, Status, is_heavy, object, verb},
};
use crate::{
    engine::{EngineError, Happening},
    event::{Event, Failure, Participant, Progress, Verdict},
    name::{ContainerName, ProjectName},
    plan::{Action, Plan, StepId, Work},
    state::State,
};

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
    /// How long every container has to stay well after the last gate passed; may be zero.
    pub settle: Duration,
    /// The longest that the way forward may take.
    pub deadline: Option<Duration>,
    /// The most builds and pulls at a time; `None`: no limit.
    pub images_at_a_time: Option<usize>,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// What was done is undone.
    GoBack,
    /// Everything stays as it is then.
    Stay,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    Idle,
    /// On its way to the new generation.
    Forward,
    /// Every step is done; waiting whether all stays well. `over`: for long enough.
    Settling { over: bool },
    /// Committed; what is not needed any more goes.
    Cleanup,
    /// It failed; what is in flight is waited for.
    Draining,
    /// On its way to the old generation.
    Back,
    /// Nothing happens any more.
    Over,
}

/// Why a container is looked at.
#[derive(Debug)]
pub(super) enum Inquiry {
    /// Its gate failed: the report needs it.
    Report(Box<FailedWait>),
    /// It seems to have ended while its gate was open.
    Suspicion,
    /// It seems to have ended, or is unwell for this reason, after its gate had passed.
    Relapse { why: Option<String> },
}

/// A gate or check that failed.
#[derive(Debug)]
pub(super) struct FailedWait {
    pub wait: Wait,
    /// In a fragment.
    pub why: String,
    /// Since it was opened.
    pub after: Duration,
}

/// Carries out a plan. See the module's text.
#[derive(Debug)]
pub struct Run {
    pub(super) settings: Settings,
    pub(super) plan: Plan,
    pub(super) schedule: Schedule,
    pub(super) phase: Phase,
    /// Since the run's start, as told with the last input.
    pub(super) now: Duration,
    /// Actions in flight.
    pub(super) acting: BTreeSet<StepId>,
    /// Gates and checks that are open.
    pub(super) waits: BTreeMap<StepId, Wait>,
    /// Containers that are being looked at.
    pub(super) inquiries: BTreeMap<StepId, Inquiry>,
    /// Containers whose gate has passed and that are to stay well, with the gate's step.
    pub(super) guarded: BTreeMap<ContainerName, StepId>,
    /// What was noticed of containers since their start, before their gate was opened.
    pub(super) heard: BTreeMap<ContainerName, Vec<Happening>>,
    /// Steps of the way forward that may have changed the world.
    pub(super) attempted: BTreeSet<StepId>,
    pub(super) cause: Option<Cause>,
    pub(super) interrupts: u32,
    pub(super) settled_for: Duration,
    /// Some container was started or stopped.
    pub(super) touched: bool,
    pub(super) left: Vec<String>,
    pub(super) kept_volumes: Vec<String>,
    pub(super) effects: Vec<Effect>,
}

impl Run {
    /// A run that has not begun: give it [`Input::Begin`].
    #[must_use]
    pub fn new(plan: Plan, settings: Settings) -> Self {
        let mut schedule = Schedule::default();
        schedule.append(plan.clone(), None);
        Self {
            settings,
            plan,
            schedule,
            phase: Phase::Idle,
            now: Duration::ZERO,
            acting: BTreeSet::new(),
            waits: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            guarded: BTreeMap::new(),
            heard: BTreeMap::new(),
            attempted: BTreeSet::new(),
            cause: None,
            interrupts: 0,
            settled_for: Duration::ZERO,
            touched: false,
            left: Vec::new(),
            kept_volumes: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// The project whose run it is.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        &self.settings.project
    }

    /// Takes in what happened at `now`, since the run's start; says what is to be done.
    pub fn on(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        self.now = self.now.max(now);
        match input {
            Input::Begin => self.begin(),
            Input::Deaf(error) => {
                self.cause = Some(Cause::Deaf(error));
                self.finish(Verdict::Untouched);
            }
            Input::Finished(step, result) => self.finished(step, result),
            Input::Progressed(step, progress) => self.progressed(step, progress),
            Input::Answered {
                step,
                question,
                answer,
            } => self.answered(step, question, answer),
            Input::Examined(step, evidence) => self.examined(step, evidence),
            Input::Elapsed(timer) => self.elapsed(timer),
            Input::Noticed(notice) => self.noticed(notice),
            Input::Rewatched => self.look_again(),
            Input::Interrupted => self.interrupted(),
        }
        self.advance();
        mem::take(&mut self.effects)
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }

    fn begin(&mut self) {
        if self.phase != Phase::Idle {
            return;
        }
        self.emit(Event::RunStarted {
            project: self.settings.project.clone(),
            verb: self.settings.verb.clone(),
            services: self.settings.services.clone(),
        });
        if let Some(deadline) = self.settings.deadline {
            self.effects
                .push(Effect::Sleep(TimerId::Deadline, deadline));
        }
        self.phase = Phase::Forward;
        self.schedule.turn(Part::Forward);
    }

    /// Does whatever can be done now.
    fn advance(&mut self) {
        loop {
            match self.phase {
                Phase::Forward | Phase::Cleanup | Phase::Back => {
                    let cap = self.settings.images_at_a_time;
                    let ready = self.schedule.take_ready(cap, self.now);
                    if ready.is_empty() {
                        if self.schedule.open() > 0 || !self.inquiries.is_empty() {
                            return;
                        }
                        self.part_done();
                    }
                    for step in ready {
                        self.start(step);
                    }
                }
                Phase::Settling { over: true } if self.inquiries.is_empty() => self.commit(),
                Phase::Draining if self.acting.is_empty() && self.inquiries.is_empty() => {
                    self.go_back();
                }
                Phase::Idle | Phase::Settling { .. } | Phase::Draining | Phase::Over => return,
            }
        }
    }

    fn part_done(&mut self) {
        match self.phase {
            Phase::Forward if self.settings.settle.is_zero() || self.guarded.is_empty() => {
                self.commit();
            }
            Phase::Forward => {
                let duration = self.settings.settle;
                self.phase = Phase::Settling { over: false };
                self.emit(Event::Settling { duration });
                self.effects.push(Effect::Sleep(TimerId::Settle, duration));
            }
            Phase::Cleanup => {
                let changed = !self.plan.steps.is_empty();
                self.finish(if changed {
                    Verdict::Converged
                } else {
                    Verdict::Unchanged
                });
            }
            Phase::Back => self.is_back(),
            Phase::Idle | Phase::Settling { .. } | Phase::Draining | Phase::Over => {}
        }
    }

    fn commit(&mut self) {
        if matches!(self.phase, Phase::Settling { .. }) {
            self.settled_for = self.settings.settle;
        }
        if self.settings.on_failure == OnFailure::GoBack && !self.plan.steps.is_empty() {
            self.emit(Event::Committed);
        }
        self.phase = Phase::Cleanup;
        self.schedule.turn(Part::Cleanup);
    }

    fn start(&mut self, id: StepId) {
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        match step.work {
            Work::Act(action) => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: action.verb().to_owned(),
                    object: action.object().to_owned(),
                    reason: step.reason,
                });
                self.prepare(id, &action);
                self.acting.insert(id);
                self.effects.push(Effect::Perform(id, action));
            }
            Work::Gate { container, gate } => self.open_gate(id, step.subject, &container, &gate),
            Work::Verify(check) => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: verb(&Work::Verify(check.clone())).to_owned(),
                    object: check.to_string(),
                    reason: step.reason,
                });
                self.open_wait(id, Wait::for_check(&check, self.now));
            }
        }
    }

    /// Notes what an action is about to change.
    fn prepare(&mut self, id: StepId, action: &Action) {
        if self.phase == Phase::Forward {
            self.attempted.insert(id);
        }
        match action {
            Action::StartContainer(container) => {
                self.heard.remove(container);
            }
            Action::StopContainer { container, .. } | Action::RemoveContainer(container) => {
                self.guarded.remove(container);
            }
            _ => {}
        }
    }

    fn finished(&mut self, id: StepId, result: Result<(), EngineError>) {
        if !self.acting.remove(&id) {
            return;
        }
        let Some(step) = self.schedule.step(id) else {
            return;
        };
        let (subject, verb, object) = (step.subject.clone(), verb(&step.work), object(&step.work));
        let optional = step.optional || self.phase == Phase::Cleanup;
        let verb = verb.to_owned();
        let Err(error) = result else {
            let took = self.now.saturating_sub(self.schedule.started(id));
            self.emit(Event::StepFinished {
                step: id,
                subject,
                verb,
                took,
            });
            self.end(id, Status::Done);
            return;
        };
        if had_no_effect(&error) {
            self.attempted.remove(&id);
        }
        let failure = Failure {
            message: error.to_string(),
            help: error.help(),
            output: error.output().to_vec(),
        };
        let (said, named) = (verb.clone(), object.clone());
        self.emit(Event::StepFailed {
            step: id,
            subject,
            verb: said,
            object: named,
            failure,
            optional,
        });
        self.step_failed(
            id,
            optional,
            Cause::Step {
                verb,
                object,
                error,
            },
        );
    }

    /// A step has failed and was reported: what comes of it?
    pub(super) fn step_failed(&mut self, id: StepId, optional: bool, cause: Cause) {
        if self.phase == Phase::Back {
            self.left.push(cause.to_string());
        } else if !optional {
            self.fail(cause);
        }
        self.end(id, Status::Failed);
    }

    /// A step has ended; reports what is skipped because of it.
    pub(super) fn end(&mut self, id: StepId, status: Status) {
        for skipped in self.schedule.end(id, status, self.now) {
            let Some(step) = self.schedule.step(skipped) else {
                continue;
            };
            let text = format!(
                "{} `{}` was not tried",
                verb(&step.work),
                object(&step.work)
            );
            match self.phase {
                Phase::Back => self.left.push(text),
                Phase::Forward | Phase::Cleanup => self.emit(Event::Warning { text }),
                _ => {}
            }
        }
    }

    fn progressed(&mut self, id: StepId, progress: Progress) {
        if !self.acting.contains(&id) {
            return;
        }
        if let Some(step) = self.schedule.step(id) {
            let subject = step.subject.clone();
            self.emit(Event::Progress {
                step: id,
                subject,
                progress,
            });
        }
    }

    fn elapsed(&mut self, timer: TimerId) {
        match timer {
            TimerId::Step(step, pause) => self.wait_elapsed(step, pause),
            TimerId::Settle => {
                if let Phase::Settling { over } = &mut self.phase {
                    *over = true;
                }
            }
            TimerId::Deadline => {
                if let Some(deadline) = self.settings.deadline {
                    self.fail(Cause::Deadline(deadline));
                }
            }
        }
    }

    /// Calls off builds and pulls: they have no effect before they are done.
    pub(super) fn cancel_images(&mut self) {
        for id in self.acting.clone() {
            if self
                .schedule
                .step(id)
                .is_some_and(|step| is_heavy(&step.work))
            {
                self.acting.remove(&id);
                self.attempted.remove(&id);
                self.effects.push(Effect::Cancel(id));
                self.end(id, Status::Cancelled);
            }
        }
    }
}

/// Whether this error says that the world was not changed. The others may come after the effect.
fn had_no_effect(error: &EngineError) -> bool {
    match error {
        EngineError::Denied { .. }
        | EngineError::NoImage { .. }
        | EngineError::Foreign { .. }
        | EngineError::NoBindSource { .. } => true,
        EngineError::Unreachable { .. }
        | EngineError::Build { .. }
        | EngineError::PortTaken { .. }
        | EngineError::DiskFull { .. }
        | EngineError::Gone { .. }
        | EngineError::Hook { .. }
        | EngineError::Refused { .. }
        | EngineError::Transport { .. } => false,
    }
}
