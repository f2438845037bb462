//! Rollback: the steps that undo a failed deploy.
//!
//! Pure. New containers are stopped, dependents first. Containers that ran before are started again
//! in their dependency order, and each is probed with its own gate. Created objects are removed,
//! except for volumes.

mod applied;
mod cutover;
mod order;
mod partial;
mod restart_stopped;
mod settings;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::{applied::AppliedChanges, order::Order};
pub use self::{
    partial::{PartialCommit, split},
    restart_stopped::restart_stopped,
};
use super::{Action, CreateContainer, Plan, Reason, Step, StepId, StepKind, Subject, preflight};
use crate::{
    name::{ContainerName, ServiceName},
    project::{ContainerSpec, Gate, Kind, Probe, Until},
    state::{Container, State, failed_name},
};

/// Timeout until a container without a record runs.
const WITHIN: Duration = Duration::from_mins(1);
/// Stabilization window of a container without a record.
const SETTLE: Duration = Duration::from_secs(1);

/// Steps and results of a rollback.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollbackPlan {
    /// Steps of the rollback. Each step is idempotent, because the step that it undoes may have had
    /// no effect.
    pub plan: Plan,
    /// For some steps, the steps that must have ended before, whether they succeeded or failed. A
    /// failed undo does not block steps that do not depend on it.
    pub after: BTreeMap<StepId, BTreeSet<StepId>>,
    /// Volumes that a first deploy created and that are kept, by name on the engine.
    pub kept_volumes: Vec<String>,
    /// Started jobs that the manifest declares irreversible.
    pub irreversible_jobs: Vec<ServiceName>,
    /// Changes that cannot be undone, each as a sentence fragment.
    pub lost: Vec<String>,
    /// Names of the new containers that are kept, stopped.
    pub kept_containers: Vec<ContainerName>,
}

impl RollbackPlan {
    /// Returns whether the rollback touches anything that runs or ran before.
    #[must_use]
    pub fn touches_running(&self) -> bool {
        self.plan.steps.iter().any(|step| {
            matches!(
                step.kind,
                StepKind::AwaitReady { .. }
                    | StepKind::Action(
                        Action::StartContainer(_)
                            | Action::StopContainer { .. }
                            | Action::SetAllowance { .. }
                            | Action::SetPaused { .. }
                            | Action::Cutover(_)
                            | Action::RenameContainer { .. }
                    )
            )
        })
    }
}

/// Returns the rollback from a partially executed plan to the state that the plan was made from.
///
/// `attempted` are the steps that had, or may have had, an effect.
#[must_use]
pub fn rollback_plan(plan: &Plan, attempted: &BTreeSet<StepId>, state: &State) -> RollbackPlan {
    rollback_plan_retaining(plan, attempted, state, &BTreeSet::new())
}

/// Returns the same rollback as [`rollback_plan`], except that the new containers in `kept` are
/// stopped and kept for inspection.
#[must_use]
pub fn rollback_plan_retaining(
    plan: &Plan,
    attempted: &BTreeSet<StepId>,
    state: &State,
    kept: &BTreeSet<ContainerName>,
) -> RollbackPlan {
    walk(plan, state, applied_changes(plan, attempted, state), kept)
}

/// Returns the rollback of a run that was interrupted some time ago. The engine may have been
/// interrupted too. Everything that ran before therefore has to run again, whether the plan stopped
/// it or not.
#[must_use]
pub fn recovery_plan(plan: &Plan, attempted: &BTreeSet<StepId>, state: &State) -> RollbackPlan {
    let subjects: Vec<(&ContainerName, Subject)> = state
        .containers
        .iter()
        .filter(|(_, container)| container.condition.status.is_up())
        .map(|(name, container)| {
            let subject = Subject::Service {
                name: container.service.clone(),
                replica: container.replica,
            };
            (name, subject)
        })
        .collect();
    let mut applied = applied_changes(plan, attempted, state);
    applied.cut_off = true;
    for (name, subject) in &subjects {
        applied.stopped.entry(name).or_insert(subject);
    }
    walk(plan, state, applied, &BTreeSet::new())
}

fn applied_changes<'a>(
    plan: &'a Plan,
    attempted: &BTreeSet<StepId>,
    state: &State,
) -> AppliedChanges<'a> {
    let mut applied = AppliedChanges::default();
    for (index, step) in plan.steps.iter().enumerate() {
        if let (StepKind::Action(action), true) = (&step.kind, attempted.contains(&StepId(index))) {
            applied.note(action, &step.subject, state);
        }
    }
    applied
}

fn walk<'a>(
    plan: &'a Plan,
    state: &'a State,
    applied: AppliedChanges<'a>,
    kept: &'a BTreeSet<ContainerName>,
) -> RollbackPlan {
    let mut builder = RollbackBuilder {
        state,
        plan,
        kept,
        applied,
        back: RollbackPlan::default(),
        stops: BTreeMap::new(),
        removals: BTreeMap::new(),
        restores: BTreeMap::new(),
        attached: BTreeMap::new(),
        detached: BTreeMap::new(),
        released: BTreeMap::new(),
    };
    builder.switch_back();
    builder.stop();
    builder.restore_volumes();
    builder.restore();
    builder.attach_rest();
    builder.remove();
    builder.back.irreversible_jobs = builder.applied.irreversible_jobs();
    builder.back.kept_volumes = builder.applied.volumes;
    builder.back.lost = builder.applied.lost;
    builder.back
}

struct RollbackBuilder<'a> {
    state: &'a State,
    plan: &'a Plan,
    /// New containers that are not removed.
    kept: &'a BTreeSet<ContainerName>,
    applied: AppliedChanges<'a>,
    back: RollbackPlan,
    stops: BTreeMap<&'a ContainerName, StepId>,
    removals: BTreeMap<&'a ContainerName, StepId>,
    /// Restores of volumes, by the volume's name on the engine.
    restores: BTreeMap<&'a str, StepId>,
    /// Existing containers, with the steps that attach their observed endpoints.
    attached: BTreeMap<&'a ContainerName, StepId>,
    /// Existing containers that are still to be attached with their observed endpoints.
    detached: BTreeMap<&'a ContainerName, &'a Subject>,
    /// New containers, with the steps after which they have no traffic left.
    released: BTreeMap<&'a ContainerName, StepId>,
}

impl<'a> RollbackBuilder<'a> {
    fn add(&mut self, work: StepKind, subject: &Subject, needs: BTreeSet<StepId>) -> StepId {
        let id = StepId(self.back.plan.steps.len());
        let step = Step {
            requires: needs,
            ..Step::new(work, subject.clone(), Reason::Rollback)
        };
        self.back.plan.steps.push(step);
        id
    }

    fn act(&mut self, action: Action, subject: &Subject, needs: BTreeSet<StepId>) -> StepId {
        self.add(StepKind::Action(action), subject, needs)
    }

    /// Returns a container if it ran before the plan started.
    fn was_running(&self, container: &ContainerName) -> Option<&'a Container> {
        self.state
            .containers
            .get(container)
            .filter(|it| it.condition.status.is_up())
    }

    /// Stops all containers that the plan started, dependents before their dependencies, that is,
    /// in reverse of the order in which the plan started them.
    fn stop(&mut self) {
        for (container, subject) in self.applied.started.clone() {
            let action = Action::StopContainer {
                container: container.clone(),
                grace: None,
            };
            let released = self.released.get(container).copied();
            let id = self.act(action, subject, BTreeSet::new());
            self.order_after(Some(id), released);
            self.stops.insert(container, id);
        }
        let plan = self.plan;
        for (index, step) in plan.steps.iter().enumerate() {
            let stop = started_by(step).and_then(|name| self.stops.get(name).copied());
            if stop.is_none() {
                continue;
            }
            for need in plan_needs(plan, StepId(index)) {
                let needed = plan.steps.get(need.0).and_then(started_by);
                let its_stop = needed.and_then(|name| self.stops.get(name).copied());
                self.order_after(its_stop, stop);
            }
        }
    }

    fn order_after(&mut self, later: Option<StepId>, earlier: Option<StepId>) {
        if let (Some(later), Some(earlier)) = (later, earlier) {
            self.back.after.entry(later).or_default().insert(earlier);
        }
    }

    /// Returns the dependency order of the old containers.
    fn order(&self) -> Order<'a> {
        let mut needs: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = BTreeMap::new();
        for container in self.state.containers.values() {
            if let Some(record) = &container.record {
                let its = needs.entry(&container.service).or_default();
                its.extend(record.depends_on.keys());
            }
        }
        Order::of(needs)
    }

    /// Starts the containers that ran before and were stopped, in the order of their own
    /// dependencies, and probes each with its own gate.
    fn restore(&mut self) {
        let order = self.order();
        let stopped: Vec<(&'a ContainerName, &'a Subject, &'a Container)> = self
            .applied
            .stopped
            .iter()
            .filter_map(|(name, subject)| Some((*name, *subject, self.was_running(name)?)))
            .collect();
        let first = self.returning_first(&stopped, &order);
        let mut restored: BTreeMap<&ServiceName, Vec<(StepId, StepId)>> = BTreeMap::new();
        for (name, subject, container) in &stopped {
            let mut needs = BTreeSet::new();
            if !first.contains(name) {
                needs = self.ends_before(name, container);
                self.attach(name, needs.clone());
                needs.extend(self.attached.get(name).copied());
            }
            let start = self.act(Action::StartContainer((*name).clone()), subject, needs);
            let frozen = settings::was_frozen(container);
            let gate = self.gate_of(container).filter(|_| !frozen).map(|gate| {
                let work = StepKind::AwaitReady {
                    container: (*name).clone(),
                    gate,
                };
                self.add(work, subject, BTreeSet::from([start]))
            });
            if frozen {
                // The container is paused again, as observed. A paused container cannot be probed.
                self.pause_again(name, subject, BTreeSet::from([start]));
            }
            let mut ready = gate.unwrap_or(start);
            if first.contains(name) {
                ready = self.return_traffic(name, ready).unwrap_or(ready);
            }
            restored
                .entry(&container.service)
                .or_default()
                .push((start, ready));
        }
        for (_, _, container) in &stopped {
            let starts = restored
                .get(&container.service)
                .cloned()
                .unwrap_or_default();
            for need in order.before(&container.service) {
                let until_started = container
                    .record
                    .as_ref()
                    .and_then(|record| record.depends_on.get(need))
                    .is_some_and(|dependency| dependency.until == Until::Started);
                for (its_start, its_gate) in restored.get(need).cloned().unwrap_or_default() {
                    let earlier = if until_started { its_start } else { its_gate };
                    for (start, _) in &starts {
                        self.order_after(Some(*start), Some(earlier));
                    }
                }
            }
        }
        self.restore_settings();
    }

    /// Returns the steps that must have ended before an old container starts: the stops of
    /// conflicting containers, the stop of its replacement, and the restore of its data.
    fn ends_before(&self, name: &ContainerName, old: &Container) -> BTreeSet<StepId> {
        let mut needs = self.blocking_containers(name, old);
        let replacement = self
            .stops
            .iter()
            .filter(|(new, _)| self.are_switched(new, name));
        needs.extend(replacement.map(|(_, id)| *id));
        needs.extend(self.required_restores(old));
        needs
    }

    /// Returns the stops that an old container needs before it may or can run. The stop of the new
    /// container that traffic was switched to is not included, because both can run.
    fn blocking_containers(&self, name: &ContainerName, old: &Container) -> BTreeSet<StepId> {
        let stops = self.stops.iter();
        stops
            .filter(|(new, _)| !self.are_switched(new, name))
            .filter(|(new, _)| {
                let created = self.applied.created.get(*new);
                // A retained container that was started again is not created by the plan.
                let revived = self.state.containers.get::<ContainerName>(new);
                **new == name
                    || created.is_some_and(|(create, _)| conflicts_with_spec(create, old))
                    || revived.is_some_and(|revived| conflicts_with_container(revived, old))
            })
            .map(|(_, id)| *id)
            .collect()
    }

    /// Returns the gate of a restored container; `None` for a job, which is only started again.
    fn gate_of(&self, container: &Container) -> Option<Gate> {
        let Some(record) = &container.record else {
            return Some(Gate {
                probes: vec![Probe::Started],
                timeout: WITHIN,
                stabilize: SETTLE,
            });
        };
        if matches!(record.kind, Kind::Job { .. }) {
            return None;
        }
        // A record contains no secret values. If the new gate is otherwise the same, it is used
        // instead.
        let recorded = serde_json::to_value(&record.ready).ok();
        let same = self
            .plan
            .steps
            .iter()
            .find_map(|step| match (&step.kind, &step.subject) {
                (StepKind::AwaitReady { gate, .. }, Subject::Service { name, .. })
                    if *name == container.service
                        && serde_json::to_value(gate).ok() == recorded =>
                {
                    Some(gate.clone())
                }
                _ => None,
            });
        Some(same.unwrap_or_else(|| record.ready.clone()))
    }

    /// Removes the created containers, then the image tags and the networks.
    fn remove(&mut self) {
        let created: Vec<(&'a CreateContainer, &'a Subject)> =
            self.applied.created.values().copied().collect();
        for (create, subject) in &created {
            let needs = self.stops.get(&create.name).copied().into_iter().collect();
            if self.kept.contains(&create.name) {
                let to = failed_name(&create.name, create.generation);
                let from = create.name.clone();
                self.back.kept_containers.push(to.clone());
                // Under its own name, the container would count as that of the service or of a
                // generation.
                let id = self.act(Action::RenameContainer { from, to }, subject, needs);
                self.back.plan.steps[id.0].non_fatal = true;
                continue;
            }
            let id = self.act(Action::RemoveContainer(create.name.clone()), subject, needs);
            self.removals.insert(&create.name, id);
        }
        for (tag, subject) in std::mem::take(&mut self.applied.tags) {
            // The image itself is kept for as long as it has other tags. A tag that remains does no
            // harm.
            let id = self.act(Action::RemoveImage(tag.clone()), subject, BTreeSet::new());
            if let Some(step) = self.back.plan.steps.get_mut(id.0) {
                step.non_fatal = true;
            }
            let removals = self.removals.values().copied().collect();
            self.back.after.insert(id, removals);
        }
        for (network, subject) in std::mem::take(&mut self.applied.networks) {
            let users = created
                .iter()
                .filter(|(create, _)| create.networks.values().any(|name| name == network));
            if users
                .clone()
                .any(|(create, _)| self.kept.contains(&create.name))
            {
                continue;
            }
            let needs = users
                .filter_map(|(create, _)| self.removals.get(&create.name).copied())
                .collect();
            self.act(Action::RemoveNetwork(network.to_owned()), subject, needs);
        }
    }
}

/// Returns the container that a step starts.
fn started_by(step: &Step) -> Option<&ContainerName> {
    match &step.kind {
        StepKind::Action(Action::StartContainer(container)) => Some(container),
        StepKind::Action(_)
        | StepKind::AwaitReady { .. }
        | StepKind::Drain { .. }
        | StepKind::Verify(_) => None,
    }
}

/// Returns the steps that a step depends on, directly or transitively.
fn plan_needs(plan: &Plan, step: StepId) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let mut open = vec![step];
    while let Some(next) = open.pop() {
        for need in plan
            .steps
            .get(next.0)
            .into_iter()
            .flat_map(|step| &step.requires)
        {
            if found.insert(*need) {
                open.push(*need);
            }
        }
    }
    found
}

/// Returns whether a container retained from an earlier generation and an old container cannot run
/// at the same time.
fn conflicts_with_container(revived: &Container, old: &Container) -> bool {
    let same = revived.service == old.service && revived.replica == old.replica;
    let spec = revived.record.as_ref().map(|record| record.spec.clone());
    let spec = spec.and_then(|spec| serde_json::from_value::<ContainerSpec>(spec).ok());
    // A specification that cannot be read may conflict with anything.
    same || spec.is_none_or(|spec| preflight::conflicts_with_spec(&spec, old))
}

/// Returns whether a new container and an old one cannot run at the same time: they belong to the
/// same replica, need the same port, or write to the same volume.
fn conflicts_with_spec(new: &CreateContainer, old: &Container) -> bool {
    let same = new.service == old.service && new.replica == old.replica;
    same || preflight::conflicts_with_spec(&new.spec, old)
}
