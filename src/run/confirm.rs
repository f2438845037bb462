//! What a run does between its last step and its commit: it waits whether everything stays ready, and
//! then asks every gate and looks at every container once more, all at the same time.
//!
//! A part of the machine. What passed while an old container still ran, or before something else was
//! started, is proven only then.

use std::time::Duration;

use super::{
    gate::GateMachine,
    machine::Run,
    message::{Effect, TimerId},
    phase::{InspectReason, Phase},
    settings::Stabilization,
};
use crate::{
    event::Event,
    name::ContainerName,
    plan::{StepId, StepKind},
    project::{Gate, Probe},
};

/// The longest that a gate may take to pass once more: ten tries of a probe that gets no answer.
const WITHIN: Duration = Duration::from_secs(10);

impl Run {
    /// Waits whether everything stays ready.
    pub(super) fn settle(&mut self) {
        let rest = self.unsettled();
        self.settled_for = rest;
        if rest.is_zero() || self.watched.is_empty() {
            self.confirm();
            return;
        }
        self.phase = Phase::Stabilizing { over: false };
        self.settled_at = self.now + rest;
        self.emit(Event::Stabilizing { duration: rest });
        self.effects
            .push(Effect::StartTimer(TimerId::Stabilization, rest));
    }

    /// How long it takes until every container has been ready for long enough.
    fn unsettled(&self) -> Duration {
        if let Stabilization::For(duration) = self.settings.stabilization {
            return duration;
        }
        let fresh = self.watched.iter();
        let fresh = fresh.filter(|(name, _)| self.started_containers.contains(*name));
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
        for (container, id) in self.watched.clone() {
            let Some(gate) = self.gate(id).cloned() else {
                continue;
            };
            let again = Gate {
                timeout: gate.timeout.min(WITHIN),
                stabilize: Duration::ZERO,
                ..gate
            };
            let fresh = self.started_containers.contains(&container);
            self.open_wait(id, GateMachine::for_gate(&again, fresh, self.now));
            self.inspect(
                id,
                InspectReason::PostReadyCheck {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// A gate did not pass once more.
    pub(super) fn unconfirmed(&mut self, id: StepId, wait: &GateMachine, why: &str) {
        self.inspections.remove(&id);
        self.effects.push(Effect::Cancel(id));
        let answers = wait.answers();
        let unmet = answers.iter().find(|it| !it.passed);
        let why = unmet.map_or_else(
            || why.to_owned(),
            |it| format!("{why}: {}: {}", it.probe, it.answer),
        );
        let evidence = wait.evidence().cloned();
        self.regressed(id, why, evidence, answers);
    }

    /// Nothing is asked any longer; what is asked has no say.
    pub(super) fn end_confirmation(&mut self) {
        if self.phase != Phase::Confirming {
            return;
        }
        for id in std::mem::take(&mut self.open_gates).into_keys() {
            self.inspections.remove(&id);
            self.effects.push(Effect::Cancel(id));
        }
    }

    fn gate(&self, id: StepId) -> Option<&Gate> {
        match &self.schedule.step(id)?.kind {
            StepKind::AwaitReady { gate, .. } => Some(gate),
            StepKind::Action(_) | StepKind::Drain { .. } | StepKind::Verify(_) => None,
        }
    }

    /// The step of the gate that is open for a container.
    pub(super) fn open_gate_of(&self, container: &ContainerName) -> Option<StepId> {
        self.open_gates.keys().copied().find(|id| {
            let work = self.schedule.step(*id).map(|step| &step.kind);
            matches!(work, Some(StepKind::AwaitReady { container: its, .. }) if its == container)
        })
    }
}

/// How long a container has to stay ready after its gate has passed.
fn needed(gate: &Gate) -> Duration {
    let merely_runs = gate.probes.iter().all(|it| *it == Probe::Started);
    if merely_runs {
        Stabilization::STARTED
    } else {
        Stabilization::PROBED
    }
}
