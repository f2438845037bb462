//! The way back: what undoes a deploy that failed.
//!
//! Pure. New containers are stopped, dependents first; what ran before is started again in its own
//! order and asked its own gate; what was made is removed. Volumes are kept.

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

/// How long a container without a record may take until it runs.
const WITHIN: Duration = Duration::from_mins(1);
/// How long it must then keep running.
const SETTLE: Duration = Duration::from_secs(1);

/// The way back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollbackPlan {
    /// Its steps; each is idempotent, as what it undoes may not have had an effect.
    pub plan: Plan,
    /// For some steps those that must have ended before, in whichever way: what fails to be undone
    /// holds up nothing that does not build on it.
    pub after: BTreeMap<StepId, BTreeSet<StepId>>,
    /// Volumes that a first deploy made and that are kept, by name on the engine.
    pub kept_volumes: Vec<String>,
    /// Jobs that were started and whose deeds cannot be undone, as the manifest says.
    pub irreversible_jobs: Vec<ServiceName>,
    /// What cannot be undone, each in a fragment.
    pub lost: Vec<String>,
    /// New containers that are kept, stopped, under these names.
    pub kept_containers: Vec<ContainerName>,
}

impl RollbackPlan {
    /// Whether something that runs, or ran before, is touched.
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

/// The way from a plan of which some steps were attempted back to the state it was made from.
///
/// `attempted` are the steps that had, or may have had, an effect.
#[must_use]
pub fn rollback_plan(plan: &Plan, attempted: &BTreeSet<StepId>, state: &State) -> RollbackPlan {
    rollback_plan_retaining(plan, attempted, state, &BTreeSet::new())
}

/// The same, that stops these of the new containers and keeps them, for somebody to look at.
#[must_use]
pub fn rollback_plan_retaining(
    plan: &Plan,
    attempted: &BTreeSet<StepId>,
    state: &State,
    kept: &BTreeSet<ContainerName>,
) -> RollbackPlan {
    walk(plan, state, applied_changes(plan, attempted, state), kept)
}

/// The same for a run that was cut off, some time ago: the engine itself may have been, too. So
/// everything that ran before has to run again, whether the plan stopped it or not.
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
    let mut deeds = applied_changes(plan, attempted, state);
    deeds.cut_off = true;
    for (name, subject) in &subjects {
        deeds.stopped.entry(name).or_insert(subject);
    }
    walk(plan, state, deeds, &BTreeSet::new())
}

fn applied_changes<'a>(
    plan: &'a Plan,
    attempted: &BTreeSet<StepId>,
    state: &State,
) -> AppliedChanges<'a> {
    let mut deeds = AppliedChanges::default();
    for (index, step) in plan.steps.iter().enumerate() {
        if let (StepKind::Action(action), true) = (&step.kind, attempted.contains(&StepId(index))) {
            deeds.note(action, &step.subject, state);
        }
    }
    deeds
}

fn walk<'a>(
    plan: &'a Plan,
    state: &'a State,
    deeds: AppliedChanges<'a>,
    kept: &'a BTreeSet<ContainerName>,
) -> RollbackPlan {
    let mut builder = RollbackBuilder {
        state,
        plan,
        kept,
        deeds,
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
    builder.back.irreversible_jobs = builder.deeds.irreversible_jobs();
    builder.back.kept_volumes = builder.deeds.volumes;
    builder.back.lost = builder.deeds.lost;
    builder.back
}

struct RollbackBuilder<'a> {
    state: &'a State,
    plan: &'a Plan,
    /// New containers that are not removed.
    kept: &'a BTreeSet<ContainerName>,
    deeds: AppliedChanges<'a>,
    back: RollbackPlan,
    stops: BTreeMap<&'a ContainerName, StepId>,
    removals: BTreeMap<&'a ContainerName, StepId>,
    /// By the volume's name on the engine.
    restores: BTreeMap<&'a str, StepId>,
    /// Containers of before, and the steps that attach them as they were found.
    attached: BTreeMap<&'a ContainerName, StepId>,
    /// Those that are still to be attached so.
    detached: BTreeMap<&'a ContainerName, &'a Subject>,
    /// New containers, and the steps after which they have no traffic left.
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

    /// Whether a container ran before the plan was begun.
    fn was_running(&self, container: &ContainerName) -> Option<&'a Container> {
        self.state
            .containers
            .get(container)
            .filter(|it| it.condition.status.is_up())
    }

    /// Stops whatever the plan has started, dependents before what they depend on: that is, in
    /// reverse of the order in which the plan started them.
    fn stop(&mut self) {
        for (container, subject) in self.deeds.started.clone() {
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

    /// Who waits for whom among the old containers.
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

    /// Starts again what ran before and was stopped, in the order of its own dependencies, and
    /// asks each its own gate.
    fn restore(&mut self) {
        let order = self.order();
        let stopped: Vec<(&'a ContainerName, &'a Subject, &'a Container)> = self
            .deeds
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
                // As it was found: nobody could ask it anything.
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

    /// What must have ended before an old container may start: whatever is in its way, the new
    /// container in its place, and the restoring of its data.
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

    /// The stops without which an old container must not, or cannot, run; but for that of the new
    /// one that traffic was switched to, as both can run.
    fn blocking_containers(&self, name: &ContainerName, old: &Container) -> BTreeSet<StepId> {
        let stops = self.stops.iter();
        stops
            .filter(|(new, _)| !self.are_switched(new, name))
            .filter(|(new, _)| {
                let created = self.deeds.created.get(*new);
                // One that was kept, and started again, is not made by the plan.
                let revived = self.state.containers.get::<ContainerName>(new);
                **new == name
                    || created.is_some_and(|(create, _)| conflicts_with_spec(create, old))
                    || revived.is_some_and(|revived| conflicts_with_container(revived, old))
            })
            .map(|(_, id)| *id)
            .collect()
    }

    /// What a restored container has to pass; a job is only started again.
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
        // A record has no secret values: where the new gate says the same, it is asked instead.
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

    /// Removes the containers that were made, then the networks and the names of images.
    fn remove(&mut self) {
        let created: Vec<(&'a CreateContainer, &'a Subject)> =
            self.deeds.created.values().copied().collect();
        for (create, subject) in &created {
            let needs = self.stops.get(&create.name).copied().into_iter().collect();
            if self.kept.contains(&create.name) {
                let to = failed_name(&create.name, create.generation);
                let from = create.name.clone();
                self.back.kept_containers.push(to.clone());
                // Under its own name it would stand for the service, or for a generation.
                let id = self.act(Action::RenameContainer { from, to }, subject, needs);
                self.back.plan.steps[id.0].non_fatal = true;
                continue;
            }
            let id = self.act(Action::RemoveContainer(create.name.clone()), subject, needs);
            self.removals.insert(&create.name, id);
        }
        for (tag, subject) in std::mem::take(&mut self.deeds.tags) {
            // The image itself stays with its other names, as long as it has some. A name that stays
            // does no harm.
            let id = self.act(Action::RemoveImage(tag.clone()), subject, BTreeSet::new());
            if let Some(step) = self.back.plan.steps.get_mut(id.0) {
                step.non_fatal = true;
            }
            let removals = self.removals.values().copied().collect();
            self.back.after.insert(id, removals);
        }
        for (network, subject) in std::mem::take(&mut self.deeds.networks) {
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

/// The container that a step starts.
fn started_by(step: &Step) -> Option<&ContainerName> {
    match &step.kind {
        StepKind::Action(Action::StartContainer(container)) => Some(container),
        StepKind::Action(_)
        | StepKind::AwaitReady { .. }
        | StepKind::Drain { .. }
        | StepKind::Verify(_) => None,
    }
}

/// The steps that a step needs, directly or through others.
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

/// Whether a container that was kept from an earlier generation and an old one cannot run at the
/// same time.
fn conflicts_with_container(revived: &Container, old: &Container) -> bool {
    let same = revived.service == old.service && revived.replica == old.replica;
    let spec = revived.record.as_ref().map(|record| record.spec.clone());
    let spec = spec.and_then(|spec| serde_json::from_value::<ContainerSpec>(spec).ok());
    // What cannot be read may want anything.
    same || spec.is_none_or(|spec| preflight::conflicts_with_spec(&spec, old))
}

/// Whether a new container and an old one cannot run at the same time: they stand for the same
/// service, want the same port, or write to the same volume.
fn conflicts_with_spec(new: &CreateContainer, old: &Container) -> bool {
    let same = new.service == old.service && new.replica == old.replica;
    same || preflight::conflicts_with_spec(&new.spec, old)
}
