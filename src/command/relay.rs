//! Hands a run's events to the reporter; two runs of one command are told as one.
//!
//! An `up` that has to build first is two runs, since only with the images at hand is it known
//! what else changes. Who watches sees one: one beginning, one clock, one numbering, one end.

use std::{io, sync::Arc, time::Duration};

use futures::Stream;

use super::{Console, Stage};
use crate::{
    engine::Ledger,
    event::{self, Event, Participant, Segment, Stamped, Verdict},
    plan::Plan,
    report::Reporter,
    run::{self, Outcome, Run},
};

/// The way of events from runs to the reporter.
pub(super) struct Relay {
    reporter: Reporter<'static>,
    earlier: Option<Earlier>,
    remark: Remark,
    rehearsal: bool,
}

/// What a person is to know of an end besides the verdict, if there is something.
pub(super) type Remark = Box<dyn Fn(Verdict) -> Option<String> + Send>;

/// What an earlier run of the same command took up.
struct Earlier {
    steps: usize,
    /// What it said to happen.
    services: Vec<Participant>,
    time: Duration,
    critical_path: Vec<Segment>,
}

impl Relay {
    pub fn new(console: Console) -> Self {
        let style = console.style();
        let reporter = match console.stage {
            Stage::Trial => Reporter::new(style, io::sink(), io::sink()),
            Stage::Engine | Stage::Rehearsal => Reporter::new(style, io::stdout(), io::stderr()),
        };
        Self {
            reporter,
            rehearsal: console.stage != Stage::Engine,
            earlier: None,
            remark: Box::new(|_| None),
        }
    }

    /// Says this before the end is told.
    pub fn before_the_end(&mut self, remark: Remark) {
        self.remark = remark;
    }

    /// Carries out a run after which another one follows, if it ends well.
    pub async fn first<E: Ledger>(
        &mut self,
        engine: Arc<E>,
        (plan, settings): (Plan, run::Settings),
        interrupts: impl Stream<Item = ()>,
    ) -> Outcome {
        let (steps, services) = (plan.steps.len(), settings.services.clone());
        let run = Run::new(plan, settings);
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let rehearsal = self.rehearsal;
        let tell = |stamped: Stamped| {
            let over = matches!(
                stamped.event,
                Event::Committed
                    | Event::RunFinished {
                        verdict: Verdict::Converged | Verdict::Unchanged,
                        ..
                    }
            );
            if !over {
                tell_with(reporter, remark, &marked(stamped, rehearsal));
            }
        };
        let outcome = run::drive(engine, run, tell, interrupts).await;
        self.earlier = Some(Earlier {
            steps,
            services,
            time: outcome.took,
            critical_path: outcome.critical_path.clone(),
        });
        outcome
    }

    /// Carries out the last run of a command.
    pub async fn last<E: Ledger>(
        &mut self,
        engine: Arc<E>,
        run: Run,
        interrupts: impl Stream<Item = ()>,
    ) -> Outcome {
        let earlier = self.earlier.take();
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let rehearsal = self.rehearsal;
        let tell = |stamped: Stamped| {
            if let Some(stamped) = after(stamped, earlier.as_ref()) {
                tell_with(reporter, remark, &marked(stamped, rehearsal));
            }
        };
        run::drive(engine, run, tell, interrupts).await
    }
}

impl Drop for Relay {
    /// However a command ends, what it drew on the terminal is left in order.
    fn drop(&mut self) {
        self.reporter.finish();
    }
}

/// What happened in a rehearsal says so.
fn marked(mut stamped: Stamped, rehearsal: bool) -> Stamped {
    if rehearsal {
        stamped.rehearsal = true;
        if let Event::RunStarted { verb, .. } = &mut stamped.event {
            *verb = format!("{}{verb}", event::REHEARSED);
        }
    }
    stamped
}

/// Tells an event; before the last one, what is to be remarked.
fn tell_with(reporter: &mut Reporter<'static>, remark: &Remark, stamped: &Stamped) {
    if let Event::RunFinished { verdict, .. } = &stamped.event
        && let Some(text) = remark(*verdict)
    {
        let event = Event::Warning { text };
        reporter.event(&Stamped {
            event,
            ..stamped.clone()
        });
    }
    reporter.event(stamped);
}

/// The event of a later run as one of the whole.
fn after(mut stamped: Stamped, earlier: Option<&Earlier>) -> Option<Stamped> {
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
            took,
            verdict,
            critical_path,
            ..
        } => {
            *took += earlier.time;
            critical_path.splice(0..0, earlier.critical_path.iter().cloned());
            if *verdict == Verdict::Unchanged {
                *verdict = Verdict::Converged;
            }
        }
        _ => {}
    }
    Some(stamped)
}
