//! The turn of a service whose new container starts while the old one runs, and how many of a
//! service's containers are switched at a time.

use std::collections::BTreeMap;

use super::{
    Action, Change, Decision, Reason, Step, Work,
    draft::{Draft, Key},
    handover::Passage,
    switch::{Assembly, Turn, gate, stays},
};
use crate::{
    name::{ContainerName, ServiceName},
    project::Service,
};

impl Assembly<'_> {
    /// Starts the new container, asks it, lets it be found, and then stops the old one: after the
    /// commit, unless something new depends on the service and must not find the old one.
    pub fn start_first(&self, draft: &mut Draft, turn: &Turn<'_>, passages: &[Passage<'_>]) {
        let mut ready = self.dependencies(turn.service);
        ready.insert(Key::Create(turn.name.clone()));
        let start = Action::StartContainer(turn.name.clone());
        draft.add(Key::Start(turn.name.clone()), turn.act(start), ready);
        gate(draft, turn);
        let early = self.stops_early(turn.service);
        let mut needs: Vec<Key> = self.publish(draft, turn, passages, &turn.proven());
        if let (false, Some(old)) = (needs.is_empty(), &turn.decision.current) {
            let key = Key::Drain(old.to_string());
            let work = Work::Drain {
                object: old.to_string(),
                duration: turn.service.update.drain,
            };
            let mut step = Step::new(work, turn.subject.clone(), Reason::Handover);
            step.after_commit = !early;
            draft.add(key.clone(), step, needs);
            needs = vec![key];
        }
        needs.push(turn.proven());
        if early {
            needs.extend(self.created());
        }
        self.stop(draft, turn, needs, !early);
    }

    /// Whether the old container of a service that starts first stops before the commit.
    fn stops_early(&self, service: &Service) -> bool {
        let changing = |it: &&Decision| it.change != Change::Remove && !stays(it.change);
        let mut others = self.decisions.iter().filter(changing);
        others.any(|it| {
            let other = self.project.services.get(&it.service);
            other.is_some_and(|other| other.depends_on.contains_key(&service.name))
        })
    }

    /// The old container of a service that starts first and is stopped before the commit.
    pub fn stopped_early(&self, service: &Service, replica: u32) -> Option<ContainerName> {
        let is = |it: &&Decision| it.service == service.name && it.replica == replica;
        let decision = self.decisions.iter().find(is)?;
        let first = decision.strategy.as_ref()?.is_start_first();
        let early = first && self.stops_early(service);
        decision.current.clone().filter(|_| early)
    }
}

/// No more containers of a service are switched at a time than it allows.
pub(super) fn in_turn(draft: &mut Draft, turns: &[Turn<'_>]) {
    let switched = |turn: &&Turn<'_>| turn.decision.strategy.is_some();
    let mut before: BTreeMap<&ServiceName, Vec<&Turn<'_>>> = BTreeMap::new();
    for turn in turns.iter().filter(switched) {
        let earlier = before.entry(&turn.service.name).or_default();
        let at_a_time = usize::try_from(turn.service.update.parallelism.max(1));
        let place = earlier.len().checked_sub(at_a_time.unwrap_or(usize::MAX));
        if let Some(other) = place.and_then(|place| earlier.get(place)) {
            draft.needs(&Key::Start(turn.name.clone()), other.proven());
            if let (false, Some(old)) = (turn.starts_first(), &turn.decision.current) {
                for index in 0..turn.service.pre_stop.len() {
                    draft.needs(&Key::PreStop(old.clone(), index), other.proven());
                }
                draft.needs(&Key::Policy(old.clone()), other.proven());
                draft.needs(&Key::Stop(old.clone()), other.proven());
            }
        }
        earlier.push(turn);
    }
}
