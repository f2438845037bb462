//! Snapshots of volumes, taken after the old writers have stopped and before the new writers start.
//!
//! A copy of files is consistent only in this interval. A snapshot is kept after the commit, until
//! a newer snapshot of its volume is committed.

use super::{
    Action, Change, Decision, PreflightError, Reason, Step, Subject, VolumeSnapshot,
    builder::{Key, PlanBuilder},
    rollout::{ContainerUpdate, RolloutBuilder, creates_container, is_in_place, stop, subject},
};
use crate::{
    name::{ContainerName, VolumeName},
    project::{ContainerSpec, MountKind, Project, Volume},
    state::{Container, State},
};

impl RolloutBuilder<'_> {
    /// Copies each volume that is declared with a snapshot, if a container that writes to it is
    /// replaced.
    pub fn snapshots(&self, draft: &mut PlanBuilder, turns: &[ContainerUpdate<'_>]) {
        for due in due(self.project, self.state, self.decisions) {
            let source = &due.volume.engine_name;
            let key = Key::Snapshot(source.clone());
            let mut needs: Vec<Key> = self.created().collect();
            needs.extend(self.silence(draft, turns, source));
            let snapshot = VolumeSnapshot {
                project: self.project.name.clone(),
                volume: due.name.clone(),
                name: format!("{source}.before-g{}", self.generation),
                source: source.clone(),
                generation: self.generation,
                image: due.current.image.clone(),
            };
            let subject = Subject::Volume {
                name: due.name.to_string(),
            };
            let reason = Reason::BeforeUpdate {
                service: due.decision.service.clone(),
            };
            let action = Action::SnapshotVolume(Box::new(snapshot));
            draft.add(
                key.clone(),
                Step::act(action, subject.clone(), reason),
                needs,
            );
            for turn in turns.iter().filter(|turn| starts_writing(turn, source)) {
                draft.needs(&Key::Start(turn.name.clone()), key.clone());
            }
            let older = self
                .state
                .snapshots
                .iter()
                .filter(|(_, it)| it.of == *source);
            for (name, _) in older {
                let action = Action::RemoveSnapshot(name.clone());
                let step = Step::act(action, subject.clone(), Reason::Superseded).after_commit();
                draft.add(Key::RemoveSnapshot(name.clone()), step, []);
            }
        }
    }

    /// Returns the stops after which no container writes to a volume.
    fn silence(
        &self,
        draft: &mut PlanBuilder,
        turns: &[ContainerUpdate<'_>],
        source: &str,
    ) -> Vec<Key> {
        let writers: Vec<&ContainerName> = writers(self.state, source).collect();
        let starters: Vec<&ContainerUpdate<'_>> = turns
            .iter()
            .filter(|turn| starts_writing(turn, source))
            .collect();
        // If only one service is involved, its own update is already in order. With several
        // services, none may wait for the start of another one, because that start waits for the
        // stops of all.
        let alone = starters.len() <= 1
            && writers.iter().all(|it| {
                starters
                    .iter()
                    .any(|turn| turn.decision.current.as_ref() == Some(it))
            });
        let early = self.created().collect();
        for writer in writers.iter().filter(|_| !alone) {
            let key = Key::Stop((*writer).clone());
            if draft.has(&key) {
                draft.reprioritize(&key, &early);
                continue;
            }
            let decision = self
                .decisions
                .iter()
                .find(|it| it.current.as_ref() == Some(writer));
            if let Some(decision) = decision {
                let reason = Reason::Orphan;
                let step = Step::act(stop(writer, self.options), subject(decision), reason);
                draft.add(key, step, early.iter().cloned());
            }
        }
        writers.into_iter().cloned().map(Key::Stop).collect()
    }
}

/// A volume to copy.
struct Due<'a> {
    name: &'a VolumeName,
    volume: &'a Volume,
    /// The first decision that requires the copy.
    decision: &'a Decision,
    current: &'a Container,
}

/// Returns the volumes to copy: those that exist and have a writer that is replaced.
fn due<'a>(
    project: &'a Project,
    state: &'a State,
    decisions: &'a [Decision],
) -> impl Iterator<Item = Due<'a>> {
    let declared = project
        .volumes
        .iter()
        .filter(|(_, volume)| volume.snapshot && state.volumes.contains_key(&volume.engine_name));
    declared.filter_map(move |(name, volume)| {
        decisions
            .iter()
            .filter(|decision| decision.change == Change::Replace)
            .find_map(|decision| {
                let service = project.services.get(&decision.service)?;
                let current = state.containers.get(decision.current.as_ref()?)?;
                writes(&service.container, &volume.engine_name).then_some(Due {
                    name,
                    volume,
                    decision,
                    current,
                })
            })
    })
}

/// Returns an error for each copy that is not possible, because a container keeps writing to the
/// volume.
pub(super) fn refusals(
    project: &Project,
    state: &State,
    decisions: &[Decision],
) -> Vec<PreflightError> {
    let stopped = |container: &ContainerName| {
        let mut its = decisions
            .iter()
            .filter(|it| it.current.as_ref() == Some(container));
        its.any(|it| {
            creates_container(it.change) || matches!(it.change, Change::Restart | Change::Remove)
        })
    };
    due(project, state, decisions)
        .flat_map(|due| {
            let name = &due.volume.engine_name;
            writers(state, name)
                .filter(|writer| !stopped(writer))
                .map(|writer| PreflightError::SnapshotWriter {
                    name: name.clone(),
                    service: due.decision.service.clone(),
                    writer: writer.to_string(),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the running containers that can write to a volume.
fn writers<'a>(state: &'a State, volume: &'a str) -> impl Iterator<Item = &'a ContainerName> {
    let up = state
        .containers
        .iter()
        .filter(|(_, it)| it.condition.status.is_up());
    up.filter(|(_, it)| {
        it.volumes
            .values()
            .any(|its| its.name == *volume && its.writable)
    })
    .map(|(name, _)| name)
}

/// Returns whether the container that an update starts can write to a volume.
fn starts_writing(turn: &ContainerUpdate<'_>, volume: &str) -> bool {
    !is_in_place(turn.decision.change) && writes(&turn.service.container, volume)
}

fn writes(spec: &ContainerSpec, volume: &str) -> bool {
    spec.mounts.iter().any(|mount| {
        matches!(&mount.kind, MountKind::Volume { engine_name, .. } if engine_name == volume)
            && !mount.read_only
    })
}
