//! What the engine tells of containers during a run, and what comes of it.
//!
//! A part of the machine. A notice may be late: it is a suspicion, and the container is looked at
//! before anything is decided.

use super::{
    gate::{end_cause, ended, report},
    machine::Run,
    message::Effect,
    outcome::Cause,
    phase::{Inquiry, Phase},
    remedy::with_remedy,
};
use crate::{
    engine::{Evidence, Happening, Notice},
    event::{Change, Event, LastAnswer},
    name::ContainerName,
    plan::{Action, StepId, Subject, Work},
    state::Health,
};

impl Run {
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
            self.warn_of(&container);
        } else {
            self.inquire(
                id,
                Inquiry::Relapse {
                    why,
                    renewed: false,
                },
            );
        }
    }

    /// Notices may have been missed: looks at every container that one could have been about.
    pub(super) fn look_again(&mut self) {
        let open: Vec<StepId> = self.waits.keys().copied().collect();
        for id in open {
            if let Some(wait) = self.waits.get_mut(&id) {
                let moves = wait.suspect();
                self.follow(id, moves);
            }
        }
        for id in self.guarded.clone().into_values() {
            self.inquire(
                id,
                Inquiry::Relapse {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// A container whose gate had passed was looked at.
    pub(super) fn relapse_examined(
        &mut self,
        id: StepId,
        why: Option<String>,
        renewed: bool,
        evidence: Option<Evidence>,
    ) {
        let container = self.guarded.iter().find(|(_, step)| **step == id);
        let fresh = container.is_some_and(|(name, _)| self.begun.contains(name));
        let over = evidence.as_ref().is_none_or(|known| ended(known, fresh));
        if why.is_some() || over {
            let why = why.unwrap_or_else(|| end_cause(evidence.as_ref()));
            self.relapsed(id, why, evidence, Vec::new());
        } else if renewed {
            self.inquire(
                id,
                Inquiry::Relapse {
                    why: None,
                    renewed: false,
                },
            );
        }
    }

    /// A container is about to be stopped: its end is no relapse.
    pub(super) fn unguard(&mut self, container: &ContainerName) {
        let id = self.guarded.remove(container);
        if let Some(id) = id.filter(|id| self.inquiries.remove(id).is_some()) {
            self.effects.push(Effect::Cancel(id));
        }
    }

    /// A container did not stay well, and it is too late to go back.
    fn warn_of(&mut self, container: &ContainerName) {
        self.guarded.remove(container);
        let text = format!("container `{container}` failed after the commit");
        self.emit(Event::Warning { text });
    }

    /// What to do where a container could not be proven on the internal networks alone.
    pub(super) fn withheld_help(&self, container: &ContainerName) -> Option<String> {
        let mut creates = self.plan.steps.iter().filter_map(|step| match &step.work {
            Work::Act(Action::CreateContainer(create)) => Some(create),
            _ => None,
        });
        let create = creates.find(|it| it.name == *container)?;
        (create.endpoints.len() < create.networks.len()).then(|| {
            "it was on internal networks only, without a way out, until its port would have moved \
             to it: `update order=\"stop-first\"` starts it on all its networks"
                .to_owned()
        })
    }

    /// What to do where a container that goes on running may still use the old container of a
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
        let found = replaced.find(|it| its.waits_for.contains(&it.service))?;
        let service = &found.service;
        (!self.begun.contains(container)).then(|| {
            format!(
                "where it resolves `{service}` only at its start it still asks the old container: \
                 `depends-on \"{service}\" restart=#true` restarts it after an update"
            )
        })
    }

    /// A container whose gate had passed is not ready any longer.
    pub(super) fn relapsed(
        &mut self,
        id: StepId,
        why: String,
        evidence: Option<Evidence>,
        answers: Vec<LastAnswer>,
    ) {
        let Some(step) = self.schedule.step(id).cloned() else {
            return;
        };
        let Work::Gate { container, .. } = step.work else {
            return;
        };
        if self.phase == Phase::Cleanup {
            self.warn_of(&container);
            return;
        }
        self.guarded.remove(&container);
        let after = self.now.saturating_sub(self.schedule.started(id));
        let mut report = report(container.clone(), why.clone(), after, answers, evidence);
        report
            .help
            .extend(self.stale_help(&container, &step.subject));
        let report = Box::new(report);
        self.emit(Event::Relapsed {
            subject: step.subject.clone(),
            report,
        });
        let cause = Cause::Relapse {
            container: container.clone(),
            why,
        };
        match self.phase {
            Phase::Back if self.stays(id) => self.lose(&step.subject),
            Phase::Back => {
                let work = Work::Act(Action::StartContainer(container));
                self.left.push(with_remedy(cause.to_string(), &work));
            }
            _ if step.optional => {}
            _ => {
                self.failed.insert(container);
                self.lose(&step.subject);
                self.fail_for(&step.subject, cause);
            }
        }
    }
}
