//! The gates of a run: opens them, forwards probe results and timers, and handles passes and
//! failures.
//!
//! A part of [`Run`]. The decisions of a single gate are in [`super::gate`].

use std::{mem, time::Duration};

use super::{
    gate::{GateAction, GateMachine, GateTimer},
    machine::Run,
    message::{Effect, TimerId},
    phase::{FailedGate, InspectReason, Phase},
    schedule::{StepStatus, object, verb},
    summary::Cause,
};
use crate::{
    engine::{ContainerEvent, Inspection, ProbeResult},
    event::{Event, Failure},
    name::{ContainerName, ServiceName},
    plan::{Action, StepId, StepKind, Subject},
    project::{Check, Gate, Probe},
};

impl Run {
    pub(super) fn open_gate(
        &mut self,
        id: StepId,
        subject: Subject,
        container: &ContainerName,
        gate: &Gate,
    ) {
        self.emit(Event::ReadinessStarted {
            step: id,
            subject,
            probes: gate.probes.iter().map(ToString::to_string).collect(),
            timeout: gate.timeout,
        });
        self.open_wait(
            id,
            GateMachine::for_gate(gate, self.started_containers.contains(container), self.now),
        );
        // A container can exit before its gate is opened.
        for what in self.early_events.remove(container).unwrap_or_default() {
            self.noticed(ContainerEvent {
                container: container.clone(),
                what,
            });
        }
    }

    pub(super) fn open_wait(&mut self, id: StepId, mut wait: GateMachine) {
        let moves = wait.open();
        self.open_gates.insert(id, wait);
        self.follow(id, moves);
    }

    pub(super) fn answered(&mut self, id: StepId, question: usize, answer: ProbeResult) {
        if let Some(wait) = self.open_gates.get_mut(&id) {
            let moves = wait.answered(question, answer);
            self.follow(id, moves);
        }
    }

    pub(super) fn wait_elapsed(&mut self, id: StepId, pause: GateTimer) {
        if let Some(wait) = self.open_gates.get_mut(&id) {
            let moves = wait.elapsed(pause, self.now);
            self.follow(id, moves);
        }
    }

    /// Performs the actions that a gate or check requests.
    pub(super) fn follow(&mut self, id: StepId, moves: Vec<GateAction>) {
        for wanted in moves {
            match wanted {
                GateAction::Ask { question, patience } => {
                    if let Some(effect) = self.question(id, question, patience) {
                        self.effects.push(effect);
                    }
                }
                GateAction::Tell(question) => self.report_answer(id, question),
                GateAction::Sleep(pause, duration) => {
                    self.effects
                        .push(Effect::StartTimer(TimerId::Step(id, pause), duration));
                }
                GateAction::Suspect => self.inspect(id, InspectReason::PossibleExit),
                GateAction::Passed => self.passed(id),
                GateAction::Failed(why) => self.wait_failed(id, why),
            }
        }
    }

    fn question(&self, id: StepId, question: usize, patience: Duration) -> Option<Effect> {
        match &self.schedule.step(id)?.kind {
            StepKind::Action(_) | StepKind::Drain { .. } => None,
            StepKind::AwaitReady { container, gate } => Some(Effect::Probe {
                step: id,
                question,
                container: container.clone(),
                probe: gate.probes.get(question)?.clone(),
                patience,
            }),
            StepKind::Verify(check) => Some(Effect::Check {
                step: id,
                container: self.container_of(check),
                check: check.clone(),
                patience,
            }),
        }
    }

    /// Returns the first container of the service that a check is about. A new container is
    /// preferred to an existing one.
    fn container_of(&self, check: &Check) -> Option<ContainerName> {
        let service: &ServiceName = match check {
            Check::Http { .. } => return None,
            Check::Unreachable { service, .. } | Check::Exec { service, .. } => service,
        };
        let created = self.plan.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Action(Action::CreateContainer(create)) if create.service == *service => {
                Some((create.replica, &create.name))
            }
            _ => None,
        });
        let kept = self.settings.origin.containers.iter();
        let kept = kept
            .filter(|(_, container)| container.service == *service)
            .map(|(name, container)| (container.replica, name));
        created
            .min()
            .or_else(|| kept.min())
            .map(|(_, name)| name.clone())
    }

    fn report_answer(&mut self, id: StepId, question: usize) {
        if self.phase == Phase::Confirming {
            return;
        }
        let Some(step) = self.schedule.step(id) else {
            return;
        };
        if !matches!(step.kind, StepKind::AwaitReady { .. }) {
            return;
        }
        let told = self
            .open_gates
            .get(&id)
            .and_then(|wait| wait.told(question));
        let Some((probe, answer, attempts)) = told else {
            return;
        };
        let event = Event::ProbeResult {
            step: id,
            subject: step.subject.clone(),
            probe: probe.to_owned(),
            answer: answer.to_owned(),
            attempts,
        };
        self.emit(event);
    }

    fn passed(&mut self, id: StepId) {
        let Some(wait) = self.open_gates.remove(&id) else {
            return;
        };
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        if self.phase == Phase::Confirming {
            return;
        }
        self.effects.push(Effect::Cancel(id));
        let took = self.now.saturating_sub(wait.opened());
        let subject = step.subject;
        match step.kind {
            StepKind::AwaitReady { container, gate } => {
                if !gate.probes.contains(&Probe::Exit) {
                    self.watched.insert(container, id);
                }
                self.emit(Event::Ready {
                    step: id,
                    subject,
                    elapsed: took,
                });
            }
            StepKind::Action(_) | StepKind::Drain { .. } | StepKind::Verify(_) => {
                let verb = verb(&step.kind).to_owned();
                self.emit(Event::StepFinished {
                    step: id,
                    subject,
                    verb,
                    elapsed: took,
                });
            }
        }
        self.end(id, StepStatus::Done);
    }

    /// Handles a gate or check that failed. The run aborts at once; the report follows when the
    /// container has been inspected.
    fn wait_failed(&mut self, id: StepId, why: String) {
        let Some(wait) = self.open_gates.remove(&id) else {
            return;
        };
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        if self.phase == Phase::Confirming {
            self.unconfirmed(id, &wait, &why);
            return;
        }
        self.inspections.remove(&id);
        self.effects.push(Effect::Cancel(id));
        let after = self.now.saturating_sub(wait.opened());
        if !step.non_fatal {
            let cause = failure_of(&step.kind, &wait, why.clone());
            self.fail_for(&step.subject, cause);
        }
        let known = wait.evidence().cloned();
        let inquiry = InspectReason::FailureReport(Box::new(FailedGate { wait, why, after }));
        if known.is_some() || matches!(step.kind, StepKind::Verify(_)) {
            self.inspections.insert(id, inquiry);
            self.inspected(id, known);
        } else {
            self.inspect(id, inquiry);
        }
    }

    /// Inspects the container of a gate, unless an inspection is already running.
    pub(super) fn inspect(&mut self, id: StepId, inquiry: InspectReason) {
        let work = self.schedule.step(id).map(|step| &step.kind);
        let Some(StepKind::AwaitReady { container, .. }) = work else {
            return;
        };
        if let (
            Some(InspectReason::PostReadyCheck { why, renewed }),
            InspectReason::PostReadyCheck { why: more, .. },
        ) = (self.inspections.get_mut(&id), &inquiry)
        {
            *renewed = true;
            *why = why.take().or_else(|| more.clone());
            return;
        }
        // An open gate already waits for the inspection that it requested.
        let asked = matches!(self.inspections.get(&id), Some(InspectReason::PossibleExit));
        if asked && matches!(inquiry, InspectReason::PostReadyCheck { .. }) {
            return;
        }
        let suspects = matches!(inquiry, InspectReason::PossibleExit);
        self.effects.push(Effect::Inspect(id, container.clone()));
        let under_way = self.inspections.insert(id, inquiry).is_some();
        // An inspection that began before the suspicion does not prove anything.
        if suspects
            && under_way
            && let Some(wait) = self.open_gates.get_mut(&id)
        {
            wait.suspect();
        }
    }

    pub(super) fn inspected(&mut self, id: StepId, evidence: Option<Inspection>) {
        match self.inspections.remove(&id) {
            Some(InspectReason::PossibleExit) => {
                if let Some(wait) = self.open_gates.get_mut(&id) {
                    let moves = wait.examined(evidence);
                    self.follow(id, moves);
                }
            }
            Some(InspectReason::FailureReport(failed)) => self.report_failed(id, *failed, evidence),
            Some(InspectReason::PostReadyCheck { why, renewed }) => {
                self.post_ready_inspected(id, why, renewed, evidence);
            }
            None => {}
        }
    }

    fn report_failed(&mut self, id: StepId, failed: FailedGate, evidence: Option<Inspection>) {
        let FailedGate { wait, why, after } = failed;
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        let (subject, optional) = (step.subject, step.non_fatal);
        let cause = failure_of(&step.kind, &wait, why.clone());
        match &step.kind {
            StepKind::AwaitReady { container, .. } => {
                let mut report = wait.report(container.clone(), why, after, evidence);
                report.help.extend(self.stale_help(container, &subject));
                report.help.extend(self.withheld_help(container));
                let report = Box::new(report);
                self.emit(Event::ReadinessFailed {
                    step: id,
                    subject,
                    report,
                    non_fatal: optional,
                });
            }
            StepKind::Action(_) | StepKind::Drain { .. } | StepKind::Verify(_) => {
                let failure = Failure {
                    message: cause.to_string(),
                    help: None,
                    output: Vec::new(),
                };
                self.emit(Event::StepFailed {
                    step: id,
                    subject,
                    verb: verb(&step.kind).to_owned(),
                    object: object(&step.kind),
                    failure,
                    non_fatal: optional,
                });
            }
        }
        self.step_failed(id, optional, cause);
    }

    /// Cancels every gate and check, and every inspection except those for a failure report.
    pub(super) fn cancel_waits(&mut self) {
        self.watched.clear();
        for id in mem::take(&mut self.open_gates).into_keys() {
            self.inspections.remove(&id);
            self.effects.push(Effect::Cancel(id));
            self.end(id, StepStatus::Cancelled);
        }
        let effects = &mut self.effects;
        self.inspections.retain(|id, inquiry| {
            let kept = matches!(inquiry, InspectReason::FailureReport(_));
            if !kept {
                effects.push(Effect::Cancel(*id));
            }
            kept
        });
    }
}

/// Returns the cause of the run's failure when this gate or check fails.
fn failure_of(work: &StepKind, wait: &GateMachine, why: String) -> Cause {
    match work {
        StepKind::AwaitReady { container, .. } => Cause::Gate {
            container: container.clone(),
            why,
        },
        StepKind::Action(_) | StepKind::Drain { .. } | StepKind::Verify(_) => {
            let answer = wait
                .told(0)
                .map(|(_, answer, _)| format!("{why}: {answer}"));
            Cause::Check {
                check: object(work),
                why: answer.unwrap_or(why),
            }
        }
    }
}
