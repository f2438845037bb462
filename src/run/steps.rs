//! The steps of a run: what comes of their begin and their end.
//!
//! A part of the machine: gates and checks are in `gates`.

use super::{
    gate::Wait,
    machine::Run,
    message::Effect,
    outcome::Cause,
    phase::Phase,
    remedy::with_remedy,
    schedule::{Status, is_copy, is_heavy, is_hook, object, verb},
    settings::OnFailure,
};
use crate::{
    engine::EngineError,
    event::{Event, Failure, Progress},
    name::ContainerName,
    plan::{Action, StepId, Work},
};

impl Run {
    /// Starts a step; gives what it does to the world, if that is what it does.
    pub(super) fn start(&mut self, id: StepId) -> Option<Action> {
        let step = self.schedule.step(id).cloned()?;
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
                return Some(action);
            }
            Work::Drain {
                ref object,
                duration,
            } => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: verb(&step.work).to_owned(),
                    object: object.clone(),
                    reason: step.reason,
                });
                self.drain(id, object, duration);
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
        None
    }

    /// Notes what an action is about to change.
    fn prepare(&mut self, id: StepId, action: &Action) {
        if self.phase == Phase::Forward {
            self.attempted.insert(id);
        }
        match action {
            Action::StartContainer(container) => {
                self.heard.remove(container);
                self.begun.insert(container.clone());
            }
            Action::StopContainer { container, .. } | Action::RemoveContainer(container) => {
                self.unguard(container);
            }
            _ => {}
        }
    }

    pub(super) fn finished(&mut self, id: StepId, result: Result<(), EngineError>) {
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
        if self.tries_again(id, &error) {
            return;
        }
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
        let step = self.schedule.step(id);
        if self.phase == Phase::Back && !optional {
            let text = cause.to_string();
            let text = step.map(|step| with_remedy(text, &step.work));
            self.left.extend(text);
        } else if let Some(step) = step.filter(|_| !optional) {
            if let Some(container) = asked_or_started(&step.work) {
                self.failed.insert(container.clone());
            }
            let subject = step.subject.clone();
            self.fail_for(&subject, cause);
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
                Phase::Back => self.left.push(with_remedy(text, &step.work)),
                // Where only a part goes back, the end says which services are as they were.
                Phase::Forward
                    if self.settings.on_failure == OnFailure::GoBackInPart
                        && !matches!(step.work, Work::Verify(_)) => {}
                // The end of a removal says what is still there.
                Phase::Forward if self.settings.on_failure == OnFailure::GoOn => {}
                Phase::Forward | Phase::Cleanup => self.emit(Event::Warning { text }),
                _ => {}
            }
        }
    }

    pub(super) fn progressed(&mut self, id: StepId, progress: Progress) {
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

    /// Calls off builds and pulls, which have no effect before they are done, hooks, which may
    /// never be, and copies of volumes, of which the way back removes the part that is there.
    pub(super) fn call_off(&mut self) {
        for id in self.acting.clone() {
            let Some(work) = self.schedule.step(id).map(|step| &step.work) else {
                continue;
            };
            let copy = is_copy(work);
            if is_heavy(work) || is_hook(work) || copy {
                self.acting.remove(&id);
                if !copy {
                    self.attempted.remove(&id);
                }
                self.effects.push(Effect::Cancel(id));
                self.end(id, Status::Cancelled);
            }
        }
    }
}

/// The container that a step starts or asks.
fn asked_or_started(work: &Work) -> Option<&ContainerName> {
    match work {
        Work::Act(Action::StartContainer(container)) | Work::Gate { container, .. } => {
            Some(container)
        }
        Work::Act(_) | Work::Drain { .. } | Work::Verify(_) => None,
    }
}

/// Whether this error says that the world was not changed. The others may come after the effect.
fn had_no_effect(error: &EngineError) -> bool {
    match error {
        EngineError::Denied { .. }
        | EngineError::NoImage { .. }
        | EngineError::Unwritten { .. }
        | EngineError::Foreign { .. }
        | EngineError::InUse { .. }
        | EngineError::NotRefreshed { .. }
        | EngineError::NoBindSource { .. }
        | EngineError::NoLog { .. } => true,
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
