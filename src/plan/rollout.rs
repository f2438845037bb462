//! Steps of a deploy: the update of each container, and the dependencies between the updates.

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

/// A container's place in a project: its service and its replica number.
pub(super) type ReplicaKey = (ServiceName, u32);

/// Inputs for the steps of a deploy.
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

/// Update of one container of a service, with the inputs for its steps.
pub(super) struct ContainerUpdate<'a> {
    pub service: &'a Service,
    pub decision: &'a Decision,
    pub name: &'a ContainerName,
    pub subject: Subject,
    pub reason: Reason,
}

impl ContainerUpdate<'_> {
    /// Returns whether the new container starts while the old one runs.
    pub fn is_start_first(&self) -> bool {
        let strategy = self.decision.strategy.as_ref();
        strategy.is_some_and(UpdateStrategy::is_start_first)
    }

    /// Returns the service and the replica number.
    fn place(&self) -> (&Service, u32) {
        (self.service, self.decision.replica)
    }

    /// Returns the last step before the new container has proven itself.
    pub fn ready_key(&self) -> Key {
        match self.service.post_start.len().checked_sub(1) {
            Some(last) => Key::PostStart(self.name.clone(), last),
            None => Key::Gate(self.name.clone()),
        }
    }

    /// Returns a step for an action on this container, with the reason for its update.
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

    /// Stops the old container, starts the new one and probes it, as far as the change requires
    /// each.
    fn switch(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        let mut ready = self.dependencies(turn.service);
        if matches!(turn.decision.change, Change::Replace | Change::Restart) {
            // No old container is touched before all new containers are created.
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

    /// Repairs manual changes that do not require a restart.
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

    /// Stops the old container, after its hooks have run.
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

    /// Returns a step that disables the restart policy of a container before it is stopped. A
    /// stopped container with the policy `always` would run again after the next start of the
    /// engine.
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

    /// Returns the steps that must be done before a service may start: those of its dependencies.
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
                // A new container must not reach the old dependency.
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

    /// Releases resources that two containers cannot hold at the same time before another container
    /// takes them: host ports, fixed addresses, and volumes that only one container may write to.
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
                // The stop must not wait for the container that waits for it.
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

    /// If anything changes, probes unchanged containers only after all their dependencies have
    /// proven themselves. An earlier result would prove nothing.
    fn gate_unchanged_after_changes(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        for turn in turns.iter().filter(|it| is_in_place(it.decision.change)) {
            let gate = Key::Gate(turn.name.clone());
            for need in self.dependencies(turn.service) {
                draft.needs(&gate, need);
            }
            // A result that the old container of a dependency contributed to proves nothing either.
            let replaced = turns.iter().filter(|it| {
                let depends = turn.service.depends_on.contains_key(&it.service.name);
                depends && creates_container(it.decision.change)
            });
            for old in replaced.filter_map(|it| it.decision.current.clone()) {
                draft.needs(&gate, Key::Stop(old));
            }
        }
    }

    /// Checks the whole project after all new containers have taken over and all replaced
    /// containers have stopped. A check that passes with the help of an old container proves
    /// nothing.
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

    /// After the commit, retires the old container and gives the new one its name and its restart
    /// policy.
    fn finalize(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        let made = creates_container(turn.decision.change) || turn.decision.revived.is_some();
        let last = final_name(self.project, turn.service, turn.decision.replica);
        let policy = turn.service.container.restart;
        let policy_key = Key::Policy(turn.name.clone());
        let held = self.current(turn).and_then(|current| current.restart);
        // A run that was interrupted before its commit leaves containers without their restart
        // policy.
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
            // The restart policy is set under the name that the container has before the rename.
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

    /// After the commit, removes containers that are no longer needed.
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
                // A container that has to release resources earlier already has a stop.
                draft.add(stop_key.clone(), orphan(stop(name, self.options)), []);
            }
            let action = Action::RemoveContainer(name.clone());
            draft.add(Key::Remove(name.clone()), orphan(action), [stop_key]);
            self.forget_orphan(draft, name, orphan);
        }
    }
}

/// Probes a container, and then runs its hooks.
pub(super) fn gate(draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
    let kept = is_in_place(turn.decision.change);
    if kept && matches!(turn.service.kind, Kind::Job { .. }) {
        return;
    }
    let mut gate = turn.service.ready.clone();
    if kept {
        // A kept container has already proven itself: one successful probe is enough.
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

/// Returns whether the change creates a container.
pub(super) fn creates_container(change: Change) -> bool {
    matches!(change, Change::Create | Change::Replace)
}

/// Returns whether the change keeps the container running.
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
