//! The way back of a switch: consumers are led from the new container to the old one again, and
//! then over the network that they had before, without a cut.
//!
//! A link leads to a container by its name, so that a new name takes it out of use at once, while
//! what is under way goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Builder;
use crate::{
    name::ContainerName,
    plan::{Action, CreateContainer, StepId, Subject, Work},
    state::Container,
};

impl<'a> Builder<'a> {
    /// New containers that are found already, and whose old ones still run, are not found any more.
    pub(super) fn withdraw(&mut self) {
        let created: Vec<(&'a CreateContainer, &'a Subject)> =
            self.deeds.created.values().copied().collect();
        for (create, subject) in created {
            let mut connected = self.deeds.connected.iter();
            let found = connected.any(|it| it.container == create.name);
            let Some(out) = apart(&create.name).filter(|_| found && self.goes_on(create)) else {
                continue;
            };
            let action = Action::RenameContainer {
                from: create.name.clone(),
                to: out.clone(),
            };
            let renamed = self.act(action, subject, BTreeSet::new());
            let work = Work::Drain {
                object: out.to_string(),
                duration: self.patience(),
            };
            let drained = self.add(work, subject, BTreeSet::from([renamed]));
            self.withdrawn.insert(&create.name, (out, drained));
        }
    }

    /// Whether the container that this one was to replace runs and was not stopped.
    fn goes_on(&self, create: &CreateContainer) -> bool {
        let mut all = self.state.containers.iter();
        all.any(|(name, it)| {
            (&it.service, it.replica) == (&create.service, create.replica)
                && it.condition.status.is_up()
                && !self.deeds.stopped.contains_key(name)
        })
    }

    /// The name that a new container has by now.
    pub(super) fn called(&self, container: &ContainerName) -> ContainerName {
        let withdrawn = self.withdrawn.get(container);
        withdrawn.map_or_else(|| container.clone(), |(name, _)| name.clone())
    }

    /// Lets a container that is to start again out of the networks of the switch, which are about to
    /// go: it would not start without one that it is in.
    pub(super) fn let_out(&mut self, name: &ContainerName, subject: &Subject) -> Vec<StepId> {
        let plan = self.plan;
        let connected = plan.steps.iter().filter_map(|step| match &step.work {
            Work::Act(Action::ConnectNetwork(connect)) if connect.container == *name => {
                Some(&connect.network)
            }
            _ => None,
        });
        let let_out = connected.map(|network| {
            let action = Action::DisconnectNetwork {
                network: network.clone(),
                container: name.clone(),
            };
            let id = self.act(action, subject, BTreeSet::new());
            self.back.plan.steps[id.0].optional = true;
            id
        });
        let_out.collect()
    }

    /// The networks of the switch go, when nobody finds anything through them any more.
    pub(super) fn give_up_ways(&mut self) {
        let ways = std::mem::take(&mut self.deeds.ways);
        if ways.is_empty() {
            return;
        }
        if self.deeds.cut_off {
            self.clear_ways(&ways);
            return;
        }
        let mut released = Vec::new();
        for (name, container) in self.found_through_ways() {
            let Some(out) = apart(name) else {
                continue;
            };
            let subject = Subject::Service {
                name: container.service.clone(),
                replica: container.replica,
            };
            let before = self.all_about(name, container);
            let action = Action::RenameContainer {
                from: name.clone(),
                to: out.clone(),
            };
            let renamed = self.act(action, &subject, BTreeSet::new());
            for step in before {
                self.order_after(Some(renamed), Some(step));
            }
            released.push((renamed, name, out, subject));
        }
        let first = ways[0].1;
        let drained = (!released.is_empty()).then(|| {
            let work = Work::Drain {
                object: ways[0].0.to_owned(),
                duration: self.patience(),
            };
            self.add(work, first, BTreeSet::new())
        });
        for (renamed, ..) in &released {
            self.order_after(drained, Some(*renamed));
        }
        let ends = self.ends();
        let mut removed = Vec::new();
        for (network, subject) in ways {
            let action = Action::RemoveNetwork(network.to_owned());
            let id = self.act(action, subject, BTreeSet::new());
            for step in ends.iter().copied().chain(drained) {
                self.order_after(Some(id), Some(step));
            }
            removed.push(id);
        }
        for (renamed, name, out, subject) in released {
            let action = Action::RenameContainer {
                from: out,
                to: name.clone(),
            };
            let back = self.act(action, &subject, BTreeSet::from([renamed]));
            for step in &removed {
                self.order_after(Some(back), Some(*step));
            }
        }
    }

    /// After a run that was cut off: containers that it was about to lead nobody to get their names
    /// again before anything else, and the networks go at once.
    fn clear_ways(&mut self, ways: &[(&'a str, &'a Subject)]) {
        let created: Vec<(&'a CreateContainer, &'a Subject)> =
            self.deeds.created.values().copied().collect();
        let mut before = self.ends();
        for (create, subject) in created {
            let Some(out) = apart(&create.name) else {
                continue;
            };
            let action = Action::StopContainer {
                container: out.clone(),
                grace: None,
            };
            let stopped = self.act(action, subject, BTreeSet::new());
            let action = Action::RemoveContainer(out);
            before.push(self.act(action, subject, BTreeSet::from([stopped])));
        }
        for (name, container) in self.found_through_ways() {
            let Some(out) = apart(name) else {
                continue;
            };
            let subject = Subject::Service {
                name: container.service.clone(),
                replica: container.replica,
            };
            let about = self.all_about(name, container);
            let action = Action::RenameContainer {
                from: out,
                to: name.clone(),
            };
            let renamed = self.act(action, &subject, BTreeSet::new());
            for step in about {
                self.order_after(Some(step), Some(renamed));
            }
        }
        for (network, subject) in ways {
            let action = Action::RemoveNetwork((*network).to_owned());
            let id = self.act(action, subject, BTreeSet::new());
            for step in &before {
                self.order_after(Some(id), Some(*step));
            }
        }
    }

    /// The ends and the removals of new containers: one that is just going can neither stay in a
    /// network nor be let out of it.
    fn ends(&self) -> Vec<StepId> {
        let ends = self.stops.values().chain(self.removals.values());
        ends.copied().collect()
    }

    /// Containers of before that ran and that links lead to.
    fn found_through_ways(&self) -> BTreeMap<&'a ContainerName, &'a Container> {
        let targets = self.deeds.connected.iter().flat_map(|it| it.links.values());
        targets
            .filter_map(|name| {
                self.state
                    .containers
                    .get_key_value(name)
                    .filter(|(_, it)| it.condition.status.is_up())
            })
            .collect()
    }

    /// The steps so far that are about this container, or that end its successors.
    fn all_about(&self, name: &ContainerName, container: &Container) -> Vec<StepId> {
        let steps = self.back.plan.steps.iter().enumerate();
        let about = steps.filter(|(_, step)| match &step.work {
            Work::Act(action) => action.object() == name.as_str(),
            Work::Gate { container, .. } => container == name,
            Work::Drain { .. } | Work::Verify(_) => false,
        });
        let successors = self.stops.iter().filter(|(new, _)| {
            let created = self.deeds.created.get(*new);
            created.is_some_and(|(create, _)| create.service == container.service)
        });
        about
            .map(|(index, _)| StepId(index))
            .chain(successors.map(|(_, id)| *id))
            .collect()
    }

    /// As long as the plan gives to what is left.
    fn patience(&self) -> Duration {
        let steps = self.plan.steps.iter();
        let drains = steps.filter_map(|step| match &step.work {
            Work::Drain { duration, .. } => Some(*duration),
            Work::Act(_) | Work::Gate { .. } | Work::Verify(_) => None,
        });
        drains.max().unwrap_or(Duration::ZERO)
    }
}

/// The name of a container that nobody is to find by its own.
fn apart(name: &ContainerName) -> Option<ContainerName> {
    ContainerName::new(format!("{name}.out")).ok()
}
