//! The settings with which a container is created on the engine.
//!
//! The serialized form contains no secret value. It is recorded on the container and compared with
//! that of the next deploy, field by field. Fields with default values are omitted.

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

/// The desired container, without image and name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the engine's own independent switches"
)]
pub struct ContainerSpec {
    /// Replaces the image's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Replaces the image's entrypoint; an empty list removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// User, as `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; an absolute path in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Host name of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Domain name of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Labels from the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations for the runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Published ports, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortBinding>,
    /// Ports that are documented but not published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<(u16, Protocol)>,
    /// Volumes, binds and tmpfs, by target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Injected secrets, configs and certificates, by folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSet>,
    /// The network stack.
    pub network: NetworkMode,
    /// Additional lines of `/etc/hosts`, host to address.
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
    /// The engine's own health check; `None` for that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether a small init is process 1.
    #[serde(skip_serializing_if = "is_false")]
    pub init: bool,
    /// Whether the root file system is read-only.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Whether the container has all capabilities and devices.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// Whether a terminal is allocated.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Whether standard input is kept open.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_open: bool,
    /// Added capabilities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Security options, such as `no-new-privileges` or `seccomp=…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Additional groups of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// Resource limits of processes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters in the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<ByteSize>,
    /// The signal that stops the container; `None` for that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Time to stop before the container is killed; `None` for the engine's 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// The logging driver; `None` for the engine's default.
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
    /// Services to take the mounts from (`NAME[:ro]`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Swappiness, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_swappiness: Option<u8>,
    /// Score adjustment for the out-of-memory killer, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i16>,
    /// Whether the out-of-memory killer is disabled for the container.
    #[serde(skip_serializing_if = "is_false")]
    pub oom_kill_disable: bool,
    /// Weight for block I/O, 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
    /// Resource limits.
    pub limit: Limits,
    /// Reserved resources.
    pub reserve: Reservation,
    /// Restart policy; it is set when the deploy is committed.
    pub restart: RestartPolicy,
}

/// The network stack of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// A network stack of its own, attached to these networks of the project; none if empty.
    Networks(BTreeMap<NetworkName, Attachment>),
    /// The network stack of the host.
    Host,
    /// Only a loopback device.
    None,
    /// The network stack of another service's container.
    Service(ServiceName),
    /// The network stack of a container that is not of the project.
    Container(String),
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Networks(BTreeMap::new())
    }
}

/// The attachment of a container to a network. The name of the service is always an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Additional names in this network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// A fixed IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// A fixed MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Priority for the default route, which is through the network with the highest priority. The
    /// default is 0.
    pub priority: i64,
    /// Links to containers that are not of the project, for this container alone, in the engine's
    /// form `CONTAINER:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Driver options for this endpoint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// Port in the container.
    pub target: u16,
    /// Protocol of the port.
    pub protocol: Protocol,
    /// Port of the host; `None` for any free port. For a service it is the port of the first
    /// replica, and each further replica publishes the next port.
    pub published: Option<u16>,
    /// Address on the host; empty for all addresses.
    pub host_ip: String,
}

impl PortBinding {
    /// Returns the binding of one replica, counted from 1. The manifest reserves a port for each.
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
    /// Default grace period of the engine.
    pub const STOP_GRACE: Duration = Duration::from_secs(10);
}

/// A mount in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container.
    pub target: String,
    /// Whether the mount is read-only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// The kind of the mount.
    #[serde(flatten)]
    pub kind: MountKind,
}

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mount", rename_all = "lowercase")]
pub enum MountKind {
    /// A declared volume.
    Volume {
        /// The name of the volume in the manifest.
        volume: VolumeName,
        /// The name of the volume on the engine.
        engine_name: String,
        /// Whether the image's files at the target are not copied into an empty volume.
        #[serde(default, skip_serializing_if = "is_false")]
        nocopy: bool,
        /// A folder in the volume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subpath: Option<String>,
    },
    /// A volume without a name; an update reuses it.
    Anonymous,
    /// A file or folder of the engine's host.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// What to do if the source does not exist.
        create: BindCreation,
        /// Propagation of mounts; `None` for `rprivate`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        propagation: Option<String>,
    },
    /// A file system in memory.
    Tmpfs {
        /// Maximum size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<ByteSize>,
        /// Permissions of the root folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// Whether programs in it can be executed.
        #[serde(default, skip_serializing_if = "is_false")]
        exec: bool,
        /// User id of the owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group id of the owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    },
}

/// What to do if the source of a bind mount does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindCreation {
    /// Reject the deploy.
    #[default]
    Refuse,
    /// Create a folder.
    Folder,
}

/// Files that are injected into one folder of a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSet {
    /// Absolute path in the container.
    pub folder: String,
    /// Whether the files are in a volume of the container's own on that folder (secrets,
    /// certificates; also works with a read-only root), instead of in the container's writable
    /// layer (configs).
    pub volume: bool,
    /// The files, sorted by name.
    pub files: Vec<InjectedFile>,
}

/// A file in a [`FileSet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    /// Name in the folder.
    pub name: String,
    /// User id of the owner.
    pub uid: u32,
    /// Group id of the owner.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
    /// [`crate::secret::digest`] of the content.
    pub digest: String,
    /// The content; `None` if the file was read from a container record.
    #[serde(skip)]
    pub content: Option<Secret<Vec<u8>>>,
}

/// The engine's own health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// The command of the check.
    pub test: HealthTest,
    /// Interval between two checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Timeout of one check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Number of consecutive failures until the container is `unhealthy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Interval between two checks in the start period (API 1.44 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
}

/// The command of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthTest {
    /// No check; that of the image is disabled.
    Disabled,
    /// The test of the image, with other timings.
    Image,
    /// A program and its arguments.
    Command(Vec<String>),
    /// A command line for the container's shell.
    Shell(String),
}

/// The logging driver of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Name of the driver, such as `json-file` or `local`.
    pub driver: String,
    /// Options of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Permissions: any of `r`, `w`, `m`.
    pub permissions: String,
}

/// A request for devices by their capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Name of the driver, such as `nvidia`; empty for any.
    pub driver: String,
    /// Number of devices; -1 for all, 0 if `ids` is set.
    pub count: i64,
    /// Ids of the devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Required capabilities (such as `gpu`); a device must have all of them.
    pub capabilities: Vec<String>,
    /// Options of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A resource limit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The enforced limit.
    pub soft: i64,
    /// The value to which a process may raise the limit.
    pub hard: i64,
}

/// Resource limits of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Number of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Maximum memory; no swap is added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Maximum number of processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
}

/// Reserved resources of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservation {
    /// Number of processors (only a distributed engine honors it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Reserved memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

/// What the engine does when a container exits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never restarts the container.
    #[default]
    No,
    /// Always restarts the container.
    Always,
    /// Restarts the container unless it was stopped manually.
    UnlessStopped,
    /// Restarts the container after a failure.
    OnFailure {
        /// Maximum number of restarts; 0 for no maximum.
        max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_publishes_port_by_number() {
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
