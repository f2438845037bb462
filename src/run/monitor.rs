//! Handles the engine's container events during a run.
//!
//! A part of [`Run`]. An event may be late, so it only raises a suspicion: the container is
//! inspected before anything is decided.

use super::{
    gate::{end_cause, ended, report},
    machine::Run,
    manual_command::with_manual_command,
    message::Effect,
    phase::{InspectReason, Phase},
    summary::Cause,
};
use crate::{
    engine::{ContainerEvent, ContainerEventKind, Inspection},
    event::{Change, Event, LastAnswer},
    name::ContainerName,
    plan::{Action, StepId, StepKind, Subject},
    state::Health,
};

impl Run {
    pub(super) fn noticed(&mut self, notice: ContainerEvent) {
        let ContainerEvent { container, what } = notice;
        if let Some(id) = self.open_gate_of(&container) {
            if let Some(wait) = self.open_gates.get_mut(&id) {
                let moves = wait.noticed(&what);
                self.follow(id, moves);
            }
            return;
        }
        let Some(id) = self.watched.get(&container).copied() else {
            self.early_events.entry(container).or_default().push(what);
            return;
        };
        let why = match what {
            ContainerEventKind::Started
            | ContainerEventKind::Health(Health::Starting | Health::Healthy) => return,
            ContainerEventKind::Died { .. } | ContainerEventKind::OutOfMemory => None,
            ContainerEventKind::Health(Health::Unhealthy) => {
                Some("the engine says `unhealthy`".to_owned())
            }
        };
        if self.phase == Phase::CleaningUp {
            self.warn_unhealthy(&container);
        } else {
            self.inspect(
                id,
                InspectReason::PostReadyCheck {
                    why,
                    renewed: false,
                },
            );
        }
    }

    /// Inspects every container that a missed event could be about.
    pub(super) fn reinspect_all(&mut self) {
        let open: Vec<StepId> = self.open_gates.keys().copied().collect();
        for id in open {
            if let Some(wait) = self.open_gates.get_mut(&id) {
                let moves = wait.suspect();
                self.follow(id, moves);
            }
        }
        for id in self.watched.clone().into_values() {
            self.inspect(
                id,
                InspectReason::PostReadyCheck {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// Handles the inspection of a container whose gate had passed.
    pub(super) fn post_ready_inspected(
        &mut self,
        id: StepId,
        why: Option<String>,
        renewed: bool,
        evidence: Option<Inspection>,
    ) {
        let container = self.watched.iter().find(|(_, step)| **step == id);
        let fresh = container.is_some_and(|(name, _)| self.started_containers.contains(name));
        let over = evidence.as_ref().is_none_or(|known| ended(known, fresh));
        if why.is_some() || over {
            let why = why.unwrap_or_else(|| end_cause(evidence.as_ref()));
            self.regressed(id, why, evidence, Vec::new());
        } else if renewed {
            self.inspect(
                id,
                InspectReason::PostReadyCheck {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// Stops watching a container that is about to be stopped: its exit is expected.
    pub(super) fn unwatch(&mut self, container: &ContainerName) {
        let id = self.watched.remove(container);
        if let Some(id) = id.filter(|id| self.inspections.remove(id).is_some()) {
            self.effects.push(Effect::Cancel(id));
        }
    }

    /// Warns about a container that failed when a rollback is no longer possible.
    fn warn_unhealthy(&mut self, container: &ContainerName) {
        self.watched.remove(container);
        let text = format!("container `{container}` failed after the commit");
        self.emit(Event::Warning { text });
    }

    /// Returns help for a container that could not become ready on its internal networks alone.
    pub(super) fn withheld_help(&self, container: &ContainerName) -> Option<String> {
        let mut creates = self.plan.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Action(Action::CreateContainer(create)) => Some(create),
            _ => None,
        });
        let create = creates.find(|it| it.name == *container)?;
        (create.endpoints.len() < create.networks.len()).then(|| {
            "it was on internal networks only, without a way out, until its port would have moved \
             to it: `update order=\"stop-first\"` starts it on all its networks"
                .to_owned()
        })
    }

    /// Returns help for a container that was not restarted and may still use the old container of a
    /// dependency that was replaced.
    pub(super) fn stale_help(
        &self,
        container: &ContainerName,
        subject: &Subject,
    ) -> Option<String> {
        let Subject::Service { name, .. } = subject else {
            return None;
        };
        let services = &self.settings.services;
        let its = services.iter().find(|it| it.service == *name)?;
        let mut replaced = services.iter().filter(|it| it.change == Change::Replace);
        let found = replaced.find(|it| its.depends_on.contains(&it.service))?;
        let service = &found.service;
        (!self.started_containers.contains(container)).then(|| {
            format!(
                "where it resolves `{service}` only at its start it still connects to the old container: \
                 `depends-on \"{service}\" restart=#true` restarts it after an update"
            )
        })
    }

    /// Handles a container that is no longer ready after its gate had passed.
    pub(super) fn regressed(
        &mut self,
        id: StepId,
        why: String,
        evidence: Option<Inspection>,
        answers: Vec<LastAnswer>,
    ) {
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        let StepKind::AwaitReady { container, .. } = step.kind else {
            return;
        };
        if self.phase == Phase::CleaningUp {
            self.warn_unhealthy(&container);
            return;
        }
        self.watched.remove(&container);
        let after = self.now.saturating_sub(self.schedule.started(id));
        let mut report = report(container.clone(), why.clone(), after, answers, evidence);
        report
            .help
            .extend(self.stale_help(&container, &step.subject));
        let report = Box::new(report);
        self.emit(Event::UnhealthyAfterReady {
            subject: step.subject.clone(),
            report,
        });
        let cause = Cause::UnhealthyAfterReady {
            container: container.clone(),
            why,
        };
        match self.phase {
            Phase::RollingBack if self.is_committed(id) => self.mark_regressed(&step.subject),
            Phase::RollingBack => {
                let work = StepKind::Action(Action::StartContainer(container));
                self.unfinished
                    .push(with_manual_command(cause.to_string(), &work));
            }
            _ if step.non_fatal => {}
            _ => {
                self.failed.insert(container);
                self.mark_regressed(&step.subject);
                self.fail_for(&step.subject, cause);
            }
        }
    }
}
