//! `service` and `job`: all settings of a service or a job.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    Attachment, AuthorityUse, Build, CertificateUse, Command, Device, EnvFile, EnvValue, FileUse,
    Gate, Healthcheck, Hook, Limits, Link, Logging, Mount, NetworkMode, Port, Reservation, Ulimit,
    Watch,
};
use crate::{
    name::{ConfigName, ContainerName, ImageRef, NetworkName, SecretName, ServiceName},
    span::{Span, Spanned},
    unit::{ByteSize, Protocol},
};

/// A service or a job, with defaults and templates already merged in.
///
/// `None` and an empty list both mean that the manifest does not set the field.
#[derive(Debug, Clone)]
pub struct Service {
    /// Name of the service or job.
    pub name: Spanned<ServiceName>,
    /// Whether it keeps running or ends.
    pub kind: Kind,
    /// Source of the image.
    pub image: ImageSource,
    /// Pull policy of the image.
    pub pull: Option<Spanned<Pull>>,
    /// Platform of the image, `os/arch[/variant]`.
    pub platform: Option<Spanned<String>>,
    /// Profiles, one of which must be on; if empty, the service is always on.
    pub profiles: Vec<Spanned<String>>,
    /// Number of containers, 0 to 10000.
    pub replicas: Option<Spanned<u32>>,
    /// Name of the container.
    pub container_name: Option<Spanned<ContainerName>>,
    /// Services that must meet a condition before this one starts.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Gate that decides when the service is ready.
    pub ready: Option<Gate>,
    /// How a running container is replaced.
    pub update: Update,
    /// Placement on a distributed engine.
    pub placement: Placement,
    /// Restart policy of the engine.
    pub restart: Option<Spanned<Restart>>,
    /// Commands that run inside the container after its gate has passed.
    pub post_start: Vec<Hook>,
    /// Commands that run inside the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// Actions of a development session when files change.
    pub watch: Vec<Watch>,
    /// Whether `--attach` follows the service's log.
    pub attach: Option<bool>,

    /// Command that replaces the image's command.
    pub command: Option<Spanned<Command>>,
    /// Entrypoint that replaces the image's entrypoint.
    pub entrypoint: Option<Spanned<Command>>,
    /// Environment variables, by name.
    pub env: BTreeMap<String, Spanned<EnvValue>>,
    /// Files of environment variables; later files take precedence, and `env` takes precedence over
    /// all.
    pub env_files: Vec<EnvFile>,
    /// User of the process, `user[:group]`.
    pub user: Option<Spanned<String>>,
    /// Working folder inside the container, absolute.
    pub working_dir: Option<Spanned<String>>,
    /// Host name of the container.
    pub hostname: Option<Spanned<String>>,
    /// Domain name of the container.
    pub domainname: Option<Spanned<String>>,
    /// Labels set by the user.
    pub labels: BTreeMap<String, String>,
    /// Files of labels; `labels` takes precedence.
    pub label_files: Vec<Spanned<PathBuf>>,
    /// Annotations of the runtime.
    pub annotations: BTreeMap<String, String>,
    /// The engine's own health check.
    pub healthcheck: Option<Healthcheck>,
    /// Log destination.
    pub logging: Option<Logging>,
    /// Whether a small init process is process 1.
    pub init: Option<bool>,
    /// Whether the container has a terminal.
    pub tty: Option<bool>,
    /// Whether standard input stays open.
    pub stdin_open: Option<bool>,
    /// Signal that requests the container to stop.
    pub stop_signal: Option<Spanned<String>>,
    /// How long the container may take to stop before it is killed.
    pub stop_grace_period: Option<Duration>,

    /// Published ports, in the order in which they are written.
    pub ports: Vec<Port>,
    /// Ports that are documented but not published.
    pub expose: Vec<Spanned<(u16, Protocol)>>,
    /// Networks to which the container is attached, if it names any.
    pub networks: BTreeMap<NetworkName, Attachment>,
    /// Network stack, if not the container's own; never together with `networks`.
    pub network_mode: Option<Spanned<NetworkMode>>,
    /// Additional names for other services.
    pub links: Vec<Link>,
    /// Containers outside of the project, `NAME[:ALIAS]`.
    pub external_links: Vec<Spanned<String>>,
    /// Additional lines of `/etc/hosts`, from host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Options of the resolver.
    pub dns_opt: Vec<String>,
    /// MAC address in the first network.
    pub mac_address: Option<Spanned<String>>,

    /// Volumes, binds and tmpfs; each has a different target.
    pub mounts: Vec<Mount>,
    /// Services whose mounts the container also gets, and whether they are read-only.
    pub volumes_from: Vec<(Spanned<ServiceName>, bool)>,
    /// Secrets as files.
    pub secrets: Vec<FileUse<SecretName>>,
    /// Configs as files.
    pub configs: Vec<FileUse<ConfigName>>,
    /// Certificates with their keys.
    pub certificates: Vec<CertificateUse>,
    /// Certificates of the project's authority.
    pub authorities: Vec<AuthorityUse>,

    /// Upper limits of resources.
    pub limit: Limits,
    /// Reserved resources.
    pub reservation: Reservation,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Resource limits of processes, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<ByteSize>,
    /// Isolation from the rest of the host.
    pub isolation: Isolation,
}

/// Isolation of a container from the rest of the host, and its kernel settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Whether the root file system is read-only.
    pub read_only: Option<bool>,
    /// Whether the container has all capabilities and devices.
    pub privileged: Option<bool>,
    /// Added capabilities.
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    pub cap_drop: Vec<String>,
    /// Security options: `no-new-privileges`, `seccomp=…`, …
    pub security_opt: Vec<String>,
    /// Additional groups.
    pub group_add: Vec<String>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Process namespace (`host`, `service:NAME`, `container:NAME`).
    pub pid: Option<Spanned<String>>,
    /// IPC namespace (`host`, `none`, `private`, `shareable`, `service:NAME`, `container:NAME`).
    pub ipc: Option<Spanned<String>>,
    /// UTS namespace (`host`).
    pub uts: Option<Spanned<String>>,
    /// User namespace (`host`).
    pub userns_mode: Option<Spanned<String>>,
    /// Control group namespace (`host`, `private`).
    pub cgroup: Option<Spanned<String>>,
    /// Parent control group.
    pub cgroup_parent: Option<Spanned<String>>,
    /// Container runtime.
    pub runtime: Option<Spanned<String>>,
    /// Options of the storage driver.
    pub storage_opt: BTreeMap<String, String>,
    /// Swappiness, 0 to 100.
    pub mem_swappiness: Option<u8>,
    /// Score adjustment of the out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: Option<i16>,
    /// Whether the out-of-memory killer ignores the container.
    pub oom_kill_disable: Option<bool>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
}

/// Whether a service keeps running or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A service, which keeps running.
    Service,
    /// A job, which runs once per change and ends with exit code 0.
    Job {
        /// Whether the job's applied changes cannot be rolled back once it has started.
        irreversible: bool,
    },
}

/// Source of an image.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// A reference to an image.
    Reference(Spanned<ImageRef>),
    /// An image that is built locally.
    Build {
        /// Build settings.
        build: Box<Build>,
        /// Name of the built image, if given.
        name: Option<Spanned<ImageRef>>,
    },
    /// The image of another service.
    Of(Spanned<ServiceName>),
}

/// Pull policy of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// At each deploy.
    Always,
    /// When the engine does not have the image.
    Missing,
    /// Never; the engine must have the image.
    Never,
}

/// Condition on another service that must be met first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Span of the declaration.
    pub span: Span,
    /// Condition; `None` if not set.
    pub until: Option<Until>,
    /// Whether it is a failure if the other service is missing or fails; `true` by default.
    pub required: bool,
    /// Whether this service is restarted when the other one is replaced.
    pub restart: bool,
}

/// Condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The other service's container is running.
    Started,
    /// The other service's gate has passed.
    Ready,
    /// The other service, a job, exited with code 0.
    Completed,
}

/// How a running container is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Update {
    /// Which of the two containers runs first.
    pub order: Option<UpdateOrder>,
    /// How long the old container keeps running after the new one has taken over.
    pub drain: Option<Duration>,
    /// Whether the new container takes over the address of the old one (`address="keep"`).
    pub keeps_address: Option<bool>,
    /// Number of replicas that are replaced at a time; at least 1.
    pub parallelism: Option<u32>,
}

/// Order of the two containers in an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// The order is derived from the resources that the two containers share.
    Auto,
    /// The new container starts while the old one is still running.
    StartFirst,
    /// The old container stops first.
    StopFirst,
}

/// Placement of containers on a distributed engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Constraints on nodes: `node.role == manager`, …
    pub constraints: Vec<Spanned<String>>,
    /// Node labels over which replicas are spread.
    pub spread: Vec<Spanned<String>>,
    /// Number of containers: `replicas`, or one on each node.
    pub mode: Option<Spanned<Mode>>,
    /// Resolution of the service's name: `vip` or `dnsrr`.
    pub endpoint_mode: Option<Spanned<String>>,
}

/// Number of containers that a distributed engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As many as `replicas`.
    Replicated,
    /// One container on each node.
    Global,
}

/// Restart policy of the engine for a container that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The container is not restarted.
    No,
    /// The container is always restarted.
    Always,
    /// The container is restarted unless it was stopped manually.
    UnlessStopped,
    /// The container is restarted after a failure.
    OnFailure {
        /// Maximum number of restarts; `None` for no maximum.
        max: Option<u32>,
    },
}
