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
    phase::{Inquiry, Phase},
    schedule::{Part, Schedule},
    settings::{OnFailure, Settings},
};
use crate::{
    engine::Happening,
    event::{Event, Verdict},
    name::{ContainerName, ProjectName},
    plan::{Plan, StepId},
};

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
    /// Containers that the run has started.
    pub(super) begun: BTreeSet<ContainerName>,
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
            begun: BTreeSet::new(),
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
                let changed = !self.plan.changes_nothing();
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
        if self.settings.on_failure == OnFailure::GoBack && !self.plan.changes_nothing() {
            self.emit(Event::Committed);
        }
        self.phase = Phase::Cleanup;
        self.schedule.turn(Part::Cleanup);
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
}
