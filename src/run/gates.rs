//! The gates of a run: opening them, passing on what they are told, and what comes of their end.
//!
//! A part of the machine: what one gate decides is in [`super::gate`].

use std::{mem, time::Duration};

use super::{
    gate::{Move, Pause, Wait},
    machine::Run,
    message::{Effect, TimerId},
    outcome::Cause,
    phase::{FailedWait, Inquiry, Phase},
    schedule::{Status, object, verb},
};
use crate::{
    engine::{Answer, Evidence, Notice},
    event::{Event, Failure},
    name::{ContainerName, ServiceName},
    plan::{Action, StepId, Subject, Work},
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
        self.emit(Event::GateOpened {
            step: id,
            subject,
            probes: gate.probes.iter().map(ToString::to_string).collect(),
            within: gate.within,
        });
        self.open_wait(
            id,
            Wait::for_gate(gate, self.begun.contains(container), self.now),
        );
        // A container can end before its gate is opened.
        for what in self.heard.remove(container).unwrap_or_default() {
            self.noticed(Notice {
                container: container.clone(),
                what,
            });
        }
    }

    pub(super) fn open_wait(&mut self, id: StepId, mut wait: Wait) {
        let moves = wait.open();
        self.waits.insert(id, wait);
        self.follow(id, moves);
    }

    pub(super) fn answered(&mut self, id: StepId, question: usize, answer: Answer) {
        if let Some(wait) = self.waits.get_mut(&id) {
            let moves = wait.answered(question, answer);
            self.follow(id, moves);
        }
    }

    pub(super) fn wait_elapsed(&mut self, id: StepId, pause: Pause) {
        if let Some(wait) = self.waits.get_mut(&id) {
            let moves = wait.elapsed(pause, self.now);
            self.follow(id, moves);
        }
    }

    /// Does what a gate or check wants done.
    pub(super) fn follow(&mut self, id: StepId, moves: Vec<Move>) {
        for wanted in moves {
            match wanted {
                Move::Ask { question, patience } => {
                    if let Some(effect) = self.question(id, question, patience) {
                        self.effects.push(effect);
                    }
                }
                Move::Tell(question) => self.tell(id, question),
                Move::Sleep(pause, duration) => {
                    self.effects
                        .push(Effect::Sleep(TimerId::Step(id, pause), duration));
                }
                Move::Suspect => self.inquire(id, Inquiry::Suspicion),
                Move::Passed => self.passed(id),
                Move::Failed(why) => self.wait_failed(id, why),
            }
        }
    }

    fn question(&self, id: StepId, question: usize, patience: Duration) -> Option<Effect> {
        match &self.schedule.step(id)?.work {
            Work::Act(_) | Work::Drain { .. } => None,
            Work::Gate { container, gate } => Some(Effect::Probe {
                step: id,
                question,
                container: container.clone(),
                probe: gate.probes.get(question)?.clone(),
                patience,
            }),
            Work::Verify(check) => Some(Effect::Check {
                step: id,
                container: self.container_of(check),
                check: check.clone(),
                patience,
            }),
        }
    }

    /// The first container of the service that a check is about: the new one where there is one.
    fn container_of(&self, check: &Check) -> Option<ContainerName> {
        let service: &ServiceName = match check {
            Check::Http { .. } => return None,
            Check::Unreachable { service, .. } | Check::Exec { service, .. } => service,
        };
        let created = self.plan.steps.iter().filter_map(|step| match &step.work {
            Work::Act(Action::CreateContainer(create)) if create.service == *service => {
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

    fn tell(&mut self, id: StepId, question: usize) {
        if self.phase == Phase::Confirming {
            return;
        }
        let Some(step) = self.schedule.step(id) else {
            return;
        };
        if !matches!(step.work, Work::Gate { .. }) {
            return;
        }
        let told = self.waits.get(&id).and_then(|wait| wait.told(question));
        let Some((probe, answer, attempts)) = told else {
            return;
        };
        let event = Event::GateAnswered {
            step: id,
            subject: step.subject.clone(),
            probe: probe.to_owned(),
            answer: answer.to_owned(),
            attempts,
        };
        self.emit(event);
    }

    fn passed(&mut self, id: StepId) {
        let Some(wait) = self.waits.remove(&id) else {
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
        match step.work {
            Work::Gate { container, gate } => {
                if !gate.probes.contains(&Probe::Exit) {
                    self.guarded.insert(container, id);
                }
                self.emit(Event::GatePassed {
                    step: id,
                    subject,
                    took,
                });
            }
            Work::Act(_) | Work::Drain { .. } | Work::Verify(_) => {
                let verb = verb(&step.work).to_owned();
                self.emit(Event::StepFinished {
                    step: id,
                    subject,
                    verb,
                    took,
                });
            }
        }
        self.end(id, Status::Done);
    }

    /// The wait of a gate or check is over without success: the run turns at once, and the report
    /// follows when the container was looked at.
    fn wait_failed(&mut self, id: StepId, why: String) {
        let Some(wait) = self.waits.remove(&id) else {
            return;
        };
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        if self.phase == Phase::Confirming {
            self.unconfirmed(id, &wait, &why);
            return;
        }
        self.inquiries.remove(&id);
        self.effects.push(Effect::Cancel(id));
        let after = self.now.saturating_sub(wait.opened());
        if !step.optional {
            let cause = failure_of(&step.work, &wait, why.clone());
            self.fail_for(&step.subject, cause);
        }
        let known = wait.evidence().cloned();
        let inquiry = Inquiry::Report(Box::new(FailedWait { wait, why, after }));
        if known.is_some() || matches!(step.work, Work::Verify(_)) {
            self.inquiries.insert(id, inquiry);
            self.examined(id, known);
        } else {
            self.inquire(id, inquiry);
        }
    }

    /// Has a gate's container looked at, unless that is under way.
    pub(super) fn inquire(&mut self, id: StepId, inquiry: Inquiry) {
        let work = self.schedule.step(id).map(|step| &step.work);
        let Some(Work::Gate { container, .. }) = work else {
            return;
        };
        if let (Some(Inquiry::Relapse { why, renewed }), Inquiry::Relapse { why: more, .. }) =
            (self.inquiries.get_mut(&id), &inquiry)
        {
            *renewed = true;
            *why = why.take().or_else(|| more.clone());
            return;
        }
        // A gate that is open waits for the look that it has asked for.
        let asked = matches!(self.inquiries.get(&id), Some(Inquiry::Suspicion));
        if asked && matches!(inquiry, Inquiry::Relapse { .. }) {
            return;
        }
        let suspects = matches!(inquiry, Inquiry::Suspicion);
        self.effects.push(Effect::Examine(id, container.clone()));
        let under_way = self.inquiries.insert(id, inquiry).is_some();
        // The answer of a look that began before the suspicion says nothing of it.
        if suspects
            && under_way
            && let Some(wait) = self.waits.get_mut(&id)
        {
            wait.suspect();
        }
    }

    pub(super) fn examined(&mut self, id: StepId, evidence: Option<Evidence>) {
        match self.inquiries.remove(&id) {
            Some(Inquiry::Suspicion) => {
                if let Some(wait) = self.waits.get_mut(&id) {
                    let moves = wait.examined(evidence);
                    self.follow(id, moves);
                }
            }
            Some(Inquiry::Report(failed)) => self.report_failed(id, *failed, evidence),
            Some(Inquiry::Relapse { why, renewed }) => {
                self.relapse_examined(id, why, renewed, evidence);
            }
            None => {}
        }
    }

    fn report_failed(&mut self, id: StepId, failed: FailedWait, evidence: Option<Evidence>) {
        let FailedWait { wait, why, after } = failed;
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        let (subject, optional) = (step.subject, step.optional);
        let cause = failure_of(&step.work, &wait, why.clone());
        match &step.work {
            Work::Gate { container, .. } => {
                let mut report = wait.report(container.clone(), why, after, evidence);
                report.help.extend(self.stale_help(container, &subject));
                report.help.extend(self.withheld_help(container));
                let report = Box::new(report);
                self.emit(Event::GateFailed {
                    step: id,
                    subject,
                    report,
                    optional,
                });
            }
            Work::Act(_) | Work::Drain { .. } | Work::Verify(_) => {
                let failure = Failure {
                    message: cause.to_string(),
                    help: None,
                    output: Vec::new(),
                };
                self.emit(Event::StepFailed {
                    step: id,
                    subject,
                    verb: verb(&step.work).to_owned(),
                    object: object(&step.work),
                    failure,
                    optional,
                });
            }
        }
        self.step_failed(id, optional, cause);
    }

    /// Calls off every gate and check, and every look at a container but for a report.
    pub(super) fn cancel_waits(&mut self) {
        self.guarded.clear();
        for id in mem::take(&mut self.waits).into_keys() {
            self.inquiries.remove(&id);
            self.effects.push(Effect::Cancel(id));
            self.end(id, Status::Cancelled);
        }
        let effects = &mut self.effects;
        self.inquiries.retain(|id, inquiry| {
            let kept = matches!(inquiry, Inquiry::Report(_));
            if !kept {
                effects.push(Effect::Cancel(*id));
            }
            kept
        });
    }
}

/// Why the run turns when this gate or check fails.
fn failure_of(work: &Work, wait: &Wait, why: String) -> Cause {
    match work {
        Work::Gate { container, .. } => Cause::Gate {
            container: container.clone(),
            why,
        },
        Work::Act(_) | Work::Drain { .. } | Work::Verify(_) => {
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
