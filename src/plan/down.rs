//! The way to nothing: what bears the project's label goes, dependents before dependencies.
//!
//! Needs no manifest: what is there says itself what it waited for.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Plan, Reason, Step, Subject,
    draft::{Draft, Key},
    generation::tag_of,
};
use crate::{
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    state::{Container, State},
};

/// What is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Only these services' containers; empty: everything.
    pub services: BTreeSet<ServiceName>,
    /// Named volumes, and what they hold, too.
    pub volumes: bool,
    /// The images that were built for the project too.
    pub images: bool,
    /// How long a container may take to end, instead of its own grace period.
    pub timeout: Option<Duration>,
    /// Names under which images were kept for generations, as the history knows them.
    pub tags: BTreeSet<ImageRef>,
}

/// Plans the removal of what is there.
#[must_use]
pub fn down(project: &str, state: &State, removal: &Removal) -> Plan {
    // What containers recorded may be of several manifests, and so may wait for each other in a
    // circle. Then they go in no order, but they go.
    let ordered = remove(project, state, removal, true);
    ordered
        .or_else(|_| remove(project, state, removal, false))
        .unwrap_or_default()
}

fn remove(
    project: &str,
    state: &State,
    removal: &Removal,
    ordered: bool,
) -> Result<Plan, Vec<Subject>> {
    let mut draft = Draft::default();
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
            let step = Step::act(action, subject.clone(), Reason::Down);
            draft.add(key, step, dependents);
        }
        let action = Action::RemoveContainer((*name).clone());
        let needs = [Key::Stop((*name).clone())];
        let step = Step::act(action, subject, Reason::Down);
        draft.add(Key::Remove((*name).clone()), step, needs);
    }
    tags(project, removal, &going, &mut draft);
    if removal.services.is_empty() {
        let gone: Vec<Key> = going
            .iter()
            .map(|(name, _)| Key::Remove((*name).clone()))
            .collect();
        resources(project, state, removal, &gone, &mut draft);
    }
    draft.finish()
}

/// The names under which images were kept for generations; an image goes only with its last name.
fn tags(
    project: &str,
    removal: &Removal,
    going: &[(&ContainerName, &Container)],
    draft: &mut Draft,
) {
    let Ok(project) = ProjectName::new(project) else {
        return;
    };
    let of_going = going
        .iter()
        .filter_map(|(_, it)| tag_of(&project, &it.service, it.generation));
    let mut tags: BTreeSet<ImageRef> = of_going.collect();
    if removal.services.is_empty() {
        tags.extend(removal.tags.iter().cloned());
    }
    for tag in tags {
        let removals = going.iter().map(|(name, _)| Key::Remove((*name).clone()));
        let step = Step::act(
            Action::RemoveImage(tag.clone()),
            Subject::Project,
            Reason::Down,
        );
        draft.add(Key::Collect(tag), step.optional(), removals);
    }
}

fn waits_for(container: &Container, service: &ServiceName) -> bool {
    container
        .record
        .as_ref()
        .is_some_and(|record| record.depends_on.contains_key(service))
        && container.service != *service
}

fn resources(project: &str, state: &State, removal: &Removal, gone: &[Key], draft: &mut Draft) {
    for (name, network) in &state.networks {
        if network.project.as_deref() == Some(project) {
            let shown = network.name.clone().unwrap_or_else(|| name.clone());
            let action = Action::RemoveNetwork(name.clone());
            let subject = Subject::Network { name: shown };
            let step = Step::act(action, subject, Reason::Down);
            draft.add(Key::Network(name.clone()), step, gone.to_vec());
        }
    }
    for (name, volume) in state.volumes.iter().filter(|_| removal.volumes) {
        if volume.project.as_deref() == Some(project) {
            let shown = volume.name.clone().unwrap_or_else(|| name.clone());
            let action = Action::RemoveVolume(name.clone());
            let subject = Subject::Volume { name: shown };
            let step = Step::act(action, subject, Reason::Down);
            draft.add(Key::Volume(name.clone()), step, gone.to_vec());
        }
    }
    for (name, snapshot) in &state.snapshots {
        // Left by a copy that was cut off; it would hold the volume.
        for helper in &snapshot.helpers {
            let action = Action::RemoveContainer(helper.clone());
            let step = Step::act(action, Subject::Project, Reason::Down);
            draft.add(Key::Remove(helper.clone()), step, []);
        }
        if removal.volumes {
            let needs = snapshot.helpers.iter().cloned().map(Key::Remove);
            let step = Step::act(
                Action::RemoveSnapshot(name.clone()),
                Subject::Volume { name: name.clone() },
                Reason::Down,
            );
            draft.add(Key::RemoveSnapshot(name.clone()), step, needs);
            draft.needs(
                &Key::Volume(snapshot.of.clone()),
                Key::RemoveSnapshot(name.clone()),
            );
        }
    }
    for image in state.own_images.iter().filter(|_| removal.images) {
        let action = Action::RemoveImage(ImageRef::clone(image));
        let key = Key::Image(image.to_string());
        draft.add(
            key,
            Step::act(action, Subject::Project, Reason::Down),
            gone.to_vec(),
        );
    }
}
