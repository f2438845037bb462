//! Hands a run's events to the reporter; two runs of one command are told as one.
//!
//! An `up` that has to build first is two runs, since only with the images at hand is it known
//! what else changes. Who watches sees one: one beginning, one clock, one numbering, one end.

use std::{io, sync::Arc, time::Duration};

use futures::Stream;

use super::{Console, ExecutionMode};
use crate::{
    engine::StateStore,
    event::{self, Event, EventEnvelope, Outcome, PathSegment, ServiceSummary},
    plan::Plan,
    report::Reporter,
    run::{self, Run, RunSummary},
};

/// The way of events from runs to the reporter.
pub(super) struct EventBridge {
    reporter: Reporter<'static>,
    earlier: Option<PreviousRun>,
    remark: FinalNote,
    rehearsal: bool,
}

/// What a person is to know of an end besides the verdict, if there is something.
pub(super) type FinalNote = Box<dyn Fn(Outcome) -> Option<String> + Send>;

/// What an earlier run of the same command took up.
struct PreviousRun {
    steps: usize,
    /// What it said to happen.
    services: Vec<ServiceSummary>,
    time: Duration,
    critical_path: Vec<PathSegment>,
}

impl EventBridge {
    pub fn new(console: Console) -> Self {
        let style = console.style();
        let reporter = match console.stage {
            ExecutionMode::Silent => Reporter::new(style, io::sink(), io::sink()),
            ExecutionMode::Real | ExecutionMode::Simulated => {
                Reporter::new(style, io::stdout(), io::stderr())
            }
        };
        Self {
            reporter,
            rehearsal: console.stage != ExecutionMode::Real,
            earlier: None,
            remark: Box::new(|_| None),
        }
    }

    /// Says this before the end is told.
    pub fn on_finish(&mut self, remark: FinalNote) {
        self.remark = remark;
    }

    /// Carries out a run after which another one follows, if it ends well.
    pub async fn run_preliminary<E: StateStore>(
        &mut self,
        engine: Arc<E>,
        (plan, settings): (Plan, run::Settings),
        interrupts: impl Stream<Item = ()>,
    ) -> RunSummary {
        let (steps, services) = (plan.steps.len(), settings.services.clone());
        let run = Run::new(plan, settings);
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let rehearsal = self.rehearsal;
        let tell = |stamped: EventEnvelope| {
            let over = matches!(
                stamped.event,
                Event::Committed
                    | Event::RunFinished {
                        outcome: Outcome::Converged | Outcome::Unchanged,
                        ..
                    }
            );
            if !over {
                tell_with(reporter, remark, &marked(stamped, rehearsal));
            }
        };
        let outcome = run::drive(engine, run, tell, interrupts).await;
        self.earlier = Some(PreviousRun {
            steps,
            services,
            time: outcome.elapsed,
            critical_path: outcome.critical_path.clone(),
        });
        outcome
    }

    /// Carries out the last run of a command.
    pub async fn run_final<E: StateStore>(
        &mut self,
        engine: Arc<E>,
        run: Run,
        interrupts: impl Stream<Item = ()>,
    ) -> RunSummary {
        let earlier = self.earlier.take();
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let rehearsal = self.rehearsal;
        let tell = |stamped: EventEnvelope| {
            if let Some(stamped) = after(stamped, earlier.as_ref()) {
                tell_with(reporter, remark, &marked(stamped, rehearsal));
            }
        };
        run::drive(engine, run, tell, interrupts).await
    }
}

impl Drop for EventBridge {
    /// However a command ends, what it drew on the terminal is left in order.
    fn drop(&mut self) {
        self.reporter.finish();
    }
}

/// What happened in a rehearsal says so.
fn marked(mut stamped: EventEnvelope, rehearsal: bool) -> EventEnvelope {
    if rehearsal {
        stamped.rehearsal = true;
        if let Event::RunStarted { verb, .. } = &mut stamped.event {
            *verb = format!("{}{verb}", event::REHEARSED);
        }
    }
    stamped
}

/// Tells an event; before the last one, what is to be remarked.
fn tell_with(reporter: &mut Reporter<'static>, remark: &FinalNote, stamped: &EventEnvelope) {
    if let Event::RunFinished {
        outcome: verdict, ..
    } = &stamped.event
        && let Some(text) = remark(*verdict)
    {
        let event = Event::Warning { text };
        reporter.event(&EventEnvelope {
            event,
            ..stamped.clone()
        });
    }
    reporter.event(stamped);
}

/// The event of a later run as one of the whole.
fn after(mut stamped: EventEnvelope, earlier: Option<&PreviousRun>) -> Option<EventEnvelope> {
    let Some(earlier) = earlier else {
        return Some(stamped);
    };
    stamped.at += earlier.time;
    if let Some(step) = stamped.event.step_mut() {
        step.0 += earlier.steps;
    }
    match &mut stamped.event {
        Event::RunStarted { services, .. } => {
            let services = std::mem::take(services);
            if services == earlier.services {
                return None;
            }
            stamped.event = Event::Replanned { services };
        }
        Event::RunFinished {
            elapsed: took,
            outcome: verdict,
            critical_path,
            ..
        } => {
            *took += earlier.time;
            critical_path.splice(0..0, earlier.critical_path.iter().cloned());
            if *verdict == Outcome::Unchanged {
                *verdict = Outcome::Converged;
            }
        }
        _ => {}
    }
    Some(stamped)
}
