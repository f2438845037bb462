//! Invariants of a world after interrupted commands.

use std::collections::{BTreeMap, BTreeSet};

use cimandat::{
    engine::{
        Engine, Query, StateStore,
        sim::{ContainerSnapshot, Sim, Snapshot},
    },
    event::Outcome,
    exit::{self, ExitCode},
    journal::{Collection, JournalState as Journalled, entries},
    name::{ContainerName, ServiceName},
    plan::PartialCommit,
    project::{MountKind, Project, RestartPolicy},
};
use proptest::prelude::*;

use super::runner::{self, Before, End};
use crate::fixtures::project_name;

pub type Data = BTreeMap<String, BTreeSet<String>>;

/// Position of a deploy relative to its commit, according to the journal and the history.
#[derive(Debug, Clone)]
pub enum Side {
    /// Before the commit: the old generation.
    Old,
    /// After the commit: the new generation.
    New,
    /// After a partial commit.
    Part(PartialCommit),
}

impl Side {
    /// Determines the side of the deploy with this generation number.
    pub async fn of(sim: &Sim, generation: u64) -> Self {
        match runner::standing(sim).await {
            Journalled::Unfinished(open)
                if open.planned.generation == generation && open.committed =>
            {
                open.split.map_or(Self::New, Self::Part)
            }
            Journalled::Finished {
                generation: last,
                outcome: verdict,
            } if last == generation => {
                let pages = sim.read_pages(&project_name(), Collection::History).await;
                let entries = entries(&pages.unwrap());
                let entry = entries.into_iter().find(|it| it.generation == generation);
                match entry.and_then(|entry| entry.split) {
                    Some(split) => Self::Part(split),
                    None if matches!(verdict, Outcome::Converged | Outcome::Unchanged) => Self::New,
                    None => Self::Old,
                }
            }
            _ => Self::Old,
        }
    }

    /// Whether a recovery that ends on this side must report this outcome.
    pub fn is_told_by(&self, verdict: Outcome) -> bool {
        match self {
            Self::Old => matches!(verdict, Outcome::RolledBack | Outcome::Aborted),
            Self::New => verdict == Outcome::Converged,
            Self::Part(_) => verdict == Outcome::RolledBack,
        }
    }
}

/// I7: the exit code of a deploy that was not interrupted matches its side.
pub fn told(end: &End, side: &Side) -> Result<(), TestCaseError> {
    let true_ = match (exit::code(end), side) {
        (ExitCode::Converged, side) => matches!(side, Side::New),
        (ExitCode::RolledBack, side) => matches!(side, Side::Old | Side::Part(_)),
        // This exit code only reports that an operator is needed.
        (ExitCode::RollbackFailed, _) => true,
        (_, side) => matches!(side, Side::Old),
    };
    prop_assert!(true_, "{:?} was told, but {:?}", end, side);
    Ok(())
}

fn is_handover(network: &str) -> bool {
    matches!(network.rsplit('.').next(), Some("old" | "new"))
}

/// I4 to I6: the world is consistent, and on the expected side.
pub fn kept(before: &Before, ideal: &Sim, side: &Side, sim: &Sim) -> Result<(), TestCaseError> {
    let after = sim.snapshot();
    match side {
        Side::Old => same(&before.snapshot, &after)?,
        Side::New => same(&ideal.snapshot(), &after)?,
        Side::Part(split) => in_part(&before.snapshot, &ideal.snapshot(), split, &after)?,
    }
    always(before, sim)
}

/// Like [`kept`], but for an engine with faults: leftovers that nothing needs are allowed.
pub fn kept_with_faults(
    before: &Before,
    ideal: &Sim,
    side: &Side,
    sim: &Sim,
) -> Result<(), TestCaseError> {
    match side {
        Side::Old => same(&before.snapshot, &sim.snapshot())?,
        Side::New => {
            let wanted: BTreeMap<_, _> = up(&ideal.snapshot()).into_iter().collect();
            for (key, count) in &wanted {
                let there = up(&sim.snapshot()).get(key).copied().unwrap_or(0);
                prop_assert!(there >= *count, "{:?} is not there", key);
            }
        }
        Side::Part(split) => {
            in_part(&before.snapshot, &ideal.snapshot(), split, &sim.snapshot())?;
        }
    }
    always(before, sim)
}

/// Number of running containers per service and generation.
fn up(snapshot: &Snapshot) -> BTreeMap<(ServiceName, u64), usize> {
    let mut up = BTreeMap::new();
    for it in snapshot.containers.values().filter(|it| it.up) {
        *up.entry((it.service.clone(), it.generation)).or_default() += 1;
    }
    up
}

fn always(before: &Before, sim: &Sim) -> Result<(), TestCaseError> {
    let after = sim.snapshot();
    prop_assert_eq!(&before.snapshot.foreign, &after.foreign);
    prop_assert!(
        before.snapshot.volumes.is_subset(&after.volumes),
        "a volume was removed"
    );
    data_is_there(&before.data, sim)
}

/// I5: every volume still has its earlier content.
pub fn data_is_there(before: &Data, sim: &Sim) -> Result<(), TestCaseError> {
    let after = sim.data();
    for (volume, held) in before {
        let holds = after.get(volume);
        let all = holds.is_some_and(|it| held.is_subset(it));
        prop_assert!(all, "{} held {:?} and holds {:?}", volume, held, holds);
    }
    Ok(())
}

/// Asserts that two worlds are equal, except for volumes created since, which are kept.
fn same(wanted: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    let kept = Snapshot {
        volumes: wanted.volumes.clone(),
        ..after.clone()
    };
    prop_assert_eq!(wanted, &kept);
    Ok(())
}

/// Asserts that rolled-back services are as before, and that only containers of committed services
/// are new. An orphan stays, but may have been stopped for a new container that needs its port or
/// its files.
fn in_part(
    before: &Snapshot,
    ideal: &Snapshot,
    split: &PartialCommit,
    after: &Snapshot,
) -> Result<(), TestCaseError> {
    let stays = |service: &ServiceName| up(ideal).keys().any(|(it, _)| it == service);
    for (container, it) in &before.containers {
        let there = after.containers.get(container);
        if split.committed.contains(&it.service) {
            continue;
        }
        let up = if it.up && !stays(&it.service) {
            there.is_some_and(|there| there.up)
        } else {
            it.up
        };
        let wanted = ContainerSnapshot { up, ..it.clone() };
        prop_assert_eq!(Some(&wanted), there, "{}", container);
    }
    for (container, it) in after.current() {
        let known =
            before.containers.contains_key(container) || split.committed.contains(&it.service);
        prop_assert!(known, "{} was left", container);
        prop_assert!(
            !container.as_str().contains(".g"),
            "{} has no final name",
            container
        );
    }
    let handover = after.networks.iter().find(|it| is_handover(it));
    prop_assert!(handover.is_none(), "{:?} was left", handover);
    Ok(())
}

/// I1 to I3, for every moment so far and for the current state.
pub async fn order(sim: &Sim) -> Result<(), TestCaseError> {
    prop_assert_eq!(sim.breaches(), Vec::<String>::new());
    let pages = sim.read_pages(&project_name(), Collection::History).await;
    let entries = entries(&pages.unwrap());
    for meeting in sim.meetings() {
        // A rollback follows the earlier generation and is recorded as a later entry.
        let newer = meeting.one.1.max(meeting.other.1);
        let mut entries = entries.iter().filter(|it| it.generation >= newer);
        let declared = entries.any(|entry| {
            let mounts = |service: &ServiceName| mounts(&entry.project, service, &meeting.volume);
            mounts(&meeting.one.0) && mounts(&meeting.other.0)
        });
        prop_assert!(declared, "{:?}", meeting);
    }
    // I2: no container runs with a dependency older than the one its own generation had.
    let after = sim.snapshot();
    for (name, it) in after.containers.iter().filter(|(_, it)| it.up) {
        let Some(entry) = entries
            .iter()
            .find(|entry| entry.generation == it.generation)
        else {
            return Err(TestCaseError::fail(format!("{name} is of no generation")));
        };
        let Some(service) = entry.project.services.get(&it.service) else {
            continue;
        };
        for need in service.depends_on.keys() {
            let had = entry.made.values().filter(|made| made.service == *need);
            let had = had.map(|made| made.generation).min().unwrap_or(0);
            let mut has = after
                .containers
                .values()
                .filter(|it| it.service == *need && it.up);
            let older = has.find(|it| it.generation < had);
            prop_assert!(
                older.is_none(),
                "{} runs with {:?}, of before {}",
                name,
                older,
                had
            );
        }
    }
    Ok(())
}

fn mounts(project: &Project, service: &ServiceName, volume: &str) -> bool {
    let service = project.services.get(service);
    service.is_some_and(|service| {
        let mut mounts = service.container.mounts.iter();
        mounts.any(|mount| {
            matches!(&mount.kind, MountKind::Volume { engine_name, .. } if engine_name == volume)
        })
    })
}

/// Asserts that the lock is free.
pub async fn unlocked(sim: &Sim) -> Result<(), TestCaseError> {
    let lock = sim.find_lock(&project_name()).await;
    prop_assert_eq!(lock, Ok(None));
    Ok(())
}

type Standings = BTreeMap<ContainerName, (ServiceName, bool, RestartPolicy)>;

/// Current containers of all services, regardless of the deploy that created them, and the handover
/// networks that are left.
pub fn standing(sim: &Sim) -> (Standings, BTreeSet<String>) {
    let snapshot = sim.snapshot();
    let current = snapshot.current().into_iter();
    let shown = |(name, it): (&ContainerName, &ContainerSnapshot)| {
        (name.clone(), (it.service.clone(), it.up, it.policy))
    };
    let handover = |name: &&String| is_handover(name);
    let left = snapshot.networks.iter().filter(handover).cloned();
    (current.map(shown).collect(), left.collect())
}

/// I6: nothing of the project is left except kept volumes.
pub async fn nothing_left(before: &Before, sim: &Sim, volumes: bool) -> Result<(), TestCaseError> {
    unlocked(sim).await?;
    let state = sim.observe(&Query::of(project_name())).await.unwrap();
    prop_assert!(state.containers.is_empty() && state.networks.is_empty());
    for collection in [Collection::Journal, Collection::History] {
        let pages = sim.read_pages(&project_name(), collection).await;
        prop_assert_eq!(pages, Ok(Vec::new()));
    }
    let after = sim.snapshot();
    prop_assert_eq!(&before.snapshot.foreign, &after.foreign);
    prop_assert_eq!(after.stray_volumes, 0);
    if volumes {
        prop_assert!(after.volumes.is_empty() && after.snapshots.is_empty());
    } else {
        prop_assert_eq!(&before.snapshot.volumes, &after.volumes);
        prop_assert_eq!(&before.snapshot.snapshots, &after.snapshots);
        prop_assert_eq!(&before.data, &sim.data());
    }
    Ok(())
}
