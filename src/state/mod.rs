//! The observed state of the engine, and the labels that identify a project's resources.

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

/// The observed state of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Properties of the engine.
    pub engine: EngineInfo,
    /// Containers of the project, by name.
    pub containers: BTreeMap<ContainerName, Container>,
    /// Networks that have the project's label or were queried, by name on the engine.
    pub networks: BTreeMap<String, Resource>,
    /// Volumes that have the project's label or were queried, by name on the engine.
    pub volumes: BTreeMap<String, Resource>,
    /// Snapshots of the project's volumes, by name on the engine.
    #[serde(default)]
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Databases in the data directories of the queried containers.
    #[serde(default)]
    pub databases: BTreeMap<ContainerName, Database>,
    /// The queried images that exist on the engine.
    pub images: BTreeMap<ImageRef, ImageInfo>,
    /// Names of images that were built for the project, if [`crate::engine::Query`] requests them.
    pub own_images: BTreeSet<ImageRef>,
    /// Containers of other projects that may conflict with this one.
    pub foreign: BTreeMap<ContainerName, UnmanagedContainer>,
    /// Address ranges of networks that do not belong to the project, by name of the network.
    #[serde(default)]
    pub foreign_ranges: BTreeMap<String, Vec<String>>,
    /// Number of the last deploy in the journal; 0 if the journal is empty or was not read.
    #[serde(default)]
    pub last_deploy: u64,
    /// Job records from the history, if they were queried.
    #[serde(default)]
    pub job_records: BTreeMap<ServiceName, JobRecord>,
    /// Jobs without a container of which it is unknown whether they have run, because the history
    /// was removed.
    #[serde(default)]
    pub unrecorded_jobs: BTreeSet<ServiceName>,
    /// Generations that created the project's volumes, by name of the volume on the engine. Volumes
    /// without that label are omitted.
    #[serde(default)]
    pub volume_generations: BTreeMap<String, u64>,
    /// Tags under which images are kept for generations; `None` if [`crate::engine::Query`] did not
    /// request them.
    #[serde(default)]
    pub kept_images: Option<BTreeSet<ImageRef>>,
    /// Ids of the project's containers, as recorded by the last deploy.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Whether another client holds the project's lock, so that the observed state may be
    /// incomplete.
    #[serde(default)]
    pub locked: bool,
}

impl State {
    /// Whether this container was replaced by one of a later generation and is kept, stopped, for a
    /// rollback to its generation.
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
    /// Whether this container failed its deploy and is kept, stopped, for inspection.
    #[must_use]
    pub fn is_retained_failure(&self, name: &ContainerName) -> bool {
        let found = self.containers.get(name);
        found.is_some_and(|container| {
            let own = format!(".g{}{FAILED}", container.generation);
            !container.condition.status.is_up() && name.as_str().ends_with(&own)
        })
    }
}

/// Suffix of the name of a container that failed its deploy and is kept.
const FAILED: &str = ".failed";

/// Returns the name under which a container of this generation is kept if it failed its deploy.
#[must_use]
pub fn failed_name(name: &ContainerName, generation: u64) -> ContainerName {
    let own = format!(".g{generation}");
    let plain = name.as_str().strip_suffix(&own).unwrap_or(name.as_str());
    // The length of a container name is limited; the beginning identifies the container.
    let kept: String = plain.chars().take(160).collect();
    ContainerName::new(format!("{kept}{own}{FAILED}")).unwrap_or_else(|_| name.clone())
}

/// The history's record of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Last committed generation that contained the job.
    pub generation: u64,
    /// Whether the job was completed in that generation, with its current definition and image.
    pub done: bool,
}

/// Properties of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Version, for example `28.5.2`.
    pub version: String,
    /// Negotiated API version, for example `1.51`.
    pub api: String,
    /// Operating system, for example `linux`.
    pub os: String,
    /// Architecture, for example `amd64`.
    pub arch: String,
    /// Address of the connection, for example `unix:///var/run/docker.sock`.
    pub address: String,
}

/// One container of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Id on the engine.
    pub id: String,
    /// Service or job of the container.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Generation that created the container, counted from 1.
    pub generation: u64,
    /// Container record from its label.
    pub record: Option<ContainerRecord>,
    /// Id of the image.
    pub image: String,
    /// Current status.
    pub condition: ContainerStatus,
    /// Restart policy; `None` if the engine does not report it.
    pub restart: Option<RestartPolicy>,
    /// Addresses, by name of the network on the engine.
    pub networks: BTreeMap<String, String>,
    /// Host ports that the container currently holds.
    pub ports: Vec<PublishedPort>,
    /// Mounted volumes, by target path.
    pub volumes: BTreeMap<String, MountedVolume>,
    /// Other settings that manual changes can affect; `None` if not queried.
    pub setup: Option<RuntimeConfig>,
    /// Creation time in seconds since the epoch, by the engine's clock.
    pub created: i64,
}

/// A volume as mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedVolume {
    /// Name of the volume on the engine.
    pub name: String,
    /// The volume was created for this container and has no name of its own.
    pub anonymous: bool,
    /// The mount is writable.
    pub writable: bool,
}

/// What a container was created from, as stored in its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Service or job.
    #[serde(flatten)]
    pub kind: Kind,
    /// The serialised [`crate::project::ContainerSpec`]. Contains secrets by name and digest only.
    pub spec: serde_json::Value,
    /// Image as written in the manifest.
    pub image: String,
    /// Dependencies of the service.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Gate of the container.
    pub ready: Gate,
    /// Requested platform; `None` for the engine's own platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Name after the commit; `None` if an earlier version that did not record it created the
    /// container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// Names of the networks on the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<NetworkName, String>,
    /// Whether the service name is an alias, by network. Empty if an earlier version created the
    /// container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_names: BTreeMap<NetworkName, bool>,
    /// Numbers of the container's addresses within the reserved addresses of each network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<NetworkName, u32>,
}

/// Status of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Lifecycle state.
    pub status: Status,
    /// Result of the engine's own health check; `None` if there is none.
    pub health: Option<Health>,
    /// Exit code of the last exit; `None` if the container has never exited.
    pub exit_code: Option<i64>,
    /// The container was OOM-killed at its last exit.
    pub oom_killed: bool,
    /// Number of restarts by the engine.
    pub restarts: u32,
    /// Error of the last failed start.
    pub error: Option<String>,
    /// How long the container has been running, by the engine's clock; `None` if it is not running.
    pub running_for: Option<Duration>,
}

/// Lifecycle state of a container.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Created, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// Waiting for a restart by the engine.
    Restarting,
    /// Being removed.
    Removing,
    /// Exited.
    Exited,
    /// The engine could not remove it.
    Dead,
}

impl Status {
    /// Whether the container has processes.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// Result of the engine's own health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No result yet.
    Starting,
    /// The last checks passed.
    Healthy,
    /// Too many consecutive checks failed.
    Unhealthy,
}

/// A host port that a container holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Address on the host. Empty or `0.0.0.0`: all IPv4 addresses; `::`: all IPv6 addresses.
    pub host_ip: String,
    /// Port on the host.
    pub published: u16,
    /// Port inside the container.
    pub target: u16,
    /// Protocol of the port.
    pub protocol: Protocol,
}

/// A network or a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Project in the resource's label.
    pub project: Option<String>,
    /// Name in the manifest, from the label.
    pub name: Option<String>,
    /// [`crate::secret::digest`] of the definition at creation, from the label.
    pub definition: Option<String>,
    /// Number of containers that use the resource; 0 if the engine does not report it.
    pub users: usize,
    /// Id on the engine; `None` for a volume, which has no id.
    pub id: Option<String>,
    /// Definition at creation, from the label.
    pub record: Option<serde_json::Value>,
    /// Address ranges of a network.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
}

impl Resource {
    /// Whether containers can have a fixed address in this network. The engine refuses a fixed
    /// address if it chose the address range itself. A range with a bounded dynamic part was
    /// specified by the user.
    #[must_use]
    pub fn takes_addresses(&self) -> bool {
        let record = self.record.as_ref();
        // With only an IPv6 subnet declared, the engine chooses the IPv4 range.
        let is_v4 = |it: &serde_json::Value| {
            let subnet = it.get("subnet").and_then(serde_json::Value::as_str);
            subnet.is_some_and(|subnet| !subnet.contains(':'))
        };
        let declared = record
            .and_then(|it| it.get("subnets")?.as_array())
            .is_some_and(|it| it.iter().any(is_v4));
        let record = record.and_then(|it| it.get("ipv6")?.as_bool());
        // An IPv6 address that the engine assigned cannot be requested again.
        let v4_only = !record.unwrap_or(false);
        v4_only && (declared || self.subnets.iter().any(|it| it.range.is_some()))
    }
}

/// A snapshot of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Name of the source volume on the engine.
    pub of: String,
    /// Generation before whose deploy the snapshot was taken.
    pub generation: u64,
    /// Helper containers of an interrupted or running copy.
    pub helpers: BTreeSet<ContainerName>,
}

/// The data directory of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Data directory inside the container.
    pub folder: String,
    /// Major version that wrote the data, for example `17`.
    pub major: String,
}

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Id of the image, `sha256:…`.
    pub id: String,
    /// Directories that the image declares as volumes.
    pub volumes: Vec<String>,
    /// Whether the image has its own health check.
    pub healthcheck: bool,
    /// User that the image runs as; empty for root.
    pub user: String,
    /// Digest references in a registry (`repository@sha256:…`).
    #[serde(default)]
    pub digests: Vec<String>,
    /// Major version of the PostgreSQL server in the image, if the image declares it (`PG_MAJOR`).
    #[serde(default)]
    pub postgres_major: Option<String>,
}

/// A container that does not belong to the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanagedContainer {
    /// Project of the container, from the label of `cimandat` or of Compose.
    pub project: Option<String>,
    /// Whether the container is running.
    pub running: bool,
    /// Host ports that the container currently holds.
    pub ports: Vec<PublishedPort>,
}
