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
        for (cutover, subject) in self.applied.cutovers.clone() {
            let Some(from) = &cutover.from else {
                self.attach_later(&cutover.to.container, subject);
                continue;
            };
            // After an interrupted run, it is not known whether the old container runs. Its
            // endpoints are then restored first, because it may have lost them.
            if self.applied.stopped.contains_key(&from.container) && !self.applied.cut_off {
                self.attach_later(&from.container, subject);
                continue;
            }
            if let Some(switched) = self.reverse(cutover, subject) {
                self.attached.insert(&from.container, switched.0);
                self.released.insert(&cutover.to.container, switched.1);
            }
        }
    }

    /// Returns the old containers that are started while their replacements still serve, and that
    /// take the traffic back once they are ready. Nothing that they need has to stop first.
    pub(super) fn returning_first(
        &self,
        stopped: &[(&'a ContainerName, &'a Subject, &'a Container)],
        order: &Order<'a>,
    ) -> BTreeSet<&'a ContainerName> {
        let alone = |name: &ContainerName, container: &Container| {
            // A container with host ports has lost the network that they are published in. It may
            // need the external access of that network to start, and a start without it has not
            // been tested.
            self.cutover_from(name).is_some()
                && container.ports.is_empty()
                && !self.applied.cut_off
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

    /// Switches traffic back to a restarted old container, after the step `ready` has ended.
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

    /// Adds the steps that reverse a cutover: the switch, and the drain of requests in progress.
    fn reverse(&mut self, cutover: &'a Cutover, subject: &'a Subject) -> Option<(StepId, StepId)> {
        let to = self.as_found(&cutover.from.as_ref()?.container)?;
        let new = Attached {
            container: cutover.to.container.clone(),
            endpoints: self.as_made(&cutover.to),
        };
        let from = Some(new);
        let action = Action::Cutover(Box::new(Cutover { to, from }));
        let switched = self.act(action, subject, BTreeSet::new());
        let drain = self.drain_of(cutover).filter(|_| !self.applied.cut_off);
        let Some(duration) = drain else {
            return Some((switched, switched));
        };
        let object = cutover.to.container.to_string();
        let work = StepKind::Drain { object, duration };
        let drained = self.add(work, subject, BTreeSet::from([switched]));
        Some((switched, drained))
    }

    /// Returns the cutover that took traffic from this container.
    fn cutover_from(&self, old: &ContainerName) -> Option<(&'a Cutover, &'a Subject)> {
        let mut cutovers = self.applied.cutovers.iter().copied();
        cutovers.find(|(it, _)| it.from.as_ref().is_some_and(|from| from.container == *old))
    }

    /// Returns whether traffic was switched between these two containers, so that both can run at
    /// the same time.
    pub(super) fn are_switched(&self, new: &ContainerName, old: &ContainerName) -> bool {
        let cutover = self.cutover_from(old);
        cutover.is_some_and(|(it, _)| it.to.container == *new)
    }

    /// Marks a container to be attached with its observed endpoints once it does not run.
    fn attach_later(&mut self, container: &'a ContainerName, subject: &'a Subject) {
        self.detached.insert(container, subject);
    }

    /// Attaches a container with its observed endpoints. The container must not run, unless the
    /// plan did not stop it.
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

    /// Attaches the containers that are not started again with their observed endpoints.
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

    /// Returns the endpoints that a new container had before it took over.
    fn as_made(&self, new: &Attached) -> BTreeMap<String, EndpointSpec> {
        let created = self.applied.created.get(&new.container);
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

    /// Returns how long the plan lets the old container of this cutover drain.
    fn drain_of(&self, cutover: &Cutover) -> Option<Duration> {
        let old = &cutover.from.as_ref()?.container;
        self.plan.steps.iter().find_map(|step| match &step.kind {
            StepKind::Drain { object, duration } if object == old.as_str() => Some(*duration),
            _ => None,
        })
    }
}
