//! Teardown: removes everything that carries the project's label, dependents before dependencies.
//!
//! The teardown needs no manifest, because the container records contain the dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Plan, Reason, Step, Subject,
    builder::{Key, PlanBuilder},
    generation::{kept_images, tag_of},
};
use crate::{
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    state::{Container, Snapshot, State},
};

/// Scope of a teardown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownOptions {
    /// Services to remove; empty means the whole project.
    pub services: BTreeSet<ServiceName>,
    /// Whether to remove named volumes with their data. If services are selected, only volumes that
    /// no other service uses are removed.
    pub volumes: bool,
    /// Whether to remove the images that were built for the project.
    pub images: bool,
    /// Timeout of a stop; `None` means the container's own grace period.
    pub timeout: Option<Duration>,
    /// Image tags that were kept for generations, according to the history.
    pub tags: BTreeSet<ImageRef>,
    /// Services that the manifest declares. Images may be kept for them that neither a container
    /// nor the history refers to.
    pub declared: BTreeSet<ServiceName>,
    /// Named volumes of each service, by name on the engine, according to the history. A service
    /// uses its volumes even while it has no container.
    pub mounts: BTreeMap<ServiceName, BTreeSet<String>>,
}

/// A volume that selected services share with other users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedVolume {
    /// Name on the engine.
    pub name: String,
    /// The other services; empty if only containers outside of the project use the volume.
    pub users: BTreeSet<ServiceName>,
}

/// Plans the removal of the observed objects of a project.
#[must_use]
pub fn down(project: &str, state: &State, removal: &DownOptions) -> Plan {
    // Container records may come from several manifests, so that their dependencies may form a
    // cycle. The containers are then removed in no particular order.
    let ordered = remove(project, state, removal, true);
    ordered
        .or_else(|_| remove(project, state, removal, false))
        .unwrap_or_default()
}

fn remove(
    project: &str,
    state: &State,
    removal: &DownOptions,
    ordered: bool,
) -> Result<Plan, Vec<Subject>> {
    let mut draft = PlanBuilder::default();
    let going: Vec<(&ContainerName, &Container)> = state
        .containers
        .iter()
        .filter(|(_, it)| removal.services.is_empty() || removal.services.contains(&it.service))
        .collect();
    for (name, container) in &going {
        let subject = Subject::Service {
            name: container.service.clone(),
            replica: container.replica,
        };
        if container.condition.status.is_up() {
            let dependents = going
                .iter()
                .filter(|(_, other)| ordered && waits_for(other, &container.service))
                .map(|(other, _)| Key::Stop((*other).clone()));
            let action = Action::StopContainer {
                container: (*name).clone(),
                grace: removal.timeout,
            };
            let key = Key::Stop((*name).clone());
            let step = Step::act(action, subject.clone(), Reason::Teardown);
            draft.add(key, step, dependents);
        }
        let action = Action::RemoveContainer((*name).clone());
        let needs = [Key::Stop((*name).clone())];
        let step = Step::act(action, subject, Reason::Teardown);
        draft.add(Key::Remove((*name).clone()), step, needs);
    }
    let gone: Vec<Key> = going
        .iter()
        .map(|(name, _)| Key::Remove((*name).clone()))
        .collect();
    let whole = removal.services.is_empty();
    if whole {
        built(state, removal, &gone, &mut draft);
    }
    tags(project, state, removal, &going, &mut draft);
    if whole {
        networks(project, state, &gone, &mut draft);
    }
    if removal.volumes {
        let doomed = doomed_volumes(project, state, removal);
        volumes(state, &doomed, &gone, &mut draft);
        let copies = state.snapshots.iter();
        for (name, snapshot) in copies.filter(|(_, it)| whole || doomed.contains(&it.of)) {
            copy(name, snapshot, &mut draft);
        }
    }
    if whole {
        for snapshot in state.snapshots.values() {
            helpers(snapshot, &mut draft);
        }
    }
    draft.finish()
}

/// Returns the volumes of selected services that are kept because they have other users.
#[must_use]
pub fn shared_volumes(project: &str, state: &State, removal: &DownOptions) -> Vec<SharedVolume> {
    if !removal.volumes || removal.services.is_empty() {
        return Vec::new();
    }
    let doomed = doomed_volumes(project, state, removal);
    let ours = state
        .volumes
        .iter()
        .filter(|(_, it)| it.project.as_deref() == Some(project))
        .map(|(name, _)| name);
    ours.filter(|name| !doomed.contains(name))
        .filter_map(|name| {
            let users = users(state, removal, name);
            let chosen = users.iter().any(|it| removal.services.contains(*it));
            let others = users
                .into_iter()
                .filter(|it| !removal.services.contains(*it));
            chosen.then(|| SharedVolume {
                name: name.clone(),
                users: others.cloned().collect(),
            })
        })
        .collect()
}

/// Returns the volumes of the project to remove: all of them, or those that only selected services
/// use.
fn doomed_volumes<'a>(
    project: &str,
    state: &'a State,
    removal: &DownOptions,
) -> BTreeSet<&'a String> {
    let ours = state
        .volumes
        .iter()
        .filter(|(_, it)| it.project.as_deref() == Some(project));
    let is_removed = |name: &String, all_users: usize| {
        let users = users(state, removal, name);
        let own = state
            .containers
            .values()
            .filter(|it| mounts(it, name))
            .count();
        !users.is_empty()
            && users.iter().all(|it| removal.services.contains(*it))
            // A container outside of the project may mount the volume as well.
            && all_users <= own
    };
    ours.filter(|(name, it)| removal.services.is_empty() || is_removed(name, it.users))
        .map(|(name, _)| name)
        .collect()
}

/// Returns the services that use a volume, according to their containers and to the history.
fn users<'a>(
    state: &'a State,
    removal: &'a DownOptions,
    volume: &str,
) -> BTreeSet<&'a ServiceName> {
    let now = state.containers.values().filter(|it| mounts(it, volume));
    let recorded = removal.mounts.iter();
    let recorded = recorded.filter(|(_, volumes)| volumes.contains(volume));
    now.map(|it| &it.service)
        .chain(recorded.map(|(service, _)| service))
        .collect()
}

fn mounts(container: &Container, volume: &str) -> bool {
    container.volumes.values().any(|it| it.name == volume)
}

fn volumes(state: &State, doomed: &BTreeSet<&String>, gone: &[Key], draft: &mut PlanBuilder) {
    for name in doomed {
        let known = state.volumes.get(*name).and_then(|it| it.name.clone());
        let shown = known.unwrap_or_else(|| (*name).clone());
        let action = Action::RemoveVolume((*name).clone());
        let subject = Subject::Volume { name: shown };
        let step = Step::act(action, subject, Reason::Teardown);
        draft.add(Key::Volume((*name).clone()), step, gone.to_vec());
    }
}

/// Removes the snapshot of a volume before the volume itself.
fn copy(name: &str, snapshot: &Snapshot, draft: &mut PlanBuilder) {
    helpers(snapshot, draft);
    let needs = snapshot.helpers.iter().cloned().map(Key::Remove);
    let step = Step::act(
        Action::RemoveSnapshot(name.to_owned()),
        Subject::Volume {
            name: name.to_owned(),
        },
        Reason::Teardown,
    );
    draft.add(Key::RemoveSnapshot(name.to_owned()), step, needs);
    draft.needs(
        &Key::Volume(snapshot.of.clone()),
        Key::RemoveSnapshot(name.to_owned()),
    );
}

/// Removes the containers that an interrupted copy left behind, because they would block the
/// removal of the volume.
fn helpers(snapshot: &Snapshot, draft: &mut PlanBuilder) {
    for helper in &snapshot.helpers {
        let action = Action::RemoveContainer(helper.clone());
        let step = Step::act(action, Subject::Project, Reason::Teardown);
        draft.add(Key::Remove(helper.clone()), step, []);
    }
}

/// Removes the tags under which images were kept for generations. An image is removed only with its
/// last tag.
fn tags(
    project: &str,
    state: &State,
    removal: &DownOptions,
    going: &[(&ContainerName, &Container)],
    draft: &mut PlanBuilder,
) {
    let Ok(project) = ProjectName::new(project) else {
        return;
    };
    let of_going = going
        .iter()
        .filter_map(|(_, it)| tag_of(&project, &it.service, it.generation));
    let mut tags: BTreeSet<ImageRef> = of_going.collect();
    let services = going.iter().map(|(_, it)| &it.service);
    let named = removal.services.iter().chain(&removal.declared);
    for service in services.chain(named) {
        let its = kept_images(&project, service, state);
        tags.extend(its.map(|(_, tag)| tag.clone()));
    }
    if removal.services.is_empty() {
        tags.extend(removal.tags.iter().cloned());
    }
    for tag in tags {
        let removals = going.iter().map(|(name, _)| Key::Remove((*name).clone()));
        let step = Step::act(
            Action::RemoveImage(tag.clone()),
            Subject::Project,
            Reason::Teardown,
        );
        draft.add(Key::Collect(tag), step.non_fatal(), removals);
    }
}

fn waits_for(container: &Container, service: &ServiceName) -> bool {
    container
        .record
        .as_ref()
        .is_some_and(|record| record.depends_on.contains_key(service))
        && container.service != *service
}

fn networks(project: &str, state: &State, gone: &[Key], draft: &mut PlanBuilder) {
    for (name, network) in &state.networks {
        if network.project.as_deref() == Some(project) {
            let shown = network.name.clone().unwrap_or_else(|| name.clone());
            let action = Action::RemoveNetwork(name.clone());
            let subject = Subject::Network { name: shown };
            let step = Step::act(action, subject, Reason::Teardown);
            draft.add(Key::Network(name.clone()), step, gone.to_vec());
        }
    }
}

/// Removes all tags of the images that were built for the project. They include the tags that were
/// kept for generations, which are not removed a second time.
fn built(state: &State, removal: &DownOptions, gone: &[Key], draft: &mut PlanBuilder) {
    for image in state.own_images.iter().filter(|_| removal.images) {
        let action = Action::RemoveImage(image.clone());
        let step = Step::act(action, Subject::Project, Reason::Teardown);
        draft.add(Key::Collect(image.clone()), step, gone.to_vec());
    }
}
