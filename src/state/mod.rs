//! What the engine has, as observed, and the labels by which we know our own.

mod holder;
mod identity;
pub mod label;
mod runtime_config;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::{
    holder::Holder,
    identity::Identity,
    runtime_config::{Endpoint, ResourceLimits, RuntimeConfig},
};
use crate::{
    name::{ContainerName, ImageRef, NetworkName, ServiceName},
    project::{Dependency, Gate, Kind, RestartPolicy, Subnet},
    unit::Protocol,
};

/// The world as far as a project is concerned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The engine itself.
    pub engine: EngineInfo,
    /// The project's containers, by name.
    pub containers: BTreeMap<ContainerName, Container>,
    /// Networks that bear the project's label or were asked for, by their name on the engine.
    pub networks: BTreeMap<String, Resource>,
    /// Volumes that bear the project's label or were asked for, by their name on the engine.
    pub volumes: BTreeMap<String, Resource>,
    /// Snapshots of the project's volumes, by their name on the engine.
    #[serde(default)]
    pub snapshots: BTreeMap<String, Snapshot>,
    /// What is in the data directories of the containers asked for, where that is a database's.
    #[serde(default)]
    pub databases: BTreeMap<ContainerName, Database>,
    /// Of the images asked for, those that are there.
    pub images: BTreeMap<ImageRef, ImageInfo>,
    /// Names of images that were built for the project, where [`crate::engine::Query`] asks for
    /// them.
    pub own_images: BTreeSet<ImageRef>,
    /// Containers that are not the project's, as far as they can be in its way.
    pub foreign: BTreeMap<ContainerName, UnmanagedContainer>,
    /// The address ranges of networks that are not the project's, by the network's name.
    #[serde(default)]
    pub foreign_ranges: BTreeMap<String, Vec<String>>,
    /// The number of the last deploy that the journal tells of; 0: it was not read, or is empty.
    #[serde(default)]
    pub last_deploy: u64,
    /// What the history says of jobs, where that was asked for.
    #[serde(default)]
    pub job_records: BTreeMap<ServiceName, JobRecord>,
    /// Jobs without a container of which nobody can say whether they have run, as the history was
    /// removed.
    #[serde(default)]
    pub unrecorded_jobs: BTreeSet<ServiceName>,
    /// The generations that made volumes of the project, by the volume's name on the engine, where a
    /// volume says so.
    #[serde(default)]
    pub volume_generations: BTreeMap<String, u64>,
    /// Names under which images are kept for generations; `None`: [`crate::engine::Query`] did not ask
    /// for them.
    #[serde(default)]
    pub kept_images: Option<BTreeSet<ImageRef>>,
    /// The ids of the project's containers as the last deploy recorded them.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Whether somebody else holds the project's lock: what is seen may be half done.
    #[serde(default)]
    pub locked: bool,
}

impl State {
    /// Whether this container was replaced by one of a later generation and is kept, stopped, for
    /// the way back to its own.
    #[must_use]
    pub fn is_superseded(&self, name: &ContainerName) -> bool {
        let Some(container) = self.containers.get(name) else {
            return false;
        };
        let own = format!(".g{}", container.generation);
        !container.condition.status.is_up()
            && name.as_str().ends_with(&own)
            && self.containers.values().any(|other| {
                other.service == container.service
                    && other.replica == container.replica
                    && other.generation > container.generation
            })
    }
}

impl State {
    /// Whether this container failed its deploy and is kept, stopped, for somebody to look at.
    #[must_use]
    pub fn is_retained_failure(&self, name: &ContainerName) -> bool {
        let found = self.containers.get(name);
        found.is_some_and(|container| {
            let own = format!(".g{}{FAILED}", container.generation);
            !container.condition.status.is_up() && name.as_str().ends_with(&own)
        })
    }
}

/// At the end of the name of a container that failed its deploy and is kept.
const FAILED: &str = ".failed";

/// The name under which a container of this generation is kept when it failed its deploy.
#[must_use]
pub fn failed_name(name: &ContainerName, generation: u64) -> ContainerName {
    let own = format!(".g{generation}");
    let plain = name.as_str().strip_suffix(&own).unwrap_or(name.as_str());
    // A name of a container is bounded; what it begins with says whose it is.
    let kept: String = plain.chars().take(160).collect();
    ContainerName::new(format!("{kept}{own}{FAILED}")).unwrap_or_else(|_| name.clone())
}

/// What the history says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The last committed generation that it was part of.
    pub generation: u64,
    /// Whether it had done its work there, as it is defined now and from the image that it has now.
    pub done: bool,
}

/// The engine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `28.5.2`.
    pub version: String,
    /// The negotiated one, `1.51`.
    pub api: String,
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub arch: String,
    /// Where it was reached: `unix:///var/run/docker.sock`.
    pub address: String,
}

/// One container of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its service or job.
    pub service: ServiceName,
    /// Counted from 1.
    pub replica: u32,
    /// The generation that made it, counted from 1.
    pub generation: u64,
    /// What it was made from.
    pub record: Option<ContainerRecord>,
    /// Id of its image.
    pub image: String,
    /// How it does.
    pub condition: ContainerStatus,
    /// What the engine does when it ends; `None`: the engine does not tell.
    pub restart: Option<RestartPolicy>,
    /// Its addresses, by the network's name on the engine.
    pub networks: BTreeMap<String, String>,
    /// Ports of the host that it holds now.
    pub ports: Vec<PublishedPort>,
    /// Volumes that it mounts, target to the volume's name on the engine.
    pub volumes: BTreeMap<String, MountedVolume>,
    /// What else of it can be changed by hand; `None`: not asked for.
    pub setup: Option<RuntimeConfig>,
    /// Seconds since the epoch, by the engine's clock.
    pub created: i64,
}

/// A volume as mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedVolume {
    /// Its name on the engine.
    pub name: String,
    /// It was made for this container and has no name of its own.
    pub anonymous: bool,
    /// It can be written.
    pub writable: bool,
}

/// What a container was made from, as recorded on itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Service or job.
    #[serde(flatten)]
    pub kind: Kind,
    /// The serialised [`crate::project::ContainerSpec`]: secrets by name and digest only.
    pub spec: serde_json::Value,
    /// The image as the manifest names it.
    pub image: String,
    /// What it waited for.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// The gate that it passed.
    pub ready: Gate,
    /// The platform that it was made for, if not the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The name that it has once it is committed; `None`: made by a version that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// The names of its networks on the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<NetworkName, String>,
    /// Whether its service's name is one of its names, by network; an earlier version did not record
    /// it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_names: BTreeMap<NetworkName, bool>,
    /// The numbers of its addresses among those that each network reserves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<NetworkName, u32>,
}

/// How a container does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// What it does.
    pub status: Status,
    /// What the engine's own health check says; `None`: it has none.
    pub health: Option<Health>,
    /// Of its last end; `None`: it never ended.
    pub exit_code: Option<i64>,
    /// Its last end was a kill for want of memory.
    pub oom_killed: bool,
    /// How often the engine started it again.
    pub restarts: u32,
    /// What the engine says about the last failed start.
    pub error: Option<String>,
    /// For how long it has been running, by the engine's clock; `None`: it does not run.
    pub running_for: Option<Duration>,
}

/// What a container does.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// It runs.
    Running,
    /// Frozen.
    Paused,
    /// Between an end and the next start by the engine.
    Restarting,
    /// On its way out.
    Removing,
    /// Ended.
    Exited,
    /// The engine could not remove it.
    Dead,
}

impl Status {
    /// Whether its processes are there.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What the engine's own health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not known yet.
    Starting,
    /// The last checks passed.
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

/// A port of the host that a container holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The host's address; empty or `0.0.0.0`: all of IPv4; `::`: all of IPv6.
    pub host_ip: String,
    /// Port of the host.
    pub published: u16,
    /// Port inside the container.
    pub target: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// A network or a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The project whose label it bears.
    pub project: Option<String>,
    /// Our own name for it, from its label.
    pub name: Option<String>,
    /// [`crate::secret::digest`] of its definition when it was made, from its label.
    pub definition: Option<String>,
    /// How many containers use it; 0 where the engine does not tell.
    pub users: usize,
    /// The engine's id; `None` for a volume, which has none.
    pub id: Option<String>,
    /// The definition that it was made from, from its label.
    pub record: Option<serde_json::Value>,
    /// The address ranges of a network.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
}

impl Resource {
    /// Whether containers can be given an address of our choice in this network: an engine refuses
    /// that where it has chosen the range by itself. A range whose dynamic part is bounded was given.
    #[must_use]
    pub fn takes_addresses(&self) -> bool {
        let record = self.record.as_ref();
        // One of IPv6 alone leaves the other range to the engine.
        let is_v4 = |it: &serde_json::Value| {
            let subnet = it.get("subnet").and_then(serde_json::Value::as_str);
            subnet.is_some_and(|subnet| !subnet.contains(':'))
        };
        let declared = record
            .and_then(|it| it.get("subnets")?.as_array())
            .is_some_and(|it| it.iter().any(is_v4));
        let record = record.and_then(|it| it.get("ipv6")?.as_bool());
        // An IPv6 address that the engine gave cannot be asked for again.
        let v4_only = !record.unwrap_or(false);
        v4_only && (declared || self.subnets.iter().any(|it| it.range.is_some()))
    }
}

/// A snapshot of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The volume's name on the engine.
    pub of: String,
    /// The generation that it was taken before.
    pub generation: u64,
    /// Containers of a copy that was cut off, or is under way.
    pub helpers: BTreeSet<ContainerName>,
}

/// The data directory of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The folder inside of the container.
    pub folder: String,
    /// The major version that wrote it: `17`.
    pub major: String,
}

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// `sha256:…`.
    pub id: String,
    /// Folders that the image declares as volumes.
    pub volumes: Vec<String>,
    /// Whether it has a health check of its own.
    pub healthcheck: bool,
    /// The user it runs as; empty: root.
    pub user: String,
    /// Names by which a registry has it (`repository@sha256:…`).
    #[serde(default)]
    pub digests: Vec<String>,
    /// The major version of the PostgreSQL server in it, where the image says so (`PG_MAJOR`).
    #[serde(default)]
    pub postgres_major: Option<String>,
}

/// A container that is not the project's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanagedContainer {
    /// The project that it belongs to, ours or Compose's.
    pub project: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Ports of the host that it holds now.
    pub ports: Vec<PublishedPort>,
}
