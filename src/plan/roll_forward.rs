//! The way on: what is left to do of a deploy that was committed and then cut off.
//!
//! Pure. Only what the world still lacks is done, and containers are told apart by more than their
//! names, as names have begun to change hands.

use super::{Action, Plan, Step, StepKind};
use crate::{
    name::ContainerName,
    state::{Container, State},
};

/// The steps after the commit of `plan`, as far as they are not done in `now`; the plan was made
/// from `origin`.
#[must_use]
pub fn roll_forward_plan(plan: &Plan, origin: &State, now: &State) -> Plan {
    let world = World { plan, origin, now };
    let steps = plan.steps.iter().filter(|step| step.after_commit);
    let left = steps.filter_map(|step| {
        let StepKind::Action(action) = &step.kind else {
            return None;
        };
        let action = world.still(action)?;
        // One after the other, in their order: each needs the one before it to have ended only.
        Some(Step {
            kind: StepKind::Action(action),
            requires: std::collections::BTreeSet::new(),
            ..step.clone()
        })
    });
    let mut steps: Vec<Step> = left.collect();
    for index in 1..steps.len() {
        steps[index].requires.insert(super::StepId(index - 1));
        steps[index - 1].non_fatal = true;
    }
    Plan { steps }
}

struct World<'a> {
    plan: &'a Plan,
    origin: &'a State,
    now: &'a State,
}

impl World<'_> {
    /// What is left of an action.
    fn still(&self, action: &Action) -> Option<Action> {
        match action {
            Action::SetRestartPolicy { container, policy } => Some(Action::SetRestartPolicy {
                container: self.name_now(container)?,
                policy: *policy,
            }),
            Action::RenameContainer { from, to } => {
                let there = self.now.containers.contains_key(from) && self.is_meant(from);
                there.then(|| Action::RenameContainer {
                    from: from.clone(),
                    to: to.clone(),
                })
            }
            Action::RemoveContainer(container) => {
                self.name_now(container).map(Action::RemoveContainer)
            }
            Action::StopContainer { container, grace } => Some(Action::StopContainer {
                container: self.name_now(container)?,
                grace: *grace,
            }),
            other => Some(other.clone()),
        }
    }

    /// The name that a container of the plan has by now; `None`: it is gone.
    fn name_now(&self, name: &ContainerName) -> Option<ContainerName> {
        if self.now.containers.contains_key(name) && self.is_meant(name) {
            return Some(name.clone());
        }
        let renamed = self.plan.steps.iter().find_map(|step| match &step.kind {
            StepKind::Action(Action::RenameContainer { from, to }) if from == name => Some(to),
            _ => None,
        })?;
        let there = self.now.containers.get(renamed)?;
        self.same(name, there).then(|| renamed.clone())
    }

    /// Whether the container of this name is the one that the plan means by it.
    fn is_meant(&self, name: &ContainerName) -> bool {
        let there = self.now.containers.get(name);
        there.is_some_and(|there| self.same(name, there))
    }

    /// Whether this container is the one that the plan calls `name`: by its id, where it was there
    /// before the plan; else by the generation that the plan makes.
    fn same(&self, name: &ContainerName, there: &Container) -> bool {
        match self.origin.containers.get(name) {
            Some(before) => before.id == there.id,
            None => {
                self.plan.steps.iter().any(|step| {
                    matches!(&step.kind, StepKind::Action(Action::CreateContainer(create))
                    if create.name == *name
                        && create.generation == there.generation
                        && create.service == there.service)
                }) || self.is_renamed_to(name, there)
            }
        }
    }

    /// Whether `name` is what the plan renames this container to.
    fn is_renamed_to(&self, name: &ContainerName, there: &Container) -> bool {
        self.plan.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Action(Action::RenameContainer { from, to })
                if to == name
                    && self.origin.containers.get(from).is_some_and(|it| it.id == there.id))
        })
    }
}
