//! Stabilization and confirmation, between the last step of a run and its commit. The run waits for
//! the stabilization window, and then probes every gate and inspects every container once more, all
//! concurrently.
//!
//! A part of [`Run`]. A gate may have passed while an old container still ran, or before another
//! container was started. The confirmation proves it for the final state.

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

/// Timeout of a gate during the confirmation: ten attempts of a probe that gets no answer.
const WITHIN: Duration = Duration::from_secs(10);

impl Run {
    /// Starts the stabilization window, or the confirmation if there is nothing to wait for.
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

    /// Returns the time left until every container has been ready for the required time.
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

    /// Probes all gates once more and inspects all containers.
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

    /// Handles a gate that failed the confirmation.
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

    /// Ends the confirmation and cancels its open gates, whose results no longer matter.
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

    /// Returns the step of the open gate of a container.
    pub(super) fn open_gate_of(&self, container: &ContainerName) -> Option<StepId> {
        self.open_gates.keys().copied().find(|id| {
            let work = self.schedule.step(*id).map(|step| &step.kind);
            matches!(work, Some(StepKind::AwaitReady { container: its, .. }) if its == container)
        })
    }
}

/// Returns how long a container has to stay ready after its gate has passed.
fn needed(gate: &Gate) -> Duration {
    let merely_runs = gate.probes.iter().all(|it| *it == Probe::Started);
    if merely_runs {
        Stabilization::STARTED
    } else {
        Stabilization::PROBED
    }
}
