//! Partial commit: the services that are rolled back and those that keep their new containers.
//!
//! Pure. A failed service is rolled back, together with every new container that waited for it: no
//! new dependent keeps running against an old dependency. The other services have proven
//! themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    name::ServiceName,
    plan::{Action, Plan, Step, StepId, StepKind, Subject},
    state::State,
};

/// Services of a partially successful deploy, by result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialCommit {
    /// Services that are in their previous state.
    pub rolled_back: BTreeSet<ServiceName>,
    /// Services that keep their new containers.
    pub committed: BTreeSet<ServiceName>,
}

impl PartialCommit {
    /// Returns the attempted steps of a plan that have to be undone.
    #[must_use]
    pub fn steps_to_undo(&self, plan: &Plan, attempted: &BTreeSet<StepId>) -> BTreeSet<StepId> {
        let undone = |id: &&StepId| {
            let step = plan.steps.get(id.0);
            step.is_some_and(|step| match (service(step), &step.kind) {
                (Some(service), _) => self.rolled_back.contains(service),
                (None, StepKind::Action(Action::CreateNetwork(create))) => {
                    !self.uses(plan, &create.network.engine_name)
                }
                // A copied volume is restored together with the services that write to it.
                (None, StepKind::Action(Action::SnapshotVolume(_))) => {
                    let mut writers = writers(plan, **id).into_iter();
                    writers.any(|service| self.rolled_back.contains(service))
                }
                // A volume belongs to the project as soon as a part of the deploy is committed.
                (None, _) => false,
            })
        };
        attempted.iter().filter(undone).copied().collect()
    }

    /// Returns whether a step after the commit is performed. Only steps of committed services are
    /// performed. Objects that are no longer in the manifest may be needed by the services that
    /// were rolled back.
    #[must_use]
    pub fn keeps_step(&self, step: &Step) -> bool {
        service(step).is_some_and(|service| self.committed.contains(service))
    }

    /// Returns whether a committed container is attached to a network.
    fn uses(&self, plan: &Plan, network: &str) -> bool {
        plan.steps
            .iter()
            .any(|step| match (&step.kind, service(step)) {
                (StepKind::Action(Action::CreateContainer(create)), Some(service)) => {
                    self.committed.contains(service)
                        && create.networks.values().any(|name| name == network)
                }
                _ => false,
            })
    }
}

/// Splits the services of a plan after every possible step was performed.
///
/// `unmet` are the steps before the commit that did not succeed. `lost` are the services that
/// succeeded and then failed.
#[must_use]
pub fn split(
    plan: &Plan,
    unmet: &BTreeSet<StepId>,
    lost: &BTreeSet<ServiceName>,
    state: &State,
) -> PartialCommit {
    let forward = || plan.steps.iter().filter(|step| !step.after_commit);
    let failed = unmet
        .iter()
        .filter_map(|id| plan.steps.get(id.0))
        .filter(|step| !step.non_fatal);
    let mut old: BTreeSet<&ServiceName> = failed.filter_map(service).chain(lost).collect();
    let started = acted(plan, |it| matches!(it, Action::StartContainer(_)));
    let mut leaving = acted(plan, |it| matches!(it, Action::StopContainer { .. }));
    leaving.retain(|name| !started.contains(name));
    let mut changed = acted(plan, |_| true);
    changed.retain(|name| !leaving.contains(name));
    let made = acted(plan, |it| matches!(it, Action::CreateContainer(_)));
    let before = before(state);
    let (changed, leaving, made) = (&changed, &leaving, &made);
    loop {
        let waiting = forward()
            // All old containers wait until all new ones are created, which does not make any
            // service depend on another.
            .filter(|step| !matches!(step.kind, StepKind::Action(Action::CreateContainer(_))))
            .filter(|step| {
                let mut needs = step
                    .requires
                    .iter()
                    .filter_map(|need| plan.steps.get(need.0));
                needs.any(|need| {
                    !matches!(need.kind, StepKind::Action(Action::CreateContainer(_)))
                        && service(need).is_some_and(|name| old.contains(name))
                })
            })
            .filter_map(service);
        // A service that is no longer in the manifest is restored together with its dependents. The
        // same applies to a service that its dependents could no longer reach.
        let needed = old.iter().flat_map(|name| {
            let its = before.get(name).into_iter().flatten().copied();
            // A service that kept its container is in its previous state only with the old
            // containers of its dependencies.
            let kept = !made.contains(name);
            its.filter(move |need| {
                let lost = leaving.contains(need) || moved_away(plan, state, need, name);
                lost || kept && changed.contains(need)
            })
        });
        // Data is restored for all services that write to it, or for none.
        let together = copied(plan)
            .map(|id| writers(plan, id))
            .filter(|writers| writers.iter().any(|name| old.contains(name)))
            .flatten();
        let more: Vec<&ServiceName> = waiting
            .chain(needed)
            .chain(together)
            .filter(|name| !old.contains(name))
            .collect();
        if more.is_empty() {
            break;
        }
        old.extend(more);
    }
    PartialCommit {
        committed: changed.difference(&old).map(|it| (*it).clone()).collect(),
        rolled_back: old.into_iter().cloned().collect(),
    }
}

/// Returns the services with an action of this kind before the commit.
fn acted(plan: &Plan, wanted: impl Fn(&Action) -> bool) -> BTreeSet<&ServiceName> {
    let forward = plan.steps.iter().filter(|step| !step.after_commit);
    let acted =
        forward.filter(|step| matches!(&step.kind, StepKind::Action(action) if wanted(action)));
    acted.filter_map(service).collect()
}

/// Returns whether the new containers of `service` are no longer on any network on which the old
/// containers of `from` could reach it.
fn moved_away(plan: &Plan, state: &State, service: &ServiceName, from: &ServiceName) -> bool {
    let networks = |of: &ServiceName| -> BTreeSet<&String> {
        let containers = state.containers.values().filter(|it| it.service == *of);
        containers.flat_map(|it| it.networks.keys()).collect()
    };
    let reach = networks(from);
    let created = plan.steps.iter().find_map(|step| match &step.kind {
        StepKind::Action(Action::CreateContainer(create)) if create.service == *service => {
            Some(create)
        }
        _ => None,
    });
    created.is_some_and(|create| {
        !networks(service).is_disjoint(&reach)
            && !create.networks.values().any(|name| reach.contains(name))
    })
}

/// Returns the steps that copy a volume.
fn copied(plan: &Plan) -> impl Iterator<Item = StepId> {
    let steps = plan.steps.iter().enumerate();
    steps
        .filter(|(_, step)| matches!(step.kind, StepKind::Action(Action::SnapshotVolume(_))))
        .map(|(index, _)| StepId(index))
}

/// Returns the services that a copy waits for, because they wrote to the volume, and those that
/// wait for the copy in order to write.
fn writers(plan: &Plan, copy: StepId) -> BTreeSet<&ServiceName> {
    let before = plan
        .steps
        .get(copy.0)
        .into_iter()
        .flat_map(|step| &step.requires);
    let before = before
        .filter_map(|need| plan.steps.get(need.0))
        .filter(|step| matches!(step.kind, StepKind::Action(Action::StopContainer { .. })));
    let after = plan
        .steps
        .iter()
        .filter(|step| step.requires.contains(&copy));
    before.chain(after).filter_map(service).collect()
}

/// Returns the dependencies of each service at the time when its container was created.
fn before(state: &State) -> BTreeMap<&ServiceName, BTreeSet<&ServiceName>> {
    let mut before: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = BTreeMap::new();
    for container in state.containers.values() {
        if let Some(record) = &container.record {
            let its = before.entry(&container.service).or_default();
            its.extend(record.depends_on.keys());
        }
    }
    before
}

fn service(step: &Step) -> Option<&ServiceName> {
    match &step.subject {
        Subject::Service { name, .. } => Some(name),
        Subject::Image { .. }
        | Subject::Network { .. }
        | Subject::Volume { .. }
        | Subject::Project => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{ContainerName, ProjectName, VolumeName},
        plan::{Reason, Step, VolumeSnapshot},
    };

    fn name(name: &str) -> ServiceName {
        ServiceName::new(name).unwrap()
    }

    /// Returns a plan with one start per service, each after the starts with these indexes.
    fn plan(starts: &[(&str, &[usize])]) -> Plan {
        let step = |(service, needs): &(&str, &[usize])| {
            let action = Action::StartContainer(ContainerName::new(*service).unwrap());
            let subject = Subject::Service {
                name: name(service),
                replica: 1,
            };
            Step {
                requires: needs.iter().copied().map(StepId).collect(),
                ..Step::act(action, subject, Reason::NotFound)
            }
        };
        Plan {
            steps: starts.iter().map(step).collect(),
        }
    }

    /// Returns a step that copies a volume, without dependencies.
    fn copying() -> Step {
        let snapshot = VolumeSnapshot {
            project: ProjectName::new("shop").unwrap(),
            volume: VolumeName::new("data").unwrap(),
            source: "shop_data".to_owned(),
            name: "shop_data.before-g2".to_owned(),
            generation: 2,
            image: String::new(),
        };
        let subject = Subject::Volume {
            name: "data".to_owned(),
        };
        let action = Action::SnapshotVolume(Box::new(snapshot));
        Step::act(action, subject, Reason::NotFound)
    }

    #[test]
    fn writers_of_copied_volume_roll_back_together() {
        let mut plan = plan(&[("db", &[3]), ("worker", &[3]), ("web", &[])]);
        plan.steps.push(copying());
        let attempted: BTreeSet<StepId> = (0..4).map(StepId).collect();
        let of = |failed: usize| {
            let unmet = BTreeSet::from([StepId(failed)]);
            split(&plan, &unmet, &BTreeSet::new(), &State::default())
        };
        assert_eq!(of(1).rolled_back, names(&["db", "worker"]));
        let undone = BTreeSet::from([StepId(0), StepId(1), StepId(3)]);
        assert_eq!(of(1).steps_to_undo(&plan, &attempted), undone);
        // Changes by other services only are no reason to restore the volume.
        assert_eq!(of(2).rolled_back, names(&["web"]));
        let undone = BTreeSet::from([StepId(2)]);
        assert_eq!(of(2).steps_to_undo(&plan, &attempted), undone);
    }

    fn names(names: &[&str]) -> BTreeSet<ServiceName> {
        names.iter().map(|it| name(it)).collect()
    }

    #[test]
    fn failed_service_rolls_back_only_its_dependents() {
        let plan = plan(&[
            ("db", &[]),
            ("api", &[0]),
            ("web", &[1]),
            ("cache", &[]),
            ("worker", &[0, 3]),
        ]);
        let unmet = BTreeSet::from([StepId(1), StepId(2)]);
        let split = split(&plan, &unmet, &BTreeSet::new(), &State::default());
        assert_eq!(split.rolled_back, names(&["api", "web"]));
        assert_eq!(split.committed, names(&["cache", "db", "worker"]));
        let attempted = (0..5).map(StepId).collect();
        let undone = split.steps_to_undo(&plan, &attempted);
        assert_eq!(undone, BTreeSet::from([StepId(1), StepId(2)]));
    }

    #[test]
    fn failure_after_ready_rolls_back_dependents() {
        let plan = plan(&[("db", &[]), ("api", &[0]), ("web", &[1]), ("cache", &[])]);
        let lost = BTreeSet::from([name("db")]);
        let split = split(&plan, &BTreeSet::new(), &lost, &State::default());
        assert_eq!(split.rolled_back, names(&["api", "db", "web"]));
        assert_eq!(split.committed, names(&["cache"]));
    }
}
