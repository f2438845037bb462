//! The turn of a run: what is in flight is waited for, then the way back is gone.
//!
//! A part of the machine: which steps the way back has is decided in [`crate::plan::way_back`].

use super::{
    machine::Run,
    message::Effect,
    outcome::{Cause, Outcome},
    phase::Phase,
    schedule::{Part, Status, object, verb},
    settings::OnFailure,
};
use crate::{
    event::{Event, Segment, Verdict},
    plan::{Step, Subject, way_back},
};

impl Run {
    /// The run does not get to where it was to: nothing new begins, what can be is called off.
    pub(super) fn fail(&mut self, cause: Cause) {
        if !matches!(self.phase, Phase::Forward | Phase::Settling { .. }) {
            return;
        }
        self.phase = Phase::Draining;
        self.cause = Some(cause);
        self.cancel_waits();
        self.cancel_images();
    }

    pub(super) fn interrupted(&mut self) {
        self.interrupts += 1;
        self.emit(Event::Interrupted);
        match self.phase {
            Phase::Idle => {
                self.cause = Some(Cause::Interrupted);
                self.finish(Verdict::Interrupted);
            }
            // What is being written down is answered first: then nothing was done.
            Phase::Opening => self.cause = Some(Cause::Interrupted),
            _ if self.interrupts > 1 => self.abandon(),
            Phase::Forward | Phase::Settling { .. } => self.fail(Cause::Interrupted),
            // Past the commit a run finishes, and a way back is not turned.
            Phase::Committing | Phase::Cleanup | Phase::Draining | Phase::Back | Phase::Over => {}
        }
    }

    /// Nothing is in flight any more: the way back begins.
    pub(super) fn go_back(&mut self) {
        let back = way_back(&self.plan, &self.attempted, &self.settings.origin);
        self.touched = back.touches_running();
        self.left.extend(back.lost);
        if self.settings.on_failure == OnFailure::Stay {
            if self.touched || !self.left.is_empty() || !back.plan.steps.is_empty() {
                let undone = [
                    Status::Waiting,
                    Status::Failed,
                    Status::Skipped,
                    Status::Cancelled,
                ];
                self.leave(Part::Forward, &undone);
            }
            self.is_back();
            return;
        }
        self.kept_volumes = back.kept_volumes;
        if back.plan.steps.is_empty() {
            self.is_back();
            return;
        }
        let cause = self
            .cause
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        self.set_back(cause);
        self.heard.clear();
        self.schedule.append(back.plan, Some(&back.after));
        self.schedule.turn(Part::Back);
    }

    /// The way back is at its end: where did it lead?
    pub(super) fn is_back(&mut self) {
        let verdict = if !self.left.is_empty() {
            Verdict::Stuck
        } else if self.cause == Some(Cause::Interrupted) {
            Verdict::Interrupted
        } else if self.touched {
            Verdict::RolledBack
        } else {
            Verdict::Untouched
        };
        self.finish(verdict);
    }

    /// Stops at once, and says what remains to be done.
    fn abandon(&mut self) {
        let open = [Status::Waiting, Status::Running];
        match self.phase {
            Phase::Cleanup => {
                self.resumable = true;
                self.leave(Part::Cleanup, &open);
                let text = "interrupted before everything that is not needed any more was removed";
                self.emit(Event::Warning {
                    text: text.to_owned(),
                });
                self.finish(Verdict::Converged);
            }
            Phase::Back => {
                self.leave(Part::Back, &open);
                self.is_back();
            }
            _ => {
                let back = way_back(&self.plan, &self.attempted, &self.settings.origin);
                self.left.extend(back.lost);
                self.left.extend(back.plan.steps.iter().map(undone));
                self.is_back();
            }
        }
    }

    fn leave(&mut self, part: Part, statuses: &[Status]) {
        let ids = self.schedule.those(part, statuses);
        let texts = ids
            .into_iter()
            .filter_map(|id| self.schedule.step(id).map(undone));
        let texts: Vec<String> = texts.collect();
        self.left.extend(texts);
    }

    pub(super) fn finish(&mut self, verdict: Verdict) {
        self.close_journal(verdict);
        self.phase = Phase::Over;
        let mut critical_path = self.schedule.chain(Part::Forward);
        if !self.settled_for.is_zero() {
            critical_path.push(Segment {
                subject: Subject::Project,
                verb: "settling".to_owned(),
                took: self.settled_for,
            });
        }
        critical_path.extend(self.schedule.chain(Part::Cleanup));
        critical_path.extend(self.schedule.chain(Part::Back));
        self.emit(Event::RunFinished {
            verdict,
            took: self.now,
            critical_path: critical_path.clone(),
            kept_volumes: self.kept_volumes.clone(),
            cause: self.cause.as_ref().map(ToString::to_string),
            left: self.left.clone(),
        });
        self.effects.push(Effect::Finish(Outcome {
            verdict,
            took: self.now,
            cause: self.cause.clone(),
            left: std::mem::take(&mut self.left),
            critical_path,
            kept_volumes: self.kept_volumes.clone(),
        }));
    }
}

/// A step that was not done, in a fragment.
fn undone(step: &Step) -> String {
    format!("{} `{}` was not done", verb(&step.work), object(&step.work))
}
