//! The turn of a service whose new container starts while the old one runs: how traffic moves from
//! the one to the other, and how many of a service's containers are switched at a time.
//!
//! The new container starts on the service's networks without its names, and without the networks on
//! which ports of the host are published. When it has passed its gate, one step gives it names and
//! ports and takes them from the old one, which keeps its addresses: open connections live on. Then
//! the old one drains and stops, so that everything after it is proven without it.

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
        // Nothing old is touched before everything new has been made.
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

    /// The old container goes on for a while after nobody finds it by name any longer.
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

    /// How traffic moves to the new container; `None`: nothing finds either of the two.
    fn cutover(&self, turn: &ContainerUpdate<'_>) -> Option<Cutover> {
        let old = self.current(turn)?;
        let mut wanted = self.wanted(turn, &self.numbers(turn));
        let withheld = withheld(turn);
        if turn.finishes() {
            // Names move now, ports when the old container has ended.
            wanted.retain(|name, _| !withheld.contains(name));
        }
        let inner: BTreeSet<&String> = wanted
            .iter()
            .filter(|(name, _)| !withheld.contains(*name))
            .map(|(_, (engine_name, _))| engine_name)
            .collect();
        let to: BTreeMap<String, EndpointSpec> = wanted.values().cloned().collect();
        let mut from = found(self.state, old);
        // Where its definition has changed, the old network goes on with all its names: those that
        // are still on it find nobody else. But the engine publishes ports on any network with a way
        // out that the old container has left.
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

    /// The endpoints that a container is made, or started again, with.
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

    /// A kept container that is to run again gets its names and networks back first.
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

    /// Attaches a container that goes on running as the manifest says.
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

    /// The numbers of the addresses that a container has once it is committed.
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

    /// Those that it has until it takes over.
    fn interim(&self, turn: &ContainerUpdate<'_>) -> Numbers {
        let place = (turn.decision.service.clone(), turn.decision.replica);
        let assigned = self.addresses.get(&place);
        let interim = assigned.map(|it| it.interim.clone());
        interim.unwrap_or_else(|| self.numbers(turn))
    }

    /// The number that the old container gets in exchange for its own; `None`: it keeps its own.
    fn swapped(&self, turn: &ContainerUpdate<'_>, network: &NetworkName) -> Option<u32> {
        let interim = *self.interim(turn).get(network)?;
        let last = *self.numbers(turn).get(network)?;
        (interim != last).then_some(interim)
    }

    /// Whether a network of the engine has no way out.
    fn is_internal(&self, engine_name: &str) -> bool {
        let network = self.state.networks.get(engine_name);
        let record = network.and_then(|it| it.record.as_ref());
        record.and_then(|it| it.get("internal")?.as_bool()) == Some(true)
    }

    /// Where a network gets a successor, an old container stops only after those that depend on it:
    /// until then they find it on the old network. Dependents that themselves wait for its end are
    /// left out.
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
    /// Whether the old container stops before its ports move, so that it finishes what is in progress.
    fn finishes(&self) -> bool {
        let strategy = self.decision.strategy.as_ref();
        matches!(
            strategy,
            Some(UpdateStrategy::StartFirst { finishes: true, .. })
        )
    }

    /// The grace period that the old container has to finish what is in progress; `None`: its own.
    pub fn finish_within(&self) -> Option<Duration> {
        let drain = self.service.update.drain.filter(|_| self.finishes())?;
        let grace = self.service.container.stop_grace_period;
        Some(drain.max(grace.unwrap_or(ContainerSpec::STOP_GRACE)))
    }
}

/// The networks that a new container joins only when it takes over.
fn withheld(turn: &ContainerUpdate<'_>) -> BTreeSet<NetworkName> {
    match &turn.decision.strategy {
        Some(UpdateStrategy::StartFirst { withheld, .. }) => withheld.clone(),
        Some(UpdateStrategy::StopFirst { .. }) | None => BTreeSet::new(),
    }
}

/// No more containers of a service are switched at a time than it allows.
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
