//! The project as it runs, whatever the manifest says by now: what a rotation is applied to.

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

/// How the manifest stands to what runs.
pub(super) enum Comparison {
    /// There is nothing to deploy.
    Same,
    /// It differs.
    Differs {
        /// What runs.
        running: Box<Project>,
        /// In what, as a person calls it; empty: only in what hands have changed.
        parts: BTreeSet<String>,
    },
}

/// Compares a manifest with what runs.
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
        // It cannot be deployed as it is.
        (Err(refusals), _) | (_, Err(refusals)) => {
            refusals.iter().map(ToString::to_string).collect()
        }
    };
    let running = Box::new(running(engine, manifest, &state).await?);
    Ok(Comparison::Differs { running, parts })
}

/// What a deploy of the manifest would change besides what hands have changed.
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
    /// As the manifest of its time named it.
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

    /// Names that may mean it, the best first.
    fn names(&self, project: &Project) -> impl Iterator<Item = ImageRef> + use<> {
        let named = self.name.clone().and_then(|name| ImageRef::new(name).ok());
        let tag = plan::tag_of(&project.name, &self.service, self.generation);
        let id = ImageRef::new(self.id.clone()).ok();
        [named, tag, id].into_iter().flatten()
    }
}

/// The services of the last deploys, each as its container was made.
fn assembled(manifest: &Project, entries: &[HistoryEntry], state: &State) -> Project {
    let latest = entries
        .iter()
        .rev()
        .find(|entry| entry.has_live_containers());
    let mut project = latest.map_or_else(|| manifest.clone(), |entry| entry.project.clone());
    project.directory.clone_from(&manifest.directory);
    project.files.clone_from(&manifest.files);
    for container in state.containers.values() {
        // It was left alone by deploys of other services.
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
        // What was never deployed is not part of what runs.
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

/// Takes over a service, with the networks and volumes that it uses.
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

/// The container of a service's first replica that counts.
/// Of a range of ports its record has the first, from which those of the others follow.
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
