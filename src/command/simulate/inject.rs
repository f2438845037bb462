//! Translates faults into behavior of the simulated engine.

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

/// Time until a program is ready. Measured: 2 s for PostgreSQL, 0.2 to 0.7 s for the others
/// (`benches/README.md`).
const READY: Duration = Duration::from_secs(1);
/// Duration of a job, and of stopping a program. Both depend on the program.
const JOB_DURATION: Duration = Duration::from_secs(1);
const STOP_DURATION: Duration = Duration::from_millis(300);
/// Time until a program that cannot run exits.
const IMMEDIATE_EXIT: Duration = Duration::from_millis(200);
/// Time from ready to exit: longer than any pause between two probes of a gate, and shorter than
/// the stabilization window of an update.
const UNHEALTHY_AFTER: Duration = Duration::from_millis(1500);

/// The plan and its inputs, as fault injection needs them.
pub(super) struct Wanted<'a> {
    pub project: &'a Project,
    pub options: &'a Options,
    pub state: &'a State,
    pub images: &'a Plan,
    pub deploy: &'a DeploymentPlan,
}

/// How to detect that a fault occurred.
pub(super) enum InjectedFault {
    /// By the behavior script of a service, optionally of one generation.
    Script(ServiceName, Option<u64>),
    /// By any of these engine faults.
    Faults(Vec<sim::Fault>),
    /// By a container that could not get this port.
    Port(u16),
    /// By the number of calls.
    Call(u64),
}

/// Scripts the usual behavior of existing and new containers.
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
    /// Injects the fault into the simulated engine.
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
                    message: "the engine refuses it, an injected fault".to_owned(),
                },
            ),
            Kind::LostResponse => (
                FaultTiming::After,
                EngineError::Transport {
                    verb: "call".to_owned(),
                    object,
                    cause: "the answer was lost, an injected fault".to_owned(),
                },
            ),
            Kind::EngineCrash => {
                sim.meddle_at(call, FaultTiming::After, ExternalAction::KillEngine);
                return InjectedFault::Call(number);
            }
            // The caller handles the other kinds.
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
            Kind::NotReady => Behavior {
                ready_after: None,
                ..usual(false)
            },
            Kind::Exit => Behavior {
                stop_takes: STOP_DURATION,
                ..Behavior::exits(IMMEDIATE_EXIT, code)
            },
            Kind::Job => Behavior::exits(JOB_DURATION, code),
            Kind::Unhealthy => Behavior {
                ready_after: Some(READY),
                stop_takes: STOP_DURATION,
                ..Behavior::exits(READY + UNHEALTHY_AFTER, code)
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

    /// Makes the engine refuse operations on the containers or the image of a service.
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
                message: "the engine refuses it, an injected fault".to_owned(),
            };
            fault(verb, object, error)
        };
        let faults: Vec<sim::Fault> = containers.into_iter().map(refused).collect();
        InjectedFault::of(sim, faults)
    }
}

impl Wanted<'_> {
    /// Returns the current containers of a service.
    fn current(&self, name: &ServiceName) -> Vec<ContainerName> {
        let decisions = self.deploy.decisions.iter();
        let of_service = decisions.filter(|it| it.service == *name);
        of_service.filter_map(|it| it.current.clone()).collect()
    }
}

/// Makes the image of a service unavailable.
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
                cause: "it fails, an injected fault".to_owned(),
                output: Vec::new(),
            },
            _ => EngineError::NoImage {
                image: object.clone(),
                cause: "no registry answers, an injected fault".to_owned(),
            },
        };
        Some(fault(action.verb(), object, error))
    });
    let faults: Vec<sim::Fault> = failed.collect();
    InjectedFault::of(sim, faults)
}

/// Returns the containers that the plan creates for a service.
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
    /// Registers the faults with the simulated engine.
    fn of(sim: &Sim, faults: Vec<sim::Fault>) -> Self {
        for fault in &faults {
            sim.fail(fault.clone());
        }
        Self::Faults(faults)
    }

    /// Whether the fault occurred.
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
