//! `service` and `job`: everything that is said about one of them.

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
/// `None` and an empty list both mean that the manifest says nothing.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: Spanned<ServiceName>,
    /// Does it keep running, or end?
    pub kind: Kind,
    /// Where its image comes from.
    pub image: ImageSource,
    /// When the image is pulled.
    pub pull: Option<Spanned<Pull>>,
    /// `os/arch[/variant]`.
    pub platform: Option<Spanned<String>>,
    /// Profiles, one of which must be on; none: always on.
    pub profiles: Vec<Spanned<String>>,
    /// How many containers.
    pub replicas: Option<Spanned<u32>>,
    /// The container's name.
    pub container_name: Option<Spanned<ContainerName>>,
    /// What must be there before it starts.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// When it counts as ready.
    pub ready: Option<Gate>,
    /// How a running one is replaced.
    pub update: Update,
    /// For a distributed engine.
    pub placement: Placement,
    /// What the engine does when it ends.
    pub restart: Option<Spanned<Restart>>,
    /// Run inside the container after its gate has passed.
    pub post_start: Vec<Hook>,
    /// Run inside the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// What a development session does when a file changes.
    pub watch: Vec<Watch>,
    /// Whether `--attach` follows its log.
    pub attach: Option<bool>,

    /// Instead of the image's command.
    pub command: Option<Spanned<Command>>,
    /// Instead of the image's entrypoint.
    pub entrypoint: Option<Spanned<Command>>,
    /// Variables, by name.
    pub env: BTreeMap<String, Spanned<EnvValue>>,
    /// Files of variables; later ones win, and `env` wins over all.
    pub env_files: Vec<EnvFile>,
    /// `user[:group]`.
    pub user: Option<Spanned<String>>,
    /// Absolute, inside the container.
    pub working_dir: Option<Spanned<String>>,
    /// The container's own host name.
    pub hostname: Option<Spanned<String>>,
    /// The container's domain name.
    pub domainname: Option<Spanned<String>>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Files of labels; `labels` wins over them.
    pub label_files: Vec<Spanned<PathBuf>>,
    /// Annotations of the runtime.
    pub annotations: BTreeMap<String, String>,
    /// The engine's own health check.
    pub healthcheck: Option<Healthcheck>,
    /// Where its log goes.
    pub logging: Option<Logging>,
    /// A small init is process 1.
    pub init: Option<bool>,
    /// With a terminal.
    pub tty: Option<bool>,
    /// Standard input stays open.
    pub stdin_open: Option<bool>,
    /// The signal that asks it to end.
    pub stop_signal: Option<Spanned<String>>,
    /// How long it may take to end before it is killed.
    pub stop_grace_period: Option<Duration>,

    /// Published ports, in the order in which they are written.
    pub ports: Vec<Port>,
    /// Ports that are only said to exist.
    pub expose: Vec<Spanned<(u16, Protocol)>>,
    /// Networks that it is attached to, when it names some.
    pub networks: BTreeMap<NetworkName, Attachment>,
    /// Its network stack, when not its own; never together with `networks`.
    pub network_mode: Option<Spanned<NetworkMode>>,
    /// Other names for other services.
    pub links: Vec<Link>,
    /// Containers outside of the project, `NAME[:ALIAS]`.
    pub external_links: Vec<Spanned<String>>,
    /// More lines of `/etc/hosts`, host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Options of the resolver.
    pub dns_opt: Vec<String>,
    /// Hardware address in the first network.
    pub mac_address: Option<Spanned<String>>,

    /// Volumes, binds and tmpfs; no two have one target.
    pub mounts: Vec<Mount>,
    /// Services whose mounts it gets too, and whether only for reading.
    pub volumes_from: Vec<(Spanned<ServiceName>, bool)>,
    /// Secrets as files.
    pub secrets: Vec<FileUse<SecretName>>,
    /// Configs as files.
    pub configs: Vec<FileUse<ConfigName>>,
    /// Certificates with their keys.
    pub certificates: Vec<CertificateUse>,
    /// The project's authority.
    pub authorities: Vec<AuthorityUse>,

    /// Upper bounds.
    pub limit: Limits,
    /// What is kept for it.
    pub reservation: Reservation,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Limits of processes, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<ByteSize>,
    /// How it is set apart from the rest of the host.
    pub isolation: Isolation,
}

/// How a container is set apart from the rest of the host, and how the kernel treats it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The root file system cannot be written.
    pub read_only: Option<bool>,
    /// All capabilities and devices.
    pub privileged: Option<bool>,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`, `seccomp=…`, …
    pub security_opt: Vec<String>,
    /// More groups.
    pub group_add: Vec<String>,
    /// Kernel parameters of its namespaces.
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
    /// The runtime.
    pub runtime: Option<Spanned<String>>,
    /// Options of the storage driver.
    pub storage_opt: BTreeMap<String, String>,
    /// Inclination to swap, 0 to 100.
    pub mem_swappiness: Option<u8>,
    /// Preference of the out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: Option<i16>,
    /// The out-of-memory killer passes it over.
    pub oom_kill_disable: Option<bool>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
}

/// Does it keep running, or end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keeps running.
    Service,
    /// Runs once per change and ends with 0.
    Job {
        /// Its start is a point of no return.
        irreversible: bool,
    },
}

/// Where an image comes from.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// By reference.
    Reference(Spanned<ImageRef>),
    /// Built here.
    Build {
        /// How.
        build: Box<Build>,
        /// What the result is called, if given.
        name: Option<Spanned<ImageRef>>,
    },
    /// The image of another service.
    Of(Spanned<ServiceName>),
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// At each deploy.
    Always,
    /// When it is not on the engine.
    Missing,
    /// It must be on the engine.
    Never,
}

/// What must be true of another service first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Where it is declared.
    pub span: Span,
    /// The condition.
    pub until: Option<Until>,
    /// Whether it is a failure when the other one is missing or fails; yes unless said otherwise.
    pub required: bool,
    /// Whether this service is restarted when the other one was replaced.
    pub restart: bool,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Its container runs.
    Started,
    /// Its gate has passed.
    Ready,
    /// It ended with 0.
    Completed,
}

/// How a running service is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Update {
    /// Which of the two runs first.
    pub order: Option<UpdateOrder>,
    /// How long an old container goes on after the new one took over.
    pub drain: Option<Duration>,
    /// The new container takes over the address of the old one (`address="keep"`).
    pub keeps_address: Option<bool>,
    /// How many replicas are replaced at a time; at least 1.
    pub parallelism: Option<u32>,
}

/// Which of the two containers runs first in an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// Decided from what the two share.
    Auto,
    /// The new one starts while the old one still runs.
    StartFirst,
    /// The old one stops first.
    StopFirst,
}

/// Where a distributed engine puts the containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// `node.role == manager`, …
    pub constraints: Vec<Spanned<String>>,
    /// Labels of nodes that replicas are spread over.
    pub spread: Vec<Spanned<String>>,
    /// How many: so many as said, or one on each node.
    pub mode: Option<Spanned<Mode>>,
    /// How the service's name is answered: `vip` or `dnsrr`.
    pub endpoint_mode: Option<Spanned<String>>,
}

/// How many containers a distributed engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As many as `replicas` says.
    Replicated,
    /// One on each node.
    Global,
}

/// What the engine does when a container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    No,
    /// Starts it again.
    Always,
    /// Starts it again unless it was stopped by hand.
    UnlessStopped,
    /// Starts it again after a failure.
    OnFailure {
        /// So many times at most; `None`: without end.
        max: Option<u32>,
    },
}
