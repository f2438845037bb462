//! What a run does between its last step and its commit: it waits whether everything stays ready, and
//! then asks every gate and looks at every container once more, all at the same time.
//!
//! A part of the machine. What passed while an old container still ran, or before something else was
//! started, is proven only then.

use std::time::Duration;

use super::{
    gate::Wait,
    machine::Run,
    message::{Effect, TimerId},
    phase::{Inquiry, Phase},
    settings::Settle,
};
use crate::{
    event::Event,
    name::ContainerName,
    plan::{StepId, Work},
    project::{Gate, Probe},
};

/// The longest that a gate may take to pass once more: ten tries of a probe that gets no answer.
const WITHIN: Duration = Duration::from_secs(10);

impl Run {
    /// Waits whether everything stays ready.
    pub(super) fn settle(&mut self) {
        let rest = self.unsettled();
        self.settled_for = rest;
        if rest.is_zero() || self.guarded.is_empty() {
            self.confirm();
            return;
        }
        self.phase = Phase::Settling { over: false };
        self.settled_at = self.now + rest;
        self.emit(Event::Settling { duration: rest });
        self.effects.push(Effect::Sleep(TimerId::Settle, rest));
    }

    /// How long it takes until every container has been ready for long enough.
    fn unsettled(&self) -> Duration {
        if let Settle::For(duration) = self.settings.settle {
            return duration;
        }
        let fresh = self.guarded.iter();
        let fresh = fresh.filter(|(name, _)| self.begun.contains(*name));
        let until = fresh.filter_map(|(_, id)| {
            let needed = needed(self.gate(*id)?);
            Some(self.schedule.ended(*id) + needed)
        });
        until.max().unwrap_or_default().saturating_sub(self.now)
    }

    /// Asks all gates once more and looks at all containers.
    pub(super) fn confirm(&mut self) {
        self.phase = Phase::Confirming;
        self.confirming_since = self.now;
        if self.plan.changes_nothing() {
            return;
        }
        for (container, id) in self.guarded.clone() {
            let Some(gate) = self.gate(id).cloned() else {
                continue;
            };
            let again = Gate {
                within: gate.within.min(WITHIN),
                settle: Duration::ZERO,
                ..gate
            };
            let fresh = self.begun.contains(&container);
            self.open_wait(id, Wait::for_gate(&again, fresh, self.now));
            self.inquire(
                id,
                Inquiry::Relapse {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// A gate did not pass once more.
    pub(super) fn unconfirmed(&mut self, id: StepId, wait: &Wait, why: &str) {
        self.inquiries.remove(&id);
        self.effects.push(Effect::Cancel(id));
        let answers = wait.answers();
        let unmet = answers.iter().find(|it| !it.passed);
        let why = unmet.map_or_else(
            || why.to_owned(),
            |it| format!("{why}: {}: {}", it.probe, it.answer),
        );
        let evidence = wait.evidence().cloned();
        self.relapsed(id, why, evidence, answers);
    }

    /// Nothing is asked any longer; what is asked has no say.
    pub(super) fn end_confirmation(&mut self) {
        if self.phase != Phase::Confirming {
            return;
        }
        for id in std::mem::take(&mut self.waits).into_keys() {
            self.inquiries.remove(&id);
            self.effects.push(Effect::Cancel(id));
        }
    }

    fn gate(&self, id: StepId) -> Option<&Gate> {
        match &self.schedule.step(id)?.work {
            Work::Gate { gate, .. } => Some(gate),
            Work::Act(_) | Work::Drain { .. } | Work::Verify(_) => None,
        }
    }

    /// The step of the gate that is open for a container.
    pub(super) fn open_gate_of(&self, container: &ContainerName) -> Option<StepId> {
        self.waits.keys().copied().find(|id| {
            let work = self.schedule.step(*id).map(|step| &step.work);
            matches!(work, Some(Work::Gate { container: its, .. }) if its == container)
        })
    }
}

/// How long a container has to stay ready after its gate has passed.
fn needed(gate: &Gate) -> Duration {
    let merely_runs = gate.probes.iter().all(|it| *it == Probe::Started);
    if merely_runs {
        Settle::STARTED
    } else {
        Settle::PROBED
    }
}
