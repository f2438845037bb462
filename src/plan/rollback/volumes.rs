//! Rollback of data: restores the contents that volumes had before the deploy wrote to them.

use std::collections::BTreeSet;

use super::RollbackBuilder;
use crate::{
    name::ContainerName,
    plan::{Action, StepId},
    project::MountKind,
    state::Container,
};

impl RollbackBuilder<'_> {
    /// Restores every volume that a new container may have written to. Copies that are not needed
    /// are removed, complete or not.
    pub(super) fn restore_volumes(&mut self) {
        for (snapshot, subject) in std::mem::take(&mut self.applied.snapshots) {
            let stops = self.stops.iter();
            let needs: BTreeSet<StepId> = stops
                .filter(|(container, _)| self.uses(container, &snapshot.source))
                .map(|(_, stop)| *stop)
                .collect();
            if needs.is_empty() {
                let action = Action::RemoveSnapshot(snapshot.name.clone());
                self.act(action, subject, BTreeSet::new());
                continue;
            }
            let action = Action::RestoreVolume(Box::new(snapshot.clone()));
            let id = self.act(action, subject, needs);
            self.restores.insert(&snapshot.source, id);
        }
    }

    /// Returns the restores that must have succeeded before an old container may start.
    pub(super) fn required_restores(&self, old: &Container) -> BTreeSet<StepId> {
        let volumes = old.volumes.values();
        volumes
            .filter_map(|volume| self.restores.get(volume.name.as_str()).copied())
            .collect()
    }

    /// Returns whether a container mounts a volume, as far as this is known. A container that
    /// mounts the volumes of other containers is assumed to mount it.
    fn uses(&self, container: &ContainerName, volume: &str) -> bool {
        let old = self.state.containers.get(container);
        let mounted = old.is_some_and(|it| it.volumes.values().any(|its| its.name == volume));
        let created = self
            .applied
            .created
            .get(container)
            .map(|(create, _)| &create.spec);
        mounted
            || created.is_some_and(|spec| {
                !spec.volumes_from.is_empty()
                    || spec.mounts.iter().any(|mount| {
                        matches!(&mount.kind, MountKind::Volume { engine_name, .. }
                            if engine_name == volume)
                    })
            })
    }
}
