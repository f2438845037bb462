//! The desired state: a manifest with everything resolved.
//!
//! A [`Project`] contains nothing symbolic: no variable, no template, no profile, no relative path,
//! and no `Option` that means "the default". It does not know the observed state.

mod archive;
pub mod authority;
pub mod build_inputs;
mod container;
mod gate;
pub mod hosts;
mod link;
pub mod renewal;
pub mod resolve;
pub mod rotation;
mod service;
mod store;
mod unseal;
pub mod vault;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    container::{
        Attachment, BindCreation, ContainerSpec, Device, DeviceRequest, FileSet, HealthTest,
        Healthcheck, InjectedFile, Limits, Logging, Mount, MountKind, NetworkMode, PortBinding,
        Reservation, RestartPolicy, Ulimit,
    },
    gate::{Check, Gate, Method, Probe, StatusSet, Tls},
    service::{
        Build, BuildSecret, BuildSecretSource, Dependency, Hook, ImageSource, Kind, PullPolicy,
        Service, Until, Update, UpdateOrder, Watch,
    },
    unseal::unseal,
};
use crate::name::{NetworkName, ProjectName, ServiceName, VolumeName};

/// A complete, resolved project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The project's name.
    pub name: ProjectName,
    /// The folder of the first manifest, absolute.
    pub directory: PathBuf,
    /// The manifests of the project, absolute, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// Networks that are declared or used by an enabled service.
    pub networks: BTreeMap<NetworkName, Network>,
    /// Declared volumes.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Enabled services and jobs.
    pub services: BTreeMap<ServiceName, Service>,
    /// Settings of the deploy.
    pub deploy: DeployPolicy,
    /// Checks to make after every gate passed.
    pub verify: Vec<Check>,
}

/// A network of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Name on the engine: `<project>_<name>` by default.
    pub engine_name: String,
    /// Whether the network is managed outside the project and never created or removed.
    pub external: bool,
    /// The driver; `bridge` by default.
    pub driver: String,
    /// Whether the network has no external access; no ports are published in it.
    pub internal: bool,
    /// Whether containers outside the project may be attached manually (swarm).
    pub attachable: bool,
    /// Whether IPv6 addresses are assigned too.
    pub ipv6: bool,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Address pools.
    pub subnets: Vec<Subnet>,
    /// Labels from the manifest.
    pub labels: BTreeMap<String, String>,
    /// Whether services are resolvable by their names in the network; `None` for only if it is not
    /// external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_names: Option<bool>,
}

impl Network {
    /// Returns whether services are resolvable by their names in the network, in addition to their
    /// aliases. In an external network, another project may have a service with the same name.
    #[must_use]
    pub fn has_service_names(&self) -> bool {
        self.service_names.unwrap_or(!self.external)
    }

    /// Returns the definition that identifies the network. It excludes the name resolution of
    /// services, because a change of that does not require another network.
    #[must_use]
    pub fn definition(&self) -> Self {
        Self {
            service_names: None,
            ..self.clone()
        }
    }
}

/// One address pool of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet, in CIDR notation.
    pub subnet: String,
    /// The part of the subnet from which addresses are assigned, in CIDR notation.
    pub range: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
}

/// A named volume of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Name on the engine: `<project>_<name>` by default.
    pub engine_name: String,
    /// Whether the volume is managed outside the project and never created or removed.
    pub external: bool,
    /// The driver; `local` by default.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels from the manifest.
    pub labels: BTreeMap<String, String>,
    /// Whether the volume is copied before an update and restored by a rollback.
    pub snapshot: bool,
    /// Whether several containers may write to the volume at the same time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl Volume {
    /// Returns the definition that identifies the volume. It excludes the snapshot and sharing
    /// settings, because a change of these does not require another volume.
    #[must_use]
    pub fn definition(&self) -> Self {
        Self {
            snapshot: false,
            shared: false,
            ..self.clone()
        }
    }
}

/// Settings of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPolicy {
    /// The scope of a rollback after a failure.
    pub rollback: RollbackScope,
    /// Time that every gate must stay green after the last one passed; `None` for the default of
    /// the kind of deploy (see `plan`).
    pub stabilize: Option<Duration>,
    /// Maximum duration of the whole deploy.
    pub deadline: Option<Duration>,
    /// Number of generations to keep.
    pub history: u32,
}

/// The scope of a rollback after a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollbackScope {
    /// Rolls back everything that the deploy changed.
    #[default]
    All,
    /// Rolls back the failed service and its dependents.
    Subtree,
    /// Rolls back nothing.
    None,
}
