//! A simulated world that starts from the observed state of a real engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Latency, Sim,
    state_store::SimLock,
    world::{Kept, SimContainer, World},
};
use crate::{
    engine::Lock,
    journal::Page,
    name::{ImageRef, ProjectName},
    project::{PortBinding, RestartPolicy},
    state::{Container, Resource, Snapshot, State, Status},
};

/// The initial state of a world.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The project of the world.
    pub project: ProjectName,
    /// The observed state.
    pub state: State,
    /// The pages of the journal and the history.
    pub pages: Vec<Page>,
    /// The project's lock, if it is held.
    pub lock: Option<Lock>,
}

/// The fields of a recorded spec that the engine does not show until a container starts.
#[derive(Debug, Default, Deserialize)]
struct Recorded {
    #[serde(default)]
    ports: Vec<PortBinding>,
}

impl Sim {
    /// Creates a world that shows an observed state and continues from there.
    ///
    /// What cannot be observed is assumed healthy: every running container is ready. Each volume
    /// contains one entry.
    #[must_use]
    pub fn of(seed: Seed, pace: Latency) -> Self {
        Self::in_world(World::of(seed), pace)
    }
}

impl World {
    fn of(seed: Seed) -> Self {
        let state = seed.state;
        let mut world = Self::new(seed.project);
        for (name, container) in &state.containers {
            world.containers.insert(name.clone(), thing(container));
        }
        world.ids = last_id(&state);
        let starts = state.containers.values();
        let starts = starts.filter_map(|it| it.setup.as_ref()?.started);
        world.epoch = starts.max().unwrap_or_default();
        world.networks = without_own(state.networks, |name| world.users_of_network(name));
        world.volumes = without_own(state.volumes, |name| world.users_of_volume(name));
        world.volume_generations = state.volume_generations;
        world.mount();
        let snapshots = state.snapshots.into_iter();
        world.snapshots = snapshots.map(|(name, it)| (name, kept(it))).collect();
        world.images = state.images;
        world.know_images();
        world.databases = state.databases;
        world.built = state.own_images;
        world.foreign = state.foreign;
        world.foreign_ranges = state.foreign_ranges;
        world.engine = state.engine;
        let pages = seed.pages.into_iter();
        world.pages = pages
            .map(|it| ((it.collection, it.name.clone()), it))
            .collect();
        world.orphaned = seed.lock.as_ref().is_some_and(|lock| lock.holder_exited);
        world.lock = seed.lock.map(|lock| SimLock {
            id: lock.id,
            holder: lock.holder,
            sign: Duration::ZERO,
            silent_for: lock.since_heartbeat,
        });
        world
    }

    /// Adds the volumes that were not queried but are mounted. Every volume contains data.
    fn mount(&mut self) {
        let mounted = self.containers.values().flat_map(|it| it.volumes.values());
        let mounted: BTreeSet<String> = mounted.map(|it| it.name.clone()).collect();
        for name in mounted {
            self.volumes.entry(name).or_insert(Resource {
                project: None,
                name: None,
                definition: None,
                users: 0,
                id: None,
                record: None,
                subnets: Vec::new(),
            });
        }
        for name in self.volumes.keys() {
            self.data.insert(name.clone(), note());
        }
    }

    /// Adds the images of the containers, even if their names point to other images by now.
    fn know_images(&mut self) {
        let ids: BTreeSet<String> = self
            .containers
            .values()
            .map(|it| it.image.clone())
            .collect();
        for id in ids {
            let known = self.images.values().any(|facts| facts.id == id);
            if !known && let Ok(name) = ImageRef::new(id.clone()) {
                self.add_image(name, id);
            }
        }
    }
}

fn thing(container: &Container) -> SimContainer {
    let record = container.record.as_ref();
    let recorded = record.and_then(|record| Recorded::deserialize(&record.spec).ok());
    let condition = &container.condition;
    let setup = container.setup.clone().unwrap_or_default();
    let fixed = |network: &str| setup.endpoints.get(network)?.ipv4.clone();
    let policy = container.restart.unwrap_or_default();
    let ran = condition.status != Status::Created;
    SimContainer {
        id: container.id.clone(),
        service: container.service.clone(),
        replica: container.replica,
        generation: container.generation,
        record: container.record.clone(),
        image: container.image.clone(),
        networks: container
            .networks
            .keys()
            .map(|name| (name.clone(), fixed(name).unwrap_or_default()))
            .collect(),
        addresses: container.networks.clone(),
        ports: recorded.unwrap_or_default().ports,
        holds: container.ports.clone(),
        volumes: container.volumes.clone(),
        policy,
        // A container that should have been restarted and was not was stopped manually.
        stopped_by_hand: !condition.status.is_up() && policy != RestartPolicy::No,
        started: Duration::ZERO,
        earlier: condition.running_for.unwrap_or_default(),
        created: container.created,
        starts: u64::from(ran),
        log: Vec::new(),
        condition: condition.clone(),
        setup,
    }
}

/// Returns the resources with only the users outside the project. The world counts its own users
/// itself.
fn without_own(
    those: BTreeMap<String, Resource>,
    own: impl Fn(&str) -> usize,
) -> BTreeMap<String, Resource> {
    let others = |name: &str, it: &Resource| it.users.saturating_sub(own(name));
    those
        .into_iter()
        .map(|(name, it)| {
            let users = others(&name, &it);
            (name, Resource { users, ..it })
        })
        .collect()
}

/// A snapshot does not show whether it is complete, but it shows that a copy was interrupted.
fn kept(snapshot: Snapshot) -> Kept {
    Kept {
        of: snapshot.of,
        generation: snapshot.generation,
        held: snapshot.helpers.is_empty().then(note),
        helpers: snapshot.helpers,
    }
}

fn note() -> BTreeSet<String> {
    BTreeSet::from(["what was there before".to_owned()])
}

/// Returns the highest id that a simulated world assigned, so that no id is assigned twice.
fn last_id(state: &State) -> u64 {
    let containers = state.containers.values();
    let ids = containers.flat_map(|it| {
        let volumes = it.volumes.values().map(|volume| volume.name.as_str());
        volumes.chain([it.id.as_str()])
    });
    let networks = state.networks.values();
    let ids = ids.chain(networks.filter_map(|it| it.id.as_deref()));
    let numbers = ids.filter_map(|id| u64::from_str_radix(id, 16).ok());
    numbers.max().unwrap_or_default()
}
