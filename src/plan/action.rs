//! The closed set of what `cimandat` does to an engine.
//!
//! An action says all that is needed to perform it, addresses things by name, and performing it
//! twice has the effect of performing it once.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    name::{ContainerName, ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    project::{Build, ContainerSpec, Hook, Network, RestartPolicy, Volume},
    state::{ContainerRecord, ResourceLimits},
};

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Builds an image.
    BuildImage(Box<BuildImage>),
    /// Gets an image from a registry.
    PullImage(PullImage),
    /// Makes a network.
    CreateNetwork(Box<CreateNetwork>),
    /// Removes a network, by its name on the engine.
    RemoveNetwork(String),
    /// Makes a volume.
    CreateVolume(Box<CreateVolume>),
    /// Removes a volume and what it holds, by its name on the engine. Only `down --volumes` does.
    RemoveVolume(String),
    /// Copies what a volume holds into a snapshot, while nobody writes to it. Begun anew when the
    /// snapshot is there already.
    SnapshotVolume(Box<VolumeSnapshot>),
    /// Puts what a snapshot holds in place of all that its volume holds, and removes the snapshot.
    /// One that is gone was put back already.
    RestoreVolume(Box<VolumeSnapshot>),
    /// Removes a snapshot, whole or not, by its name on the engine.
    RemoveSnapshot(String),
    /// Makes a container, with its files in place, and does not start it.
    CreateContainer(Box<CreateContainer>),
    /// Gives a container its names, addresses and published ports in its networks, and takes them
    /// from the one that had them. Connections over networks that both stay in live on.
    Cutover(Box<Cutover>),
    /// Starts a container that is not running.
    StartContainer(ContainerName),
    /// Stops a container: its stop signal, and after the grace period the end.
    StopContainer {
        /// Which.
        container: ContainerName,
        /// `None`: the container's own.
        grace: Option<Duration>,
    },
    /// Gives a container another name.
    RenameContainer {
        /// The name it has.
        from: ContainerName,
        /// The name it gets.
        to: ContainerName,
    },
    /// Removes a container that does not run, with the anonymous volumes that nobody else uses.
    RemoveContainer(ContainerName),
    /// Sets what the engine does when the container ends.
    SetRestartPolicy {
        /// Which.
        container: ContainerName,
        /// What then.
        policy: RestartPolicy,
    },
    /// Sets what a container may use, whether it runs or not.
    SetAllowance {
        /// Which.
        container: ContainerName,
        /// What is `None` stays as it is; no limit of processes is 0.
        allowance: ResourceLimits,
    },
    /// Freezes a container that runs, or lets it go on.
    SetPaused {
        /// Which.
        container: ContainerName,
        /// Whether it is frozen then.
        paused: bool,
    },
    /// Runs a command inside a running container; an exit code other than 0 is a failure.
    RunHook(Box<RunHook>),
    /// Gives an image one more name, under which it is kept for its generation.
    TagImage {
        /// The image, by id or by another name.
        image: ImageRef,
        /// The name that it gets.
        tag: ImageRef,
    },
    /// Removes an image by reference.
    RemoveImage(ImageRef),
}

/// An image to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildImage {
    /// The project, for the image's label.
    pub project: ProjectName,
    /// The service whose image it is.
    pub service: ServiceName,
    /// How.
    pub build: Build,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
    /// The names that it gets; never empty. The first says what it was built from.
    pub tags: Vec<ImageRef>,
}

/// An image to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullImage {
    /// Which.
    pub image: ImageRef,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
}

/// A network to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateNetwork {
    /// The project, for the label.
    pub project: ProjectName,
    /// The manifest's name.
    pub name: NetworkName,
    /// What it is to be.
    pub network: Network,
    /// Digest of the definition, for the label.
    pub definition: String,
}

/// A volume to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// The project, for the label.
    pub project: ProjectName,
    /// The manifest's name.
    pub name: VolumeName,
    /// What it is to be.
    pub volume: Volume,
    /// Digest of the definition, for the label.
    pub definition: String,
    /// The generation that it is made for, for the label; 0: a version that did not record it.
    #[serde(default)]
    pub generation: u64,
}

/// A snapshot of a volume: what it held before a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSnapshot {
    /// The project, for the label.
    pub project: ProjectName,
    /// The manifest's name of the volume.
    pub volume: VolumeName,
    /// The volume's name on the engine.
    pub source: String,
    /// The snapshot's own name on the engine.
    pub name: String,
    /// The generation that it was taken before.
    pub generation: u64,
    /// Id of any image that is on the engine: a copy needs containers, which are never started.
    pub image: String,
}

/// A container to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateContainer {
    /// The project.
    pub project: ProjectName,
    /// The name it is made under.
    pub name: ContainerName,
    /// Its service.
    pub service: ServiceName,
    /// Counted from 1.
    pub replica: u32,
    /// Counted from 1.
    pub generation: u64,
    /// The image's id, or a reference where the id is not known.
    pub image: ImageRef,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
    /// What is asked for. Its restart policy is not given yet: that is done when the deploy is
    /// committed, so that a crash before is seen as one.
    pub spec: ContainerSpec,
    /// The names of the spec's networks on the engine.
    pub networks: BTreeMap<NetworkName, String>,
    /// The endpoints that it is made with, by the network's name on the engine: those of all its
    /// networks, or of some where a [`Cutover`] attaches it to the others.
    pub endpoints: BTreeMap<String, EndpointSpec>,
    /// For `service:NAME` in namespaces and `volumes-from`: the container that is meant.
    pub peers: BTreeMap<ServiceName, ContainerName>,
    /// Anonymous volumes carried over from the container that this one replaces, target to name.
    pub carried_over: BTreeMap<String, String>,
    /// What is recorded on it.
    pub record: ContainerRecord,
    /// More labels (for other tools), beside those of [`crate::state::label`].
    pub labels: BTreeMap<String, String>,
}

/// How traffic moves from one container to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cutover {
    /// The container that is found afterwards.
    pub to: Attached,
    /// The container that was found before; `None`: there is none to take anything from.
    pub from: Option<Attached>,
}

/// All networks that a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The container.
    pub container: ContainerName,
    /// Its endpoints, by the network's name on the engine; it is in no other network.
    pub endpoints: BTreeMap<String, EndpointSpec>,
}

/// How a container is attached to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// The names by which it is found in this network, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its IPv4 address; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Address>,
    /// Its IPv6 address; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Its hardware address; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The network with the highest gives the default route.
    pub priority: i64,
    /// Names for other containers, for this container alone: `CONTAINER:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// An IPv4 address in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    /// This one.
    Given(String),
    /// The one with this number among those that the engine does not give by itself.
    Reserved(u32),
}

/// A command to run inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHook {
    /// Where.
    pub container: ContainerName,
    /// What.
    pub hook: Hook,
}

impl Action {
    /// What a person calls it, in the present (`creating container`), without its object.
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

    /// The name of what it is done to, on the engine.
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
