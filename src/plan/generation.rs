//! Generations: their numbers, their members, and the retained objects of earlier ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Action, Change, DeploymentPlan, Plan, PreflightError, Reason, Step, StepKind, Subject,
    builder::{Key, PlanBuilder},
    deploy::{final_name, interim_name},
    image_of,
    rollout::{ContainerUpdate, RolloutBuilder, creates_container},
};
use crate::{
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    project::{Kind, Project, RestartPolicy},
    state::{Container, State, Status},
};

/// Returns the number of the next generation. Numbers of failed deploys are not reused.
pub(super) fn next(state: &State) -> u64 {
    let newest = state.containers.values().map(|it| it.generation).max();
    // A snapshot is named after its generation, so that a number must not be used twice.
    let copied = state.snapshots.values().map(|it| it.generation).max();
    // A volume outlives the history, so that the generation in its label must not be reused.
    let kept = state.volume_generations.values().copied().max();
    newest
        .max(copied)
        .max(kept)
        .unwrap_or(0)
        .max(state.last_deploy)
        + 1
}

/// Returns the tag under which a service's image is kept for a generation.
#[must_use]
pub fn tag_of(project: &ProjectName, service: &ServiceName, generation: u64) -> Option<ImageRef> {
    let name = format!("{project}-{service}").to_lowercase();
    ImageRef::new(format!("{name}:g{generation}")).ok()
}

/// Returns whether an image reference is one that [`tag_of`] returns for a service of this project.
#[must_use]
pub fn is_generation_tag(project: &ProjectName, name: &str) -> bool {
    let prefix = format!("{project}-").to_lowercase();
    let rest = name.strip_prefix(&prefix);
    let generation = rest.and_then(|rest| rest.rsplit_once(":g"));
    generation.is_some_and(|(service, number)| {
        !service.is_empty() && !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit())
    })
}

/// Returns the tags under which a service's images are kept, with their generations.
pub(super) fn kept_images<'a>(
    project: &'a ProjectName,
    service: &'a ServiceName,
    state: &'a State,
) -> impl Iterator<Item = (u64, &'a ImageRef)> {
    let names = state.kept_images.iter().flatten();
    names.filter_map(move |name| {
        let (_, generation) = name.as_str().rsplit_once(":g")?;
        let generation = generation.parse().ok()?;
        let its = tag_of(project, service, generation);
        (its.as_ref() == Some(name)).then_some((generation, name))
    })
}

/// A container of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationMember {
    /// Service or job of the container.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Generation that created the container: this one, or an earlier one if the container was
    /// kept.
    pub generation: u64,
    /// Id of the container's image.
    pub image: String,
    /// References of the image in registries (`repository@sha256:…`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
}

/// Returns the members of a generation after its commit, by their final names.
#[must_use]
pub fn made(
    project: &Project,
    state: &State,
    deploy: &DeploymentPlan,
    tags: &BTreeMap<ServiceName, ImageRef>,
) -> BTreeMap<ContainerName, GenerationMember> {
    let decisions = deploy.decisions.iter();
    decisions
        .filter(|decision| decision.change != Change::Remove)
        .filter_map(|decision| {
            let service = project.services.get(&decision.service)?;
            let standing = decision.revived.as_ref().or(decision.current.as_ref());
            let standing = standing.and_then(|name| state.containers.get(name));
            let created = creates_container(decision.change) && decision.revived.is_none();
            let image = image_of(project, tags, service);
            let image = image.and_then(|image| state.images.get(&image));
            let (generation, id) = match standing {
                Some(container) if !created => (container.generation, container.image.clone()),
                _ => (deploy.generation, image.map(|it| it.id.clone())?),
            };
            let made = GenerationMember {
                service: decision.service.clone(),
                replica: decision.replica,
                generation,
                digests: image
                    .filter(|it| it.id == id)
                    .map(|it| it.digests.clone())
                    .unwrap_or_default(),
                image: id,
            };
            Some((final_name(project, service, decision.replica), made))
        })
        .collect()
}

/// Returns an error for each value that a new container needs and that is known only by its digest.
pub(super) fn lost_values(plan: &Plan) -> Vec<PreflightError> {
    let creates = plan.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Action(Action::CreateContainer(create)) => Some(create),
        _ => None,
    });
    let mut lost = Vec::new();
    for create in creates {
        let variables = create.spec.env.iter();
        let variables = variables
            .filter(|(_, value)| value.expose().is_none())
            .map(|(name, _)| format!("the value of `{name}`"));
        let files = create.spec.files.iter().flat_map(|set| {
            set.files
                .iter()
                .filter(|file| file.content.is_none())
                .map(|file| format!("the content of `{}/{}`", set.folder, file.name))
        });
        lost.extend(
            variables
                .chain(files)
                .map(|what| PreflightError::ValueLost {
                    service: create.service.clone(),
                    what,
                }),
        );
    }
    lost
}

/// Returns the name that a container was created for; `last` if it is not recorded.
fn its_name(container: &Container, last: &ContainerName) -> ContainerName {
    let recorded = container.record.as_ref().and_then(|it| it.name.as_ref());
    recorded.unwrap_or(last).clone()
}

impl RolloutBuilder<'_> {
    /// Tags the image of a new container for its generation, so that the image is kept.
    pub fn keep_image(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        if !creates_container(turn.decision.change) || turn.decision.revived.is_some() {
            return;
        }
        let service = turn.service;
        let Some(image) = image_of(self.project, &self.options.tags, service) else {
            return;
        };
        if let Some(tag) = tag_of(&self.project.name, &service.name, self.generation) {
            let key = Key::Tag(tag.clone());
            draft.add(key, turn.act(Action::TagImage { image, tag }), []);
        }
    }

    /// Returns whether the update restores a completed job of an earlier generation, which is not
    /// started again.
    pub fn is_done(&self, turn: &ContainerUpdate<'_>) -> bool {
        let revived = turn.decision.revived.as_ref();
        revived
            .and_then(|name| self.state.containers.get(name))
            .is_some_and(|container| {
                matches!(turn.service.kind, Kind::Job { .. })
                    && container.condition.exit_code == Some(0)
            })
    }

    /// After the commit, keeps the replaced container, stopped, under the name of its generation.
    /// Removes containers that are older than the generations to keep.
    pub fn retire(
        &self,
        draft: &mut PlanBuilder,
        turn: &ContainerUpdate<'_>,
        old: &ContainerName,
        last: &ContainerName,
    ) {
        let Some(container) = self.state.containers.get(old) else {
            return;
        };
        let mut kept: Vec<(&ContainerName, &Container)> = self
            .state
            .containers
            .iter()
            .filter(|(name, it)| {
                let same = it.service == container.service && it.replica == container.replica;
                let taken = Some(*name) == turn.decision.revived.as_ref() || *name == turn.name;
                same && !taken && self.state.is_superseded(name)
            })
            .collect();
        let of_rest =
            |action| Step::act(action, turn.subject.clone(), Reason::Superseded).after_commit();
        if self.may_come_back(turn, container) {
            let mut needs = vec![Key::Stop(old.clone())];
            if container.restart.is_some_and(|it| it != RestartPolicy::No) {
                let action = Action::SetRestartPolicy {
                    container: old.clone(),
                    policy: RestartPolicy::No,
                };
                draft.add(
                    Key::Policy(old.clone()),
                    of_rest(action),
                    [Key::Stop(old.clone())],
                );
                needs.push(Key::Policy(old.clone()));
            }
            let to = interim_name(&its_name(container, last), container.generation);
            if to != *old {
                let action = Action::RenameContainer {
                    from: old.clone(),
                    to,
                };
                draft.add(Key::Rename(old.clone()), of_rest(action), needs);
            }
            kept.push((old, container));
        } else {
            let action = Action::RemoveContainer(old.clone());
            let needs = [Key::Stop(old.clone())];
            draft.add(Key::Remove(old.clone()), of_rest(action), needs);
            self.forget_image(draft, turn, (old, container));
        }
        kept.sort_by_key(|(_, it)| std::cmp::Reverse(it.generation));
        // The current generation is one of those to keep.
        let room = (self.project.deploy.history.max(1) - 1) as usize;
        for (name, container) in kept.into_iter().skip(room) {
            let renamed = Key::Rename(name.clone());
            let named = if draft.has(&renamed) {
                interim_name(&its_name(container, last), container.generation)
            } else {
                name.clone()
            };
            let action = Action::RemoveContainer(named);
            draft.add(Key::Remove(name.clone()), of_rest(action), [renamed]);
            self.forget_image(draft, turn, (name, container));
        }
    }

    /// Returns whether a replaced container is kept for a rollback. It is not kept if it never ran,
    /// if it is a failed job, if its generation is later than that of its replacement, or if
    /// another program created it.
    fn may_come_back(&self, turn: &ContainerUpdate<'_>, old: &Container) -> bool {
        let revived = turn.decision.revived.as_ref();
        let its = revived.and_then(|name| self.state.containers.get(name));
        let newer = its.map_or(self.generation, |it| it.generation);
        let ran = !matches!(
            old.condition.status,
            Status::Created | Status::Dead | Status::Removing
        );
        let failed_job =
            matches!(turn.service.kind, Kind::Job { .. }) && old.condition.exit_code != Some(0);
        ran && !failed_job && newer > old.generation && !self.state.is_recreated(old)
    }

    /// After the commit, removes image tags of generations that are no longer kept, unless a
    /// container is left that the tag is removed with.
    pub fn forget_images(&self, draft: &mut PlanBuilder) {
        if !self.options.services.is_empty() || draft.is_empty_of_actions() {
            return;
        }
        let containers = || self.state.containers.values();
        let known = self.project.services.keys();
        let known: BTreeSet<&ServiceName> =
            known.chain(containers().map(|it| &it.service)).collect();
        let room = self.project.deploy.history.max(1) as usize;
        for service in known {
            let its = containers().filter(|it| it.service == *service);
            let held: BTreeSet<u64> = its.map(|it| it.generation).collect();
            let project = &self.project.name;
            let tags = kept_images(project, service, self.state);
            let tags: BTreeMap<u64, &ImageRef> = tags.collect();
            let mut generations: BTreeSet<u64> = held.iter().chain(tags.keys()).copied().collect();
            let new = tag_of(project, service, self.generation);
            if new.is_some_and(|tag| draft.has(&Key::Tag(tag))) {
                generations.insert(self.generation);
            }
            let too_old = generations.into_iter().rev().skip(room);
            for tag in too_old
                .filter(|it| !held.contains(it))
                .filter_map(|it| tags.get(&it))
            {
                let subject = Subject::Service {
                    name: service.clone(),
                    replica: 1,
                };
                let action = Action::RemoveImage((*tag).clone());
                let step = Step::act(action, subject, Reason::Superseded);
                let step = step.non_fatal().after_commit();
                draft.add(Key::Collect((*tag).clone()), step, []);
            }
        }
    }

    /// Removes an image tag with the last container of its generation.
    fn forget_image(
        &self,
        draft: &mut PlanBuilder,
        turn: &ContainerUpdate<'_>,
        (name, _): (&ContainerName, &Container),
    ) {
        let step =
            |action| Step::act(action, turn.subject.clone(), Reason::Superseded).after_commit();
        self.forget_orphan(draft, name, step);
    }

    /// Removes an image tag with a container that is no longer needed, if it is the last of its
    /// generation. `step` creates the step.
    pub fn forget_orphan(
        &self,
        draft: &mut PlanBuilder,
        name: &ContainerName,
        step: impl Fn(Action) -> Step,
    ) {
        let Some(container) = self.state.containers.get(name) else {
            return;
        };
        let project = &self.project.name;
        let Some(tag) = tag_of(project, &container.service, container.generation) else {
            return;
        };
        let others = self.state.containers.iter().any(|(other, it)| {
            let same = it.service == container.service && it.generation == container.generation;
            same && other != name && !draft.has(&Key::Remove(other.clone()))
        });
        if !others {
            let step = step(Action::RemoveImage(tag.clone()));
            draft.add(Key::Collect(tag), step, [Key::Remove(name.clone())]);
        }
    }
}
