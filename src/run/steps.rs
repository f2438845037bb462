//! The steps of a run: starts them and handles their results.
//!
//! A part of [`Run`]. Gates and checks are in `gate_steps`.

use super::{
    gate::GateMachine,
    machine::Run,
    manual_command::with_manual_command,
    message::Effect,
    phase::Phase,
    schedule::{StepStatus, is_copy, is_heavy, is_hook, object, verb},
    settings::FailurePolicy,
    summary::Cause,
};
use crate::{
    engine::EngineError,
    event::{Event, Failure, Progress},
    name::ContainerName,
    plan::{Action, StepId, StepKind},
};

impl Run {
    /// Starts a step. Returns the action to perform, if the step has one.
    pub(super) fn start(&mut self, id: StepId) -> Option<Action> {
        let step = self.schedule.step(id).cloned()?;
        match step.kind {
            StepKind::Action(action) => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: action.verb().to_owned(),
                    object: action.object().to_owned(),
                    reason: step.reason,
                });
                self.prepare(id, &action);
                self.running.insert(id);
                return Some(action);
            }
            StepKind::Drain {
                ref object,
                duration,
            } => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: verb(&step.kind).to_owned(),
                    object: object.clone(),
                    reason: step.reason,
                });
                self.drain(id, object, duration);
            }
            StepKind::AwaitReady { container, gate } => {
                self.open_gate(id, step.subject, &container, &gate);
            }
            StepKind::Verify(check) => {
                self.emit(Event::StepStarted {
                    step: id,
                    subject: step.subject,
                    verb: verb(&StepKind::Verify(check.clone())).to_owned(),
                    object: check.to_string(),
                    reason: step.reason,
                });
                self.open_wait(id, GateMachine::for_check(&check, self.now));
            }
        }
        None
    }

    /// Records what an action is about to change.
    fn prepare(&mut self, id: StepId, action: &Action) {
        if self.phase == Phase::Deploying {
            self.attempted.insert(id);
        }
        match action {
            Action::StartContainer(container) => {
                self.early_events.remove(container);
                self.started_containers.insert(container.clone());
            }
            Action::StopContainer { container, .. } | Action::RemoveContainer(container) => {
                self.unwatch(container);
            }
            _ => {}
        }
    }

    pub(super) fn finished(&mut self, id: StepId, result: Result<(), EngineError>) {
        if !self.running.remove(&id) {
            return;
        }
        let Some(step) = self.schedule.step(id) else {
            return;
        };
        let (subject, verb, object) = (step.subject.clone(), verb(&step.kind), object(&step.kind));
        let optional = step.non_fatal || self.phase == Phase::CleaningUp;
        let verb = verb.to_owned();
        let Err(error) = result else {
            let took = self.now.saturating_sub(self.schedule.started(id));
            self.emit(Event::StepFinished {
                step: id,
                subject,
                verb,
                elapsed: took,
            });
            self.end(id, StepStatus::Done);
            return;
        };
        if self.should_retry(id, &error) {
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
            non_fatal: optional,
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

    /// Handles the failure of a step that has been reported.
    pub(super) fn step_failed(&mut self, id: StepId, optional: bool, cause: Cause) {
        let step = self.schedule.step(id);
        if self.phase == Phase::RollingBack && !optional {
            let text = cause.to_string();
            let text = step.map(|step| with_manual_command(text, &step.kind));
            self.unfinished.extend(text);
        } else if let Some(step) = step.filter(|_| !optional) {
            if let Some(container) = asked_or_started(&step.kind) {
                self.failed.insert(container.clone());
            }
            let subject = step.subject.clone();
            self.fail_for(&subject, cause);
        }
        self.end(id, StepStatus::Failed);
    }

    /// Ends a step, and reports the steps that are skipped because of it.
    pub(super) fn end(&mut self, id: StepId, status: StepStatus) {
        for skipped in self.schedule.end(id, status, self.now) {
            let Some(step) = self.schedule.step(skipped) else {
                continue;
            };
            let text = format!(
                "{} `{}` was not tried",
                verb(&step.kind),
                object(&step.kind)
            );
            match self.phase {
                Phase::RollingBack => self.unfinished.push(with_manual_command(text, &step.kind)),
                // A partial rollback reports at the end which services were rolled back.
                Phase::Deploying
                    if self.settings.on_failure == FailurePolicy::RollbackSubtree
                        && !matches!(step.kind, StepKind::Verify(_)) => {}
                // A removal reports at the end what could not be removed.
                Phase::Deploying if self.settings.on_failure == FailurePolicy::Continue => {}
                Phase::Deploying | Phase::CleaningUp => self.emit(Event::Warning { text }),
                _ => {}
            }
        }
    }

    pub(super) fn progressed(&mut self, id: StepId, progress: Progress) {
        if !self.running.contains(&id) {
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

    /// Cancels builds and pulls, which have no effect before they are done; hooks, which may never
    /// end; and copies of volumes, whose partial result is removed by the rollback.
    pub(super) fn cancel_cancellable(&mut self) {
        for id in self.running.clone() {
            let Some(work) = self.schedule.step(id).map(|step| &step.kind) else {
                continue;
            };
            let copy = is_copy(work);
            if is_heavy(work) || is_hook(work) || copy {
                self.running.remove(&id);
                if !copy {
                    self.attempted.remove(&id);
                }
                self.effects.push(Effect::Cancel(id));
                self.end(id, StepStatus::Cancelled);
            }
        }
    }
}

/// Returns the container that a step starts or probes.
fn asked_or_started(work: &StepKind) -> Option<&ContainerName> {
    match work {
        StepKind::Action(Action::StartContainer(container))
        | StepKind::AwaitReady { container, .. } => Some(container),
        StepKind::Action(_) | StepKind::Drain { .. } | StepKind::Verify(_) => None,
    }
}

/// Whether this error proves that nothing was changed. Other errors may occur after the effect.
fn had_no_effect(error: &EngineError) -> bool {
    match error {
        EngineError::PermissionDenied { .. }
        | EngineError::NoImage { .. }
        | EngineError::JournalUnavailable { .. }
        | EngineError::NotOwned { .. }
        | EngineError::InUse { .. }
        | EngineError::NotRefreshed { .. }
        | EngineError::BindSourceMissing { .. }
        | EngineError::NoLog { .. } => true,
        EngineError::Unreachable { .. }
        | EngineError::Build { .. }
        | EngineError::PortTaken { .. }
        | EngineError::DiskFull { .. }
        | EngineError::NotFound { .. }
        | EngineError::Hook { .. }
        | EngineError::Api { .. }
        | EngineError::Transport { .. } => false,
    }
}
