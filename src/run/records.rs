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
    plan::{Action, StepId, Work},
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

    /// Writes down how it ended, unless another run has to go on from here; says whether none has.
    pub(super) fn close_journal(&mut self, verdict: Verdict) -> bool {
        // Not begun, it has written nothing that could be closed.
        if self.settings.journal.is_none() || self.phase == Phase::Idle {
            return true;
        }
        let unfinished = match verdict {
            Verdict::Stuck => self.settings.on_failure != OnFailure::Stay,
            Verdict::RollbackInterrupted => true,
            _ => false,
        };
        if unfinished || self.resumable || self.is_unsettled() {
            return false;
        }
        let record = Record::Closed {
            verdict,
            took: self.now,
            cause: self.cause.as_ref().map(ToString::to_string),
        };
        self.record(record, Awaited::Nothing);
        true
    }

    /// Whether something failed after the commit by which the next deploy goes: the names tell who
    /// is current. Whoever comes next tries again.
    fn is_unsettled(&self) -> bool {
        let failed = self
            .schedule
            .those(Part::Cleanup, &[Status::Failed, Status::Skipped]);
        self.phase == Phase::Cleanup
            && failed.into_iter().any(|id| {
                let step = self.schedule.step(id);
                matches!(
                    step.map(|it| &it.work),
                    Some(Work::Act(
                        Action::RenameContainer { .. }
                            | Action::SetRestartPolicy { .. }
                            | Action::StopContainer { .. }
                    ))
                )
            })
    }
}

fn unwritten(error: &EngineError) -> EngineError {
    EngineError::Unwritten {
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
        run::{Input, Settings, Settle},
    };

    /// A run that stops one container, starts another and asks it, with its journal.
    fn run() -> Run {
        let planned = Planned::sample(7);
        let container = crate::name::ContainerName::new("shop-web-1.g2").unwrap();
        let gate = Gate {
            probes: vec![Probe::Started],
            within: Duration::from_secs(1),
            settle: Duration::ZERO,
        };
        let mut steps = planned.plan.steps.clone();
        let asked = Step {
            work: Work::Gate { container, gate },
            needs: BTreeSet::from([StepId(0), StepId(1)]),
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
            on_failure: OnFailure::GoBack,
            keep_failed: false,
            settle: Settle::NONE,
            deadline: None,
            journal: Some(Writer::new(planned)),
            images_at_a_time: None,
        };
        Run::new(plan, settings)
    }

    /// What is written down and performed, in short.
    fn told(run: &mut Run, input: Input) -> Vec<String> {
        let short = |effect: Effect| match effect {
            Effect::Record(record) => Some(match *record {
                Record::Planned(_) => "planned".to_owned(),
                Record::Begun { steps } => format!("begun {steps:?}"),
                Record::Committed { .. } => "committed".to_owned(),
                Record::Returning { .. } => "returning".to_owned(),
                Record::Closed { verdict, .. } => format!("closed {verdict:?}"),
            }),
            Effect::Perform(id, _) => Some(format!("perform {}", id.0)),
            Effect::Finish(outcome) => Some(format!("finish {:?}", outcome.verdict)),
            _ => None,
        };
        let effects = run.on(Duration::ZERO, input);
        effects.into_iter().filter_map(short).collect()
    }

    fn running() -> crate::engine::Evidence {
        let condition = crate::state::Condition {
            status: crate::state::Status::Running,
            ..crate::state::Condition::default()
        };
        crate::engine::Evidence {
            condition,
            ..crate::engine::Evidence::default()
        }
    }

    fn full() -> EngineError {
        EngineError::DiskFull {
            cause: "no space".to_owned(),
        }
    }

    #[test]
    fn nothing_is_done_before_it_is_written_down() {
        let mut run = run();
        assert_eq!(told(&mut run, Input::Begin), ["planned"]);
        // Both touch what was there before, and begin together.
        let begun = format!("begun {:?}", [StepId(0), StepId(1)]);
        assert_eq!(told(&mut run, Input::Recorded(Ok(()))), [begun]);
        let performed = told(&mut run, Input::Recorded(Ok(())));
        assert_eq!(performed, ["perform 0", "perform 1"]);
        told(&mut run, Input::Finished(StepId(0), Ok(())));
        told(&mut run, Input::Finished(StepId(1), Ok(())));
        let answer = Input::Answered {
            step: StepId(2),
            question: 0,
            answer: crate::engine::Answer::Ready("it runs".to_owned()),
        };
        told(&mut run, answer.clone());
        told(&mut run, answer);
        let looked = Input::Examined(StepId(2), Some(running()));
        assert_eq!(told(&mut run, looked), ["committed"]);
        let end = told(&mut run, Input::Recorded(Ok(())));
        assert_eq!(end, ["closed Converged", "finish Converged"]);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_done() {
        let mut begun = run();
        told(&mut begun, Input::Begin);
        let end = told(&mut begun, Input::Recorded(Err(full())));
        assert_eq!(end, ["finish Untouched"]);

        let mut touching = run();
        told(&mut touching, Input::Begin);
        told(&mut touching, Input::Recorded(Ok(())));
        let end = told(&mut touching, Input::Recorded(Err(full())));
        assert_eq!(end, ["closed Untouched", "finish Untouched"]);
    }

    #[test]
    fn an_interruption_while_it_is_written_down_performs_nothing() {
        let mut run = run();
        told(&mut run, Input::Begin);
        told(&mut run, Input::Recorded(Ok(())));
        assert!(told(&mut run, Input::Interrupted).is_empty());
        let end = told(&mut run, Input::Recorded(Ok(())));
        assert_eq!(end, ["closed Interrupted", "finish Interrupted"]);
    }

    #[test]
    fn a_deploy_that_could_not_give_a_name_stays_open() {
        for (left_open, failing) in [(true, true), (false, false)] {
            let mut planned = Planned::sample(7);
            let name = |text: &str| crate::name::ContainerName::new(text).unwrap();
            let (from, to) = (name("shop-web-1.g2"), name("shop-web-1"));
            planned.plan.steps = vec![Step {
                after_commit: true,
                ..Step {
                    work: Work::Act(Action::RenameContainer { from, to }),
                    ..planned.plan.steps[0].clone()
                }
            }];
            let mut run = run_of(planned);
            told(&mut run, Input::Begin);
            told(&mut run, Input::Recorded(Ok(())));
            told(&mut run, Input::Recorded(Ok(())));
            let result = if failing { Err(full()) } else { Ok(()) };
            let end = told(&mut run, Input::Finished(StepId(0), result));
            let closed = end.contains(&"closed Converged".to_owned());
            assert_eq!(closed, !left_open, "{end:?}");
            assert!(end.contains(&"finish Converged".to_owned()), "{end:?}");
        }
    }

    #[test]
    fn a_run_that_never_began_closes_nothing() {
        let mut run = run();
        assert_eq!(told(&mut run, Input::Deaf(full())), ["finish Untouched"]);
    }
}
