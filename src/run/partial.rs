//! Partial rollback: a part of a run is rolled back and the rest is committed.
//!
//! A part of [`Run`]. [`crate::plan::split`] decides which services are rolled back. Services that
//! do not depend on the failed service continue until they are ready or have failed too, so that
//! the outcome does not depend on timing. Then the failed services are rolled back, and the rest is
//! committed.

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
    /// Handles a failure of a step with this subject.
    pub(super) fn fail_for(&mut self, subject: &Subject, cause: Cause) {
        let forward = matches!(
            self.phase,
            Phase::Deploying | Phase::Stabilizing { .. } | Phase::Confirming
        );
        let goes_on = match self.settings.on_failure {
            // A `verify` check does not tell which service is at fault.
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
        // Also from the stabilization: no steps are left, so the partial rollback starts.
        self.phase = Phase::Deploying;
    }

    /// Marks a service as unhealthy after ready.
    pub(super) fn mark_regressed(&mut self, subject: &Subject) {
        if let Subject::Service { name, .. } = subject {
            self.regressed_services.insert(name.clone());
        }
    }

    /// Whether this gate belongs to a new container that is committed in a partial rollback.
    pub(super) fn is_committed(&self, gate: StepId) -> bool {
        self.split.is_some() && gate.0 < self.plan.steps.len()
    }

    /// Rolls back the failed services when every other step has ended.
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
        // Containers that the engine stopped meanwhile would be in neither part.
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

    /// Continues after the failed services have been rolled back.
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

    /// Commits the remaining services: cleans up what they replaced, and nothing else.
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
