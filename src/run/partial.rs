//! A run of which a part goes back and the rest stays.
//!
//! A part of the machine: who has to go back is decided in [`crate::plan::split`]. Whoever does not
//! wait for the failed service goes on until it is ready or has failed itself, so that the outcome
//! does not hang on who was faster; then the failed ones go back, and the rest is committed.

use super::{
    machine::Run,
    phase::Phase,
    schedule::{Stage, StepStatus},
    settings::FailurePolicy,
    summary::Cause,
};
use crate::{
    event::Event,
    plan::{StepId, Subject, split},
};

impl Run {
    /// Something failed that was done for this subject.
    pub(super) fn fail_for(&mut self, subject: &Subject, cause: Cause) {
        let forward = matches!(
            self.phase,
            Phase::Deploying | Phase::Stabilizing { .. } | Phase::Confirming
        );
        let goes_on = match self.settings.on_failure {
            // A check of the whole says nothing about who is to blame.
            FailurePolicy::RollbackSubtree => *subject != Subject::Project,
            FailurePolicy::Continue => true,
            FailurePolicy::RollbackAll | FailurePolicy::Leave => false,
        };
        if !forward || !goes_on {
            self.abort(cause);
            return;
        }
        self.end_confirmation();
        self.cause.get_or_insert(cause);
        // From settling, too: there is nothing left to do, and then the part goes back.
        self.phase = Phase::Deploying;
    }

    /// This service had been ready and is not any more.
    pub(super) fn mark_regressed(&mut self, subject: &Subject) {
        if let Subject::Service { name, .. } = subject {
            self.regressed_services.insert(name.clone());
        }
    }

    /// Whether this gate is that of a new container which stays though others go back.
    pub(super) fn is_committed(&self, gate: StepId) -> bool {
        self.split.is_some() && gate.0 < self.plan.steps.len()
    }

    /// All that could be done was done, and something had failed.
    pub(super) fn rollback_failed_subtree(&mut self) {
        if self.settings.on_failure == FailurePolicy::Continue {
            self.start_rollback_if_idle();
            return;
        }
        let unmet = [
            StepStatus::Waiting,
            StepStatus::Failed,
            StepStatus::Skipped,
            StepStatus::Cancelled,
        ];
        let unmet = self.schedule.those(Stage::Forward, &unmet);
        let unmet = unmet.into_iter().collect();
        let split = split(
            &self.plan,
            &unmet,
            &self.regressed_services,
            &self.settings.origin,
        );
        // What the engine stopped meanwhile would be nobody's.
        if split.committed.is_empty() || self.engine_restarted {
            self.cancel_waits();
            self.start_rollback_if_idle();
            return;
        }
        let back = self.plan_rollback(&split.steps_to_undo(&self.plan, &self.attempted));
        self.affected_running |= back.touches_running();
        self.unfinished.extend(back.lost.iter().cloned());
        self.split = Some(split);
        self.start_rollback(back);
    }

    /// The failed part is back.
    pub(super) fn partial_rollback_finished(&mut self) {
        let Some(split) = &self.split else {
            return;
        };
        let undone = split.steps_to_undo(&self.plan, &self.attempted);
        self.attempted.retain(|id| !undone.contains(id));
        if self.interrupted_at.is_some() {
            self.cause = Some(Cause::Interrupted);
            self.cancel_waits();
            self.start_rollback_if_idle();
        } else if self
            .regressed_services
            .iter()
            .any(|name| split.committed.contains(name))
        {
            self.rollback_failed_subtree();
        } else {
            self.settle();
        }
    }

    /// The rest has proven itself: what it replaced may go, and nothing else.
    pub(super) fn conclude_part(&mut self) {
        let Some(split) = self.split.clone() else {
            return;
        };
        self.schedule
            .cancel_cancellable(Stage::Cleanup, |step| !split.keeps_step(step));
        self.emit(Event::PartiallyCommitted {
            committed: split.committed.into_iter().collect(),
            rolled_back: split.rolled_back.into_iter().collect(),
        });
    }
}
