//! The steps of a deploy: each service's turn, and how the turns wait for each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Change, Decision, Options, Plan, Reason, RunHook, Step, StepKind, Subject,
    UpdateStrategy,
    addresses::Assigned,
    builder::{Key, PlanBuilder},
    deploy::final_name,
    diff, drift,
    networks::Networks,
    preflight::blocks,
    start_first,
};
use crate::{
    name::{ContainerName, ServiceName},
    project::{Kind, Project, RestartPolicy, Service, Until},
    state::{Container, State},
};

/// A container's place in a project: its service, and which of its containers.
pub(super) type ReplicaKey = (ServiceName, u32);

/// Everything that the steps are made from.
pub(super) struct RolloutBuilder<'a> {
    pub project: &'a Project,
    pub state: &'a State,
    pub networks: &'a Networks,
    pub options: &'a Options,
    pub decisions: &'a [Decision],
    pub generation: u64,
    pub names: BTreeMap<ReplicaKey, ContainerName>,
    pub addresses: BTreeMap<ReplicaKey, Assigned>,
}

/// One container of a service, with all that the steps for it need.
pub(super) struct ContainerUpdate<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    pub name: &'a ContainerName,
    pub subject: Subject,
    pub reason: Reason,
}

impl ContainerUpdate<'_> {
    /// Whether the new container starts while the old one runs.
    pub fn is_start_first(&self) -> bool {
        let strategy = self.decision.strategy.as_ref();
        strategy.is_some_and(UpdateStrategy::is_start_first)
    }

    /// Its service, and which of its containers it is.
    fn place(&self) -> (&Service, u32) {
        (self.service, self.decision.replica)
    }

    /// The last step until the new container has proven itself.
    pub fn ready_key(&self) -> Key {
        match self.service.post_start.len().checked_sub(1) {
            Some(last) => Key::PostStart(self.name.clone(), last),
            None => Key::Gate(self.name.clone()),
        }
    }

    /// An action for this container, for the reason that it has its turn.
    pub fn act(&self, action: Action) -> Step {
        Step::act(action, self.subject.clone(), self.reason.clone())
    }
}

impl RolloutBuilder<'_> {
    pub fn plan(&self) -> Result<Plan, Vec<Subject>> {
        let mut draft = PlanBuilder::default();
        self.resources(&mut draft);
        let turns: Vec<ContainerUpdate<'_>> = self.turns().collect();
        for turn in &turns {
            self.create(&mut draft, turn);
            self.keep_image(&mut draft, turn);
        }
        for turn in &turns {
            if turn.is_start_first() {
                self.start_first(&mut draft, turn);
            } else {
                self.switch(&mut draft, turn);
            }
        }
        start_first::limit_parallelism(&mut draft, &turns);
        self.release_shared_resources(&mut draft, &turns);
        self.snapshots(&mut draft, &turns);
        if !draft.is_empty_of_actions() {
            self.gate_unchanged_after_changes(&mut draft, &turns);
            self.stop_dependents_first(&mut draft, &turns);
            self.verify(&mut draft, &turns);
        }
        for turn in &turns {
            self.finalize(&mut draft, turn);
        }
        self.gc(&mut draft);
        self.forget_images(&mut draft);
        self.remove_networks(&mut draft);
        draft.finish()
    }

    fn turns(&self) -> impl Iterator<Item = ContainerUpdate<'_>> {
        self.decisions.iter().filter_map(|decision| {
            let place = (decision.service.clone(), decision.replica);
            Some(ContainerUpdate {
                service: self.project.services.get(&decision.service)?,
                decision,
                name: self
                    .names
                    .get(&place)
                    .filter(|_| decision.change != Change::Remove)?,
                subject: subject(decision),
                reason: decision.reason.clone().unwrap_or(Reason::NotFound),
            })
        })
    }

    pub fn current(&self, turn: &ContainerUpdate<'_>) -> Option<&Container> {
        self.state.containers.get(turn.decision.current.as_ref()?)
    }

    /// Stops the old container, starts the new one and asks it, as far as each is to be done.
    fn switch(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        let mut ready = self.dependencies(turn.service);
        if matches!(turn.decision.change, Change::Replace | Change::Restart) {
            // Nothing old is touched before everything new has been made.
            let mut needs: Vec<Key> = self.created().collect();
            needs.extend(ready.iter().cloned());
            self.stop(draft, turn, needs);
        }
        if self.is_done(turn) {
            return;
        }
        let repairs = self.repair(draft, turn, &ready);
        if !is_in_place(turn.decision.change) {
            ready.extend(repairs);
            ready.insert(Key::Create(turn.name.clone()));
            ready.extend(turn.decision.current.clone().map(Key::Stop));
            ready.extend(self.attach_revived(draft, turn));
            ready.extend(
                diff::shared(turn.service)
                    .into_iter()
                    .filter_map(|peer| self.names.get(&(peer, 1)).cloned().map(Key::Start)),
            );
            let action = Action::StartContainer(turn.name.clone());
            let key = Key::Start(turn.name.clone());
            draft.add(key, turn.act(action), ready);
        }
        gate(draft, turn);
    }

    /// Sets what a hand has changed and what can be set without a new start.
    fn repair(
        &self,
        draft: &mut PlanBuilder,
        turn: &ContainerUpdate<'_>,
        ready: &BTreeSet<Key>,
    ) -> Vec<Key> {
        let stays = matches!(
            turn.decision.change,
            Change::Repair | Change::Start | Change::Restart
        );
        let Some(current) = turn.decision.current.as_ref().filter(|_| stays) else {
            return Vec::new();
        };
        let mut actions = drift::amendments(self.state, current, turn.service);
        if drift::is_attached_otherwise(self.state, current) {
            actions.push(self.attach_as_wanted(turn, current));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, action) in actions.into_iter().enumerate() {
            let key = Key::Repair(current.clone(), index);
            let mut needs = ready.clone();
            needs.extend(keys.last().cloned());
            if turn.decision.change == Change::Restart {
                needs.insert(Key::Stop(current.clone()));
            }
            draft.add(key.clone(), turn.act(action), needs);
            keys.push(key);
        }
        keys
    }

    /// Stops the old container, with all that belongs to it.
    pub fn stop(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>, mut needs: Vec<Key>) {
        let running = self
            .current(turn)
            .is_some_and(|now| now.condition.status.is_up());
        let Some(current) = turn.decision.current.as_ref().filter(|_| running) else {
            return;
        };
        for (index, hook) in turn.service.pre_stop.iter().enumerate() {
            let run = RunHook {
                container: current.clone(),
                hook: hook.clone(),
            };
            let key = Key::PreStop(current.clone(), index);
            let step = turn.act(Action::RunHook(Box::new(run))).non_fatal();
            draft.add(key.clone(), step, needs.clone());
            needs.push(key);
        }
        if let Some(step) = self.disable_autostart(turn, current) {
            let key = Key::Policy(current.clone());
            draft.add(key.clone(), step, needs.clone());
            needs.push(key);
        }
        let mut action = stop(current, self.options);
        if let Action::StopContainer { grace, .. } = &mut action {
            *grace = grace.or(turn.finish_within());
        }
        let step = turn.act(action);
        draft.add(Key::Stop(current.clone()), step, needs);
    }

    /// A stopped container that always restarts would be there again after the engine's next
    /// start: it is told not to before it is stopped.
    fn disable_autostart(&self, turn: &ContainerUpdate<'_>, old: &ContainerName) -> Option<Step> {
        let policy = self.state.containers.get(old)?.restart?;
        let kept = creates_container(turn.decision.change) && policy == RestartPolicy::Always;
        kept.then(|| {
            turn.act(Action::SetRestartPolicy {
                container: old.clone(),
                policy: RestartPolicy::No,
            })
        })
    }

    /// What must be done before a service may start: its dependencies' own steps.
    pub fn dependencies(&self, service: &Service) -> BTreeSet<Key> {
        let mut needs = BTreeSet::new();
        for (name, dependency) in &service.depends_on {
            let Some(other) = self.project.services.get(name) else {
                continue;
            };
            for replica in 1..=other.replicas {
                let Some(container) = self.names.get(&(name.clone(), replica)) else {
                    continue;
                };
                match dependency.until {
                    Until::Started => {
                        needs.insert(Key::Start(container.clone()));
                    }
                    Until::Ready | Until::Completed => {
                        needs.insert(Key::Gate(container.clone()));
                        let hooks = 0..other.post_start.len();
                        needs.extend(hooks.map(|index| Key::PostStart(container.clone(), index)));
                    }
                }
                // A new container must not find the old one.
                needs.insert(Key::Cutover(container.clone()));
                needs.insert(Key::Attach(container.clone()));
            }
        }
        needs
    }

    pub fn created(&self) -> impl Iterator<Item = Key> {
        self.turns()
            .filter(|turn| creates_container(turn.decision.change))
            .map(|t| Key::Create(t.name.clone()))
    }

    /// What cannot be had by two is given up before somebody else takes it: ports and fixed
    /// addresses of the host, and volumes that only one may write to.
    fn release_shared_resources(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        for turn in turns.iter().filter(|it| !is_in_place(it.decision.change)) {
            for decision in self.decisions.iter().filter(|it| !is_in_place(it.change)) {
                let holder = decision.current.as_ref();
                let Some((holder, held)) =
                    holder.and_then(|it| self.state.containers.get_key_value(it))
                else {
                    continue;
                };
                if turn.decision.current.as_ref() == Some(holder)
                    || !blocks(self.project, turn.place(), decision, held)
                {
                    continue;
                }
                let key = Key::Stop(holder.clone());
                // It must not wait for the one that waits for it.
                let early: BTreeSet<Key> = self.created().collect();
                if draft.has(&key) {
                    draft.reprioritize(&key, &early);
                } else {
                    let step = Step::act(
                        stop(holder, self.options),
                        subject(decision),
                        decision.reason.clone().unwrap_or(Reason::Orphan),
                    );
                    draft.add(key.clone(), step, early);
                }
                draft.needs(&Key::Start(turn.name.clone()), key);
            }
        }
    }

    /// Where something changes, what is kept is asked only when all that it depends on has proven
    /// itself: an answer of before would say nothing.
    fn gate_unchanged_after_changes(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        for turn in turns.iter().filter(|it| is_in_place(it.decision.change)) {
            let gate = Key::Gate(turn.name.clone());
            for need in self.dependencies(turn.service) {
                draft.needs(&gate, need);
            }
            // An answer that the old container of a dependency helped to give says nothing, either.
            let replaced = turns.iter().filter(|it| {
                let depends = turn.service.depends_on.contains_key(&it.service.name);
                depends && creates_container(it.decision.change)
            });
            for old in replaced.filter_map(|it| it.decision.current.clone()) {
                draft.needs(&gate, Key::Stop(old));
            }
        }
    }

    /// Checks the whole when everything new has taken over and everything that it replaces has
    /// stopped: what passes with the help of an old container says nothing.
    fn verify(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        let names = self.names.values();
        let mut gates: Vec<Key> = names.clone().cloned().map(Key::Gate).collect();
        let takes_over = |it: &ContainerName| [Key::Cutover(it.clone()), Key::Attach(it.clone())];
        gates.extend(names.flat_map(takes_over));
        let replaced = turns.iter().filter(|it| !is_in_place(it.decision.change));
        gates.extend(replaced.filter_map(|it| it.decision.current.clone().map(Key::Stop)));
        for (index, check) in self.project.verify.iter().enumerate() {
            let key = Key::Verify(index);
            let work = StepKind::Verify(check.clone());
            let step = Step::new(work, Subject::Project, Reason::Verify);
            draft.add(key, step, gates.iter().cloned());
        }
    }

    /// After the commit: the old container goes, the new one gets its name and its restart policy.
    fn finalize(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        let made = creates_container(turn.decision.change) || turn.decision.revived.is_some();
        let last = final_name(self.project, turn.service, turn.decision.replica);
        let policy = turn.service.container.restart;
        let policy_key = Key::Policy(turn.name.clone());
        let held = self.current(turn).and_then(|current| current.restart);
        // A run that was cut off before its commit leaves containers without their policy.
        if made && policy != RestartPolicy::No || !made && held.is_some_and(|held| held != policy) {
            let action = Action::SetRestartPolicy {
                container: turn.name.clone(),
                policy,
            };
            draft.add(policy_key.clone(), turn.act(action).after_commit(), []);
        }
        if let Some(old) = turn.decision.current.as_ref().filter(|_| made) {
            self.retire(draft, turn, old, &last);
        }
        if last != *turn.name {
            // The restart policy is set under the name that the container has until then.
            let needs = [
                policy_key,
                Key::Remove(last.clone()),
                Key::Rename(last.clone()),
            ];
            let action = Action::RenameContainer {
                from: turn.name.clone(),
                to: last,
            };
            let step = Step::act(action, turn.subject.clone(), Reason::Superseded).after_commit();
            draft.add(Key::Rename(turn.name.clone()), step, needs);
        }
    }

    /// After the commit: containers that nobody wants any more go.
    fn gc(&self, draft: &mut PlanBuilder) {
        for decision in self
            .decisions
            .iter()
            .filter(|it| it.change == Change::Remove)
        {
            let Some(name) = decision.current.as_ref() else {
                continue;
            };
            let stop_key = Key::Stop(name.clone());
            let up = self
                .state
                .containers
                .get(name)
                .is_some_and(|it| it.condition.status.is_up());
            let reason = decision.reason.clone().unwrap_or(Reason::Orphan);
            let orphan =
                |action| Step::act(action, subject(decision), reason.clone()).after_commit();
            if up {
                // Unless it has to give something up earlier: then that step stands already.
                draft.add(stop_key.clone(), orphan(stop(name, self.options)), []);
            }
            let action = Action::RemoveContainer(name.clone());
            draft.add(Key::Remove(name.clone()), orphan(action), [stop_key]);
            self.forget_orphan(draft, name, orphan);
        }
    }
}

/// Asks a container, and runs what is to be run in it then.
pub(super) fn gate(draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
    let kept = is_in_place(turn.decision.change);
    if kept && matches!(turn.service.kind, Kind::Job { .. }) {
        return;
    }
    let mut gate = turn.service.ready.clone();
    if kept {
        // It has proven itself already: one passed question is enough.
        gate.stabilize = Duration::ZERO;
    }
    let work = StepKind::AwaitReady {
        container: turn.name.clone(),
        gate,
    };
    let mut before = Key::Gate(turn.name.clone());
    let step = Step::new(work, turn.subject.clone(), turn.reason.clone());
    let needs = [
        Key::Start(turn.name.clone()),
        Key::Repair(turn.name.clone(), 0),
        Key::Repair(turn.name.clone(), 1),
        Key::Repair(turn.name.clone(), 2),
    ];
    draft.add(before.clone(), step, needs);
    if kept {
        return;
    }
    for (index, hook) in turn.service.post_start.iter().enumerate() {
        let run = RunHook {
            container: turn.name.clone(),
            hook: hook.clone(),
        };
        let key = Key::PostStart(turn.name.clone(), index);
        draft.add(
            key.clone(),
            turn.act(Action::RunHook(Box::new(run))),
            [before],
        );
        before = key;
    }
}

/// Whether a container is made.
pub(super) fn creates_container(change: Change) -> bool {
    matches!(change, Change::Create | Change::Replace)
}

/// Whether a container goes on running as it is.
pub(super) fn is_in_place(change: Change) -> bool {
    matches!(change, Change::NoOp | Change::Repair)
}

pub(super) fn subject(decision: &Decision) -> Subject {
    Subject::Service {
        name: decision.service.clone(),
        replica: decision.replica,
    }
}

pub(super) fn stop(container: &ContainerName, options: &Options) -> Action {
    let grace = options.stop_timeout.map(Duration::from_secs);
    Action::StopContainer {
        container: container.clone(),
        grace,
    }
}
