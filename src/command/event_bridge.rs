//! Forwards the events of runs to the reporter. Two runs of one command are reported as one.
//!
//! An `up` that has to build images consists of two runs, because the other changes are known only
//! after the images are available. The user sees one run: one start, one clock, one numbering, one
//! end.

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

/// Forwards the events of the runs of one command to the reporter.
pub(super) struct EventBridge {
    reporter: Reporter<'static>,
    earlier: Option<PreviousRun>,
    remark: FinalNote,
    simulated: bool,
}

/// Returns an optional note for the user, which is printed before the outcome.
pub(super) type FinalNote = Box<dyn Fn(Outcome) -> Option<String> + Send>;

/// Totals of an earlier run of the same command.
struct PreviousRun {
    steps: usize,
    /// The services as that run announced them.
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
            simulated: console.stage != ExecutionMode::Real,
            earlier: None,
            remark: Box::new(|_| None),
        }
    }

    /// Sets the note that is printed before the end of the run is reported.
    pub fn on_finish(&mut self, remark: FinalNote) {
        self.remark = remark;
    }

    /// Executes a run that is followed by another one if it succeeds. Its success is not reported.
    pub async fn run_preliminary<E: StateStore>(
        &mut self,
        engine: Arc<E>,
        (plan, settings): (Plan, run::Settings),
        interrupts: impl Stream<Item = ()>,
    ) -> RunSummary {
        let (steps, services) = (plan.steps.len(), settings.services.clone());
        let run = Run::new(plan, settings);
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let simulated = self.simulated;
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
                tell_with(reporter, remark, &marked(stamped, simulated));
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

    /// Executes the last run of a command.
    pub async fn run_final<E: StateStore>(
        &mut self,
        engine: Arc<E>,
        run: Run,
        interrupts: impl Stream<Item = ()>,
    ) -> RunSummary {
        let earlier = self.earlier.take();
        let (reporter, remark) = (&mut self.reporter, &self.remark);
        let simulated = self.simulated;
        let tell = |stamped: EventEnvelope| {
            if let Some(stamped) = after(stamped, earlier.as_ref()) {
                tell_with(reporter, remark, &marked(stamped, simulated));
            }
        };
        run::drive(engine, run, tell, interrupts).await
    }
}

impl Drop for EventBridge {
    /// Restores the terminal, however the command ends.
    fn drop(&mut self) {
        self.reporter.finish();
    }
}

/// Marks an event of a simulation.
fn marked(mut stamped: EventEnvelope, simulated: bool) -> EventEnvelope {
    if simulated {
        stamped.simulated = true;
        if let Event::RunStarted { verb, .. } = &mut stamped.event {
            *verb = format!("{}{verb}", event::SIMULATED);
        }
    }
    stamped
}

/// Reports an event. The note is reported before the last event.
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

/// Rewrites an event of a later run so that it continues the earlier run; `None`: the event is
/// redundant.
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
