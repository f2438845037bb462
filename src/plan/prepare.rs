//! Objects that a deploy creates before it touches anything that runs: networks, volumes,
//! containers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Change, CreateContainer, CreateNetwork, CreateVolume, Reason, Step, Subject,
    builder::{Key, PlanBuilder},
    deploy::final_name,
    diff, image_of, networks,
    rollout::{ContainerUpdate, RolloutBuilder, creates_container},
};
use crate::{
    name::{ContainerName, NetworkName, ServiceName, VolumeName},
    project::{Kind, MountKind, Network, NetworkMode, Project, Service, Volume},
    secret::digest,
    state::{Container, ContainerRecord, label},
};

impl RolloutBuilder<'_> {
    /// Creates the missing networks and volumes that the new containers need.
    pub fn resources(&self, draft: &mut PlanBuilder) {
        let made = self
            .decisions
            .iter()
            .filter(|decision| creates_container(decision.change));
        for service in made.filter_map(|decision| self.project.services.get(&decision.service)) {
            for name in networks_of(service) {
                self.network(draft, name);
            }
            for name in volumes_of(service) {
                let Some(volume) = self.project.volumes.get(name) else {
                    continue;
                };
                if volume.external || self.state.volumes.contains_key(&volume.engine_name) {
                    continue;
                }
                let create = CreateVolume {
                    project: self.project.name.clone(),
                    name: name.clone(),
                    volume: volume.clone(),
                    definition: volume_definition(volume),
                    generation: self.generation,
                };
                let subject = Subject::Volume {
                    name: name.to_string(),
                };
                let step = Step::act(
                    Action::CreateVolume(Box::new(create)),
                    subject,
                    Reason::NotFound,
                );
                let key = Key::Volume(volume.engine_name.clone());
                draft.add(key, step, []);
            }
        }
    }

    fn network(&self, draft: &mut PlanBuilder, name: &NetworkName) {
        let network = self.project.networks.get(name);
        let Some((network, placed)) = network.zip(self.networks.get(name)) else {
            return;
        };
        if network.external || self.state.networks.contains_key(&placed.engine_name) {
            return;
        }
        let create = CreateNetwork {
            project: self.project.name.clone(),
            name: name.clone(),
            network: Network {
                engine_name: placed.engine_name.clone(),
                ..network.definition()
            },
            definition: placed.definition.clone(),
        };
        let subject = Subject::Network {
            name: name.to_string(),
        };
        let reason = placed
            .predecessor
            .as_ref()
            .map_or(Reason::NotFound, |old| Reason::Changed {
                changes: old.changes.clone(),
            });
        let step = Step::act(Action::CreateNetwork(Box::new(create)), subject, reason);
        // A given range is claimed first, or the engine might choose it for another network.
        let given = self.project.networks.iter();
        let given = given.filter(|(_, it)| !it.external && !it.subnets.is_empty());
        let given = given.filter_map(|(name, _)| self.networks.get(name));
        let needs: Vec<Key> = given
            .filter(|_| network.subnets.is_empty())
            .map(|placed| Key::Network(placed.engine_name.clone()))
            .collect();
        draft.add(Key::Network(placed.engine_name.clone()), step, needs);
    }

    /// After the commit, removes the networks that are no longer used: those with a changed
    /// definition, and those that are no longer in the manifest.
    pub fn remove_networks(&self, draft: &mut PlanBuilder) {
        if !self.options.services.is_empty() {
            return;
        }
        for (name, resource) in networks::left_over(self.project, self.state, self.networks) {
            let attached: Vec<(&ContainerName, &Container)> = self
                .state
                .containers
                .iter()
                .filter(|(_, it)| it.networks.contains_key(name))
                .collect();
            let mut users = attached
                .iter()
                .filter(|(name, it)| !is_done(it) && !self.state.is_superseded(name));
            // A container that stays may have to start again in this network. Containers outside of
            // the project are not managed here.
            if attached.len() < resource.users || !users.clone().all(|(user, _)| self.leaves(user))
            {
                continue;
            }
            let users: Vec<Key> = users
                .by_ref()
                .flat_map(|(user, _)| [Key::Remove((*user).clone()), Key::Rename((*user).clone())])
                .collect();
            let mut placed = self.networks.values();
            let followed = placed.any(|it| {
                let old = it.predecessor.as_ref();
                old.is_some_and(|old| old.engine_name == *name)
            });
            let subject = Subject::Network {
                name: resource.name.clone().unwrap_or_else(|| name.clone()),
            };
            let reason = if followed {
                Reason::Superseded
            } else {
                Reason::Orphan
            };
            let step = Step::act(Action::RemoveNetwork(name.clone()), subject, reason);
            draft.add(Key::RemoveNetwork(name.clone()), step.after_commit(), users);
        }
    }

    /// Returns whether a container no longer runs after this deploy.
    fn leaves(&self, container: &ContainerName) -> bool {
        let mut decisions = self.decisions.iter();
        decisions.any(|decision| {
            let replaced = creates_container(decision.change) || decision.change == Change::Remove;
            replaced && decision.current.as_ref() == Some(container)
        })
    }

    pub fn create(&self, draft: &mut PlanBuilder, turn: &ContainerUpdate<'_>) {
        if !creates_container(turn.decision.change) || turn.decision.revived.is_some() {
            return;
        }
        let project = self.project;
        let networks = networks_of(turn.service)
            .filter_map(|name| Some((name, self.networks.get(name)?)))
            .map(|(name, placed)| (name.clone(), placed.engine_name.clone()));
        let volumes = volumes_of(turn.service)
            .filter_map(|name| project.volumes.get(name))
            .map(|volume| Key::Volume(volume.engine_name.clone()));
        let peers: BTreeMap<ServiceName, ContainerName> = diff::shared(turn.service)
            .into_iter()
            .filter_map(|peer| Some((peer.clone(), self.names.get(&(peer, 1))?.clone())))
            .collect();
        let Some(image) = image_of(project, &self.options.tags, turn.service) else {
            return;
        };
        let create = CreateContainer {
            project: project.name.clone(),
            name: turn.name.clone(),
            service: turn.service.name.clone(),
            replica: turn.decision.replica,
            generation: self.generation,
            platform: turn.service.platform.clone(),
            spec: turn.service.spec_of(turn.decision.replica),
            networks: networks.clone().collect(),
            endpoints: self.endpoints_at_creation(turn),
            peers: peers.clone(),
            carried_over: self.carried(turn),
            record: ContainerRecord {
                networks: networks.clone().collect(),
                addresses: self.numbers(turn),
                ..record(project, turn.service, turn.decision.replica, image.as_str())
            },
            labels: labels(project),
            image,
        };
        let needs: Vec<Key> = networks
            .map(|(_, name)| Key::Network(name))
            .chain(volumes)
            .chain(peers.into_values().map(Key::Create))
            .collect();
        let action = Action::CreateContainer(Box::new(create));
        let key = Key::Create(turn.name.clone());
        draft.add(key, turn.act(action), needs);
    }

    /// Returns the anonymous volumes of the replaced container, by mount target.
    fn carried(&self, turn: &ContainerUpdate<'_>) -> BTreeMap<String, String> {
        let folders: BTreeSet<&str> = turn
            .service
            .container
            .files
            .iter()
            .map(|set| set.folder.as_str())
            .collect();
        self.current(turn)
            .into_iter()
            .flat_map(|current| &current.volumes)
            .filter(|(target, volume)| volume.anonymous && !folders.contains(target.as_str()))
            .map(|(target, volume)| (target.clone(), volume.name.clone()))
            .collect()
    }
}

/// Returns whether a container belongs to a job that has ended. It is not started again as it is.
fn is_done(container: &Container) -> bool {
    let record = container.record.as_ref();
    let job = record.is_some_and(|record| matches!(record.kind, Kind::Job { .. }));
    job && !container.condition.status.is_up()
}

pub(super) fn networks_of(service: &Service) -> impl Iterator<Item = &NetworkName> + Clone {
    match &service.container.network {
        NetworkMode::Networks(networks) => Some(networks.keys()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

pub(super) fn volumes_of(service: &Service) -> impl Iterator<Item = &VolumeName> + Clone {
    service
        .container
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Volume { volume, .. } => Some(volume),
            _ => None,
        })
}

/// Returns the digest of a definition, for the label that reveals changes.
pub(super) fn definition(thing: &impl serde::Serialize) -> String {
    digest(serde_json::to_string(thing).unwrap_or_default().as_bytes())
}

/// Returns the digest of a volume's definition.
pub(super) fn volume_definition(volume: &Volume) -> String {
    definition(&volume.definition())
}

/// Returns the record of a container of a service, without the placement of its networks.
pub(super) fn record(
    project: &Project,
    service: &Service,
    replica: u32,
    image: &str,
) -> ContainerRecord {
    let named = networks_of(service).filter_map(|name| {
        let network = project.networks.get(name)?;
        Some((name.clone(), network.has_service_names()))
    });
    ContainerRecord {
        kind: service.kind,
        spec: serde_json::to_value(service.spec_of(replica)).unwrap_or_default(),
        image: image.to_owned(),
        depends_on: service.depends_on.clone(),
        ready: service.ready.clone(),
        platform: service.platform.clone(),
        name: Some(final_name(project, service, replica)),
        networks: BTreeMap::new(),
        service_names: named.collect(),
        addresses: BTreeMap::new(),
    }
}

fn labels(project: &Project) -> BTreeMap<String, String> {
    let files: Vec<String> = project
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    BTreeMap::from([
        (label::COMPOSE_FILES.to_owned(), files.join(",")),
        (
            label::COMPOSE_DIRECTORY.to_owned(),
            project.directory.display().to_string(),
        ),
    ])
}
