//! The turn of a run: what is in flight is waited for, then the way back is gone.
//!
//! A part of the machine: which steps the way back has is decided in [`crate::plan::way_back`].

use std::{collections::BTreeSet, time::Duration};

use super::{
    machine::Run,
    message::Effect,
    outcome::{Cause, Outcome},
    phase::{Course, Phase},
    remedy::with_remedy,
    schedule::{Part, Status, object, verb},
    settings::OnFailure,
};
use crate::{
    event::{Event, Response, Segment, Verdict},
    plan::{Action, Step, StepId, Subject, WayBack, Work, recovery, way_back_keeping},
};

/// Signals within this time of the first one are the same request: people press Ctrl-C twice, and a
/// terminal that closes may send several.
const SAME_REQUEST: Duration = Duration::from_secs(2);

/// How steps do that were not done, or not to their end.
const NOT_DONE: [Status; 5] = [
    Status::Waiting,
    Status::Running,
    Status::Failed,
    Status::Skipped,
    Status::Cancelled,
];

impl Run {
    /// The run does not get to where it was to: nothing new begins, what can be is called off.
    pub(super) fn fail(&mut self, cause: Cause) {
        let forward = matches!(
            self.phase,
            Phase::Forward | Phase::Settling { .. } | Phase::Confirming
        );
        if !forward {
            return;
        }
        self.end_confirmation();
        self.phase = Phase::Draining;
        self.cause = Some(cause);
        self.cancel_waits();
        self.cancel_times();
        self.call_off();
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
            Phase::Idle => {
                self.cause = Some(Cause::Interrupted);
                self.finish(Verdict::Interrupted);
            }
            // What is being written down is answered first: then nothing was done.
            Phase::Opening => self.cause = Some(Cause::Interrupted),
            // The commit is being written down, and what comes of it is answered next.
            Phase::Committing | Phase::Over => {}
            _ if again => self.abandon(),
            Phase::Forward | Phase::Settling { .. } | Phase::Confirming => {
                self.fail(Cause::Interrupted);
            }
            // Past the commit a run finishes, and a way back is not turned. Where only a part goes
            // back, the rest follows.
            Phase::Cleanup | Phase::Draining | Phase::Back => {}
        }
    }

    /// Whether a failure is undone, so that there is a commit from which on it is not.
    pub(super) fn undoes(&self) -> bool {
        matches!(
            self.settings.on_failure,
            OnFailure::GoBack | OnFailure::GoBackInPart
        )
    }

    /// What the run does when it is asked to stop.
    fn response(&self, again: bool) -> Response {
        let undoes = self.undoes();
        match self.phase {
            Phase::Idle | Phase::Opening => Response::Stop,
            Phase::Committing | Phase::Over => Response::Finish,
            _ if again && undoes => Response::Leave,
            Phase::Cleanup => Response::Finish,
            _ if undoes => Response::RollBack,
            _ => Response::Stop,
        }
    }

    /// Nothing is in flight any more: the way back begins.
    pub(super) fn go_back(&mut self) {
        if self.settings.on_failure == OnFailure::GoOn {
            self.end_removal();
            return;
        }
        self.split = None;
        let back = self.way_back(&self.attempted);
        self.was_away = false;
        self.touched |= back.touches_running();
        self.left.extend(back.lost.iter().cloned());
        if self.settings.on_failure == OnFailure::Stay {
            if self.touched || !self.left.is_empty() || !back.plan.steps.is_empty() {
                self.leave(Part::Forward, &NOT_DONE);
            }
            self.is_back();
            return;
        }
        self.begin_back(back);
    }

    /// A removal has come as far as it can: names what is still there.
    fn end_removal(&mut self) {
        let ids = self.schedule.those(Part::Forward, &NOT_DONE);
        let steps = ids.into_iter().filter_map(|id| self.schedule.step(id));
        let remaining: Vec<String> = steps
            .filter(|step| !step.optional)
            .filter_map(|step| not_removed(&step.work))
            .collect();
        self.left.extend(remaining);
        let removed = self.schedule.those(Part::Forward, &[Status::Done]);
        let untouched = removed.is_empty() && self.cause == Some(Cause::Interrupted);
        self.finish(if untouched {
            Verdict::Interrupted
        } else {
            Verdict::RemovalIncomplete
        });
    }

    /// What undoes these steps; keeps what failed, if that is wished for.
    pub(super) fn way_back(&self, steps: &BTreeSet<StepId>) -> WayBack {
        if self.was_away {
            return recovery(&self.plan, steps, &self.settings.origin);
        }
        let kept = if self.settings.keep_failed {
            &self.failed
        } else {
            &BTreeSet::new()
        };
        way_back_keeping(&self.plan, steps, &self.settings.origin, kept)
    }

    /// Goes a way back.
    pub(super) fn begin_back(&mut self, back: WayBack) {
        self.kept_volumes = back.kept_volumes;
        self.kept_containers.extend(back.kept_containers);
        self.irreversible_jobs = back.irreversible_jobs;
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
        if self.was_away && self.left.is_empty() && self.course == Course::Forward {
            self.go_back_again();
            return;
        }
        if self.split.is_some() && self.left.is_empty() {
            self.part_is_back();
            return;
        }
        let verdict = if !self.left.is_empty() {
            Verdict::Stuck
        } else if self.cause == Some(Cause::Interrupted) {
            Verdict::Interrupted
        } else if self.touched || matches!(self.course, Course::Back(_)) {
            Verdict::RolledBack
        } else {
            Verdict::Untouched
        };
        self.finish(verdict);
    }

    /// The engine was gone in the meantime, and may have stopped what had been started, or was never
    /// touched: all of it is looked after once more.
    fn go_back_again(&mut self) {
        self.split = None;
        let back = self.way_back(&self.attempted);
        self.was_away = false;
        self.schedule.append(back.plan, Some(&back.after));
        self.schedule.turn(Part::Back);
    }

    /// The engine was gone after the commit, and may have stopped what the run cannot start by the
    /// names that it knows: another run goes on from here, with all that is there before its eyes.
    pub(super) fn leave_to_recovery(&mut self) {
        self.resumable = true;
        let text = "the engine was away after the commit, and what it stopped may not run";
        self.left.push(text.to_owned());
        self.finish(Verdict::Stuck);
    }

    /// Stops at once. Where the journal tells a recovery what remains to be done, that is no work
    /// for a person, unless a step of the rollback has failed.
    fn abandon(&mut self) {
        match (self.phase, self.settings.on_failure) {
            (Phase::Cleanup, _) => {
                self.resumable = true;
                self.leave(Part::Cleanup, &[Status::Waiting, Status::Running]);
                let text = "interrupted before everything that is not needed any more was removed";
                self.emit(Event::Warning {
                    text: text.to_owned(),
                });
                self.finish(if self.split.is_some() {
                    Verdict::RolledBack
                } else {
                    Verdict::Converged
                });
            }
            (_, OnFailure::GoBack | OnFailure::GoBackInPart) => {
                self.finish(if self.left.is_empty() {
                    Verdict::RollbackInterrupted
                } else {
                    Verdict::Stuck
                });
            }
            (_, OnFailure::GoOn) => self.end_removal(),
            (_, OnFailure::Stay) => {
                self.leave(Part::Forward, &NOT_DONE);
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
        let recoverable = !self.close_journal(verdict);
        self.phase = Phase::Over;
        let mut critical_path = self.schedule.chain(Part::Forward);
        let of_all = [
            ("settling", self.settled_for),
            ("confirming", self.confirmed_for),
        ];
        let of_all = of_all.into_iter().filter(|(_, took)| !took.is_zero());
        critical_path.extend(of_all.map(|(verb, took)| Segment {
            subject: Subject::Project,
            verb: verb.to_owned(),
            took,
        }));
        critical_path.extend(self.schedule.chain(Part::Cleanup));
        critical_path.extend(self.schedule.chain(Part::Back));
        let restored_volumes = self.restored();
        self.emit(Event::RunFinished {
            verdict,
            took: self.now,
            critical_path: critical_path.clone(),
            kept_volumes: self.kept_volumes.clone(),
            kept_containers: self.kept_containers.clone(),
            restored_volumes: restored_volumes.clone(),
            irreversible_jobs: self.irreversible_jobs.clone(),
            cause: self.cause.as_ref().map(ToString::to_string),
            left: self.left.clone(),
            recoverable,
        });
        self.effects.push(Effect::Finish(Outcome {
            verdict,
            took: self.now,
            cause: self.cause.clone(),
            left: std::mem::take(&mut self.left),
            critical_path,
            kept_volumes: self.kept_volumes.clone(),
            kept_containers: self.kept_containers.clone(),
            split: self.split.clone(),
            restored_volumes,
            irreversible_jobs: self.irreversible_jobs.clone(),
            interrupted: self.interrupted_at.is_some(),
        }));
    }

    /// The volumes that hold again what they held.
    fn restored(&self) -> Vec<String> {
        let done = self.schedule.those(Part::Back, &[Status::Done]);
        let restored = done
            .into_iter()
            .filter_map(|id| match &self.schedule.step(id)?.work {
                Work::Act(Action::RestoreVolume(snapshot)) => Some(snapshot.source.clone()),
                _ => None,
            });
        restored.collect()
    }
}

/// A step that was not done, in a fragment, with what does it by hand.
pub(super) fn undone(step: &Step) -> String {
    let text = format!("{} `{}` was not done", verb(&step.work), object(&step.work));
    with_remedy(text, &step.work)
}

/// What a step was to remove, in a fragment.
fn not_removed(work: &Work) -> Option<String> {
    let Work::Act(action) = work else { return None };
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
