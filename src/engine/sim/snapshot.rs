//! The observable state of the simulated world: as an engine reports it, and as tests compare it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::world::{SimContainer, World, is_anonymous};
use crate::{
    engine::Query,
    name::{ContainerName, ServiceName},
    plan,
    project::RestartPolicy,
    state::{Container, ContainerStatus, Resource, State},
};

/// The comparable state of a world: without ids and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The project's containers.
    pub containers: BTreeMap<ContainerName, ContainerSnapshot>,
    /// Networks by name on the engine.
    pub networks: BTreeSet<String>,
    /// Named volumes by name on the engine.
    pub volumes: BTreeSet<String>,
    /// Number of anonymous volumes that no container mounts.
    pub stray_volumes: usize,
    /// Snapshots of volumes by name on the engine.
    pub snapshots: BTreeSet<String>,
    /// Containers that are not of the project, and whether each runs.
    pub foreign: BTreeMap<ContainerName, bool>,
}

/// The comparable state of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSnapshot {
    /// The service of the container.
    pub service: ServiceName,
    /// The generation that created the container.
    pub generation: u64,
    /// Whether it runs.
    pub up: bool,
    /// The restart policy.
    pub policy: RestartPolicy,
}

impl Snapshot {
    /// Returns the containers, except for kept ones that a later generation has replaced.
    #[must_use]
    pub fn current(&self) -> BTreeMap<&ContainerName, &ContainerSnapshot> {
        let replaced = |name: &ContainerName, it: &ContainerSnapshot| {
            let own = format!(".g{}", it.generation);
            let same = |other: &&ContainerSnapshot| other.service == it.service;
            let mut same = self.containers.values().filter(same);
            !it.up
                && name.as_str().ends_with(&own)
                && same.any(|it2| it2.generation > it.generation)
        };
        let containers = self.containers.iter();
        containers
            .filter(|(name, it)| !replaced(name, it))
            .collect()
    }

    pub(super) fn of(world: &World) -> Self {
        let standing = |thing: &SimContainer| ContainerSnapshot {
            service: thing.service.clone(),
            generation: thing.generation,
            up: thing.condition.status.is_up(),
            policy: thing.policy,
        };
        let containers = world.containers.iter();
        let foreign = world.foreign.iter();
        let named = world.volumes.keys().filter(|name| !is_anonymous(name));
        let strays = world
            .volumes
            .keys()
            .filter(|name| is_anonymous(name) && world.users_of_volume(name) == 0);
        Self {
            containers: containers
                .map(|(name, it)| (name.clone(), standing(it)))
                .collect(),
            networks: world.networks.keys().cloned().collect(),
            volumes: named.cloned().collect(),
            stray_volumes: strays.count(),
            snapshots: world.snapshots.keys().cloned().collect(),
            foreign: foreign
                .map(|(name, it)| (name.clone(), it.running))
                .collect(),
        }
    }
}

/// Returns the state as an engine reports it.
pub(super) fn observe(world: &World, query: &Query, now: Duration) -> State {
    let containers = world.containers.iter();
    let images = world
        .images
        .iter()
        .filter(|(name, _)| query.images.contains(*name));
    let databases = world.databases.iter();
    let databases = databases.filter(|(name, _)| query.databases.contains(*name));
    State {
        engine: world.engine.clone(),
        containers: containers
            .map(|(name, it)| (name.clone(), container(it, now)))
            .collect(),
        networks: those(world, &world.networks, &query.networks, |name| {
            world.users_of_network(name)
        }),
        volumes: those(world, &world.volumes, &query.volumes, |name| {
            world.users_of_volume(name)
        }),
        snapshots: world.shown_snapshots(),
        databases: databases
            .map(|(name, it)| (name.clone(), it.clone()))
            .collect(),
        images: images
            .map(|(name, facts)| (name.clone(), facts.clone()))
            .collect(),
        foreign: world.foreign.clone(),
        own_images: if query.own_images {
            world.built.clone()
        } else {
            BTreeSet::new()
        },
        foreign_ranges: world.foreign_ranges.clone(),
        last_deploy: 0,
        kept_images: query.kept_images.then(|| {
            let names = world.images.keys();
            let kept = names.filter(|it| plan::is_generation_tag(&world.project, it.as_str()));
            kept.cloned().collect()
        }),
        volume_generations: world.volume_generations.clone(),
        job_records: BTreeMap::new(),
        unrecorded_jobs: BTreeSet::new(),
        identities: Vec::new(),
        locked: world.lock.is_some(),
    }
}

fn those(
    world: &World,
    all: &BTreeMap<String, Resource>,
    asked: &BTreeSet<String>,
    users: impl Fn(&str) -> usize,
) -> BTreeMap<String, Resource> {
    let shown = all.iter().filter(|(name, resource)| {
        resource.project.as_deref() == Some(world.project.as_str()) || asked.contains(*name)
    });
    shown
        .map(|(name, resource)| {
            let users = resource.users + users(name);
            (
                name.clone(),
                Resource {
                    users,
                    ..resource.clone()
                },
            )
        })
        .collect()
}

fn container(thing: &SimContainer, now: Duration) -> Container {
    let up = thing.condition.status.is_up();
    Container {
        id: thing.id.clone(),
        service: thing.service.clone(),
        replica: thing.replica,
        generation: thing.generation,
        record: thing.record.clone(),
        image: thing.image.clone(),
        condition: ContainerStatus {
            running_for: up.then(|| thing.earlier + now.saturating_sub(thing.started)),
            ..thing.condition.clone()
        },
        restart: Some(thing.policy),
        networks: thing
            .networks
            .iter()
            .map(|(name, fixed)| {
                let has = thing.addresses.get(name).unwrap_or(fixed);
                (name.clone(), if up { has.clone() } else { String::new() })
            })
            .collect(),
        ports: thing.holds.clone(),
        volumes: thing.volumes.clone(),
        setup: Some(thing.setup.clone()),
        created: thing.created,
    }
}
