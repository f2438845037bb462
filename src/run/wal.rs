//! Write-ahead journal of a run: the records that it writes, and the work that waits for them.
//!
//! A part of [`Run`]. A record is durable before the run requests the recorded step. The journal of
//! an interrupted run therefore contains everything that may have been done.

use super::{
    machine::Run,
    message::Effect,
    phase::{Mode, PendingRecord, Phase},
    schedule::{Stage, StepStatus},
    settings::FailurePolicy,
    summary::Cause,
};
use crate::{
    engine::EngineError,
    event::{Event, Outcome},
    journal::{JournalRecord, Writer},
    plan::{Action, StepId, StepKind},
};

impl Run {
    /// Records the plan, unless there is no journal or the journal already contains it.
    pub(super) fn open_journal(&mut self) {
        let opening = self.settings.journal.as_ref().and_then(Writer::opening);
        match opening {
            Some(record) => {
                self.phase = Phase::OpeningJournal;
                self.record(record, PendingRecord::Opening);
            }
            None => self.enter_first_phase(),
        }
    }

    fn enter_first_phase(&mut self) {
        match self.course.clone() {
            Mode::Deploy => {
                self.phase = Phase::Deploying;
                self.schedule.turn(Stage::Forward);
            }
            Mode::Rollback(cause) => {
                self.enter_rollback(cause);
                self.schedule.turn(Stage::Back);
            }
            Mode::RollForward => {
                self.phase = Phase::CleaningUp;
                self.schedule.turn(Stage::Cleanup);
            }
        }
    }

    /// Starts the rollback. It does not wait for its journal record, because a recovery without the
    /// record rolls back as well.
    pub(super) fn enter_rollback(&mut self, cause: String) {
        self.record(
            JournalRecord::RollbackStarted {
                cause: cause.clone(),
            },
            PendingRecord::Nothing,
        );
        self.emit(Event::RollbackStarted { cause });
        self.phase = Phase::RollingBack;
    }

    /// Writes a journal record. Without a journal, the work that waits for it continues at once.
    pub(super) fn record(&mut self, record: JournalRecord, awaited: PendingRecord) {
        if self.settings.journal.is_some() {
            self.effects.push(Effect::WriteJournal(Box::new(record)));
            self.pending.push_back(awaited);
        } else {
            self.written(awaited);
        }
    }

    /// Handles the result of a journal write.
    pub(super) fn recorded(&mut self, result: Result<(), EngineError>) {
        let Some(awaited) = self.pending.pop_front() else {
            return;
        };
        match result {
            Ok(()) => self.written(awaited),
            Err(error) => self.unwritten(awaited, &error),
        }
    }

    fn written(&mut self, awaited: PendingRecord) {
        match awaited {
            PendingRecord::Opening if self.cause.is_some() => self.finish(Outcome::Cancelled),
            PendingRecord::Opening => self.enter_first_phase(),
            PendingRecord::Steps(steps) => {
                for (id, action) in steps {
                    self.go_ahead(id, action);
                }
            }
            PendingRecord::Commit => self.committed(),
            PendingRecord::Nothing => {}
        }
    }

    /// Performs a recorded step, unless the run has stopped deploying in the meantime.
    fn go_ahead(&mut self, id: StepId, action: Action) {
        if self.phase == Phase::Deploying {
            self.effects.push(Effect::Perform(id, action));
        } else if self.running.remove(&id) {
            self.attempted.remove(&id);
            self.end(id, StepStatus::Cancelled);
        }
    }

    fn unwritten(&mut self, awaited: PendingRecord, error: &EngineError) {
        match awaited {
            PendingRecord::Opening => {
                // Nothing was done, so there is nothing to recover.
                self.settings.journal = None;
                self.cause = Some(Cause::Journal(unwritten(error)));
                self.finish(Outcome::Aborted);
            }
            PendingRecord::Steps(steps) => {
                for (id, _) in steps {
                    self.finished(id, Err(unwritten(error)));
                }
            }
            PendingRecord::Commit => {
                self.phase = Phase::Deploying;
                self.abort(Cause::Journal(unwritten(error)));
            }
            PendingRecord::Nothing => {}
        }
    }

    /// Starts steps. Those that touch existing resources or cannot be undone are recorded first, in
    /// a single record.
    pub(super) fn start_all(&mut self, ready: Vec<StepId>) {
        let mut held = Vec::new();
        for id in ready {
            let journalled = self.settings.journal.is_some() && self.phase == Phase::Deploying;
            let intent = journalled && self.journaled_steps.contains(&id);
            match self.start(id) {
                Some(action) if intent => held.push((id, action)),
                Some(action) => self.effects.push(Effect::Perform(id, action)),
                None => {}
            }
        }
        if !held.is_empty() {
            let steps = held.iter().map(|(id, _)| *id).collect();
            self.record(
                JournalRecord::StepsStarted { steps },
                PendingRecord::Steps(held),
            );
        }
    }

    /// Writes the `Finished` record. Returns `false` if it was not written because another run has
    /// to continue from here.
    pub(super) fn close_journal(&mut self, verdict: Outcome) -> bool {
        // A run that has not started has no record to close.
        if self.settings.journal.is_none() || self.phase == Phase::Created {
            return true;
        }
        let unfinished = match verdict {
            Outcome::RollbackFailed => self.settings.on_failure != FailurePolicy::Leave,
            Outcome::RollbackInterrupted => true,
            _ => false,
        };
        if unfinished || self.resumable || self.is_unsettled() {
            return false;
        }
        let record = JournalRecord::Finished {
            outcome: verdict,
            elapsed: self.now,
            cause: self.cause.as_ref().map(ToString::to_string),
        };
        self.record(record, PendingRecord::Nothing);
        true
    }

    /// Whether a cleanup step failed that the next deploy depends on, such as a rename: the names
    /// tell which containers are current. The next command retries it.
    fn is_unsettled(&self) -> bool {
        let failed = self
            .schedule
            .those(Stage::Cleanup, &[StepStatus::Failed, StepStatus::Skipped]);
        self.phase == Phase::CleaningUp
            && failed.into_iter().any(|id| {
                let step = self.schedule.step(id);
                matches!(
                    step.map(|it| &it.kind),
                    Some(StepKind::Action(
                        Action::RenameContainer { .. }
                            | Action::SetRestartPolicy { .. }
                            | Action::StopContainer { .. }
                    ))
                )
            })
    }
}

fn unwritten(error: &EngineError) -> EngineError {
    EngineError::JournalUnavailable {
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::{
        event::Purpose,
        journal::Planned,
        plan::{Plan, Step},
        project::{Gate, Probe},
        run::{Input, Settings, Stabilization},
    };

    /// A run that stops one container, then starts and probes another one, with a journal.
    fn run() -> Run {
        let planned = Planned::sample(7);
        let container = crate::name::ContainerName::new("shop-web-1.g2").unwrap();
        let gate = Gate {
            probes: vec![Probe::Started],
            timeout: Duration::from_secs(1),
            stabilize: Duration::ZERO,
        };
        let mut steps = planned.plan.steps.clone();
        let asked = Step {
            kind: StepKind::AwaitReady { container, gate },
            requires: BTreeSet::from([StepId(0), StepId(1)]),
            ..steps[0].clone()
        };
        steps.push(asked);
        let plan = Plan { steps };
        run_of(Planned { plan, ..planned })
    }

    fn run_of(planned: Planned) -> Run {
        let plan = planned.plan.clone();
        let settings = Settings {
            project: planned.project.name.clone(),
            verb: "up".to_owned(),
            services: Vec::new(),
            purpose: Purpose::Project,
            origin: planned.origin.clone(),
            on_failure: FailurePolicy::RollbackAll,
            keep_failed: false,
            stabilization: Stabilization::NONE,
            deadline: None,
            journal: Some(Writer::new(planned)),
            images_at_a_time: None,
        };
        Run::new(plan, settings)
    }

    /// Returns the journal records and actions, in short.
    fn told(run: &mut Run, input: Input) -> Vec<String> {
        let short = |effect: Effect| match effect {
            Effect::WriteJournal(record) => Some(match *record {
                JournalRecord::Planned(_) => "planned".to_owned(),
                JournalRecord::StepsStarted { steps } => format!("begun {steps:?}"),
                JournalRecord::Committed { .. } => "committed".to_owned(),
                JournalRecord::RollbackStarted { .. } => "returning".to_owned(),
                JournalRecord::Finished {
                    outcome: verdict, ..
                } => format!("closed {verdict:?}"),
            }),
            Effect::Perform(id, _) => Some(format!("perform {}", id.0)),
            Effect::Finish(outcome) => Some(format!("finish {:?}", outcome.outcome)),
            _ => None,
        };
        let effects = run.on(Duration::ZERO, input);
        effects.into_iter().filter_map(short).collect()
    }

    fn running() -> crate::engine::Inspection {
        let condition = crate::state::ContainerStatus {
            status: crate::state::Status::Running,
            ..crate::state::ContainerStatus::default()
        };
        crate::engine::Inspection {
            condition,
            ..crate::engine::Inspection::default()
        }
    }

    fn full() -> EngineError {
        EngineError::DiskFull {
            cause: "no space".to_owned(),
        }
    }

    #[test]
    fn steps_run_after_their_journal_record() {
        let mut run = run();
        assert_eq!(told(&mut run, Input::Begin), ["planned"]);
        // Both steps touch existing containers, and start together.
        let begun = format!("begun {:?}", [StepId(0), StepId(1)]);
        assert_eq!(told(&mut run, Input::JournalWritten(Ok(()))), [begun]);
        let performed = told(&mut run, Input::JournalWritten(Ok(())));
        assert_eq!(performed, ["perform 0", "perform 1"]);
        told(&mut run, Input::ActionFinished(StepId(0), Ok(())));
        told(&mut run, Input::ActionFinished(StepId(1), Ok(())));
        let answer = Input::ProbeAnswered {
            step: StepId(2),
            question: 0,
            answer: crate::engine::ProbeResult::Passed("it runs".to_owned()),
        };
        told(&mut run, answer.clone());
        told(&mut run, answer);
        let looked = Input::Inspected(StepId(2), Some(running()));
        assert_eq!(told(&mut run, looked), ["committed"]);
        let end = told(&mut run, Input::JournalWritten(Ok(())));
        assert_eq!(end, ["closed Converged", "finish Converged"]);
    }

    #[test]
    fn failed_journal_write_prevents_steps() {
        let mut begun = run();
        told(&mut begun, Input::Begin);
        let end = told(&mut begun, Input::JournalWritten(Err(full())));
        assert_eq!(end, ["finish Aborted"]);

        let mut touching = run();
        told(&mut touching, Input::Begin);
        told(&mut touching, Input::JournalWritten(Ok(())));
        let end = told(&mut touching, Input::JournalWritten(Err(full())));
        assert_eq!(end, ["closed Aborted", "finish Aborted"]);
    }

    #[test]
    fn interruption_during_journal_write_performs_nothing() {
        let mut run = run();
        told(&mut run, Input::Begin);
        told(&mut run, Input::JournalWritten(Ok(())));
        assert!(told(&mut run, Input::Interrupted).is_empty());
        let end = told(&mut run, Input::JournalWritten(Ok(())));
        assert_eq!(end, ["closed Cancelled", "finish Cancelled"]);
    }

    #[test]
    fn failed_rename_after_commit_keeps_journal_open() {
        for (left_open, failing) in [(true, true), (false, false)] {
            let mut planned = Planned::sample(7);
            let name = |text: &str| crate::name::ContainerName::new(text).unwrap();
            let (from, to) = (name("shop-web-1.g2"), name("shop-web-1"));
            planned.plan.steps = vec![Step {
                after_commit: true,
                ..Step {
                    kind: StepKind::Action(Action::RenameContainer { from, to }),
                    ..planned.plan.steps[0].clone()
                }
            }];
            let mut run = run_of(planned);
            told(&mut run, Input::Begin);
            told(&mut run, Input::JournalWritten(Ok(())));
            told(&mut run, Input::JournalWritten(Ok(())));
            let result = if failing { Err(full()) } else { Ok(()) };
            let end = told(&mut run, Input::ActionFinished(StepId(0), result));
            let closed = end.contains(&"closed Converged".to_owned());
            assert_eq!(closed, !left_open, "{end:?}");
            assert!(end.contains(&"finish Converged".to_owned()), "{end:?}");
        }
    }

    #[test]
    fn unstarted_run_writes_no_journal_record() {
        let mut run = run();
        assert_eq!(
            told(&mut run, Input::WatchFailed(full())),
            ["finish Aborted"]
        );
    }
}
