//! What the engine is asked for when a container is created.
//!
//! Serialises without any secret value: the serialised form is what is recorded on the container
//! and compared with the next deploy's, field by field. A field that says nothing is left out.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::hosts::Hosts;
use crate::{
    name::{NetworkName, ServiceName, VolumeName},
    secret::{Secret, Text},
    unit::{ByteSize, Protocol},
};

fn is_false(value: &bool) -> bool {
    !*value
}

/// The wished-for container, without image and name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the engine's own independent switches"
)]
pub struct ContainerSpec {
    /// Instead of the image's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Instead of the image's entrypoint; an empty list takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The environment, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Absolute, inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The container's own host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The container's domain name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// The user's own labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Published ports, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortBinding>,
    /// Ports that are only said to exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<(u16, Protocol)>,
    /// Volumes, binds and tmpfs, by target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Secrets, configs and certificates, by folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSet>,
    /// Which network stack it has.
    pub network: NetworkMode,
    /// More lines of `/etc/hosts`, host to address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_hosts: Hosts,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Options of the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// The engine's own health check; `None`: the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// A small init is process 1.
    #[serde(skip_serializing_if = "is_false")]
    pub init: bool,
    /// The root file system cannot be written.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// All capabilities and devices.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// With a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Standard input stays open.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_open: bool,
    /// Capabilities added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`, `seccomp=…`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// More groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// Limits of processes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters of its namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<ByteSize>,
    /// The signal that asks it to end, if not the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed; `None`: the engine's 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// Where its log goes; `None`: as the engine is set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Devices of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Devices by capability (GPUs).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_requests: Vec<DeviceRequest>,
    /// Process namespace (`host`, `service:NAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// IPC namespace (`host`, `shareable`, `service:NAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc: Option<String>,
    /// UTS namespace (`host`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uts: Option<String>,
    /// User namespace (`host`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userns_mode: Option<String>,
    /// Control group namespace (`host`, `private`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Parent control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// The runtime, if not the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Services whose mounts it gets too (`NAME[:ro]`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Inclination to swap, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_swappiness: Option<u8>,
    /// Preference of the out-of-memory killer, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i16>,
    /// The out-of-memory killer passes it over.
    #[serde(skip_serializing_if = "is_false")]
    pub oom_kill_disable: bool,
    /// Weight of block I/O, 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
    /// Upper bounds.
    pub limit: Limits,
    /// What is kept for it.
    pub reserve: Reservation,
    /// What the engine does when it ends; set when the deploy is committed.
    pub restart: RestartPolicy,
}

/// Which network stack a container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Its own, attached to these networks of the project. Empty: none at all.
    Networks(BTreeMap<NetworkName, Attachment>),
    /// The host's.
    Host,
    /// Only a loopback device.
    None,
    /// That of another service's container.
    Service(ServiceName),
    /// That of a container that is not of the project.
    Container(String),
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Networks(BTreeMap::new())
    }
}

/// How a container is attached to a network. Its service's name is always an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// More names in this network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// A fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// A fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// A fixed hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The network with the highest gives the default route; 0 unless said otherwise.
    pub priority: i64,
    /// Other names for containers that are not of the project, for this container alone, as the
    /// engine takes them: `CONTAINER:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Options of the driver for this endpoint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// Port inside the container.
    pub target: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Port of the host; `None`: any free one. In a service it is that of the first replica, and
    /// each further replica publishes the next one.
    pub published: Option<u16>,
    /// The host's address; empty: all.
    pub host_ip: String,
}

impl PortBinding {
    /// What a replica publishes, counted from 1. The manifest has a port for each.
    #[must_use]
    pub fn of_replica(&self, replica: u32) -> Self {
        let further = u16::try_from(replica.saturating_sub(1)).unwrap_or(u16::MAX);
        Self {
            published: self.published.map(|first| first.saturating_add(further)),
            ..self.clone()
        }
    }
}

impl ContainerSpec {
    /// The engine's own grace period.
    pub const STOP_GRACE: Duration = Duration::from_secs(10);
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, inside the container.
    pub target: String,
    /// It cannot be written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// What it is.
    #[serde(flatten)]
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mount", rename_all = "lowercase")]
pub enum MountKind {
    /// A declared volume.
    Volume {
        /// As the manifest calls it.
        volume: VolumeName,
        /// Its name on the engine.
        engine_name: String,
        /// The image's files at the target are not copied into an empty volume.
        #[serde(default, skip_serializing_if = "is_false")]
        nocopy: bool,
        /// A folder in the volume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subpath: Option<String>,
    },
    /// A volume without a name; an update carries it over.
    Anonymous,
    /// A file or folder of the engine's host.
    Bind {
        /// Absolute.
        source: String,
        /// What happens when the source is not there.
        create: BindCreation,
        /// `rprivate` unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        propagation: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// The most it holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<ByteSize>,
        /// Its permissions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// Programs in it can be run.
        #[serde(default, skip_serializing_if = "is_false")]
        exec: bool,
        /// Owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    },
}

/// What happens when the source of a bind is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindCreation {
    /// The deploy is refused.
    #[default]
    Refuse,
    /// A folder is made.
    Folder,
}

/// Files that are put into one folder of a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSet {
    /// Absolute, inside the container.
    pub folder: String,
    /// In a volume of the container's own on that folder (secrets, certificates; also with a
    /// root that cannot be written), or else in the container's writable layer (configs).
    pub volume: bool,
    /// By name.
    pub files: Vec<InjectedFile>,
}

/// One such file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    /// Name in the folder.
    pub name: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
    /// [`crate::secret::digest`] of the content.
    pub digest: String,
    /// The content; `None` when this was read back from a record.
    #[serde(skip)]
    pub content: Option<Secret<Vec<u8>>>,
}

/// The engine's own health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// What is run.
    pub test: HealthTest,
    /// Between two checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Of one check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Failures in a row until `unhealthy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Failures in this time do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Between two checks in the start period (API 1.44 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthTest {
    /// The image's own check is switched off.
    Disabled,
    /// The image's own test, with other timings.
    Image,
    /// Program and arguments.
    Command(Vec<String>),
    /// A line for the container's shell.
    Shell(String),
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Of the engine: `json-file`, `local`, …
    pub driver: String,
    /// Of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// On the host.
    pub source: String,
    /// In the container.
    pub target: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Devices asked for by what they can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// `nvidia`, …; empty: any.
    pub driver: String,
    /// How many; -1: all. 0 when `ids` names them.
    pub count: i64,
    /// Which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// All of these (`gpu`, …).
    pub capabilities: Vec<String>,
    /// Of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A limit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What holds.
    pub soft: i64,
    /// What it may be raised to.
    pub hard: i64,
}

/// Upper bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory; swap is not given on top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
}

/// What is kept for a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservation {
    /// Processors (only a distributed engine honours it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

/// What the engine does when a container ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Starts it again.
    Always,
    /// Starts it again unless it was stopped by hand.
    UnlessStopped,
    /// Starts it again after a failure, so many times at most (0: without end).
    OnFailure {
        /// The most times.
        max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_publishes_the_port_of_its_number() {
        let check = |published, replica, expected| {
            let port = PortBinding {
                target: 80,
                protocol: Protocol::Udp,
                published,
                host_ip: "127.0.0.1".to_owned(),
            };
            let of_replica = PortBinding {
                published: expected,
                ..port.clone()
            };
            assert_eq!(port.of_replica(replica), of_replica);
        };
        check(Some(8081), 1, Some(8081));
        check(Some(8081), 3, Some(8083));
        check(Some(65_535), 2, Some(65_535));
        check(None, 3, None);
    }
}
