//! The closed set of operations that `cimandat` performs on an engine.
//!
//! An action contains everything that is needed to perform it and refers to objects by name.
//! Actions are idempotent: performing an action twice has the effect of performing it once.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    name::{ContainerName, ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    project::{Build, ContainerSpec, Hook, Network, RestartPolicy, Volume},
    state::{ContainerRecord, ResourceLimits},
};

/// One change to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Builds an image.
    BuildImage(Box<BuildImage>),
    /// Pulls an image from a registry.
    PullImage(PullImage),
    /// Creates a network.
    CreateNetwork(Box<CreateNetwork>),
    /// Removes a network, by its name on the engine.
    RemoveNetwork(String),
    /// Creates a volume.
    CreateVolume(Box<CreateVolume>),
    /// Removes a volume with its data, by its name on the engine. Only `down --volumes` uses it.
    RemoveVolume(String),
    /// Copies the contents of a volume into a snapshot while no container writes to the volume. An
    /// existing snapshot of this name is written again from the beginning.
    SnapshotVolume(Box<VolumeSnapshot>),
    /// Replaces the contents of a volume with those of its snapshot and removes the snapshot. A
    /// missing snapshot means that the volume is already restored.
    RestoreVolume(Box<VolumeSnapshot>),
    /// Removes a snapshot, complete or not, by its name on the engine.
    RemoveSnapshot(String),
    /// Creates a container with its files in place, without starting it.
    CreateContainer(Box<CreateContainer>),
    /// Moves names, addresses and published ports in the networks to a container from the container
    /// that holds them. Connections over networks that both containers stay in remain open.
    Cutover(Box<Cutover>),
    /// Starts a container that is not running.
    StartContainer(ContainerName),
    /// Stops a container: sends its stop signal and kills it after the grace period.
    StopContainer {
        /// Name of the container.
        container: ContainerName,
        /// Time until the container is killed; `None` means the container's own grace period.
        grace: Option<Duration>,
    },
    /// Renames a container.
    RenameContainer {
        /// Current name.
        from: ContainerName,
        /// New name.
        to: ContainerName,
    },
    /// Removes a stopped container, with the anonymous volumes that no other container uses.
    RemoveContainer(ContainerName),
    /// Sets the restart policy of a container.
    SetRestartPolicy {
        /// Name of the container.
        container: ContainerName,
        /// New restart policy.
        policy: RestartPolicy,
    },
    /// Sets the resource limits of a container, whether it runs or not.
    SetAllowance {
        /// Name of the container.
        container: ContainerName,
        /// New limits. A limit that is `None` stays unchanged; a process limit of 0 means no limit.
        allowance: ResourceLimits,
    },
    /// Pauses or unpauses a running container.
    SetPaused {
        /// Name of the container.
        container: ContainerName,
        /// Whether the container is paused afterwards.
        paused: bool,
    },
    /// Runs a command inside a running container. An exit code other than 0 is a failure.
    RunHook(Box<RunHook>),
    /// Adds a tag to an image, under which the image is kept for its generation.
    TagImage {
        /// The image, by id or by another tag.
        image: ImageRef,
        /// New tag.
        tag: ImageRef,
    },
    /// Removes an image by reference.
    RemoveImage(ImageRef),
}

/// An image to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildImage {
    /// Project, for the image's label.
    pub project: ProjectName,
    /// Service that the image is built for.
    pub service: ServiceName,
    /// Build definition.
    pub build: Build,
    /// Target platform as `os/arch[/variant]`; `None` means the engine's own.
    pub platform: Option<String>,
    /// Tags of the image; never empty. The first tag identifies the build inputs.
    pub tags: Vec<ImageRef>,
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullImage {
    /// Reference of the image.
    pub image: ImageRef,
    /// Target platform as `os/arch[/variant]`; `None` means the engine's own.
    pub platform: Option<String>,
}

/// A network to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateNetwork {
    /// Project, for the label.
    pub project: ProjectName,
    /// Name in the manifest.
    pub name: NetworkName,
    /// Desired definition.
    pub network: Network,
    /// Digest of the definition, for the label.
    pub definition: String,
}

/// A volume to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Project, for the label.
    pub project: ProjectName,
    /// Name in the manifest.
    pub name: VolumeName,
    /// Desired definition.
    pub volume: Volume,
    /// Digest of the definition, for the label.
    pub definition: String,
    /// Generation that the volume is created for, for the label; 0 if the plan was written by a
    /// version that did not record it.
    #[serde(default)]
    pub generation: u64,
}

/// A snapshot of a volume: its contents before an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSnapshot {
    /// Project, for the label.
    pub project: ProjectName,
    /// Name of the volume in the manifest.
    pub volume: VolumeName,
    /// Name of the volume on the engine.
    pub source: String,
    /// Name of the snapshot on the engine.
    pub name: String,
    /// Generation of the deploy; the snapshot holds the data from before it.
    pub generation: u64,
    /// Id of any image on the engine. A copy needs containers, which are never started.
    pub image: String,
}

/// A container to create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateContainer {
    /// Project of the container.
    pub project: ProjectName,
    /// Name that the container is created under.
    pub name: ContainerName,
    /// Service or job of the container.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Generation number, counted from 1.
    pub generation: u64,
    /// Id of the image, or a reference if the id is not known.
    pub image: ImageRef,
    /// Platform as `os/arch[/variant]`; `None` means the engine's own.
    pub platform: Option<String>,
    /// Desired specification. The restart policy is set only when the deploy is committed, so that
    /// a crash before the commit is detected as one.
    pub spec: ContainerSpec,
    /// Names of the specification's networks on the engine.
    pub networks: BTreeMap<NetworkName, String>,
    /// Endpoints that the container is created with, by the network's name on the engine: those of
    /// all its networks, or of some of them if a [`Cutover`] attaches it to the others.
    pub endpoints: BTreeMap<String, EndpointSpec>,
    /// Containers that `service:NAME` in namespaces and `volumes-from` refers to, by service.
    pub peers: BTreeMap<ServiceName, ContainerName>,
    /// Anonymous volumes carried over from the replaced container: mount target to volume name.
    pub carried_over: BTreeMap<String, String>,
    /// Container record to store on the container.
    pub record: ContainerRecord,
    /// Additional labels for other tools, besides those of [`crate::state::label`].
    pub labels: BTreeMap<String, String>,
}

/// A move of traffic from one container to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cutover {
    /// Container that receives the traffic, with its endpoints afterwards.
    pub to: Attached,
    /// Container that gives up the traffic, with its endpoints afterwards; `None` if there is no
    /// such container.
    pub from: Option<Attached>,
}

/// A container with all networks that it is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Name of the container.
    pub container: ContainerName,
    /// Endpoints, by the network's name on the engine. The container is in no other network.
    pub endpoints: BTreeMap<String, EndpointSpec>,
}

/// Settings of a container's endpoint in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// Names of the container in this network, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// IPv4 address; `None` means any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Address>,
    /// IPv6 address; `None` means any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// MAC address; `None` means any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Priority of the network. The network with the highest priority provides the default route.
    pub priority: i64,
    /// Names for other containers that only this container resolves: `CONTAINER:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// An IPv4 address in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    /// A fixed address.
    Given(String),
    /// The address with this number among those that the engine does not assign by itself.
    Reserved(u32),
}

/// A command to run inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHook {
    /// Name of the container.
    pub container: ContainerName,
    /// Command to run.
    pub hook: Hook,
}

impl Action {
    /// Returns the description of the action for users, in the present participle and without its
    /// object: `creating container`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::BuildImage(_) => "building image",
            Self::PullImage(_) => "pulling image",
            Self::CreateNetwork(_) => "creating network",
            Self::RemoveNetwork(_) => "removing network",
            Self::CreateVolume(_) => "creating volume",
            Self::RemoveVolume(_) => "removing volume",
            Self::SnapshotVolume(_) => "copying volume",
            Self::RestoreVolume(_) => "restoring volume",
            Self::RemoveSnapshot(_) => "removing snapshot",
            Self::CreateContainer(_) => "creating container",
            Self::Cutover(cutover) if cutover.from.is_some() => "switching traffic to container",
            Self::Cutover(_) => "attaching container",
            Self::StartContainer(_) => "starting container",
            Self::StopContainer { .. } => "stopping container",
            Self::RenameContainer { .. } => "renaming container",
            Self::RemoveContainer(_) => "removing container",
            Self::SetRestartPolicy { .. } => "setting the restart policy of container",
            Self::SetAllowance { .. } => "setting the limits of container",
            Self::SetPaused { paused: true, .. } => "pausing container",
            Self::SetPaused { paused: false, .. } => "unpausing container",
            Self::RunHook(_) => "running a hook in container",
            Self::TagImage { .. } => "tagging image",
            Self::RemoveImage(_) => "removing image",
        }
    }

    /// Returns the name on the engine of the object that the action changes.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::BuildImage(build) => build.tags[0].as_str(),
            Self::PullImage(pull) => pull.image.as_str(),
            Self::CreateNetwork(create) => &create.network.engine_name,
            Self::CreateVolume(create) => &create.volume.engine_name,
            Self::RemoveNetwork(name) | Self::RemoveVolume(name) | Self::RemoveSnapshot(name) => {
                name
            }
            Self::SnapshotVolume(snapshot) | Self::RestoreVolume(snapshot) => &snapshot.source,
            Self::CreateContainer(create) => create.name.as_str(),
            Self::Cutover(cutover) => cutover.to.container.as_str(),
            Self::RunHook(run) => run.container.as_str(),
            Self::StartContainer(container)
            | Self::StopContainer { container, .. }
            | Self::RenameContainer {
                from: container, ..
            }
            | Self::RemoveContainer(container)
            | Self::SetRestartPolicy { container, .. }
            | Self::SetAllowance { container, .. }
            | Self::SetPaused { container, .. } => container.as_str(),
            Self::RemoveImage(image) | Self::TagImage { tag: image, .. } => image.as_str(),
        }
    }
}
