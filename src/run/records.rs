//! What a run writes down, and what waits for it.
//!
//! A part of the machine. A record is durable before what it speaks of is asked for: so whoever
//! finds the journal of a run that was cut off knows everything that may have been done.

use super::{
    machine::Run,
    message::Effect,
    outcome::Cause,
    phase::{Awaited, Course, Phase},
    schedule::{Part, Status},
    settings::OnFailure,
};
use crate::{
    engine::EngineError,
    event::{Event, Verdict},
    journal::{Record, Writer},
    plan::{Action, StepId},
};

impl Run {
    /// Writes down what the run is about to do, if it has a journal that does not say so yet.
    pub(super) fn open_journal(&mut self) {
        let opening = self.settings.journal.as_ref().and_then(Writer::opening);
        match opening {
            Some(record) => {
                self.phase = Phase::Opening;
                self.record(record, Awaited::Opening);
            }
            None => self.set_out(),
        }
    }

    fn set_out(&mut self) {
        match self.course.clone() {
            Course::Forward => {
                self.phase = Phase::Forward;
                self.schedule.turn(Part::Forward);
            }
            Course::Back(cause) => {
                self.set_back(cause);
                self.schedule.turn(Part::Back);
            }
            Course::Onward => {
                self.phase = Phase::Cleanup;
                self.schedule.turn(Part::Cleanup);
            }
        }
    }

    /// The way back begins. It needs no leave of the journal: whoever recovers does the same.
    pub(super) fn set_back(&mut self, cause: String) {
        self.record(
            Record::Returning {
                cause: cause.clone(),
            },
            Awaited::Nothing,
        );
        self.emit(Event::RollbackStarted { cause });
        self.phase = Phase::Back;
    }

    /// Writes something down; without a journal what waits for it goes on at once.
    pub(super) fn record(&mut self, record: Record, awaited: Awaited) {
        if self.settings.journal.is_some() {
            self.effects.push(Effect::Record(Box::new(record)));
            self.awaited.push_back(awaited);
        } else {
            self.written(awaited);
        }
    }

    /// A record was written, or could not be.
    pub(super) fn recorded(&mut self, result: Result<(), EngineError>) {
        let Some(awaited) = self.awaited.pop_front() else {
            return;
        };
        match result {
            Ok(()) => self.written(awaited),
            Err(error) => self.unwritten(awaited, &error),
        }
    }

    fn written(&mut self, awaited: Awaited) {
        match awaited {
            Awaited::Opening if self.cause.is_some() => self.finish(Verdict::Interrupted),
            Awaited::Opening => self.set_out(),
            Awaited::Steps(steps) => {
                for (id, action) in steps {
                    self.go_ahead(id, action);
                }
            }
            Awaited::Commit => self.committed(),
            Awaited::Nothing => {}
        }
    }

    /// Performs what has been written down, unless the run has turned in the meantime.
    fn go_ahead(&mut self, id: StepId, action: Action) {
        if self.phase == Phase::Forward {
            self.effects.push(Effect::Perform(id, action));
        } else if self.acting.remove(&id) {
            self.attempted.remove(&id);
            self.end(id, Status::Cancelled);
        }
    }

    fn unwritten(&mut self, awaited: Awaited, error: &EngineError) {
        match awaited {
            Awaited::Opening => {
                // Nothing was done, and there is nothing to be found.
                self.settings.journal = None;
                self.cause = Some(Cause::Journal(unwritten(error)));
                self.finish(Verdict::Untouched);
            }
            Awaited::Steps(steps) => {
                for (id, _) in steps {
                    self.finished(id, Err(unwritten(error)));
                }
            }
            Awaited::Commit => {
                self.phase = Phase::Forward;
                self.fail(Cause::Journal(unwritten(error)));
            }
            Awaited::Nothing => {}
        }
    }

    /// Starts steps; those that touch what was there before are written down in one record.
    pub(super) fn start_all(&mut self, ready: Vec<StepId>) {
        let mut held = Vec::new();
        for id in ready {
            let journalled = self.settings.journal.is_some() && self.phase == Phase::Forward;
            let intent = journalled && self.intents.contains(&id);
            match self.start(id) {
                Some(action) if intent => held.push((id, action)),
                Some(action) => self.effects.push(Effect::Perform(id, action)),
                None => {}
            }
        }
        if !held.is_empty() {
            let steps = held.iter().map(|(id, _)| *id).collect();
            self.record(Record::Begun { steps }, Awaited::Steps(held));
        }
    }

    /// Writes down how it ended, unless another run has to go on from here.
    pub(super) fn close_journal(&mut self, verdict: Verdict) {
        let unfinished = verdict == Verdict::Stuck && self.settings.on_failure == OnFailure::GoBack;
        if self.settings.journal.is_none() || unfinished || self.resumable {
            return;
        }
        let record = Record::Closed {
            verdict,
            took: self.now,
            cause: self.cause.as_ref().map(ToString::to_string),
        };
        self.record(record, Awaited::Nothing);
    }
}

fn unwritten(error: &EngineError) -> EngineError {
    EngineError::Unwritten {
        cause: error.to_string(),
    }
}
