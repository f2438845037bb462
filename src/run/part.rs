//! A run of which a part goes back and the rest stays.
//!
//! A part of the machine: who has to go back is decided in [`crate::plan::split`]. Whoever does not
//! wait for the failed service goes on until it is ready or has failed itself, so that the outcome
//! does not hang on who was faster; then the failed ones go back, and the rest is committed.

use super::{
    machine::Run,
    outcome::Cause,
    phase::Phase,
    schedule::{Part, Status},
    settings::OnFailure,
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
            Phase::Forward | Phase::Settling { .. } | Phase::Confirming
        );
        let goes_on = match self.settings.on_failure {
            // A check of the whole says nothing about who is to blame.
            OnFailure::GoBackInPart => *subject != Subject::Project,
            OnFailure::GoOn => true,
            OnFailure::GoBack | OnFailure::Stay => false,
        };
        if !forward || !goes_on {
            self.fail(cause);
            return;
        }
        self.end_confirmation();
        self.cause.get_or_insert(cause);
        // From settling, too: there is nothing left to do, and then the part goes back.
        self.phase = Phase::Forward;
    }

    /// This service had been ready and is not any more.
    pub(super) fn lose(&mut self, subject: &Subject) {
        if let Subject::Service { name, .. } = subject {
            self.lost.insert(name.clone());
        }
    }

    /// Whether this gate is that of a new container which stays though others go back.
    pub(super) fn stays(&self, gate: StepId) -> bool {
        self.split.is_some() && gate.0 < self.plan.steps.len()
    }

    /// All that could be done was done, and something had failed.
    pub(super) fn go_back_in_part(&mut self) {
        if self.settings.on_failure == OnFailure::GoOn {
            self.go_back();
            return;
        }
        let unmet = [
            Status::Waiting,
            Status::Failed,
            Status::Skipped,
            Status::Cancelled,
        ];
        let unmet = self.schedule.those(Part::Forward, &unmet);
        let unmet = unmet.into_iter().collect();
        let split = split(&self.plan, &unmet, &self.lost, &self.settings.origin);
        // What the engine stopped meanwhile would be nobody's.
        if split.new.is_empty() || self.was_away {
            self.cancel_waits();
            self.go_back();
            return;
        }
        let back = self.way_back(&split.to_undo(&self.plan, &self.attempted));
        self.touched |= back.touches_running();
        self.left.extend(back.lost.iter().cloned());
        self.split = Some(split);
        self.begin_back(back);
    }

    /// The failed part is back.
    pub(super) fn part_is_back(&mut self) {
        let Some(split) = &self.split else {
            return;
        };
        let undone = split.to_undo(&self.plan, &self.attempted);
        self.attempted.retain(|id| !undone.contains(id));
        if self.interrupted_at.is_some() {
            self.cause = Some(Cause::Interrupted);
            self.cancel_waits();
            self.go_back();
        } else if self.lost.iter().any(|name| split.new.contains(name)) {
            self.go_back_in_part();
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
            .call_off(Part::Cleanup, |step| !split.concludes(step));
        self.emit(Event::CommittedInPart {
            new: split.new.into_iter().collect(),
            old: split.old.into_iter().collect(),
        });
    }
}
