//! Reconstructs the running project, independently of the current manifest. A rotation is applied
//! to this project.

use std::collections::{BTreeMap, BTreeSet};

use super::{CommandError, deployment, history, load};
use crate::{
    engine::{Query, StateStore},
    journal::HistoryEntry,
    name::{ImageRef, ServiceName},
    plan::{self, DeploymentPlan, Options, Plan, PreflightError, Reason, Subject},
    project::{ContainerSpec, ImageSource, MountKind, NetworkMode, Project, PullPolicy, Service},
    state::{Container, State},
};

/// Result of comparing the manifest with the running project.
pub(super) enum Comparison {
    /// There is nothing to deploy.
    Same,
    /// The manifest differs from the running project, or cannot be deployed.
    Differs {
        /// The running project.
        running: Box<Project>,
        /// Differences, as shown to the user; empty: only manual changes.
        parts: BTreeSet<String>,
    },
}

/// Compares a manifest with the running project.
pub(super) async fn compare(
    engine: &impl StateStore,
    manifest: &Project,
) -> Result<Comparison, CommandError> {
    let options = load::with_tags(manifest, Options::default())?;
    let state = deployment::observe(engine, manifest, &options).await?;
    let services = deployment::selected(manifest, &options);
    let images = plan::images(manifest, &state, &options, &services);
    let deploy = plan::deploy(manifest, &state, &options);
    let parts = match (images, deploy) {
        (Ok(images), Ok(deploy)) => {
            if images.steps.is_empty() && deploy.plan.changes_nothing() {
                return Ok(Comparison::Same);
            }
            parts(&images, &deploy)
        }
        // The manifest cannot be deployed as it is.
        (Err(refusals), _) | (_, Err(refusals)) => {
            refusals.iter().map(ToString::to_string).collect()
        }
    };
    let running = Box::new(running(engine, manifest, &state).await?);
    Ok(Comparison::Differs { running, parts })
}

/// Returns what a deploy of the manifest would change, other than repairing manual changes.
fn parts(images: &Plan, deploy: &DeploymentPlan) -> BTreeSet<String> {
    let decisions = deploy.decisions.iter().filter_map(|decision| {
        let by_hand = matches!(
            decision.reason.as_ref()?,
            Reason::Drifted { .. } | Reason::Stopped | Reason::DependencyReplaced { .. }
        );
        (!by_hand).then(|| format!("`{}`", decision.service))
    });
    let images = images.steps.iter().filter_map(|step| match &step.subject {
        Subject::Image { name } if step.reason != Reason::Requested => Some(format!("`{name}`")),
        _ => None,
    });
    decisions.chain(images).collect()
}

async fn running(
    engine: &impl StateStore,
    manifest: &Project,
    state: &State,
) -> Result<Project, CommandError> {
    let entries = history::entries(engine, &manifest.name).await?;
    let mut project = assembled(manifest, &entries, state);
    let wanted: BTreeMap<ServiceName, Image> = project
        .services
        .keys()
        .filter_map(|name| Some((name.clone(), Image::of(name, &entries, state)?)))
        .collect();
    let names = wanted.values().flat_map(|image| image.names(&project));
    let query = Query {
        images: names.collect(),
        ..Query::of(manifest.name.clone())
    };
    let images = engine.observe(&query).await?.images;
    let mut refusals = Vec::new();
    let names: Vec<ServiceName> = project.services.keys().cloned().collect();
    for name in names {
        let image = wanted.get(&name).and_then(|image| {
            let mut names = image.names(&project);
            names.find(|it| images.get(it).is_some_and(|facts| facts.id == image.id))
        });
        let Some(service) = project.services.get_mut(&name) else {
            continue;
        };
        match image {
            Some(image) => {
                service.image = ImageSource::Reference(image);
                service.pull = PullPolicy::Missing;
            }
            None => refusals.push(PreflightError::ImageLost {
                generation: wanted.get(&name).map_or(0, |image| image.generation),
                service: name,
            }),
        }
    }
    if refusals.is_empty() {
        Ok(project)
    } else {
        Err(CommandError::Refused(refusals))
    }
}

/// An image that a service runs.
struct Image {
    service: ServiceName,
    generation: u64,
    id: String,
    /// Reference in the manifest that the container was created from.
    name: Option<String>,
}

impl Image {
    fn of(service: &ServiceName, entries: &[HistoryEntry], state: &State) -> Option<Self> {
        if let Some(container) = in_force(service, state) {
            return Some(Self {
                service: service.clone(),
                generation: container.generation,
                id: container.image.clone(),
                name: container.record.as_ref().map(|it| it.image.clone()),
            });
        }
        let mut made = entries.iter().rev().filter_map(|entry| entry.part(service));
        let made = made.next()?;
        Some(Self {
            service: service.clone(),
            generation: made.generation,
            id: made.image.clone(),
            name: None,
        })
    }

    /// Returns references that may resolve to the image, in order of preference.
    fn names(&self, project: &Project) -> impl Iterator<Item = ImageRef> + use<> {
        let named = self.name.clone().and_then(|name| ImageRef::new(name).ok());
        let tag = plan::tag_of(&project.name, &self.service, self.generation);
        let id = ImageRef::new(self.id.clone()).ok();
        [named, tag, id].into_iter().flatten()
    }
}

/// Assembles the services of the last deploys, each with the specification of its container.
fn assembled(manifest: &Project, entries: &[HistoryEntry], state: &State) -> Project {
    let latest = entries
        .iter()
        .rev()
        .find(|entry| entry.has_live_containers());
    let mut project = latest.map_or_else(|| manifest.clone(), |entry| entry.project.clone());
    project.directory.clone_from(&manifest.directory);
    project.files.clone_from(&manifest.files);
    for container in state.containers.values() {
        // Later deploys of other services did not include this one.
        let name = &container.service;
        let mut earlier = entries.iter().rev().map(|entry| &entry.project);
        if !project.services.contains_key(name)
            && let Some(earlier) = earlier.find(|it| it.services.contains_key(name))
        {
            adopt(&mut project, earlier, name);
        }
    }
    project.services.retain(|name, service| {
        let container = in_force(name, state);
        if let Some(container) = container {
            become_as_made(service, container, manifest);
        }
        // A service that was never deployed is not part of the running project.
        container.is_some() || entries.iter().any(|entry| entry.part(name).is_some())
    });
    let known: BTreeSet<ServiceName> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, _| known.contains(name));
        let its = state.containers.iter().filter(|(name, it)| {
            it.service == service.name
                && !state.is_superseded(name)
                && !state.is_retained_failure(name)
        });
        service.replicas = its
            .map(|(_, it)| it.replica)
            .max()
            .unwrap_or(service.replicas);
    }
    project
}

/// Copies a service from an earlier project, with the networks and volumes that it uses.
fn adopt(project: &mut Project, from: &Project, name: &ServiceName) {
    let Some(service) = from.services.get(name) else {
        return;
    };
    if let NetworkMode::Networks(attached) = &service.container.network {
        for (name, network) in attached
            .keys()
            .filter_map(|it| from.networks.get_key_value(it))
        {
            let networks = &mut project.networks;
            networks
                .entry(name.clone())
                .or_insert_with(|| network.clone());
        }
    }
    for mount in &service.container.mounts {
        if let MountKind::Volume { volume, .. } = &mount.kind
            && let Some(found) = from.volumes.get(volume)
        {
            let volumes = &mut project.volumes;
            volumes
                .entry(volume.clone())
                .or_insert_with(|| found.clone());
        }
    }
    project.services.insert(name.clone(), service.clone());
}

/// Returns the active container of a service's first replica.
/// The record of this container has the first port of a range, from which the ports of the other
/// replicas follow.
fn in_force<'a>(service: &ServiceName, state: &'a State) -> Option<&'a Container> {
    let mut its = state.containers.iter().filter(|(name, it)| {
        it.service == *service
            && it.replica == 1
            && !state.is_superseded(name)
            && !state.is_retained_failure(name)
    });
    let committed = its.clone().find(|(name, it)| {
        let record = it.record.as_ref();
        record.is_some_and(|record| record.name.as_ref() == Some(*name))
    });
    committed.or_else(|| its.next()).map(|(_, it)| it)
}

fn become_as_made(service: &mut Service, container: &Container, project: &Project) {
    let Some(record) = &container.record else {
        return;
    };
    if let Ok(spec) = serde_json::from_value::<ContainerSpec>(record.spec.clone()) {
        service.container = spec;
    }
    if let Some(name) = &record.name {
        let usual = format!("{}-{}-1", project.name, service.name);
        let fixed = Some(name.to_string()).filter(|name| *name != usual);
        service.container_name = fixed;
    }
    service.kind = record.kind;
    service.depends_on.clone_from(&record.depends_on);
    service.ready = record.ready.clone();
}
