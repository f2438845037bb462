//! The run that ends a deploy which was cut off: back before its commit, on after it.
//!
//! Pure: which of the two it is, and what is left to do, follows from the journal and the world.
//! Done again it comes to the same, so that a recovery that is cut off is recovered, too.

use super::{OnFailure, Run, Settings, Settle};
use crate::{
    event::{Change, Participant, Purpose},
    journal::{Open, Writer},
    name::ServiceName,
    plan::{Plan, Subject, Work, onward, recovery},
    project::Kind,
    state::State,
};

/// The run that ends `open`; `now` is what the world is like.
#[must_use]
pub fn recover(open: &Open, now: &State) -> Run {
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
        on_failure: OnFailure::GoBack,
        settle: Settle::NONE,
        deadline: None,
        journal: Some(Writer::resume(open)),
        keep_failed: false,
        images_at_a_time: None,
    };
    if open.committed {
        return Run::onward(remaining(open, now), open.split.clone(), settings);
    }
    let back = recovery(&planned.plan, &open.attempted(), &planned.origin);
    Run::back(back, cause(open), settings)
}

/// What is left to do of a deploy that was committed, or of the part that was.
#[must_use]
pub fn remaining(open: &Open, now: &State) -> Plan {
    let planned = &open.planned;
    let mut plan = planned.plan.clone();
    if let Some(split) = &open.split {
        plan.steps
            .retain(|step| !step.after_commit || split.concludes(step));
    }
    onward(&plan, &planned.origin, now)
}

fn cause(open: &Open) -> String {
    let generation = open.planned.generation;
    match &open.returning {
        Some(cause) => format!("deploy {generation} was interrupted while rolling back: {cause}"),
        None => format!("deploy {generation} was interrupted"),
    }
}

fn participants(open: &Open) -> Vec<Participant> {
    let origin = &open.planned.origin.containers;
    let before = |name: &ServiceName| origin.values().any(|it| it.service == *name);
    let services = open.planned.project.services.values();
    services
        .map(|service| Participant {
            service: service.name.clone(),
            job: matches!(service.kind, Kind::Job { .. }),
            replicas: service.replicas,
            change: match (before(&service.name), is_changed(open, &service.name)) {
                (false, _) => Change::Create,
                (true, true) => Change::Restart,
                (true, false) => Change::Keep,
            },
            waits_for: service.depends_on.keys().cloned().collect(),
            containers: Vec::new(),
        })
        .collect()
}

/// Whether the deploy was to do something to the containers of a service.
fn is_changed(open: &Open, name: &ServiceName) -> bool {
    let mut steps = open.planned.plan.steps.iter();
    steps.any(|step| {
        let its = matches!(&step.subject, Subject::Service { name: its, .. } if its == name);
        its && matches!(step.work, Work::Act(_))
    })
}
