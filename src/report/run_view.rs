//! The current state of a run, folded from its events.
//!
//! Pure: no clock, no output. The output modes only print this state.

use std::{collections::BTreeMap, time::Duration};

use super::{
    phrases,
    service_status::{BuildStep, Detail, Running, ServiceStatus},
};
use crate::{
    event::{
        self, BuildStepState, Change, Event, EventEnvelope, Failure, GateReport, Outcome,
        PathSegment, Progress, Purpose, ServiceSummary,
    },
    name::{ContainerName, ServiceName},
    plan::{Counts, StepId, Subject},
};

/// Current state of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunView {
    /// Name of the project; empty before the first event.
    pub project: String,
    /// Name of the command: `up`, `down`, …
    pub verb: String,
    /// Purpose of the run.
    pub purpose: Purpose,
    /// The run is a simulation.
    pub simulated: bool,
    /// Time of the last event on the run's clock.
    pub at: Duration,
    /// Current phase.
    pub phase: Phase,
    /// Services and jobs in dependency order.
    pub services: Vec<ServiceStatus>,
    /// Position of each service in `services`.
    index: BTreeMap<ServiceName, usize>,
    /// Running steps that belong to no service, with the label of their subject.
    pub others: BTreeMap<StepId, (String, Running)>,
    /// Number of completed steps on images, networks and volumes, by verb.
    pub done: BTreeMap<String, usize>,
    /// Failures, in order.
    pub failures: Vec<FailureLine>,
    /// Committed and rolled back services, if the run was committed in part.
    pub split: Option<(Vec<ServiceName>, Vec<ServiceName>)>,
    /// The run was interrupted before anything had failed, and ends for that reason.
    pub interrupted: bool,
    /// How the run ended; `None`: it is still running.
    pub ending: Option<Ending>,
}

/// Phase of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Phase {
    /// Deploying the new generation.
    #[default]
    Forward,
    /// All gates have passed and have to stay healthy for this stabilization window.
    Settling(Duration),
    /// The new generation is active.
    Committed,
    /// Rolling back, for this cause.
    Back(String),
}

/// A failure of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureLine {
    /// Label of the failed subject.
    pub subject: String,
    /// Message in one line.
    pub text: String,
    /// The run continues despite the failure.
    pub non_fatal: bool,
    /// The failure occurred during the rollback.
    pub going_back: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Outcome of the run.
    pub verdict: Outcome,
    /// Duration of the whole run.
    pub elapsed: Duration,
    /// Chain of steps that determined the duration.
    pub critical_path: Vec<PathSegment>,
    /// Kept volumes that the failed deploy created.
    pub retained_volumes: Vec<String>,
    /// Failed containers that are kept, stopped.
    pub retained_containers: Vec<ContainerName>,
    /// Volumes whose previous data was restored.
    pub restored_volumes: Vec<String>,
    /// Jobs that were started and whose changes were not undone.
    pub irreversible_jobs: Vec<ServiceName>,
    /// Reason why the run missed its target, as a sentence fragment; `None`: it did not.
    pub cause: Option<String>,
    /// What was not rolled back or cleaned up, each as a sentence fragment.
    pub unfinished: Vec<String>,
    /// `recover` can continue the run.
    pub recoverable: bool,
}

impl RunView {
    /// Applies one event.
    pub fn apply(&mut self, stamped: &EventEnvelope) {
        (self.at, self.simulated) = (stamped.at, stamped.simulated);
        match &stamped.event {
            Event::RunStarted {
                project,
                verb,
                services,
                purpose,
            } => {
                self.project = project.to_string();
                self.purpose = *purpose;
                event::plain(verb).clone_into(&mut self.verb);
                self.services.clear();
                self.index.clear();
                for service in services {
                    self.announce(service);
                }
            }
            Event::Replanned { services } => self.replan(services),
            Event::Progress {
                step,
                subject,
                progress,
            } => {
                self.progress(*step, subject, progress);
            }
            Event::Stabilizing { duration } => self.phase = Phase::Settling(*duration),
            Event::Committed => self.phase = Phase::Committed,
            Event::PartiallyCommitted {
                committed: new,
                rolled_back: old,
            } => self.split(new, old),
            Event::RollbackStarted { cause } => {
                self.phase = Phase::Back(cause.clone());
                for service in &mut self.services {
                    service.turn(stamped.at);
                }
                self.others.clear();
            }
            Event::RunFinished { .. } => self.ending = ending(&stamped.event),
            Event::Interrupted { .. } => {
                self.interrupted |= matches!(self.phase, Phase::Forward | Phase::Settling(_));
            }
            Event::Warning { .. } => {}
            event => self.step(event),
        }
    }

    /// Applies a changed plan.
    fn replan(&mut self, services: &[ServiceSummary]) {
        for service in services {
            match self.index.get(&service.service) {
                Some(index) => self.services[*index].replan(service, self.at),
                None => {
                    self.announce(service);
                }
            }
        }
    }

    /// Records a partial commit. The other services were rolled back.
    fn split(&mut self, new: &[ServiceName], old: &[ServiceName]) {
        self.phase = Phase::Committed;
        for service in &mut self.services {
            if new.contains(&service.name) {
                service.stay(self.at);
            }
        }
        self.split = Some((new.to_vec(), old.to_vec()));
    }

    /// Applies the events of a step.
    fn step(&mut self, event: &Event) {
        match event {
            Event::StepStarted {
                step,
                subject,
                verb,
                object,
                ..
            } => {
                if let Subject::Service { name, .. } = subject {
                    self.service(name).touch();
                }
                let (verb, object) = (verb.clone(), object.clone());
                let running = Running {
                    verb,
                    object,
                    since: self.at,
                    detail: Detail::None,
                };
                self.begin(*step, subject, running);
            }
            Event::StepFinished {
                step,
                subject,
                verb,
                ..
            } => {
                self.end(*step, subject, verb);
            }
            Event::StepFailed {
                step,
                subject,
                verb,
                object,
                failure,
                non_fatal: optional,
            } => {
                let text = format!("{verb} `{object}`: {}", without_echo(failure, verb, object));
                self.fault(subject, Some(*step), text, *optional);
            }
            event => self.gate(event),
        }
    }

    /// Applies the events of a gate.
    fn gate(&mut self, event: &Event) {
        match event {
            Event::ReadinessStarted { step, subject, .. } => {
                let running = Running {
                    verb: "waiting until ready".to_owned(),
                    object: String::new(),
                    since: self.at,
                    detail: Detail::Gate(None),
                };
                self.begin(*step, subject, running);
            }
            Event::ProbeResult {
                step,
                subject,
                probe,
                answer,
                ..
            } => {
                if let Some(running) = self.running(*step, subject) {
                    running.detail = Detail::Gate(Some((probe.clone(), answer.clone())));
                }
            }
            Event::Ready { step, subject, .. } => {
                self.others.remove(step);
                if let Subject::Service { name, replica } = subject {
                    let at = self.at;
                    self.service(name).pass(*step, *replica, at);
                }
            }
            Event::ReadinessFailed {
                step,
                subject,
                report,
                non_fatal: optional,
            } => {
                let text = gate_text(report);
                self.fault(subject, Some(*step), text, *optional);
            }
            Event::UnhealthyAfterReady { subject, report } => {
                let text = format!("had been ready, then: {}", report.cause);
                self.fault(subject, None, text, false);
            }
            _ => {}
        }
    }

    fn begin(&mut self, step: StepId, subject: &Subject, running: Running) {
        match subject {
            Subject::Service { name, .. } | Subject::Image { name } => {
                self.service(name).begin(step, running);
            }
            Subject::Network { .. } | Subject::Volume { .. } | Subject::Project => {
                let label = self.label(subject);
                self.others.insert(step, (label, running));
            }
        }
    }

    fn end(&mut self, step: StepId, subject: &Subject, verb: &str) {
        if !matches!(subject, Subject::Service { .. } | Subject::Project) {
            *self.done.entry(verb.to_owned()).or_default() += 1;
        }
        match subject {
            Subject::Service { name, .. } | Subject::Image { name } => {
                let at = self.at;
                self.service(name).end(step, verb, at);
            }
            Subject::Network { .. } | Subject::Volume { .. } | Subject::Project => {
                self.others.remove(&step);
            }
        }
    }

    fn fault(&mut self, subject: &Subject, step: Option<StepId>, text: String, optional: bool) {
        match (subject, step) {
            (Subject::Service { name, .. } | Subject::Image { name }, _) => {
                let at = self.at;
                self.service(name).fail(step, text.clone(), at);
            }
            (_, Some(step)) => {
                self.others.remove(&step);
            }
            (_, None) => {}
        }
        let fault = FailureLine {
            subject: self.label(subject),
            text,
            non_fatal: optional,
            going_back: matches!(self.phase, Phase::Back(_)),
        };
        self.failures.push(fault);
    }

    fn progress(&mut self, step: StepId, subject: &Subject, progress: &Progress) {
        let at = self.at;
        let Some(running) = self.running(step, subject) else {
            return;
        };
        match progress {
            Progress::BuildStep {
                digest,
                name,
                state,
            } => {
                let mut steps = match std::mem::replace(&mut running.detail, Detail::None) {
                    Detail::Build(steps) => steps,
                    _ => Vec::new(),
                };
                if *state != BuildStepState::Running {
                    steps.retain(|step| step.digest != *digest);
                } else if !steps.iter().any(|step| step.digest == *digest) {
                    steps.push(BuildStep {
                        digest: digest.clone(),
                        name: name.clone(),
                        since: at,
                    });
                }
                running.detail = Detail::Build(steps);
            }
            Progress::BuildOutput { .. } => {}
            Progress::Pull {
                done,
                total,
                layers_done,
                layers,
            } => {
                running.detail = Detail::Pull {
                    done: *done,
                    total: *total,
                    layers_done: *layers_done,
                    layers: *layers,
                };
            }
            Progress::Context { sent } => {
                // Build steps are more informative than the context transfer.
                if !matches!(running.detail, Detail::Build(_)) {
                    running.detail = Detail::Context(*sent);
                }
            }
        }
    }

    fn running(&mut self, step: StepId, subject: &Subject) -> Option<&mut Running> {
        match subject {
            Subject::Service { name, .. } | Subject::Image { name } => {
                self.service(name).running.get_mut(&step)
            }
            Subject::Network { .. } | Subject::Volume { .. } | Subject::Project => {
                self.others.get_mut(&step).map(|(_, running)| running)
            }
        }
    }

    /// Returns a service; one that was not announced is appended.
    fn service(&mut self, name: &ServiceName) -> &mut ServiceStatus {
        let index = match self.index.get(name) {
            Some(index) => *index,
            None => self.announce(&ServiceSummary {
                service: name.clone(),
                job: false,
                replicas: 1,
                change: Change::NoOp,
                depends_on: Vec::new(),
                containers: Vec::new(),
            }),
        };
        &mut self.services[index]
    }

    fn announce(&mut self, participant: &ServiceSummary) -> usize {
        let index = self.services.len();
        self.services.push(ServiceStatus::new(participant, self.at));
        self.index.insert(participant.service.clone(), index);
        index
    }

    /// Returns a service by name.
    #[must_use]
    pub fn known(&self, name: &ServiceName) -> Option<&ServiceStatus> {
        self.services.get(*self.index.get(name)?)
    }

    /// Returns a running step; `None` after the event of its end.
    #[must_use]
    pub fn under_way(&self, step: StepId, subject: &Subject) -> Option<&Running> {
        match subject {
            Subject::Service { name, .. } | Subject::Image { name } => {
                self.known(name)?.running.get(&step)
            }
            Subject::Network { .. } | Subject::Volume { .. } | Subject::Project => {
                self.others.get(&step).map(|(_, running)| running)
            }
        }
    }

    /// Returns the label in front of a subject's lines.
    #[must_use]
    pub fn label(&self, subject: &Subject) -> String {
        let replicas = match subject {
            Subject::Service { name, .. } => self.known(name).map_or(1, ServiceStatus::numbers),
            _ => 1,
        };
        phrases::subject(subject, &self.project, replicas)
    }

    /// Counts the containers by change.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let containers = self.services.iter().flat_map(|it| &it.containers);
        containers.map(|it| it.change).collect()
    }

    /// Returns the dependencies that a service still waits for.
    pub fn awaited<'a>(
        &'a self,
        service: &'a ServiceStatus,
    ) -> impl Iterator<Item = &'a ServiceName> {
        service.depends_on.iter().filter(|name| {
            self.known(name)
                .is_some_and(|other| !other.state.is_settled())
        })
    }
}

/// Reads the end of a run from its last event.
fn ending(event: &Event) -> Option<Ending> {
    let Event::RunFinished {
        outcome: verdict,
        elapsed: took,
        critical_path,
        retained_volumes: kept_volumes,
        retained_containers: kept_containers,
        restored_volumes,
        irreversible_jobs,
        cause,
        unfinished: left,
        recoverable,
    } = event
    else {
        return None;
    };
    Some(Ending {
        verdict: *verdict,
        elapsed: *took,
        critical_path: critical_path.clone(),
        retained_volumes: kept_volumes.clone(),
        retained_containers: kept_containers.clone(),
        restored_volumes: restored_volumes.clone(),
        irreversible_jobs: irreversible_jobs.clone(),
        cause: cause.clone(),
        unfinished: left.clone(),
        recoverable: *recoverable,
    })
}

/// Formats a gate's failure in one line.
fn gate_text(report: &GateReport) -> String {
    let answer = report.answers.iter().find(|answer| !answer.passed);
    match answer {
        Some(last) => format!("{} ({}: {})", report.cause, last.probe, last.answer),
        None => report.cause.clone(),
    }
}

/// Returns a failure's message without a leading verb and object, which the caller prints anyway.
#[must_use]
pub fn without_echo<'a>(failure: &'a Failure, verb: &str, object: &str) -> &'a str {
    failure
        .message
        .strip_prefix(verb)
        .and_then(|rest| rest.trim_start().strip_prefix(&format!("`{object}`: ")))
        .unwrap_or(&failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Reason, report::service_status::State};

    fn name(name: &str) -> ServiceName {
        ServiceName::new(name).unwrap()
    }

    fn participant(service: &str, change: Change, waits_for: &[&str]) -> ServiceSummary {
        ServiceSummary {
            service: name(service),
            job: false,
            replicas: 1,
            change,
            depends_on: waits_for.iter().map(|service| name(service)).collect(),
            containers: Vec::new(),
        }
    }

    fn board(events: Vec<(u64, Event)>) -> RunView {
        let mut board = RunView::default();
        for (milliseconds, event) in events {
            board.apply(&EventEnvelope {
                v: event::VERSION,
                at: Duration::from_millis(milliseconds),
                simulated: false,
                event,
            });
        }
        board
    }

    fn of(service: &str) -> Subject {
        Subject::Service {
            name: name(service),
            replica: 1,
        }
    }

    fn opening() -> Vec<(u64, Event)> {
        let services = vec![
            participant("db", Change::Create, &[]),
            participant("cache", Change::NoOp, &[]),
            participant("web", Change::Create, &["cache", "db"]),
        ];
        vec![
            (
                0,
                Event::RunStarted {
                    project: crate::name::ProjectName::new("shop").unwrap(),
                    verb: "up".into(),
                    services,
                    purpose: Purpose::Project,
                },
            ),
            (
                10,
                Event::StepStarted {
                    step: StepId(0),
                    subject: of("db"),
                    verb: "starting container".into(),
                    object: "shop-db-1".into(),
                    reason: Reason::NotFound,
                },
            ),
        ]
    }

    fn states(board: &RunView) -> Vec<(&str, &State, u128)> {
        board
            .services
            .iter()
            .map(|service| {
                (
                    service.name.as_str(),
                    &service.state,
                    service.since.as_millis(),
                )
            })
            .collect()
    }

    #[test]
    fn service_awaits_unready_dependencies() {
        let board = board(opening());
        assert_eq!(
            states(&board),
            [
                ("db", &State::Working("starting container".into()), 10),
                ("cache", &State::Unchanged, 0),
                ("web", &State::Waiting, 0),
            ]
        );
        let awaited: Vec<_> = board.awaited(&board.services[2]).collect();
        assert_eq!(awaited, [&name("db")]);
    }

    #[test]
    fn passed_gates_are_reset_on_rollback() {
        let mut events = opening();
        let step = StepId(1);
        events.push((
            20,
            Event::ReadinessStarted {
                step,
                subject: of("db"),
                probes: vec!["postgres 5432".into()],
                timeout: Duration::from_mins(1),
            },
        ));
        assert_eq!(board(events.clone()).services[0].state, State::Asked);
        let took = Duration::from_millis(10);
        events.push((
            30,
            Event::Ready {
                step,
                subject: of("db"),
                elapsed: took,
            },
        ));
        let before = board(events.clone());
        assert_eq!(before.services[0].state, State::Ready);
        assert_eq!(before.awaited(&before.services[2]).count(), 0);
        events.push((
            50,
            Event::RollbackStarted {
                cause: "`web` failed".into(),
            },
        ));
        assert_eq!(board(events).services[0].state, State::Waiting);
    }

    #[test]
    fn error_message_is_not_repeated() {
        let failure = |message: &str| Failure {
            message: message.into(),
            help: None,
            output: Vec::new(),
        };
        let echo = failure("creating container `a`: no such image");
        assert_eq!(
            without_echo(&echo, "creating container", "a"),
            "no such image"
        );
        let other = failure("the engine's disk is full");
        assert_eq!(
            without_echo(&other, "creating container", "a"),
            "the engine's disk is full"
        );
    }
}
