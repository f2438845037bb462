//! The gates of a run: opening them, passing on what they are told, and what comes of their end.
//!
//! A part of the machine: what one gate decides is in [`super::gate`].

use std::{mem, time::Duration};

use super::{
    gate::{Move, Pause, Wait, end_cause, ended},
    machine::{FailedWait, Inquiry, Phase, Run},
    message::{Effect, TimerId},
    outcome::Cause,
    schedule::{Status, object, verb},
};
use crate::{
    engine::{Answer, Evidence, Happening, Notice},
    event::{Event, Failure, GateReport},
    name::{ContainerName, ServiceName},
    plan::{Action, StepId, Subject, Work},
    project::{Check, Gate, Probe},
    state::Health,
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
        self.open_wait(id, Wait::for_gate(gate, self.now));
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
    fn follow(&mut self, id: StepId, moves: Vec<Move>) {
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
            Work::Act(_) => None,
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
            Work::Act(_) | Work::Verify(_) => {
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
        self.inquiries.remove(&id);
        self.effects.push(Effect::Cancel(id));
        let after = self.now.saturating_sub(wait.opened());
        if !step.optional {
            let cause = failure_of(&step.work, &wait, why.clone());
            self.fail(cause);
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
    fn inquire(&mut self, id: StepId, inquiry: Inquiry) {
        let work = self.schedule.step(id).map(|step| &step.work);
        let Some(Work::Gate { container, .. }) = work else {
            return;
        };
        if let Some(present) = self.inquiries.get_mut(&id) {
            if matches!(
                (&*present, &inquiry),
                (Inquiry::Relapse { why: None }, Inquiry::Relapse { .. })
            ) {
                *present = inquiry;
            }
            return;
        }
        self.effects.push(Effect::Examine(id, container.clone()));
        self.inquiries.insert(id, inquiry);
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
            Some(Inquiry::Relapse { why: Some(why) }) => self.relapsed(id, why, evidence),
            Some(Inquiry::Relapse { why: None }) if evidence.as_ref().is_none_or(ended) => {
                self.relapsed(id, end_cause(evidence.as_ref()), evidence);
            }
            Some(Inquiry::Relapse { why: None }) | None => {}
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
                let report = Box::new(wait.report(container.clone(), why, after, evidence));
                self.emit(Event::GateFailed {
                    step: id,
                    subject,
                    report,
                    optional,
                });
            }
            Work::Act(_) | Work::Verify(_) => {
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

    pub(super) fn noticed(&mut self, notice: Notice) {
        let Notice { container, what } = notice;
        if let Some(id) = self.open_gate_of(&container) {
            if let Some(wait) = self.waits.get_mut(&id) {
                let moves = wait.noticed(&what);
                self.follow(id, moves);
            }
            return;
        }
        let Some(id) = self.guarded.get(&container).copied() else {
            self.heard.entry(container).or_default().push(what);
            return;
        };
        let why = match what {
            Happening::Started | Happening::Health(Health::Starting | Health::Healthy) => return,
            Happening::Died { .. } | Happening::OutOfMemory => None,
            Happening::Health(Health::Unhealthy) => Some("the engine says `unhealthy`".to_owned()),
        };
        if self.phase == Phase::Cleanup {
            self.guarded.remove(&container);
            let text = format!("`{container}` did not stay well after the commit");
            self.emit(Event::Warning { text });
        } else {
            self.inquire(id, Inquiry::Relapse { why });
        }
    }

    fn open_gate_of(&self, container: &ContainerName) -> Option<StepId> {
        self.waits.keys().copied().find(|id| {
            let work = self.schedule.step(*id).map(|step| &step.work);
            matches!(work, Some(Work::Gate { container: its, .. }) if its == container)
        })
    }

    /// Notices may have been missed: looks at every container that one could have been about.
    pub(super) fn look_again(&mut self) {
        let open: Vec<StepId> = self.waits.keys().copied().collect();
        for id in open {
            self.inquire(id, Inquiry::Suspicion);
        }
        for id in self.guarded.clone().into_values() {
            self.inquire(id, Inquiry::Relapse { why: None });
        }
    }

    fn relapsed(&mut self, id: StepId, why: String, evidence: Option<Evidence>) {
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        let Work::Gate { container, .. } = step.work else {
            return;
        };
        self.guarded.remove(&container);
        let (condition, log) = match evidence {
            Some(known) => (Some(known.condition), known.log),
            None => (None, Vec::new()),
        };
        let report = Box::new(GateReport {
            container: container.clone(),
            cause: why.clone(),
            after: self.now.saturating_sub(self.schedule.started(id)),
            answers: Vec::new(),
            condition,
            log,
        });
        self.emit(Event::Relapsed {
            subject: step.subject,
            report,
        });
        let cause = Cause::Relapse { container, why };
        match self.phase {
            Phase::Back => self.left.push(cause.to_string()),
            _ if step.optional => {}
            _ => self.fail(cause),
        }
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
        Work::Act(_) | Work::Verify(_) => {
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
