//! The way back of data: what volumes held before the deploy wrote to them.

use std::collections::BTreeSet;

use super::RollbackBuilder;
use crate::{
    name::ContainerName,
    plan::{Action, StepId},
    project::MountKind,
    state::Container,
};

impl RollbackBuilder<'_> {
    /// Puts every volume back that something new may have written to. A copy that nobody needs
    /// goes, whole or not.
    pub(super) fn restore_volumes(&mut self) {
        for (snapshot, subject) in std::mem::take(&mut self.deeds.snapshots) {
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

    /// What must have been put back before an old container may start.
    pub(super) fn required_restores(&self, old: &Container) -> BTreeSet<StepId> {
        let volumes = old.volumes.values();
        volumes
            .filter_map(|volume| self.restores.get(volume.name.as_str()).copied())
            .collect()
    }

    /// Whether a container mounts a volume, as far as can be told: who mounts what others do is
    /// taken to.
    fn uses(&self, container: &ContainerName, volume: &str) -> bool {
        let old = self.state.containers.get(container);
        let mounted = old.is_some_and(|it| it.volumes.values().any(|its| its.name == volume));
        let created = self
            .deeds
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
