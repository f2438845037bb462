//! Applied changes of a plan that have to be undone.

use std::collections::BTreeMap;

use crate::{
    name::{ContainerName, ImageRef, ServiceName},
    plan::{Action, CreateContainer, CreateNetwork, Cutover, Subject, VolumeSnapshot},
    project::Kind,
    state::{State, Status},
};

/// Applied changes of a plan.
#[derive(Debug, Default)]
pub(super) struct AppliedChanges<'a> {
    /// Containers that did not exist before.
    pub created: BTreeMap<&'a ContainerName, (&'a CreateContainer, &'a Subject)>,
    pub started: BTreeMap<&'a ContainerName, &'a Subject>,
    pub stopped: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Existing containers with a changed restart policy.
    pub policies: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Existing containers with changed limits.
    pub allowances: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Existing containers that were paused and have been unpaused.
    pub thawed: BTreeMap<&'a ContainerName, &'a Subject>,
    /// Networks that did not exist before, by name on the engine.
    pub networks: Vec<(&'a str, &'a Subject)>,
    /// Tags that were added to images.
    pub tags: Vec<(&'a ImageRef, &'a Subject)>,
    /// Copies of volumes that were started.
    pub snapshots: Vec<(&'a VolumeSnapshot, &'a Subject)>,
    /// Containers with changed endpoints, and traffic that was switched.
    pub cutovers: Vec<(&'a Cutover, &'a Subject)>,
    /// Volumes that did not exist before, by name on the engine.
    pub volumes: Vec<String>,
    /// Whether the run was interrupted, possibly during its rollback.
    pub cut_off: bool,
    /// Changes that cannot be undone, each as a sentence fragment.
    pub lost: Vec<String>,
}

impl<'a> AppliedChanges<'a> {
    /// Returns the started jobs that are irreversible.
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
            // A stored image does no harm and makes the next attempt faster. A hook has an effect
            // only inside a container that is removed or has ended.
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
            // Plans contain these actions only after the commit, when there is no rollback, or not
            // at all.
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
