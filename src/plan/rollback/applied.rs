//! What a plan did, as far as it has to be undone.

use std::collections::BTreeMap;

use crate::{
    name::{ContainerName, ImageRef, ServiceName},
    plan::{Action, CreateContainer, CreateNetwork, Cutover, Subject, VolumeSnapshot},
    project::Kind,
    state::{State, Status},
};

/// The deeds of a plan.
#[derive(Debug, Default)]
pub(super) struct AppliedChanges<'a> {
    /// Containers that were not there before.
    pub created: BTreeMap<&'a ContainerName, (&'a CreateContainer, &'a Subject)>,
    pub started: BTreeMap<&'a ContainerName, &'a Subject>,
    pub stopped: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Containers of before whose restart policy was changed.
    pub policies: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Containers of before whose limits were set.
    pub allowances: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Containers of before that were frozen, and were let go on.
    pub thawed: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Networks that were not there before, by name on the engine.
    pub networks: Vec<(&'a str, &'a Subject)>,
    /// Names that images were given.
    pub tags: Vec<(&'a ImageRef, &'a Subject)>,
    /// Copies of volumes that were begun.
    pub snapshots: Vec<(&'a VolumeSnapshot, &'a Subject)>,
    /// Containers that were attached otherwise, and traffic that was switched.
    pub cutovers: Vec<(&'a Cutover, &'a Subject)>,
    /// Volumes that were not there before, by name on the engine.
    pub volumes: Vec<String>,
    /// The run was cut off, maybe on its way back.
    pub cut_off: bool,
    /// What cannot be undone, each in a fragment.
    pub lost: Vec<String>,
}

impl<'a> AppliedChanges<'a> {
    /// Jobs that were started and that are a point of no return.
    pub fn irreversible_jobs(&self) -> Vec<ServiceName> {
        let created = self.created.values().map(|(create, _)| create);
        created
            .filter(|create| create.record.kind == (Kind::Job { irreversible: true }))
            .filter(|create| self.started.contains_key(&create.name))
            .map(|create| create.service.clone())
            .collect()
    }

    /// Adds an action that had, or may have had, an effect on this state.
    pub fn note(&mut self, action: &'a Action, subject: &'a Subject, state: &State) {
        match action {
            // An image in store does no harm and makes the next try faster; what a hook did is
            // inside a container that goes, or ended with it.
            Action::BuildImage(_) | Action::PullImage(_) | Action::RunHook(_) => {}
            Action::CreateNetwork(create) => self.note_network(create, subject, state),
            Action::Cutover(cutover) => self.cutovers.push((cutover, subject)),
            Action::CreateVolume(create) => {
                let name = &create.volume.engine_name;
                if !state.volumes.contains_key(name) {
                    self.volumes.push(name.clone());
                }
            }
            Action::CreateContainer(create) => {
                if !state.containers.contains_key(&create.name) {
                    self.created.insert(&create.name, (create, subject));
                }
            }
            Action::StartContainer(container) => {
                self.started.insert(container, subject);
            }
            Action::StopContainer { container, .. } => {
                self.stopped.insert(container, subject);
            }
            Action::SetRestartPolicy { container, .. } => {
                if state.containers.contains_key(container) {
                    self.policies.insert(container, subject);
                }
            }
            Action::SetAllowance { container, .. } => {
                if state.containers.contains_key(container) {
                    self.allowances.insert(container, subject);
                }
            }
            Action::SetPaused { container, paused } => {
                let was = state
                    .containers
                    .get(container)
                    .map(|it| it.condition.status);
                if !paused && was == Some(Status::Paused) {
                    self.thawed.insert(container, subject);
                }
            }
            Action::TagImage { tag, .. } => self.tags.push((tag, subject)),
            Action::SnapshotVolume(snapshot) => self.snapshots.push((snapshot, subject)),
            // Plans do these after the commit only, from where nothing goes back, or never.
            Action::RenameContainer { .. }
            | Action::RemoveContainer(_)
            | Action::RemoveNetwork(_)
            | Action::RemoveVolume(_)
            | Action::RestoreVolume(_)
            | Action::RemoveSnapshot(_)
            | Action::RemoveImage(_) => {
                self.lost.push(format!(
                    "{} `{}` cannot be undone",
                    action.verb(),
                    action.object()
                ));
            }
        }
    }

    fn note_network(&mut self, create: &'a CreateNetwork, subject: &'a Subject, state: &State) {
        let name = &create.network.engine_name;
        if !state.networks.contains_key(name) {
            self.networks.push((name, subject));
        }
    }
}
