//! A service or a job: where its image comes from, what it waits for, how it is replaced.

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
    /// Its name.
    pub name: ServiceName,
    /// Does it keep running, or end?
    pub kind: Kind,
    /// Where its image comes from.
    pub image: ImageSource,
    /// When the image is pulled.
    pub pull: PullPolicy,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
    /// How many containers; 1 for a job.
    pub replicas: u32,
    /// The container's name, if the manifest fixes it.
    pub container_name: Option<String>,
    /// What the engine is asked for.
    pub container: ContainerSpec,
    /// What must be there before it starts.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// When it counts as ready.
    pub ready: Gate,
    /// How a running one is replaced.
    pub update: Update,
    /// Run inside the container after its gate has passed.
    pub post_start: Vec<Hook>,
    /// Run inside the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// What a development session does when a file changes.
    pub watch: Vec<Watch>,
}

impl Service {
    /// The ports that a replica publishes, counted from 1.
    pub fn ports_of(&self, replica: u32) -> impl Iterator<Item = PortBinding> {
        let ports = self.container.ports.iter();
        ports.map(move |port| port.of_replica(replica))
    }

    /// What the engine is asked for when a replica is created, counted from 1. That is also what
    /// its container's record says.
    #[must_use]
    pub fn spec_of(&self, replica: u32) -> ContainerSpec {
        ContainerSpec {
            ports: self.ports_of(replica).collect(),
            ..self.container.clone()
        }
    }
}

/// Does it keep running, or end?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// By reference: present on the engine, or pulled.
    Reference(ImageRef),
    /// Built here.
    Build(Box<Build>),
    /// The image of another service.
    Of(ServiceName),
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The context's folder, absolute; or a remote address that the builder fetches itself.
    pub context: PathBuf,
    /// The Dockerfile, absolute; relative to a remote context when it is part of that.
    pub dockerfile: PathBuf,
    /// The Dockerfile's text, when it stands in the manifest.
    pub inline: Option<String>,
    /// The stage that is built, if not the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, Text>,
    /// Secrets of `RUN --mount=type=secret`, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// `RUN --mount=type=ssh` gets the agent of the one who runs `cimandat`.
    pub ssh: bool,
    /// Named contexts, by name: a folder (absolute) or an image (`docker-image://…`).
    pub contexts: BTreeMap<String, String>,
    /// Network of the `RUN` steps (`none`, `host`), if not the default.
    pub network: Option<String>,
    /// Always ask the registry for the base images.
    pub pull: bool,
    /// Use no cached layer.
    pub no_cache: bool,
    /// Platforms, if not the service's own.
    pub platforms: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// More names for the image.
    pub tags: Vec<ImageRef>,
    /// Sources of cached layers.
    pub cache_from: Vec<String>,
    /// Where cached layers go.
    pub cache_to: Vec<String>,
    /// More lines of `/etc/hosts` in `RUN` steps, host to address.
    pub extra_hosts: Hosts,
    /// Size of `/dev/shm` in `RUN` steps, in bytes.
    pub shm_size: Option<u64>,
}

/// A secret of a build; never part of the image or of the digest of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    /// Where the value is.
    pub source: BuildSecretSource,
    /// Whether it is a mistake when it is not there.
    pub required: bool,
}

/// Where a build secret's value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildSecretSource {
    /// A file, absolute.
    File(PathBuf),
    /// A value already at hand (from the environment or from one of the project's secrets).
    Value(Text),
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// At each `up`.
    Always,
    /// When it is not on the engine.
    #[default]
    Missing,
    /// It must be on the engine.
    Never,
}

/// What must be true of another service first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The condition.
    pub until: Until,
    /// Whether it is a failure when the other one is missing or fails.
    pub required: bool,
    /// Whether this service is restarted when the other one was replaced.
    pub restart: bool,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Its container runs.
    Started,
    /// Its gate has passed.
    Ready,
    /// It ended with 0.
    Completed,
}

/// How a running service is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which of the two runs first.
    pub order: UpdateOrder,
    /// How long an old container that is not found by name any longer goes on, so that requests in
    /// progress end by themselves; only where the new one starts first. `None`: [`Update::DRAIN`].
    pub drain: Option<Duration>,
    /// The new container takes over the address of the old one.
    #[serde(default)]
    pub keeps_address: bool,
    /// How many replicas are replaced at a time; at least 1.
    pub parallelism: u32,
}

impl Update {
    /// How long an old container goes on after the switch, unless the manifest says otherwise. Its
    /// clients have resolved the name again by then, or have a connection that stays open until it
    /// stops: 1 s is two round trips of a slow resolver.
    pub const DRAIN: Duration = Duration::from_secs(1);
}

/// Which of the two containers runs first in an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// Decided from what the two share.
    #[default]
    Auto,
    /// The new one starts while the old one still runs.
    StartFirst,
    /// The old one stops first.
    StopFirst,
}

/// A command at a turn of a container's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Run as this user instead of the container's.
    pub user: Option<String>,
    /// Run in this folder instead of the container's.
    pub working_dir: Option<String>,
    /// Run with all capabilities.
    pub privileged: bool,
    /// More environment.
    pub env: BTreeMap<String, Text>,
}

/// What a development session does when a file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Absolute.
    pub path: PathBuf,
    /// `sync`, `rebuild`, `restart`, `sync+restart`.
    pub action: String,
    /// Inside the container.
    pub target: Option<String>,
    /// Patterns that are passed over.
    pub ignore: Vec<String>,
}
