//! From a fault as it is written to what the simulated engine does.

use std::time::Duration;

use super::fault::{At, Fault, Kind};
use crate::{
    engine::{
        EngineError,
        sim::{self, Behavior, ExternalAction, FaultTiming, FaultTrigger, Sim},
    },
    name::{ContainerName, ImageRef, ServiceName},
    plan::{self, Action, DeploymentPlan, Options, Plan, StepKind},
    project::{Kind as ServiceKind, Project},
    state::State,
};

/// Until a program answers: PostgreSQL took 2 s where it was measured, the others 0.2 to 0.7 s
/// (`benches/README.md`).
const READY: Duration = Duration::from_secs(1);
/// How long a job takes, and how long a program takes to end when it is asked to; both are up to
/// the program.
const JOB_DURATION: Duration = Duration::from_secs(1);
const STOP_DURATION: Duration = Duration::from_millis(300);
/// Until a program ends that cannot run.
const IMMEDIATE_EXIT: Duration = Duration::from_millis(200);
/// From the moment on from which it is ready: longer than any pause between two questions of a
/// gate, and shorter than an update settles.
const RELAPSE: Duration = Duration::from_millis(1500);

/// What is planned, as faults need to know it.
pub(super) struct Wanted<'a> {
    pub project: &'a Project,
    pub options: &'a Options,
    pub state: &'a State,
    pub images: &'a Plan,
    pub deploy: &'a DeploymentPlan,
}

/// How it is seen whether a fault took place.
pub(super) enum InjectedFault {
    /// By the script of a service.
    Script(ServiceName, Option<u64>),
    /// By any of these.
    Faults(Vec<sim::Fault>),
    /// By a port that was missed.
    Port(u16),
    /// By the number of calls.
    Call(u64),
}

/// Lets everything behave as it usually does: what is there, and what is new.
pub(super) fn default_behavior(sim: &Sim, project: &Project, state: &State) {
    for service in project.services.values() {
        let job = matches!(service.kind, ServiceKind::Job { .. });
        sim.script(&service.name, None, usual(job));
    }
    for container in state.containers.values() {
        let record = container.record.as_ref();
        let job = record.is_some_and(|it| matches!(it.kind, ServiceKind::Job { .. }));
        sim.script(&container.service, Some(container.generation), usual(job));
    }
}

fn usual(job: bool) -> Behavior {
    let script = if job {
        Behavior::exits(JOB_DURATION, 0)
    } else {
        Behavior::ready_after(READY)
    };
    Behavior {
        stop_takes: STOP_DURATION,
        ..script
    }
}

impl Fault {
    /// Sees to it that it takes place.
    pub(super) fn inject(&self, sim: &Sim, wanted: &Wanted<'_>) -> InjectedFault {
        match &self.at {
            At::Port(port) => {
                sim.grab_port(*port);
                InjectedFault::Port(*port)
            }
            At::Call(number) => self.at_call(sim, *number),
            At::Service { name, code } => self.with_service(sim, wanted, (name, *code)),
        }
    }

    fn at_call(&self, sim: &Sim, number: u64) -> InjectedFault {
        let call = number - 1;
        let object = number.to_string();
        let (when, error) = match self.kind {
            Kind::Refuse => (
                FaultTiming::Before,
                EngineError::Api {
                    verb: "call".to_owned(),
                    object,
                    status: 500,
                    message: "the engine refuses it, as rehearsed".to_owned(),
                },
            ),
            Kind::LostAnswer => (
                FaultTiming::After,
                EngineError::Transport {
                    verb: "call".to_owned(),
                    object,
                    cause: "the answer was lost, as rehearsed".to_owned(),
                },
            ),
            Kind::EngineKilled => {
                sim.meddle_at(call, FaultTiming::After, ExternalAction::KillEngine);
                return InjectedFault::Call(number);
            }
            // The one who asks sees to the others.
            _ => return InjectedFault::Call(number),
        };
        let at = FaultTrigger::Call(call);
        sim.fail(sim::Fault { at, when, error });
        InjectedFault::Call(number)
    }

    fn with_service(
        &self,
        sim: &Sim,
        wanted: &Wanted<'_>,
        (name, code): (&ServiceName, i64),
    ) -> InjectedFault {
        let script = match self.kind {
            Kind::Gate => Behavior {
                ready_after: None,
                ..usual(false)
            },
            Kind::Exit => Behavior {
                stop_takes: STOP_DURATION,
                ..Behavior::exits(IMMEDIATE_EXIT, code)
            },
            Kind::Job => Behavior::exits(JOB_DURATION, code),
            Kind::Relapse => Behavior {
                ready_after: Some(READY),
                stop_takes: STOP_DURATION,
                ..Behavior::exits(READY + RELAPSE, code)
            },
            _ => return self.refusals(sim, wanted, name),
        };
        let new = made(wanted.deploy, name);
        let current = wanted.current(name);
        let generation = match current
            .first()
            .and_then(|it| wanted.state.containers.get(it))
        {
            Some(container) if new.is_empty() => Some(container.generation),
            _ => None,
        };
        sim.script(name, generation, script);
        InjectedFault::Script(name.clone(), generation)
    }

    /// What the engine refuses to do with the containers or the image of a service.
    fn refusals(&self, sim: &Sim, wanted: &Wanted<'_>, name: &ServiceName) -> InjectedFault {
        let mut containers = made(wanted.deploy, name);
        if containers.is_empty() {
            containers = wanted.current(name);
        }
        let verb = match self.kind {
            Kind::Start => "starting container",
            Kind::Create => "creating container",
            Kind::Stop => "stopping container",
            _ => return no_image(sim, wanted, name),
        };
        let refused = |container: ContainerName| {
            let object = container.to_string();
            let error = EngineError::Api {
                verb: verb.to_owned(),
                object: object.clone(),
                status: 500,
                message: "the engine refuses it, as rehearsed".to_owned(),
            };
            fault(verb, object, error)
        };
        let faults: Vec<sim::Fault> = containers.into_iter().map(refused).collect();
        InjectedFault::of(sim, faults)
    }
}

impl Wanted<'_> {
    /// The containers that a service has now.
    fn current(&self, name: &ServiceName) -> Vec<ContainerName> {
        let decisions = self.deploy.decisions.iter();
        let of_service = decisions.filter(|it| it.service == *name);
        of_service.filter_map(|it| it.current.clone()).collect()
    }
}

/// The image of a service cannot be had.
fn no_image(sim: &Sim, wanted: &Wanted<'_>, name: &ServiceName) -> InjectedFault {
    let service = wanted.project.services.get(name);
    let tags = &wanted.options.tags;
    let image = service.and_then(|it| plan::image_of(wanted.project, tags, it));
    let failed = wanted.images.steps.iter().filter_map(|step| {
        let StepKind::Action(action) = &step.kind else {
            return None;
        };
        let object = action.object().to_owned();
        if image.as_ref().map(ImageRef::as_str) != Some(&object) {
            return None;
        }
        let error = match action {
            Action::BuildImage(build) => EngineError::Build {
                service: build.service.to_string(),
                step: String::new(),
                cause: "it fails, as rehearsed".to_owned(),
                output: Vec::new(),
            },
            _ => EngineError::NoImage {
                image: object.clone(),
                cause: "no registry answers, as rehearsed".to_owned(),
            },
        };
        Some(fault(action.verb(), object, error))
    });
    let faults: Vec<sim::Fault> = failed.collect();
    InjectedFault::of(sim, faults)
}

/// The containers that are made for a service.
fn made(deploy: &DeploymentPlan, service: &ServiceName) -> Vec<ContainerName> {
    let actions = deploy
        .plan
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Action(Action::CreateContainer(create)) => Some(create),
            _ => None,
        });
    let own = actions.filter(|create| create.service == *service);
    own.map(|create| create.name.clone()).collect()
}

fn fault(verb: &str, object: String, error: EngineError) -> sim::Fault {
    let verb = verb.to_owned();
    sim::Fault {
        at: FaultTrigger::Each { verb, object },
        when: FaultTiming::Before,
        error,
    }
}

impl InjectedFault {
    /// Lets these go wrong.
    fn of(sim: &Sim, faults: Vec<sim::Fault>) -> Self {
        for fault in &faults {
            sim.fail(fault.clone());
        }
        Self::Faults(faults)
    }

    /// Whether the fault took place.
    pub(super) fn was_triggered(&self, sim: &Sim) -> bool {
        match self {
            Self::Script(service, generation) => sim.acted(service, *generation),
            Self::Faults(faults) => {
                let unmet = sim.unmet();
                faults.iter().any(|fault| !unmet.contains(fault))
            }
            Self::Port(port) => sim.missed_port(*port),
            Self::Call(number) => *number <= sim.calls(),
        }
    }
}
