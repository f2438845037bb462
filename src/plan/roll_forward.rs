//! Roll forward: the remaining steps of a deploy that was committed and then interrupted.
//!
//! Pure. Only actions that are not done yet are performed. Containers are identified by more than
//! their names, because the renames may have started.

use super::{Action, Plan, Step, StepKind};
use crate::{
    name::ContainerName,
    state::{Container, State},
};

/// Returns the steps after the commit of `plan` that are not done in `now`. `origin` is the state
/// that the plan was made from.
#[must_use]
pub fn roll_forward_plan(plan: &Plan, origin: &State, now: &State) -> Plan {
    let world = World { plan, origin, now };
    let steps = plan.steps.iter().filter(|step| step.after_commit);
    let left = steps.filter_map(|step| {
        let StepKind::Action(action) = &step.kind else {
            return None;
        };
        let action = world.still(action)?;
        // The steps run one after the other, in their order. Each needs the previous one only to
        // have ended.
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
    /// Returns the remaining part of an action.
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

    /// Returns the current name of a container of the plan; `None` if the container does not exist.
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

    /// Returns whether the container of this name is the one that the plan refers to.
    fn is_meant(&self, name: &ContainerName) -> bool {
        let there = self.now.containers.get(name);
        there.is_some_and(|there| self.same(name, there))
    }

    /// Returns whether this container is the one that the plan names `name`. A container that
    /// existed before the plan is identified by its id, a new one by the generation that the plan
    /// creates.
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

    /// Returns whether the plan renames this container to `name`.
    fn is_renamed_to(&self, name: &ContainerName, there: &Container) -> bool {
        self.plan.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Action(Action::RenameContainer { from, to })
                if to == name
                    && self.origin.containers.get(from).is_some_and(|it| it.id == there.id))
        })
    }
}
