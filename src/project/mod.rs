//! What is to run: a manifest with everything filled in.
//!
//! A [`Project`] has nothing symbolic left: no variable, no template, no profile, no relative
//! path, and no `Option` that means "the default". It knows nothing of what runs now.

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

/// A whole project, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The project's name.
    pub name: ProjectName,
    /// The folder of the first manifest, absolute.
    pub directory: PathBuf,
    /// The manifests that it was read from, absolute, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// Networks that some enabled service uses or that are declared.
    pub networks: BTreeMap<NetworkName, Network>,
    /// Declared volumes.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Services and jobs whose profiles are enabled.
    pub services: BTreeMap<ServiceName, Service>,
    /// How a deploy goes.
    pub deploy: DeployPolicy,
    /// What is checked when every gate has passed.
    pub verify: Vec<Check>,
}

/// A network of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name on the engine: `<project>_<name>` unless the manifest says otherwise.
    pub engine_name: String,
    /// It exists already and is never made or removed by us.
    pub external: bool,
    /// `bridge` unless said otherwise.
    pub driver: String,
    /// No way out, nothing published.
    pub internal: bool,
    /// Containers outside of the project may be attached by hand (swarm).
    pub attachable: bool,
    /// IPv6 addresses are given too.
    pub ipv6: bool,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Address pools.
    pub subnets: Vec<Subnet>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Whether services are found by their names in it; `None`: only where it is not external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_names: Option<bool>,
}

impl Network {
    /// Whether services are found by their names in it, besides their aliases. In an external
    /// network another project may have a service of the same name.
    #[must_use]
    pub fn has_service_names(&self) -> bool {
        self.service_names.unwrap_or(!self.external)
    }

    /// The definition that it is known by: how services are called in it does not make it another
    /// one.
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
    /// In CIDR form.
    pub subnet: String,
    /// The part of it that addresses are given from, in CIDR form.
    pub range: Option<String>,
    /// The address of the gateway.
    pub gateway: Option<String>,
}

/// A named volume of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name on the engine: `<project>_<name>` unless the manifest says otherwise.
    pub engine_name: String,
    /// It exists already and is never made or removed by us.
    pub external: bool,
    /// `local` unless said otherwise.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Copied before a switch, put back by a rollback.
    pub snapshot: bool,
    /// Several containers may write to it at a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl Volume {
    /// The definition that it is known by: when it is copied, and who may write to it, does not make
    /// it another one.
    #[must_use]
    pub fn definition(&self) -> Self {
        Self {
            snapshot: false,
            shared: false,
            ..self.clone()
        }
    }
}

/// How a deploy goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPolicy {
    /// What is put back when something fails.
    pub rollback: RollbackScope,
    /// How long every gate has to stay green after the last has passed; `None`: as the kind of
    /// the deploy demands (see `plan`).
    pub stabilize: Option<Duration>,
    /// The longest that the whole deploy may take.
    pub deadline: Option<Duration>,
    /// How many generations are remembered.
    pub history: u32,
}

/// What is put back when something fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollbackScope {
    /// Everything that the deploy changed.
    #[default]
    All,
    /// The failed service and what depends on it.
    Subtree,
    /// Nothing.
    None,
}
