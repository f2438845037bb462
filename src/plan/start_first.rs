//! Update of a service that starts its new container while the old one runs: how traffic moves
//! between the two, and how many containers of a service are updated at the same time.
//!
//! The new container starts on the service's networks without its names, and without the networks
//! on which host ports are published. After the container has passed its gate, one step moves names
//! and ports to it from the old container. The old container keeps its addresses, so that open
//! connections stay open. The old container then drains and stops, so that everything afterwards is
//! proven without it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Attached, Cutover, EndpointSpec, Reason, Step, StepKind, UpdateStrategy,
    addresses::Numbers,
    builder::{Key, PlanBuilder},
    endpoints::{found, nameless, wanted},
    rollout::{ContainerUpdate, RolloutBuilder, gate},
};
use crate::{
    name::{ContainerName, NetworkName, ServiceName},
    project::{ContainerSpec, Update},
    state::Container,
};

impl RolloutBuilder<'_> {
    /// Starts the new container, waits for its gate, switches traffic to it, and stops the old one.
    pub fn start_first(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        let mut ready = self.dependencies(turn.service);
        ready.insert(Key::Create(turn.name.clone()));
        ready.extend(self.attach_revived(draft, turn));
        let start = Action::StartContainer(turn.name.clone());
        draft.add(Key::Start(turn.name.clone()), turn.act(start), ready);
        gate(draft, turn);
        // No old container is touched before all new containers are created.
        let mut needs: Vec<Key> = self.created().chain([turn.ready_key()]).collect();
        if let Some(cutover) = self.cutover(turn) {
            let action = Action::Cutover(Box::new(cutover));
            let key = Key::Cutover(turn.name.clone());
            draft.add(key.clone(), turn.act(action), needs);
            needs = vec![key];
            if !turn.finishes() {
                needs.extend(Self::drain(draft, turn));
            }
        }
        self.stop(draft, turn, needs);
        if turn.finishes() {
            let ports = self.attach_as_wanted(turn, turn.name);
            let needs = turn.decision.current.clone().map(Key::Stop);
            draft.add(Key::Attach(turn.name.clone()), turn.act(ports), needs);
        }
    }

    /// Lets the old container run for a while after it can no longer be resolved by name.
    fn drain(draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) -> Option<Key> {
        let old = turn.decision.current.as_ref()?;
        let duration = turn.service.update.drain.unwrap_or(Update::DRAIN);
        if duration.is_zero() {
            return None;
        }
        let work = StepKind::Drain {
            object: old.to_string(),
            duration,
        };
        let step = Step::new(work, turn.subject.clone(), Reason::Superseded);
        let key = Key::Drain(old.to_string());
        draft.add(key.clone(), step, [Key::Cutover(turn.name.clone())]);
        Some(key)
    }

    /// Returns how traffic moves to the new container; `None` if no traffic reaches either
    /// container.
    fn cutover(&self, turn: &ContainerUpdate<'_>) -> Option<Cutover> {
        let old = self.current(turn)?;
        let mut wanted = self.wanted(turn, &self.numbers(turn));
        let withheld = withheld(turn);
        if turn.finishes() {
            // Names move now. Ports move after the old container has ended.
            wanted.retain(|name, _| !withheld.contains(name));
        }
        let inner: BTreeSet<&String> = wanted
            .iter()
            .filter(|(name, _)| !withheld.contains(*name))
            .map(|(_, (engine_name, _))| engine_name)
            .collect();
        let to: BTreeMap<String, EndpointSpec> = wanted.values().cloned().collect();
        let mut from = found(self.state, old);
        // If the definition of a network changed, the old container keeps its names on the
        // old network, because clients that are still there can find no other container. However,
        // the engine publishes ports on any network with external access that the old container
        // still has, so that the old container leaves those networks.
        if !withheld.is_empty() && !turn.finishes() {
            from.retain(|name, _| inner.contains(name) || self.is_internal(name));
        }
        for (name, endpoint) in &mut from {
            if !inner.contains(name) {
                continue;
            }
            *endpoint = nameless(endpoint);
            let network = wanted.iter().find(|(_, (its, _))| its == name);
            if let Some(number) = network.and_then(|(network, _)| self.swapped(turn, network)) {
                endpoint.ipv4 = Some(super::Address::Reserved(number));
            }
        }
        let named = to.values().any(|endpoint| !endpoint.aliases.is_empty());
        let from = Attached {
            container: turn.decision.current.clone()?,
            endpoints: from,
        };
        let moves_ports = !withheld.is_empty() && !turn.finishes();
        (named || moves_ports).then(|| Cutover {
            to: Attached {
                container: turn.name.clone(),
                endpoints: to,
            },
            from: Some(from),
        })
    }

    /// Returns the endpoints that a container is created or restarted with.
    pub fn endpoints_at_creation(
        &self,
        turn: &ContainerUpdate<'_>,
    ) -> BTreeMap<String, EndpointSpec> {
        let first = turn.is_start_first();
        let numbers = if first {
            self.interim(turn)
        } else {
            self.numbers(turn)
        };
        let withheld = withheld(turn);
        let wanted = self.wanted(turn, &numbers).into_iter();
        wanted
            .filter(|(name, _)| !withheld.contains(name))
            .map(|(_, (engine_name, endpoint))| {
                let endpoint = if first { nameless(&endpoint) } else { endpoint };
                (engine_name, endpoint)
            })
            .collect()
    }

    /// Restores the names and networks of a retained container before it runs again.
    pub fn attach_revived(
        &self,
        draft: &mut PlanBuilder,
        turn: &ContainerUpdate<'_>,
    ) -> Option<Key> {
        let revived = turn.decision.revived.as_ref()?;
        let endpoints = self.endpoints_at_creation(turn);
        let container = self.state.containers.get(revived)?;
        if endpoints.is_empty() || self.is_done(turn) || endpoints == found(self.state, container) {
            return None;
        }
        let to = Attached {
            container: revived.clone(),
            endpoints,
        };
        let key = Key::Attach(revived.clone());
        let action = Action::Cutover(Box::new(Cutover { to, from: None }));
        draft.add(key.clone(), turn.act(action), self.created());
        Some(key)
    }

    /// Attaches a container that keeps running to its networks, as the manifest says.
    pub fn attach_as_wanted(
        &self,
        turn: &ContainerUpdate<'_>,
        container: &ContainerName,
    ) -> Action {
        let wanted = self.wanted(turn, &self.numbers(turn));
        let to = Attached {
            container: container.clone(),
            endpoints: wanted.into_values().collect(),
        };
        Action::Cutover(Box::new(Cutover { to, from: None }))
    }

    fn wanted(
        &self,
        turn: &ContainerUpdate<'_>,
        numbers: &Numbers,
    ) -> BTreeMap<NetworkName, (String, EndpointSpec)> {
        wanted(self.project, self.networks, turn.service, numbers)
    }

    /// Returns the numbers of the addresses that a container has once it is committed.
    pub fn numbers(&self, turn: &ContainerUpdate<'_>) -> Numbers {
        let revived = turn.decision.revived.as_ref();
        if let Some(revived) = revived.and_then(|name| self.state.containers.get(name)) {
            return recorded(revived);
        }
        let place = (turn.decision.service.clone(), turn.decision.replica);
        if let Some(assigned) = self.addresses.get(&place) {
            return assigned.last.clone();
        }
        self.current(turn).map(recorded).unwrap_or_default()
    }

    /// Returns the numbers of the addresses that a container has until it takes over.
    fn interim(&self, turn: &ContainerUpdate<'_>) -> Numbers {
        let place = (turn.decision.service.clone(), turn.decision.replica);
        let assigned = self.addresses.get(&place);
        let interim = assigned.map(|it| it.interim.clone());
        interim.unwrap_or_else(|| self.numbers(turn))
    }

    /// Returns the number that the old container gets in exchange for its own; `None` if it keeps
    /// its own.
    fn swapped(&self, turn: &ContainerUpdate<'_>, network: &NetworkName) -> Option<u32> {
        let interim = *self.interim(turn).get(network)?;
        let last = *self.numbers(turn).get(network)?;
        (interim != last).then_some(interim)
    }

    /// Returns whether a network of the engine has no external access.
    fn is_internal(&self, engine_name: &str) -> bool {
        let network = self.state.networks.get(engine_name);
        let record = network.and_then(|it| it.record.as_ref());
        record.and_then(|it| it.get("internal")?.as_bool()) == Some(true)
    }

    /// If a network gets a successor, stops an old container only after its dependents, which reach
    /// it on the old network until then. Dependents that wait for its stop themselves are left out.
    pub fn stop_dependents_first(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        let moves = |turn: &&ContainerUpdate<'_>| {
            let mut networks = super::prepare::networks_of(turn.service);
            turn.is_start_first()
                && networks.any(|name| {
                    let placed = self.networks.get(name);
                    placed.is_some_and(|it| it.predecessor.is_some())
                })
        };
        for turn in turns.iter().filter(moves) {
            let dependents = turns
                .iter()
                .filter(|it| it.service.depends_on.contains_key(&turn.service.name));
            let Some(old) = &turn.decision.current else {
                continue;
            };
            for dependent in dependents.filter_map(|it| it.decision.current.as_ref()) {
                draft.after_if_acyclic(&Key::Stop(old.clone()), Key::Stop(dependent.clone()));
            }
        }
    }
}

fn recorded(container: &Container) -> Numbers {
    let record = container.record.as_ref();
    record.map(|it| it.addresses.clone()).unwrap_or_default()
}

impl ContainerUpdate<'_> {
    /// Returns whether the old container stops before its ports move, so that it finishes requests
    /// in progress.
    fn finishes(&self) -> bool {
        let strategy = self.decision.strategy.as_ref();
        matches!(
            strategy,
            Some(UpdateStrategy::StartFirst { finishes: true, .. })
        )
    }

    /// Returns the grace period for the old container to finish requests in progress; `None` means
    /// the container's own.
    pub fn finish_within(&self) -> Option<Duration> {
        let drain = self.service.update.drain.filter(|_| self.finishes())?;
        let grace = self.service.container.stop_grace_period;
        Some(drain.max(grace.unwrap_or(ContainerSpec::STOP_GRACE)))
    }
}

/// Returns the networks that a new container joins only when it takes over.
fn withheld(turn: &ContainerUpdate<'_>) -> BTreeSet<NetworkName> {
    match &turn.decision.strategy {
        Some(UpdateStrategy::StartFirst { withheld, .. }) => withheld.clone(),
        Some(UpdateStrategy::StopFirst { .. }) | None => BTreeSet::new(),
    }
}

/// Limits how many containers of a service are updated at the same time.
pub(super) fn limit_parallelism(draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
    let switched = |turn: &&ContainerUpdate<'_>| turn.decision.strategy.is_some();
    let mut before: BTreeMap<&ServiceName, Vec<&ContainerUpdate<'_>>> = BTreeMap::new();
    for turn in turns.iter().filter(switched) {
        let earlier = before.entry(&turn.service.name).or_default();
        let at_a_time = usize::try_from(turn.service.update.parallelism.max(1));
        let place = earlier.len().checked_sub(at_a_time.unwrap_or(usize::MAX));
        if let Some(other) = place.and_then(|place| earlier.get(place)) {
            draft.needs(&Key::Start(turn.name.clone()), other.ready_key());
            if let (false, Some(old)) = (turn.is_start_first(), &turn.decision.current) {
                for index in 0..turn.service.pre_stop.len() {
                    draft.needs(&Key::PreStop(old.clone(), index), other.ready_key());
                }
                draft.needs(&Key::Policy(old.clone()), other.ready_key());
                draft.needs(&Key::Stop(old.clone()), other.ready_key());
            }
        }
        earlier.push(turn);
    }
}
