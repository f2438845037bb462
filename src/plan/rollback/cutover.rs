//! The rollback of a cutover: old containers get their names, addresses and ports back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{RollbackBuilder, order::Order};
use crate::{
    name::{ContainerName, ServiceName},
    plan::{
        Action, Attached, Cutover, EndpointSpec, StepId, StepKind, Subject,
        endpoints::{found, nameless},
    },
    state::Container,
};

impl<'a> RollbackBuilder<'a> {
    /// Switches traffic back, before anything else, from new containers to old ones that still run.
    pub(super) fn switch_back(&mut self) {
        for (cutover, subject) in self.deeds.cutovers.clone() {
            let Some(from) = &cutover.from else {
                self.attach_later(&cutover.to.container, subject);
                continue;
            };
            // After a run that was cut off it is not known whether the old one runs: then its
            // endpoints come first, as it may have lost them.
            if self.deeds.stopped.contains_key(&from.container) && !self.deeds.cut_off {
                self.attach_later(&from.container, subject);
                continue;
            }
            if let Some(switched) = self.reverse(cutover, subject) {
                self.attached.insert(&from.container, switched.0);
                self.released.insert(&cutover.to.container, switched.1);
            }
        }
    }

    /// The old containers among these that start again while their new ones still serve, and take the
    /// traffic back when they are ready: nothing that they need has to stop first.
    pub(super) fn returning_first(
        &self,
        stopped: &[(&'a ContainerName, &'a Subject, &'a Container)],
        order: &Order<'a>,
    ) -> BTreeSet<&'a ContainerName> {
        let alone = |name: &ContainerName, container: &Container| {
            // One with ports of the host lost the network that they are published in, and may need
            // its way out to start: nobody has seen it start without.
            self.cutover_from(name).is_some()
                && container.ports.is_empty()
                && !self.deeds.cut_off
                && self.blocking_containers(name, container).is_empty()
                && self.required_restores(container).is_empty()
        };
        let bound: BTreeSet<&ServiceName> = stopped
            .iter()
            .filter(|(name, _, container)| !alone(name, container))
            .map(|(_, _, container)| &container.service)
            .collect();
        stopped
            .iter()
            .filter(|(name, _, container)| {
                let needs = order.before(&container.service);
                alone(name, container) && !needs.iter().any(|need| bound.contains(need))
            })
            .map(|(name, ..)| *name)
            .collect()
    }

    /// Switches traffic back to an old container that was started again, once this step has ended.
    pub(super) fn return_traffic(
        &mut self,
        old: &'a ContainerName,
        ready: StepId,
    ) -> Option<StepId> {
        let (cutover, subject) = self.cutover_from(old)?;
        self.detached.remove(old);
        let (switched, released) = self.reverse(cutover, subject)?;
        self.order_after(Some(switched), Some(ready));
        let stop = self.stops.get(&cutover.to.container).copied();
        self.order_after(stop, Some(released));
        Some(switched)
    }

    /// The steps of the reverse of a cutover: the switch, and the end of what is in progress.
    fn reverse(&mut self, cutover: &'a Cutover, subject: &'a Subject) -> Option<(StepId, StepId)> {
        let to = self.as_found(&cutover.from.as_ref()?.container)?;
        let new = Attached {
            container: cutover.to.container.clone(),
            endpoints: self.as_made(&cutover.to),
        };
        let from = Some(new);
        let action = Action::Cutover(Box::new(Cutover { to, from }));
        let switched = self.act(action, subject, BTreeSet::new());
        let drain = self.drain_of(cutover).filter(|_| !self.deeds.cut_off);
        let Some(duration) = drain else {
            return Some((switched, switched));
        };
        let object = cutover.to.container.to_string();
        let work = StepKind::Drain { object, duration };
        let drained = self.add(work, subject, BTreeSet::from([switched]));
        Some((switched, drained))
    }

    /// The cutover that took traffic from this container.
    fn cutover_from(&self, old: &ContainerName) -> Option<(&'a Cutover, &'a Subject)> {
        let mut cutovers = self.deeds.cutovers.iter().copied();
        cutovers.find(|(it, _)| it.from.as_ref().is_some_and(|from| from.container == *old))
    }

    /// Whether traffic was switched between these two, so that both can run at a time.
    pub(super) fn are_switched(&self, new: &ContainerName, old: &ContainerName) -> bool {
        let cutover = self.cutover_from(old);
        cutover.is_some_and(|(it, _)| it.to.container == *new)
    }

    /// The container gets the endpoints that it was found with, once it does not run.
    fn attach_later(&mut self, container: &'a ContainerName, subject: &'a Subject) {
        self.detached.insert(container, subject);
    }

    /// Attaches a container as it was found. It must not be running, unless the plan did not stop it.
    pub(super) fn attach(
        &mut self,
        container: &'a ContainerName,
        needs: BTreeSet<StepId>,
    ) -> Option<StepId> {
        let subject = self.detached.remove(container)?;
        let to = self.as_found(container)?;
        let action = Action::Cutover(Box::new(Cutover { to, from: None }));
        let id = self.act(action, subject, needs);
        self.attached.insert(container, id);
        Some(id)
    }

    /// Attaches as they were found those that are not started again.
    pub(super) fn attach_rest(&mut self) {
        let rest: Vec<&'a ContainerName> = self.detached.keys().copied().collect();
        for container in rest {
            let stop = self.stops.get(container).copied();
            self.attach(container, stop.into_iter().collect());
        }
    }

    fn as_found(&self, name: &ContainerName) -> Option<Attached> {
        let container = self.state.containers.get(name)?;
        Some(Attached {
            container: name.clone(),
            endpoints: found(self.state, container),
        })
    }

    /// The endpoints that a new container had before it took over.
    fn as_made(&self, new: &Attached) -> BTreeMap<String, EndpointSpec> {
        let created = self.deeds.created.get(&new.container);
        created.map_or_else(
            || {
                let endpoints = new.endpoints.iter();
                endpoints
                    .map(|(name, endpoint)| (name.clone(), nameless(endpoint)))
                    .collect()
            },
            |(create, _)| create.endpoints.clone(),
        )
    }

    /// As long as the plan lets the old container of this cutover drain.
    fn drain_of(&self, cutover: &Cutover) -> Option<Duration> {
        let old = &cutover.from.as_ref()?.container;
        self.plan.steps.iter().find_map(|step| match &step.kind {
            StepKind::Drain { object, duration } if object == old.as_str() => Some(*duration),
            _ => None,
        })
    }
}
