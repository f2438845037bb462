//! The simulated world: its resources, and the effect of each action on them.
//!
//! The module is synchronous: the current time is a parameter. Anything that must never happen on a
//! real engine either is recorded as a violation.

mod containers;
mod data;
mod lifecycle;
mod resources;
mod setup;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::data::Kept;
use self::resources::{make, resource};
pub(super) use self::{lifecycle::EngineEnd, resources::is_anonymous};
use super::{state_store::SimLock, watch::VolumeRace};
use crate::{
    engine::{ContainerEvent, EngineError},
    journal::{Collection, Page},
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    plan::Action,
    project::{PortBinding, RestartPolicy},
    state::{
        ContainerRecord, ContainerStatus, Database, EngineInfo, ImageInfo, MountedVolume,
        PublishedPort, Resource, RuntimeConfig, Status, UnmanagedContainer,
    },
};

/// A simulated world.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub project: ProjectName,
    pub containers: BTreeMap<ContainerName, SimContainer>,
    pub networks: BTreeMap<String, Resource>,
    pub volumes: BTreeMap<String, Resource>,
    /// The generations that created the volumes, if their labels name one.
    pub volume_generations: BTreeMap<String, u64>,
    /// The content of each volume.
    pub data: BTreeMap<String, BTreeSet<String>>,
    pub snapshots: BTreeMap<String, Kept>,
    pub images: BTreeMap<ImageRef, ImageInfo>,
    /// Names of images that were built for the project.
    pub built: BTreeSet<ImageRef>,
    /// Images that can be pulled.
    pub registry: BTreeSet<ImageRef>,
    pub foreign: BTreeMap<ContainerName, UnmanagedContainer>,
    /// The address ranges of networks outside the project.
    pub foreign_ranges: BTreeMap<String, Vec<String>>,
    pub violations: Vec<String>,
    pub meetings: BTreeSet<VolumeRace>,
    pub pages: BTreeMap<(Collection, String), Page>,
    pub lock: Option<SimLock>,
    /// Volumes that several containers may write to at the same time.
    pub shared: BTreeSet<String>,
    /// Whether the process that holds the lock has ended.
    pub orphaned: bool,
    pub engine: EngineInfo,
    pub databases: BTreeMap<ContainerName, Database>,
    /// Ports of the host that another process holds, and whether a container needed them.
    pub occupied: BTreeMap<u16, bool>,
    /// The start of the world on the engine's clock, in nanoseconds since the Unix epoch.
    pub epoch: i64,
    pub ids: u64,
}

/// A container of the simulated world.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SimContainer {
    pub id: String,
    pub service: ServiceName,
    pub replica: u32,
    pub generation: u64,
    pub record: Option<ContainerRecord>,
    pub image: String,
    /// Networks by name on the engine, each with the requested address; empty for any address.
    pub networks: BTreeMap<String, String>,
    /// The known addresses until the next start.
    pub addresses: BTreeMap<String, String>,
    pub ports: Vec<PortBinding>,
    /// The ports of the host that the container holds now.
    pub holds: Vec<PublishedPort>,
    /// Named and anonymous volumes, by target.
    pub volumes: BTreeMap<String, MountedVolume>,
    pub policy: RestartPolicy,
    pub condition: ContainerStatus,
    /// Whether a client stopped the container: then `unless-stopped` does not restart it.
    pub stopped_by_hand: bool,
    /// Time of the last start, since the start of the world.
    pub started: Duration,
    /// Time that the container had run before the world started.
    pub earlier: Duration,
    /// In seconds since the Unix epoch.
    pub created: i64,
    /// Number of starts. Distinguishes the exits of different starts.
    pub starts: u64,
    pub log: Vec<String>,
    /// The settings that manual changes can affect.
    pub setup: RuntimeConfig,
}

type Done = Result<Option<ContainerEvent>, EngineError>;

fn refused(action: &Action, status: u16, message: impl Into<String>) -> EngineError {
    EngineError::Api {
        verb: action.verb().to_owned(),
        object: action.object().to_owned(),
        status,
        message: message.into(),
    }
}

fn gone(name: &ContainerName) -> EngineError {
    EngineError::NotFound {
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
            volume_generations: BTreeMap::new(),
            data: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            images: BTreeMap::new(),
            built: BTreeSet::new(),
            registry: BTreeSet::new(),
            foreign: BTreeMap::new(),
            foreign_ranges: BTreeMap::new(),
            violations: Vec::new(),
            meetings: BTreeSet::new(),
            pages: BTreeMap::new(),
            lock: None,
            shared: BTreeSet::new(),
            orphaned: false,
            engine: EngineInfo {
                version: "simulated".to_owned(),
                api: "1.51".to_owned(),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                address: "memory".to_owned(),
            },
            databases: BTreeMap::new(),
            occupied: BTreeMap::new(),
            epoch: 0,
            ids: 0,
        }
    }

    /// Performs an action and returns the event that it causes.
    pub fn perform(&mut self, action: &Action, now: Duration) -> Done {
        if let Some(name) = container_of(action)
            && self.foreign.contains_key(name)
        {
            if !matches!(action, Action::CreateContainer(_)) {
                self.violations
                    .push(format!("{} `{name}`, which is not ours", action.verb()));
            }
            return Err(EngineError::NotOwned {
                name: name.to_string(),
            });
        }
        match action {
            Action::BuildImage(build) => {
                self.build(build);
                Ok(None)
            }
            Action::PullImage(pull) => self.pull(&pull.image),
            Action::CreateNetwork(create) => self.create_network(action, create),
            Action::Cutover(cutover) => self.cutover(action, cutover),
            Action::RemoveNetwork(name) => self.remove_network(name),
            Action::CreateVolume(create) => {
                let resource = Resource {
                    record: serde_json::to_value(create.volume.definition()).ok(),
                    ..resource(&create.project, create.name.as_str(), &create.definition)
                };
                let name = &create.volume.engine_name;
                if !self.volumes.contains_key(name) {
                    let generation = create.generation;
                    self.volume_generations.insert(name.clone(), generation);
                }
                make(action, &mut self.volumes, resource, false)
            }
            Action::RemoveVolume(name) => self.remove_volume(name),
            Action::SnapshotVolume(_) | Action::RestoreVolume(_) | Action::RemoveSnapshot(_) => {
                self.snapshot(action, true)
            }
            Action::CreateContainer(create) => self.create(action, create),
            Action::StartContainer(name) => self.start(action, name, now),
            Action::StopContainer { container, .. } => Ok(self.stop(container, 0)),
            Action::RenameContainer { from, to } => self.rename(action, from, to),
            Action::RemoveContainer(name) => self.remove(action, name),
            Action::SetRestartPolicy { container, policy } => {
                self.ours(container)?.policy = *policy;
                Ok(None)
            }
            Action::SetAllowance {
                container,
                allowance,
            } => self.set_allowance(container, *allowance),
            Action::SetPaused { container, paused } => self.set_paused(action, container, *paused),
            Action::RunHook(run) => match self.ours(&run.container)?.condition.status {
                Status::Running => Ok(None),
                Status::Paused => Err(refused(action, 409, "container is paused")),
                _ => Err(refused(action, 409, "container is not running")),
            },
            Action::TagImage { image, tag } => self.tag(action, image, tag),
            Action::RemoveImage(image) => self.remove_image(action, image),
        }
    }

    fn tag(&mut self, action: &Action, image: &ImageRef, tag: &ImageRef) -> Done {
        let by_id = |facts: &&ImageInfo| facts.id == image.as_str();
        let known = self.images.get(image);
        let facts = known.or_else(|| self.images.values().find(by_id)).cloned();
        let facts = facts.ok_or_else(|| refused(action, 404, "no such image"))?;
        self.images.insert(tag.clone(), facts);
        Ok(None)
    }

    /// Returns an id that was never assigned before.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{:064x}", self.ids)
    }

    pub fn add_image(&mut self, image: ImageRef, id: String) {
        let facts = ImageInfo {
            id,
            volumes: Vec::new(),
            healthcheck: false,
            user: String::new(),
            digests: Vec::new(),
            postgres_major: None,
        };
        self.images.insert(image, facts);
    }

    fn ours(&mut self, name: &ContainerName) -> Result<&mut SimContainer, EngineError> {
        self.containers.get_mut(name).ok_or_else(|| gone(name))
    }
}

/// The container that an action changes.
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
        }
        | Action::SetAllowance {
            container: name, ..
        }
        | Action::SetPaused {
            container: name, ..
        } => Some(name),
        Action::RunHook(run) => Some(&run.container),
        Action::Cutover(cutover) => Some(&cutover.to.container),
        Action::BuildImage(_)
        | Action::PullImage(_)
        | Action::CreateNetwork(_)
        | Action::RemoveNetwork(_)
        | Action::CreateVolume(_)
        | Action::RemoveVolume(_)
        | Action::TagImage { .. }
        | Action::SnapshotVolume(_)
        | Action::RestoreVolume(_)
        | Action::RemoveSnapshot(_)
        | Action::RemoveImage(_) => None,
    }
}
