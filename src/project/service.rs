//! Services and jobs: their image, their dependencies, and how they are updated.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ContainerSpec, Gate, PortBinding, hosts::Hosts};
use crate::{
    name::{ImageRef, ServiceName},
    secret::Text,
};

/// A service or a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The name of the service.
    pub name: ServiceName,
    /// Whether the container keeps running or completes.
    pub kind: Kind,
    /// The source of the image.
    pub image: ImageSource,
    /// When the image is pulled.
    pub pull: PullPolicy,
    /// Platform as `os/arch[/variant]`; `None` for that of the engine.
    pub platform: Option<String>,
    /// Number of containers; 1 for a job.
    pub replicas: u32,
    /// Fixed name of the container, if the manifest sets one.
    pub container_name: Option<String>,
    /// Settings with which the container is created.
    pub container: ContainerSpec,
    /// Conditions on other services that must hold before this one starts.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// The readiness gate.
    pub ready: Gate,
    /// How a running container is replaced.
    pub update: Update,
    /// Commands to run in the container after its gate passed.
    pub post_start: Vec<Hook>,
    /// Commands to run in the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// Actions of a development session when a file changes.
    pub watch: Vec<Watch>,
}

impl Service {
    /// Returns the ports that a replica publishes. Replicas are counted from 1.
    pub fn ports_of(&self, replica: u32) -> impl Iterator<Item = PortBinding> {
        let ports = self.container.ports.iter();
        ports.map(move |port| port.of_replica(replica))
    }

    /// Returns the settings with which a replica is created. Replicas are counted from 1. The
    /// container record contains the same settings.
    #[must_use]
    pub fn spec_of(&self, replica: u32) -> ContainerSpec {
        ContainerSpec {
            ports: self.ports_of(replica).collect(),
            ..self.container.clone()
        }
    }
}

/// Whether a container keeps running or completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// A container that keeps running.
    Service,
    /// A container that runs once per change and must exit with code 0.
    Job {
        /// Whether a rollback is impossible after the start of the job.
        irreversible: bool,
    },
}

/// The source of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// An image reference, present on the engine or pulled.
    Reference(ImageRef),
    /// An image that is built from a context.
    Build(Box<Build>),
    /// The image of another service.
    Of(ServiceName),
}

/// Settings for the build of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Folder of the context, absolute; or a remote address that the builder fetches itself.
    pub context: PathBuf,
    /// Path of the Dockerfile, absolute; relative if it is part of a remote context.
    pub dockerfile: PathBuf,
    /// Text of the Dockerfile, if it is in the manifest.
    pub inline: Option<String>,
    /// The stage to build; `None` for the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, Text>,
    /// Secrets of `RUN --mount=type=secret`, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// Whether `RUN --mount=type=ssh` has access to the SSH agent of the user.
    pub ssh: bool,
    /// Named contexts, by name: a folder (absolute) or an image (`docker-image://…`).
    pub contexts: BTreeMap<String, String>,
    /// Network of the `RUN` steps (`none`, `host`); `None` for the default.
    pub network: Option<String>,
    /// Whether to always check the registry for newer base images.
    pub pull: bool,
    /// Whether to ignore all cached layers.
    pub no_cache: bool,
    /// Platforms of the image; empty for that of the service.
    pub platforms: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Additional names of the image.
    pub tags: Vec<ImageRef>,
    /// Sources of cached layers.
    pub cache_from: Vec<String>,
    /// Destinations of cached layers.
    pub cache_to: Vec<String>,
    /// Additional lines of `/etc/hosts` in `RUN` steps, host to address.
    pub extra_hosts: Hosts,
    /// Size of `/dev/shm` in `RUN` steps, in bytes.
    pub shm_size: Option<u64>,
}

/// A secret of a build. It is never part of the image or of the digest of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    /// The source of the value.
    pub source: BuildSecretSource,
    /// Whether a missing value is an error.
    pub required: bool,
}

/// The source of the value of a build secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildSecretSource {
    /// A file, as an absolute path.
    File(PathBuf),
    /// An available value (from the environment or from one of the project's secrets).
    Value(Text),
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// At each `up`.
    Always,
    /// If the image is not on the engine.
    #[default]
    Missing,
    /// Never; the image must be on the engine.
    Never,
}

/// A condition on another service that must hold first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The condition.
    pub until: Until,
    /// Whether it is an error if the other service is missing or fails.
    pub required: bool,
    /// Whether this service is restarted after the other one was replaced.
    pub restart: bool,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// The container runs.
    Started,
    /// The gate passed.
    Ready,
    /// The container exited with code 0.
    Completed,
}

/// How a running service is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which of the two containers runs first.
    pub order: UpdateOrder,
    /// Time that an old container keeps running after its name no longer resolves to it, so that
    /// requests in progress can complete. Applies only if the new container starts first. `None`
    /// for [`Update::DRAIN`].
    pub drain: Option<Duration>,
    /// Whether the new container takes over the IP address of the old one.
    #[serde(default)]
    pub keeps_address: bool,
    /// Number of replicas that are replaced at the same time; at least 1.
    pub parallelism: u32,
}

impl Update {
    /// Default time that an old container keeps running after the cutover. By then its clients have
    /// resolved the name again, or have a connection that stays open until the container stops: 1 s
    /// is two round trips of a slow resolver.
    pub const DRAIN: Duration = Duration::from_secs(1);
}

/// Which of the two containers runs first in an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// Chosen by the resources that the two share.
    #[default]
    Auto,
    /// The new container starts while the old one still runs.
    StartFirst,
    /// The old container stops first.
    StopFirst,
}

/// A command at a point in a container's lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// A program and its arguments.
    pub command: Vec<String>,
    /// User of the command; `None` for that of the container.
    pub user: Option<String>,
    /// Working directory of the command; `None` for that of the container.
    pub working_dir: Option<String>,
    /// Whether the command has all capabilities.
    pub privileged: bool,
    /// Additional environment variables.
    pub env: BTreeMap<String, Text>,
}

/// An action of a development session when a file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The watched file or folder, as an absolute path.
    pub path: PathBuf,
    /// The action: `sync`, `rebuild`, `restart` or `sync+restart`.
    pub action: String,
    /// Target path in the container.
    pub target: Option<String>,
    /// Patterns of ignored paths.
    pub ignore: Vec<String>,
}
