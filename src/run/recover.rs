//! The run that completes an interrupted deploy: rolls back before the commit, rolls forward after
//! it.
//!
//! Pure: the direction and the remaining steps follow from the journal and the observed state. The
//! computation is idempotent, so an interrupted recovery can be recovered as well.

use super::{FailurePolicy, Run, Settings, Stabilization};
use crate::{
    event::{Change, Purpose, ServiceSummary},
    journal::{UnfinishedDeploy, Writer},
    name::ServiceName,
    plan::{Plan, StepKind, Subject, recovery_plan, roll_forward_plan},
    project::Kind,
    state::State,
};

/// Returns the run that completes `open`. `now` is the observed state.
#[must_use]
pub fn recover(open: &UnfinishedDeploy, now: &State) -> Run {
    let planned = &open.planned;
    let deploy = planned.generation;
    let settings = Settings {
        project: planned.project.name.clone(),
        verb: "recover".to_owned(),
        services: participants(open),
        purpose: if open.committed {
            Purpose::Finish { deploy }
        } else {
            Purpose::RollBack { deploy }
        },
        origin: planned.origin.clone(),
        on_failure: FailurePolicy::RollbackAll,
        stabilization: Stabilization::NONE,
        deadline: None,
        journal: Some(Writer::resume(open)),
        keep_failed: false,
        images_at_a_time: None,
    };
    if open.committed {
        return Run::roll_forward(remaining(open, now), open.split.clone(), settings);
    }
    let back = recovery_plan(&planned.plan, &open.attempted(), &planned.origin);
    Run::rollback(back, cause(open), settings)
}

/// Returns the remaining steps of a deploy after its commit, or after a partial commit.
#[must_use]
pub fn remaining(open: &UnfinishedDeploy, now: &State) -> Plan {
    let planned = &open.planned;
    let mut plan = planned.plan.clone();
    if let Some(split) = &open.split {
        plan.steps
            .retain(|step| !step.after_commit || split.keeps_step(step));
    }
    roll_forward_plan(&plan, &planned.origin, now)
}

fn cause(open: &UnfinishedDeploy) -> String {
    let generation = open.planned.generation;
    match &open.rollback_cause {
        Some(cause) => format!("deploy {generation} was interrupted while rolling back: {cause}"),
        None => format!("deploy {generation} was interrupted"),
    }
}

fn participants(open: &UnfinishedDeploy) -> Vec<ServiceSummary> {
    let origin = &open.planned.origin.containers;
    let before = |name: &ServiceName| origin.values().any(|it| it.service == *name);
    let services = open.planned.project.services.values();
    services
        .map(|service| ServiceSummary {
            service: service.name.clone(),
            job: matches!(service.kind, Kind::Job { .. }),
            replicas: service.replicas,
            change: match (before(&service.name), is_changed(open, &service.name)) {
                (false, _) => Change::Create,
                (true, true) => Change::Restart,
                (true, false) => Change::NoOp,
            },
            depends_on: service.depends_on.keys().cloned().collect(),
            containers: Vec::new(),
        })
        .collect()
}

/// Whether the deploy has actions for the containers of a service.
fn is_changed(open: &UnfinishedDeploy, name: &ServiceName) -> bool {
    let mut steps = open.planned.plan.steps.iter();
    steps.any(|step| {
        let its = matches!(&step.subject, Subject::Service { name: its, .. } if its == name);
        its && matches!(step.kind, StepKind::Action(_))
    })
}
