//! What holds of a world in which commands were cut off.

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

/// On which side of its commit a deploy stands, by what is written down.
#[derive(Debug, Clone)]
pub enum Side {
    /// Before: the old generation.
    Old,
    /// After: the new one.
    New,
    /// After the commit of a part.
    Part(PartialCommit),
}

impl Side {
    /// Of the deploy with this number.
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

    /// Whether this is what a recovery has to say that ends there.
    pub fn is_told_by(&self, verdict: Outcome) -> bool {
        match self {
            Self::Old => matches!(verdict, Outcome::RolledBack | Outcome::Aborted),
            Self::New => verdict == Outcome::Converged,
            Self::Part(_) => verdict == Outcome::RolledBack,
        }
    }
}

/// I7: the exit code of a deploy that came to its own end says on which side.
pub fn told(end: &End, side: &Side) -> Result<(), TestCaseError> {
    let true_ = match (exit::code(end), side) {
        (ExitCode::Converged, side) => matches!(side, Side::New),
        (ExitCode::RolledBack, side) => matches!(side, Side::Old | Side::Part(_)),
        // It says nothing about the world but that somebody has to look.
        (ExitCode::Stuck, _) => true,
        (_, side) => matches!(side, Side::Old),
    };
    prop_assert!(true_, "{:?} was told, but {:?}", end, side);
    Ok(())
}

fn is_handover(network: &str) -> bool {
    matches!(network.rsplit('.').next(), Some("old" | "new"))
}

/// I4 to I6: the world is whole, and the one that it has to be.
pub fn kept(before: &Before, ideal: &Sim, side: &Side, sim: &Sim) -> Result<(), TestCaseError> {
    let after = sim.snapshot();
    match side {
        Side::Old => same(&before.snapshot, &after)?,
        Side::New => same(&ideal.snapshot(), &after)?,
        Side::Part(split) => in_part(&before.snapshot, &ideal.snapshot(), split, &after)?,
    }
    always(before, sim)
}

/// The same where the engine failed besides: some of what nobody needs may have been left.
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

/// How many containers of each service and generation run.
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
        "a volume is gone"
    );
    data_is_there(&before.data, sim)
}

/// I5: what volumes held they hold.
pub fn data_is_there(before: &Data, sim: &Sim) -> Result<(), TestCaseError> {
    let after = sim.data();
    for (volume, held) in before {
        let holds = after.get(volume);
        let all = holds.is_some_and(|it| held.is_subset(it));
        prop_assert!(all, "{} held {:?} and holds {:?}", volume, held, holds);
    }
    Ok(())
}

/// One world is another, but for volumes that were made since: they are kept.
fn same(wanted: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    let kept = Snapshot {
        volumes: wanted.volumes.clone(),
        ..after.clone()
    };
    prop_assert_eq!(wanted, &kept);
    Ok(())
}

/// Who went back is as before, and who is new runs. What left the manifest stays, but may have been
/// stopped for somebody new who needs its port or its files.
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

/// I1 to I3, at every moment so far and now.
pub async fn order(sim: &Sim) -> Result<(), TestCaseError> {
    prop_assert_eq!(sim.breaches(), Vec::<String>::new());
    let pages = sim.read_pages(&project_name(), Collection::History).await;
    let entries = entries(&pages.unwrap());
    for meeting in sim.meetings() {
        // A rollback goes by what the earlier generation says, and is a later entry that says so.
        let newer = meeting.one.1.max(meeting.other.1);
        let mut entries = entries.iter().filter(|it| it.generation >= newer);
        let declared = entries.any(|entry| {
            let mounts = |service: &ServiceName| mounts(&entry.project, service, &meeting.volume);
            mounts(&meeting.one.0) && mounts(&meeting.other.0)
        });
        prop_assert!(declared, "{:?}", meeting);
    }
    // I2: nobody runs with somebody older than whom its own generation had.
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

/// Nobody has the lock.
pub async fn unlocked(sim: &Sim) -> Result<(), TestCaseError> {
    let lock = sim.find_lock(&project_name()).await;
    prop_assert_eq!(lock, Ok(None));
    Ok(())
}

type Standings = BTreeMap<ContainerName, (ServiceName, bool, RestartPolicy)>;

/// What stands for services, whichever deploy made it.
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

/// I6: nothing of the project is left, but for volumes that are kept.
pub async fn nothing_left(before: &Before, sim: &Sim, volumes: bool) -> Result<(), TestCaseError> {
    unlocked(sim).await?;
    let state = sim.observe(&Query::of(project_name())).await.unwrap();
    prop_assert!(state.containers.is_empty() && state.networks.is_empty());
    for shelf in [Collection::Journal, Collection::History] {
        let pages = sim.read_pages(&project_name(), shelf).await;
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
