//! The simulated world: what is there, and what each action does to it.
//!
//! No time passes here and nothing waits: the time comes in as a value. What must never happen on
//! a real engine either is noted as a breach.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    engine::{EngineError, Happening, Notice},
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    plan::{Action, CreateContainer},
    project::{Mount, MountKind, PortBinding, RestartPolicy},
    state::{Condition, Foreign, HeldPort, ImageFacts, Record, Resource, Status},
};

/// A simulated world.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub project: ProjectName,
    pub containers: BTreeMap<ContainerName, Thing>,
    pub networks: BTreeMap<String, Resource>,
    pub volumes: BTreeMap<String, Resource>,
    pub images: BTreeMap<ImageRef, ImageFacts>,
    /// Names of images that were built for the project.
    pub built: BTreeSet<ImageRef>,
    /// Images that can be pulled.
    pub registry: BTreeSet<ImageRef>,
    pub foreign: BTreeMap<ContainerName, Foreign>,
    pub breaches: Vec<String>,
    ids: u64,
}

/// A container of the simulated world.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thing {
    pub id: String,
    pub service: ServiceName,
    pub replica: u32,
    pub generation: u64,
    pub record: Record,
    pub image: String,
    pub networks: BTreeSet<String>,
    pub ports: Vec<PortBinding>,
    pub mounts: Vec<Mount>,
    pub policy: RestartPolicy,
    pub condition: Condition,
    /// Since the world's beginning; of the last start.
    pub started: Duration,
    /// How often it was started: tells the ends of its starts apart.
    pub starts: u64,
    pub log: Vec<String>,
}

type Done = Result<Option<Notice>, EngineError>;

fn refused(action: &Action, status: u16, message: impl Into<String>) -> EngineError {
    EngineError::Refused {
        verb: action.verb().to_owned(),
        object: action.object().to_owned(),
        status,
        message: message.into(),
    }
}

fn gone(name: &ContainerName) -> EngineError {
    EngineError::Gone {
        what: format!("container `{name}`"),
    }
}

impl World {
    pub fn new(project: ProjectName) -> Self {
        Self {
            project,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            built: BTreeSet::new(),
            registry: BTreeSet::new(),
            foreign: BTreeMap::new(),
            breaches: Vec::new(),
            ids: 0,
        }
    }

    /// Performs an action; gives what is noticed of it.
    pub fn perform(&mut self, action: &Action, now: Duration) -> Done {
        if let Some(name) = container_of(action)
            && self.foreign.contains_key(name)
        {
            if !matches!(action, Action::CreateContainer(_)) {
                self.breaches
                    .push(format!("{} `{name}`, which is not ours", action.verb()));
            }
            return Err(EngineError::Foreign {
                name: name.to_string(),
            });
        }
        match action {
            Action::BuildImage(build) => {
                self.ids += 1;
                for tag in &build.tags {
                    self.built.insert(tag.clone());
                    self.add_image(tag.clone(), format!("sha256:built{}", self.ids));
                }
                Ok(None)
            }
            Action::PullImage(pull) => self.pull(&pull.image),
            Action::CreateNetwork(create) => {
                let resource = resource(&create.project, create.name.as_str(), &create.definition);
                let name = &create.network.engine_name;
                make(&mut self.networks, name, resource)
            }
            Action::RemoveNetwork(name) => self.remove_network(action, name),
            Action::CreateVolume(create) => {
                let resource = resource(&create.project, create.name.as_str(), &create.definition);
                make(&mut self.volumes, &create.volume.engine_name, resource)
            }
            Action::RemoveVolume(name) => self.remove_volume(action, name),
            Action::CreateContainer(create) => self.create(action, create),
            Action::StartContainer(name) => self.start(action, name, now),
            Action::StopContainer { container, .. } => self.stop(container),
            Action::RenameContainer { from, to } => self.rename(action, from, to),
            Action::RemoveContainer(name) => self.remove(action, name),
            Action::SetRestartPolicy { container, policy } => {
                self.ours(container)?.policy = *policy;
                Ok(None)
            }
            Action::RunHook(run) => {
                let thing = self.ours(&run.container)?;
                if thing.condition.status.is_up() {
                    Ok(None)
                } else {
                    Err(refused(action, 409, "container is not running"))
                }
            }
            Action::RemoveImage(image) => {
                self.images.remove(image);
                self.built.remove(image);
                Ok(None)
            }
        }
    }

    pub fn add_image(&mut self, image: ImageRef, id: String) {
        let facts = ImageFacts {
            id,
            volumes: Vec::new(),
            healthcheck: false,
            user: String::new(),
        };
        self.images.insert(image, facts);
    }

    fn ours(&mut self, name: &ContainerName) -> Result<&mut Thing, EngineError> {
        self.containers.get_mut(name).ok_or_else(|| gone(name))
    }

    fn pull(&mut self, image: &ImageRef) -> Done {
        if self.registry.contains(image) {
            self.add_image(
                image.clone(),
                format!(
                    "sha256:{}",
                    crate::secret::digest(image.as_str().as_bytes())
                ),
            );
            Ok(None)
        } else {
            let cause = "not found".to_owned();
            Err(EngineError::NoImage {
                image: image.to_string(),
                cause,
            })
        }
    }

    fn remove_network(&mut self, action: &Action, name: &str) -> Done {
        if self.networks.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.breaches
                .push(format!("removing network `{name}`, which is not ours"));
            return Err(EngineError::Foreign {
                name: name.to_owned(),
            });
        }
        let used = |it: &Thing| it.condition.status.is_up() && it.networks.contains(name);
        if self.containers.values().any(used) {
            return Err(refused(action, 403, "network has active endpoints"));
        }
        self.networks.remove(name);
        Ok(None)
    }

    fn is_ours(&self, resource: &Resource) -> bool {
        resource.project.as_deref() == Some(self.project.as_str())
    }

    fn remove_volume(&mut self, action: &Action, name: &str) -> Done {
        if self.volumes.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.breaches
                .push(format!("removing volume `{name}`, which is not ours"));
            return Err(EngineError::Foreign {
                name: name.to_owned(),
            });
        }
        if self
            .containers
            .values()
            .any(|it| mounted(it).any(|(_, volume, _)| volume == name))
        {
            return Err(refused(action, 409, "volume is in use"));
        }
        self.volumes.remove(name);
        Ok(None)
    }

    fn create(&mut self, action: &Action, create: &CreateContainer) -> Done {
        if let Some(there) = self.containers.get(&create.name) {
            let same = there.generation == create.generation && there.service == create.service;
            return if same {
                Ok(None)
            } else {
                Err(refused(action, 409, "name is in use"))
            };
        }
        let by_id = |facts: &&ImageFacts| facts.id == create.image.as_str();
        let image = self
            .images
            .get(&create.image)
            .or_else(|| self.images.values().find(by_id));
        let Some(image) = image.map(|facts| facts.id.clone()) else {
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
        if let Some(missing) = create
            .networks
            .values()
            .find(|it| !self.networks.contains_key(*it))
        {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        self.make_volumes(create);
        self.ids += 1;
        let thing = Thing {
            id: format!("{:064x}", self.ids),
            service: create.service.clone(),
            replica: create.replica,
            generation: create.generation,
            record: create.record.clone(),
            image,
            networks: create.networks.values().cloned().collect(),
            ports: create.spec.ports.clone(),
            mounts: create.spec.mounts.clone(),
            policy: RestartPolicy::No,
            condition: Condition::default(),
            started: Duration::ZERO,
            starts: 0,
            log: Vec::new(),
        };
        self.containers.insert(create.name.clone(), thing);
        Ok(None)
    }

    /// As a real engine does: a volume that is not there is made, without any label.
    fn make_volumes(&mut self, create: &CreateContainer) {
        for mount in &create.spec.mounts {
            if let MountKind::Volume { engine_name, .. } = &mount.kind {
                let made = Resource {
                    project: None,
                    name: None,
                    definition: None,
                    users: 0,
                };
                self.volumes.entry(engine_name.clone()).or_insert(made);
            }
        }
    }

    fn start(&mut self, action: &Action, name: &ContainerName, now: Duration) -> Done {
        let thing = self.containers.get(name).ok_or_else(|| gone(name))?;
        if thing.condition.status.is_up() {
            return Ok(None);
        }
        if let Some(missing) = thing
            .networks
            .iter()
            .find(|it| !self.networks.contains_key(*it))
        {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        if let Some((port, holder)) = self.taken(thing) {
            return Err(EngineError::PortTaken { port, holder });
        }
        let rival = self.containers.iter().find(|(other, it)| {
            *other != name
                && it.condition.status.is_up()
                && (&it.service, it.replica) == (&thing.service, thing.replica)
                && it.generation != thing.generation
                && mounted(it).any(|(_, volume, writable)| {
                    mounted(thing).any(|(_, mine, also)| mine == volume && (writable || also))
                })
        });
        let rival = rival.map(|(other, _)| format!("`{name}` and `{other}` write to one volume"));
        self.breaches.extend(rival);
        let thing = self.ours(name)?;
        thing.condition.status = Status::Running;
        thing.condition.restarts = 0;
        thing.started = now;
        thing.starts += 1;
        thing.log = vec![format!(
            "{} of generation {} started",
            thing.service, thing.generation
        )];
        Ok(Some(Notice {
            container: name.clone(),
            what: Happening::Started,
        }))
    }

    /// The first of a container's ports that somebody else holds, and who.
    fn taken(&self, thing: &Thing) -> Option<(String, String)> {
        let ours = self
            .containers
            .iter()
            .filter(|(_, it)| it.condition.status.is_up())
            .map(|(name, it)| (name, held(it)));
        let others = self.foreign.iter().filter(|(_, it)| it.running);
        let others = others.map(|(name, it)| (name, it.ports.clone()));
        let holders: Vec<(&ContainerName, Vec<HeldPort>)> = ours.chain(others).collect();
        held(thing).into_iter().find_map(|wanted| {
            let clash =
                |it: &HeldPort| it.published == wanted.published && it.protocol == wanted.protocol;
            let holder = holders.iter().find(|(_, ports)| ports.iter().any(clash))?;
            Some((
                wanted.published.to_string(),
                format!("container `{}`", holder.0),
            ))
        })
    }

    fn stop(&mut self, name: &ContainerName) -> Done {
        let thing = self.ours(name)?;
        if !thing.condition.status.is_up() {
            return Ok(None);
        }
        thing.condition.status = Status::Exited;
        thing.condition.exit_code = Some(0);
        Ok(Some(Notice {
            container: name.clone(),
            what: Happening::Died { exit_code: 0 },
        }))
    }

    fn rename(&mut self, action: &Action, from: &ContainerName, to: &ContainerName) -> Done {
        if self.foreign.contains_key(to) {
            return Err(EngineError::Foreign {
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

    fn remove(&mut self, action: &Action, name: &ContainerName) -> Done {
        match self.containers.get(name) {
            Some(thing) if thing.condition.status.is_up() => {
                Err(refused(action, 409, "container is running"))
            }
            _ => {
                self.containers.remove(name);
                Ok(None)
            }
        }
    }

    /// A container ends by itself, unless its start is over already.
    pub fn end(
        &mut self,
        id: &str,
        starts: u64,
        exit_code: i64,
        out_of_memory: bool,
    ) -> Vec<Notice> {
        let found = self
            .containers
            .iter_mut()
            .find(|(_, it)| it.id == id && it.starts == starts);
        let Some((name, thing)) = found.filter(|(_, it)| it.condition.status.is_up()) else {
            return Vec::new();
        };
        let again = match thing.policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max } => {
                exit_code != 0 && (max == 0 || thing.condition.restarts < max)
            }
        };
        thing.condition.status = if again {
            Status::Restarting
        } else {
            Status::Exited
        };
        thing.condition.exit_code = Some(exit_code);
        thing.condition.oom_killed = out_of_memory;
        thing.log.push(format!("exiting with code {exit_code}"));
        let notice = |what| Notice {
            container: name.clone(),
            what,
        };
        let killed = out_of_memory.then(|| notice(Happening::OutOfMemory));
        killed
            .into_iter()
            .chain([notice(Happening::Died { exit_code })])
            .collect()
    }

    /// The engine starts a container again that ended by itself.
    pub fn restart(&mut self, id: &str, now: Duration) -> Option<Notice> {
        let found = self.containers.iter_mut().find(|(_, it)| it.id == id);
        let (name, thing) = found.filter(|(_, it)| it.condition.status == Status::Restarting)?;
        thing.condition.status = Status::Running;
        thing.condition.restarts += 1;
        thing.started = now;
        thing.starts += 1;
        Some(Notice {
            container: name.clone(),
            what: Happening::Started,
        })
    }
}

/// The container that an action is done to.
fn container_of(action: &Action) -> Option<&ContainerName> {
    match action {
        Action::CreateContainer(create) => Some(&create.name),
        Action::StartContainer(name)
        | Action::RemoveContainer(name)
        | Action::StopContainer {
            container: name, ..
        }
        | Action::RenameContainer { from: name, .. }
        | Action::SetRestartPolicy {
            container: name, ..
        } => Some(name),
        Action::RunHook(run) => Some(&run.container),
        Action::BuildImage(_)
        | Action::PullImage(_)
        | Action::CreateNetwork(_)
        | Action::RemoveNetwork(_)
        | Action::CreateVolume(_)
        | Action::RemoveVolume(_)
        | Action::RemoveImage(_) => None,
    }
}

fn resource(project: &ProjectName, name: &str, definition: &str) -> Resource {
    Resource {
        project: Some(project.to_string()),
        name: Some(name.to_owned()),
        definition: Some(definition.to_owned()),
        users: 0,
    }
}

fn make(those: &mut BTreeMap<String, Resource>, name: &str, resource: Resource) -> Done {
    match those.get(name) {
        Some(there) if there.project != resource.project => Err(EngineError::Foreign {
            name: name.to_owned(),
        }),
        _ => {
            those.entry(name.to_owned()).or_insert(resource);
            Ok(None)
        }
    }
}

/// The named volumes of a container: target, name on the engine, and whether it can be written.
pub(super) fn mounted(thing: &Thing) -> impl Iterator<Item = (&str, &str, bool)> {
    thing.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { engine_name, .. } => Some((
            mount.target.as_str(),
            engine_name.as_str(),
            !mount.read_only,
        )),
        MountKind::Anonymous | MountKind::Bind { .. } | MountKind::Tmpfs { .. } => None,
    })
}

/// The ports of the host that a container holds while it runs.
pub(super) fn held(thing: &Thing) -> Vec<HeldPort> {
    let ports = thing.ports.iter().filter_map(|port| {
        Some(HeldPort {
            host_ip: port.host_ip.clone(),
            published: port.published?,
            target: port.target,
            protocol: port.protocol,
        })
    });
    ports.collect()
}
