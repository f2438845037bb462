//! Containers of the simulated world: create, start, rename, remove.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Done, SimContainer, World, gone, refused};
use crate::{
    engine::{ContainerEvent, ContainerEventKind, EngineError},
    name::ContainerName,
    plan::{Action, CreateContainer},
    project::{MountKind, NetworkMode, PortBinding, RestartPolicy},
    state::{ContainerStatus, ImageInfo, MountedVolume, PublishedPort, Resource, Status},
};

/// The exit code of a container that ran before and could not be started again.
const NEVER_RAN: i64 = 128;

impl World {
    pub fn create(&mut self, action: &Action, create: &CreateContainer) -> Done {
        if let Some(there) = self.containers.get(&create.name) {
            let same = there.generation == create.generation
                && (&there.service, there.replica) == (&create.service, create.replica)
                && there.record.as_ref() == Some(&create.record);
            return if same {
                Ok(None)
            } else {
                Err(refused(action, 409, "name is in use"))
            };
        }
        let by_id = |facts: &&ImageInfo| facts.id == create.image.as_str();
        let image = self
            .images
            .get(&create.image)
            .or_else(|| self.images.values().find(by_id));
        let Some(image) = image.cloned() else {
            let cause = "no such image".to_owned();
            return Err(EngineError::NoImage {
                image: create.image.to_string(),
                cause,
            });
        };
        if let Some(peer) = create
            .peers
            .values()
            .find(|peer| !self.containers.contains_key(*peer))
        {
            return Err(gone(peer));
        }
        let volumes = self.make_volumes(create, &image);
        self.ids += 1;
        let thing = SimContainer {
            id: format!("{:064x}", self.ids),
            service: create.service.clone(),
            replica: create.replica,
            generation: create.generation,
            record: Some(create.record.clone()),
            image: image.id,
            networks: self.attached(create),
            addresses: BTreeMap::new(),
            ports: create.spec.ports.clone(),
            holds: Vec::new(),
            volumes,
            policy: RestartPolicy::No,
            condition: ContainerStatus::default(),
            stopped_by_hand: false,
            started: Duration::ZERO,
            earlier: Duration::ZERO,
            created: 0,
            starts: 0,
            log: Vec::new(),
            setup: self.setup(create),
        };
        self.containers.insert(create.name.clone(), thing);
        Ok(None)
    }

    /// The networks of a container, each with the requested address; empty for any address.
    fn attached(&self, create: &CreateContainer) -> BTreeMap<String, String> {
        let attached = create.endpoints.iter().map(|(name, spec)| {
            let address = self.address(name, spec).unwrap_or_default();
            (name.clone(), address)
        });
        attached
            .chain(builtin_network(&create.spec.network))
            .collect()
    }

    /// Creates the volumes that a container mounts. As on a real engine, a missing volume is
    /// created without labels, and an anonymous volume gets a name of 64 digits.
    fn make_volumes(
        &mut self,
        create: &CreateContainer,
        image: &ImageInfo,
    ) -> BTreeMap<String, MountedVolume> {
        let mut mounted = BTreeMap::new();
        let mut add = |target: &str, name: Option<&String>, read_only: bool, named: bool| {
            if mounted.contains_key(target) {
                return;
            }
            let name = name.cloned().unwrap_or_else(|| {
                self.ids += 1;
                format!("{:064x}", self.ids)
            });
            let made = Resource {
                project: None,
                name: None,
                definition: None,
                users: 0,
                id: None,
                record: None,
                subnets: Vec::new(),
            };
            self.volumes.entry(name.clone()).or_insert(made);
            let volume = MountedVolume {
                name,
                anonymous: !named,
                writable: !read_only,
            };
            mounted.insert(target.to_owned(), volume);
        };
        let mut others = BTreeSet::new();
        for mount in &create.spec.mounts {
            let target = mount.target.as_str();
            match &mount.kind {
                MountKind::Volume { engine_name, .. } => {
                    add(target, Some(engine_name), mount.read_only, true);
                }
                MountKind::Anonymous => {
                    add(
                        target,
                        create.carried_over.get(target),
                        mount.read_only,
                        false,
                    );
                }
                MountKind::Bind { .. } | MountKind::Tmpfs { .. } => {
                    others.insert(target);
                }
            }
        }
        for set in create.spec.files.iter().filter(|set| set.volume) {
            add(&set.folder, None, false, false);
        }
        for (target, name) in &create.carried_over {
            add(target, Some(name), false, false);
        }
        for target in image
            .volumes
            .iter()
            .filter(|it| !others.contains(it.as_str()))
        {
            add(target, None, false, false);
        }
        mounted
    }

    pub fn start(&mut self, action: &Action, name: &ContainerName, now: Duration) -> Done {
        let thing = self.containers.get(name).ok_or_else(|| gone(name))?;
        match thing.condition.status {
            Status::Running | Status::Restarting => return Ok(None),
            Status::Paused => return Err(refused(action, 409, "cannot start a paused container")),
            _ => {}
        }
        if let Err(error) = self.can_start(action, name, thing) {
            self.note_missed(&error);
            let thing = self.ours(name)?;
            thing.condition.error = Some(error.to_string());
            thing.condition.exit_code = thing.condition.exit_code.map(|_| NEVER_RAN);
            return Err(error);
        }
        self.begin(name, now);
        let thing = self.ours(name)?;
        thing.condition.restarts = 0;
        thing.stopped_by_hand = false;
        Ok(Some(ContainerEvent {
            container: name.clone(),
            what: ContainerEventKind::Started,
        }))
    }

    /// Checks what prevents a container from starting. A real engine finds this at the start, not
    /// at creation.
    fn can_start(
        &self,
        action: &Action,
        name: &ContainerName,
        thing: &SimContainer,
    ) -> Result<(), EngineError> {
        let mut networks = thing.networks.iter();
        if let Some((missing, _)) = networks.find(|(it, _)| !self.has_network(it)) {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        let mut others = self
            .containers
            .iter()
            .filter(|(other, it)| *other != name && it.condition.status.is_up());
        let address_taken = others.any(|(_, it)| {
            let fixed = thing.networks.iter().filter(|(_, fixed)| !fixed.is_empty());
            fixed
                .into_iter()
                .any(|(network, fixed)| it.networks.get(network) == Some(fixed))
        });
        if address_taken {
            return Err(refused(action, 403, "Address already in use"));
        }
        if let Some(stale) = self.stale(thing) {
            return Err(refused(action, 404, format!("network {stale} not found")));
        }
        let taken = self.taken(name, thing).or_else(|| self.grabbed(thing));
        match taken.filter(|_| self.publishes(thing)) {
            Some((port, holder)) => Err(EngineError::PortTaken { port, holder }),
            None => Ok(()),
        }
    }

    /// The first port of a container that a process of the host holds.
    pub fn grabbed(&self, thing: &SimContainer) -> Option<(String, String)> {
        let mut wanted = thing.ports.iter().filter_map(|it| it.published);
        let port = wanted.find(|port| self.occupied.contains_key(port))?;
        Some((port.to_string(), "a process of the host".to_owned()))
    }

    fn note_missed(&mut self, error: &EngineError) {
        if let EngineError::PortTaken { port, .. } = error
            && let Ok(port) = port.parse()
            && let Some(missed) = self.occupied.get_mut(&port)
        {
            *missed = true;
        }
    }

    /// The first port of a container that another container holds, and its holder.
    pub fn taken(&self, name: &ContainerName, thing: &SimContainer) -> Option<(String, String)> {
        let ours = self.containers.iter().filter(|(other, _)| *other != name);
        let ours = ours.map(|(name, it)| (name, &it.holds));
        let others = self.foreign.iter().filter(|(_, it)| it.running);
        let others = others.map(|(name, it)| (name, &it.ports));
        let holders: Vec<(&ContainerName, &Vec<PublishedPort>)> = ours.chain(others).collect();
        thing.ports.iter().find_map(|wanted| {
            let holder = holders
                .iter()
                .find(|(_, ports)| ports.iter().any(|held| clash(wanted, held)))?;
            let port = wanted.published?.to_string();
            Some((port, format!("container `{}`", holder.0)))
        })
    }

    pub fn rename(&mut self, action: &Action, from: &ContainerName, to: &ContainerName) -> Done {
        if self.foreign.contains_key(to) {
            return Err(EngineError::NotOwned {
                name: to.to_string(),
            });
        }
        match (
            self.containers.contains_key(from),
            self.containers.contains_key(to),
        ) {
            (true, true) => return Err(refused(action, 409, "name is in use")),
            (false, false) => return Err(gone(from)),
            (false, true) => {}
            (true, false) => {
                if let Some(thing) = self.containers.remove(from) {
                    self.containers.insert(to.clone(), thing);
                }
            }
        }
        Ok(None)
    }

    pub fn remove(&mut self, action: &Action, name: &ContainerName) -> Done {
        match self.containers.get(name) {
            Some(thing) if thing.condition.status.is_up() => {
                Err(refused(action, 409, "container is running"))
            }
            _ => {
                self.discard(name);
                Ok(None)
            }
        }
    }

    /// Removes a container and its anonymous volumes that no other container mounts.
    pub fn discard(&mut self, name: &ContainerName) {
        let Some(thing) = self.containers.remove(name) else {
            return;
        };
        for volume in thing.volumes.into_values().filter(|it| it.anonymous) {
            if self.users_of_volume(&volume.name) == 0 {
                self.volumes.remove(&volume.name);
            }
        }
    }
}

/// The built-in network of the engine that a container is attached to, if it is in no network of
/// the project.
fn builtin_network(mode: &NetworkMode) -> Option<(String, String)> {
    let name = match mode {
        NetworkMode::Networks(attached) if attached.is_empty() => "none",
        NetworkMode::None => "none",
        NetworkMode::Host => "host",
        NetworkMode::Networks(_) | NetworkMode::Service(_) | NetworkMode::Container(_) => {
            return None;
        }
    };
    Some((name.to_owned(), String::new()))
}

/// Whether a requested port conflicts with a held one.
fn clash(desired: &PortBinding, held: &PublishedPort) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    desired.published == Some(held.published)
        && desired.protocol == held.protocol
        && (all(&desired.host_ip) || all(&held.host_ip) || desired.host_ip == held.host_ip)
}
