//! The content of the volumes in the simulated world, and their snapshots.
//!
//! A volume contains an entry for each generation of a service that started with write access to
//! it. A second start adds no second entry, so that a world after a rollback is the same as before.

use std::collections::{BTreeMap, BTreeSet};

use super::{Done, SimContainer, World, refused};
use crate::{
    engine::sim::watch::VolumeRace,
    name::ContainerName,
    plan::{Action, VolumeSnapshot},
    state::Snapshot,
};

/// A snapshot in the simulated world.
#[derive(Debug, Clone)]
pub(in crate::engine::sim) struct Kept {
    pub of: String,
    pub generation: u64,
    /// The content; `None` if the copy was interrupted.
    pub held: Option<BTreeSet<String>>,
    /// Containers that an interrupted copy left behind.
    pub helpers: BTreeSet<ContainerName>,
}

impl World {
    /// Records the containers of other generations that run on the same files as a starting
    /// container. For two of one replica this is a violated invariant, unless the manifest shares
    /// the volume. All others are recorded as a race, because the manifest decides whether they may
    /// share the volume.
    pub fn note_rivals(&mut self, name: &ContainerName) {
        let Some(thing) = self.containers.get(name) else {
            return;
        };
        let place = |it: &SimContainer| (it.service.clone(), it.replica);
        let mut rivals = Vec::new();
        for (other, it) in &self.containers {
            let runs = it.condition.status.is_up() && it.generation != thing.generation;
            if !runs || other == name {
                continue;
            }
            for mine in thing.volumes.values() {
                let mut theirs = it.volumes.values().filter(|its| its.name == mine.name);
                if !theirs.any(|its| its.writable || mine.writable) {
                    continue;
                }
                if place(it) == place(thing) && !self.shared.contains(&mine.name) {
                    let text = format!("`{name}` and `{other}` write to one volume");
                    self.violations.push(text);
                } else {
                    rivals.push(VolumeRace {
                        volume: mine.name.clone(),
                        one: (thing.service.clone(), thing.generation),
                        other: (it.service.clone(), it.generation),
                    });
                }
            }
        }
        self.meetings.extend(rivals);
    }

    /// A started container writes an entry to its volumes.
    pub fn write(&mut self, name: &ContainerName) {
        let Some(thing) = self.containers.get(name).cloned() else {
            return;
        };
        let note = format!("{} of generation {}", thing.service, thing.generation);
        let named = thing.volumes.values().filter(|it| !it.anonymous);
        for volume in named.filter(|it| it.writable) {
            self.data
                .entry(volume.name.clone())
                .or_default()
                .insert(note.clone());
        }
    }

    /// Applies an action on snapshots and ignores all others. Without `whole`, the action is
    /// interrupted midway.
    pub fn snapshot(&mut self, action: &Action, whole: bool) -> Done {
        match action {
            Action::SnapshotVolume(it) => self.copy(action, it, whole),
            Action::RestoreVolume(it) => self.put_back(action, it, whole),
            Action::RemoveSnapshot(name) if whole => {
                self.snapshots.remove(name);
                Ok(None)
            }
            Action::Cutover(it) if !whole => self.half_cutover(it),
            _ => Ok(None),
        }
    }

    fn copy(&mut self, action: &Action, snapshot: &VolumeSnapshot, whole: bool) -> Done {
        if !self.volumes.contains_key(&snapshot.source) {
            return Err(refused(action, 404, "no such volume"));
        }
        self.disturbed(action, &snapshot.source, true);
        let held = self.data.get(&snapshot.source).cloned().unwrap_or_default();
        let kept = Kept {
            of: snapshot.source.clone(),
            generation: snapshot.generation,
            held: whole.then_some(held),
            helpers: BTreeSet::new(),
        };
        self.snapshots.insert(snapshot.name.clone(), kept);
        Ok(None)
    }

    fn put_back(&mut self, action: &Action, snapshot: &VolumeSnapshot, whole: bool) -> Done {
        let Some(kept) = self.snapshots.get(&snapshot.name) else {
            return Ok(None);
        };
        let Some(held) = kept.held.clone() else {
            return Err(refused(action, 0, "its snapshot is incomplete"));
        };
        self.disturbed(action, &snapshot.source, false);
        if whole {
            self.data.insert(snapshot.source.clone(), held);
            self.snapshots.remove(&snapshot.name);
        } else {
            self.data.insert(snapshot.source.clone(), BTreeSet::new());
        }
        Ok(None)
    }

    /// Records a violation for each container that uses a volume while it is copied.
    fn disturbed(&mut self, action: &Action, volume: &str, readers_may: bool) {
        let up = self
            .containers
            .iter()
            .filter(|(_, it)| it.condition.status.is_up());
        let users = up.filter(|(_, it)| {
            let mut mounted = it.volumes.values();
            mounted.any(|its| its.name == *volume && (its.writable || !readers_may))
        });
        let breaches: Vec<String> = users
            .map(|(name, _)| format!("{} `{volume}` while `{name}` uses it", action.verb()))
            .collect();
        self.violations.extend(breaches);
    }

    /// Returns the snapshots as an engine reports them.
    pub fn shown_snapshots(&self) -> BTreeMap<String, Snapshot> {
        let shown = |kept: &Kept| Snapshot {
            of: kept.of.clone(),
            generation: kept.generation,
            helpers: kept.helpers.clone(),
        };
        let snapshots = self.snapshots.iter();
        snapshots
            .map(|(name, kept)| (name.clone(), shown(kept)))
            .collect()
    }
}
