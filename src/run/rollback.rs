//! Aborting a run: waits for running actions, then rolls back.
//!
//! A part of [`Run`]. The steps of the rollback are computed by [`crate::plan::rollback_plan`].

use std::{collections::BTreeSet, time::Duration};

use super::{
    machine::Run,
    manual_command::with_manual_command,
    message::Effect,
    phase::{Mode, Phase},
    schedule::{Stage, StepStatus, object, verb},
    settings::FailurePolicy,
    summary::{Cause, RunSummary},
};
use crate::{
    event::{Event, Outcome, PathSegment, Response},
    plan::{
        Action, RollbackPlan, Step, StepId, StepKind, Subject, recovery_plan,
        rollback_plan_retaining,
    },
};

/// Signals within this time of the first one count as the same request: users press Ctrl-C twice,
/// and a terminal that closes may send several signals.
const SAME_REQUEST: Duration = Duration::from_secs(2);

/// Statuses of steps that are not done.
const NOT_DONE: [StepStatus; 5] = [
    StepStatus::Waiting,
    StepStatus::Running,
    StepStatus::Failed,
    StepStatus::Skipped,
    StepStatus::Cancelled,
];

impl Run {
    /// Aborts the deploy: starts no further steps, and cancels what can be cancelled.
    pub(super) fn abort(&mut self, cause: Cause) {
        let forward = matches!(
            self.phase,
            Phase::Deploying | Phase::Stabilizing { .. } | Phase::Confirming
        );
        if !forward {
            return;
        }
        self.end_confirmation();
        self.phase = Phase::Aborting;
        self.cause = Some(cause);
        self.cancel_waits();
        self.cancel_timers();
        self.cancel_cancellable();
    }

    pub(super) fn interrupted(&mut self) {
        let again = match self.interrupted_at {
            Some(first) if self.now < first + SAME_REQUEST => return,
            first => first.is_some(),
        };
        self.interrupted_at.get_or_insert(self.now);
        let response = self.response(again);
        self.emit(Event::Interrupted { response });
        match self.phase {
            Phase::Created => {
                self.cause = Some(Cause::Interrupted);
                self.finish(Outcome::Cancelled);
            }
            // The journal write finishes first. The run then ends without any change.
            Phase::OpeningJournal => self.cause = Some(Cause::Interrupted),
            // The commit is being recorded. Its result decides what happens next.
            Phase::Committing | Phase::Finished => {}
            _ if again => self.abort_now(),
            Phase::Deploying | Phase::Stabilizing { .. } | Phase::Confirming => {
                self.abort(Cause::Interrupted);
            }
            // After the commit the run finishes, and a running rollback continues. A partial
            // rollback is followed by the rollback of the rest.
            Phase::CleaningUp | Phase::Aborting | Phase::RollingBack => {}
        }
    }

    /// Whether a failure is rolled back. Only such a run has a commit.
    pub(super) fn undoes(&self) -> bool {
        matches!(
            self.settings.on_failure,
            FailurePolicy::RollbackAll | FailurePolicy::RollbackSubtree
        )
    }

    /// Returns how the run responds to a request to stop.
    fn response(&self, again: bool) -> Response {
        let undoes = self.undoes();
        match self.phase {
            Phase::Created | Phase::OpeningJournal => Response::Stop,
            Phase::Committing | Phase::Finished => Response::Finish,
            _ if again && undoes => Response::Leave,
            Phase::CleaningUp => Response::Finish,
            _ if undoes => Response::RollBack,
            _ => Response::Stop,
        }
    }

    /// Starts the rollback. No action is running.
    pub(super) fn start_rollback_if_idle(&mut self) {
        if self.settings.on_failure == FailurePolicy::Continue {
            self.end_removal();
            return;
        }
        self.split = None;
        let back = self.plan_rollback(&self.attempted);
        self.engine_restarted = false;
        self.affected_running |= back.touches_running();
        self.unfinished.extend(back.lost.iter().cloned());
        if self.settings.on_failure == FailurePolicy::Leave {
            if self.affected_running || !self.unfinished.is_empty() || !back.plan.steps.is_empty() {
                self.report_unfinished(Stage::Forward, &NOT_DONE);
            }
            self.rollback_finished();
            return;
        }
        self.start_rollback(back);
    }

    /// Ends a removal, and lists what could not be removed.
    fn end_removal(&mut self) {
        let ids = self.schedule.those(Stage::Forward, &NOT_DONE);
        let steps = ids.into_iter().filter_map(|id| self.schedule.step(id));
        let remaining: Vec<String> = steps
            .filter(|step| !step.non_fatal)
            .filter_map(|step| not_removed(&step.kind))
            .collect();
        self.unfinished.extend(remaining);
        let removed = self.schedule.those(Stage::Forward, &[StepStatus::Done]);
        let untouched = removed.is_empty() && self.cause == Some(Cause::Interrupted);
        self.finish(if untouched {
            Outcome::Cancelled
        } else {
            Outcome::RemovalIncomplete
        });
    }

    /// Returns the plan that undoes these steps. Keeps failed containers if `keep_failed` is set.
    pub(super) fn plan_rollback(&self, steps: &BTreeSet<StepId>) -> RollbackPlan {
        if self.engine_restarted {
            return recovery_plan(&self.plan, steps, &self.settings.origin);
        }
        let kept = if self.settings.keep_failed {
            &self.failed
        } else {
            &BTreeSet::new()
        };
        rollback_plan_retaining(&self.plan, steps, &self.settings.origin, kept)
    }

    /// Runs a rollback plan.
    pub(super) fn start_rollback(&mut self, back: RollbackPlan) {
        self.retained_volumes = back.kept_volumes;
        self.retained_containers.extend(back.kept_containers);
        self.irreversible_jobs = back.irreversible_jobs;
        if back.plan.steps.is_empty() {
            self.rollback_finished();
            return;
        }
        let cause = self
            .cause
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        self.enter_rollback(cause);
        self.early_events.clear();
        self.schedule.append(back.plan, Some(&back.after));
        self.schedule.turn(Stage::Back);
    }

    /// Ends the rollback, and determines the outcome.
    pub(super) fn rollback_finished(&mut self) {
        if self.engine_restarted && self.unfinished.is_empty() && self.course == Mode::Deploy {
            self.restart_rollback();
            return;
        }
        if self.split.is_some() && self.unfinished.is_empty() {
            self.partial_rollback_finished();
            return;
        }
        let verdict = if !self.unfinished.is_empty() {
            Outcome::RollbackFailed
        } else if self.cause == Some(Cause::Interrupted) {
            Outcome::Cancelled
        } else if self.affected_running || matches!(self.course, Mode::Rollback(_)) {
            Outcome::RolledBack
        } else {
            Outcome::Aborted
        };
        self.finish(verdict);
    }

    /// Rolls back once more. The engine was unavailable during the rollback and may have stopped
    /// containers, including those that the run never touched.
    fn restart_rollback(&mut self) {
        self.split = None;
        let back = self.plan_rollback(&self.attempted);
        self.engine_restarted = false;
        self.schedule.append(back.plan, Some(&back.after));
        self.schedule.turn(Stage::Back);
    }

    /// Ends the run for a recovery. The engine was unavailable after the commit and may have
    /// stopped containers that the run cannot identify by the names it knows. A recovery observes
    /// the whole state and continues from there.
    pub(super) fn defer_to_recovery(&mut self) {
        self.resumable = true;
        let text = "the engine was unavailable after the commit; containers that it stopped may not be running";
        self.unfinished.push(text.to_owned());
        self.finish(Outcome::RollbackFailed);
    }

    /// Stops at once. If a recovery can continue from the journal, no manual work is required,
    /// unless a step of the rollback has failed.
    fn abort_now(&mut self) {
        match (self.phase, self.settings.on_failure) {
            (Phase::CleaningUp, _) => {
                self.resumable = true;
                self.report_unfinished(Stage::Cleanup, &[StepStatus::Waiting, StepStatus::Running]);
                let text = "interrupted before all obsolete objects were removed";
                self.emit(Event::Warning {
                    text: text.to_owned(),
                });
                self.finish(if self.split.is_some() {
                    Outcome::RolledBack
                } else {
                    Outcome::Converged
                });
            }
            (_, FailurePolicy::RollbackAll | FailurePolicy::RollbackSubtree) => {
                self.finish(if self.unfinished.is_empty() {
                    Outcome::RollbackInterrupted
                } else {
                    Outcome::RollbackFailed
                });
            }
            (_, FailurePolicy::Continue) => self.end_removal(),
            (_, FailurePolicy::Leave) => {
                self.report_unfinished(Stage::Forward, &NOT_DONE);
                self.rollback_finished();
            }
        }
    }

    fn report_unfinished(&mut self, part: Stage, statuses: &[StepStatus]) {
        let ids = self.schedule.those(part, statuses);
        let texts = ids
            .into_iter()
            .filter_map(|id| self.schedule.step(id).map(describe_unfinished));
        let texts: Vec<String> = texts.collect();
        self.unfinished.extend(texts);
    }

    pub(super) fn finish(&mut self, verdict: Outcome) {
        let recoverable = !self.close_journal(verdict);
        self.phase = Phase::Finished;
        let mut critical_path = self.schedule.chain(Stage::Forward);
        let of_all = [
            ("stabilizing", self.settled_for),
            ("confirming", self.confirmed_for),
        ];
        let of_all = of_all.into_iter().filter(|(_, took)| !took.is_zero());
        critical_path.extend(of_all.map(|(verb, took)| PathSegment {
            subject: Subject::Project,
            verb: verb.to_owned(),
            elapsed: took,
        }));
        critical_path.extend(self.schedule.chain(Stage::Cleanup));
        critical_path.extend(self.schedule.chain(Stage::Back));
        let restored_volumes = self.restored();
        self.emit(Event::RunFinished {
            outcome: verdict,
            elapsed: self.now,
            critical_path: critical_path.clone(),
            retained_volumes: self.retained_volumes.clone(),
            retained_containers: self.retained_containers.clone(),
            restored_volumes: restored_volumes.clone(),
            irreversible_jobs: self.irreversible_jobs.clone(),
            cause: self.cause.as_ref().map(ToString::to_string),
            unfinished: self.unfinished.clone(),
            recoverable,
        });
        self.effects.push(Effect::Finish(RunSummary {
            outcome: verdict,
            elapsed: self.now,
            cause: self.cause.clone(),
            unfinished: std::mem::take(&mut self.unfinished),
            critical_path,
            retained_volumes: self.retained_volumes.clone(),
            retained_containers: self.retained_containers.clone(),
            split: self.split.clone(),
            restored_volumes,
            irreversible_jobs: self.irreversible_jobs.clone(),
            interrupted: self.interrupted_at.is_some(),
        }));
    }

    /// Returns the volumes that were restored from a snapshot.
    fn restored(&self) -> Vec<String> {
        let done = self.schedule.those(Stage::Back, &[StepStatus::Done]);
        let restored = done
            .into_iter()
            .filter_map(|id| match &self.schedule.step(id)?.kind {
                StepKind::Action(Action::RestoreVolume(snapshot)) => Some(snapshot.source.clone()),
                _ => None,
            });
        restored.collect()
    }
}

/// Describes a step that was not done, as a sentence fragment with its manual command.
pub(super) fn describe_unfinished(step: &Step) -> String {
    let text = format!("{} `{}` was not done", verb(&step.kind), object(&step.kind));
    with_manual_command(text, &step.kind)
}

/// Describes the resource that a step did not remove, as a sentence fragment.
fn not_removed(work: &StepKind) -> Option<String> {
    let StepKind::Action(action) = work else {
        return None;
    };
    let kind = match action {
        Action::RemoveContainer(_) => "container",
        Action::RemoveNetwork(_) => "network",
        Action::RemoveVolume(_) => "volume",
        Action::RemoveSnapshot(_) => "snapshot",
        Action::RemoveImage(_) => "image",
        _ => return None,
    };
    Some(format!("{kind} `{}`", action.object()))
}
