//! Loads KDL text into a typed [`Manifest`] with spans.
//!
//! The stages are: `syntax` (text to nodes), `load` (includes, several files, variables), `merge`
//! (defaults, templates, overrides), one file for each kind of node (nodes to types), and `check`
//! (conditions on the whole manifest). Every error is collected. This module sets no defaults and
//! resolves nothing: `project` does.

mod body;
mod build;
mod certificate;
mod check;
mod context;
mod cycle;
mod deploy;
pub mod environment;
mod field;
mod file;
mod gate;
mod habit;
mod image;
mod include;
mod interpolate;
mod limit;
mod load;
mod lower;
mod map;
mod merge;
mod merge_rule;
mod mount;
mod network;
mod node;
mod parse_hint;
mod port;
mod probe;
mod process;
mod reader;
mod resources;
mod scalar;
mod service;
mod services;
mod subnet;
mod syntax;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

pub use self::{
    build::{Build, BuildSecret, BuildSecretSource, Context},
    certificate::{AuthorityUse, Certificate, CertificateUse},
    deploy::{Check, Deploy, RollbackScope},
    environment::{Environment, Template},
    file::FileUse,
    gate::Gate,
    limit::{Device, DeviceRequest, Limits, Reservation, Ulimit},
    load::{Disk, FILE_NAME, Files, Request, STANDARD_INPUT, find, load},
    mount::{Mount, MountKind},
    network::{Attachment, Link, NetworkMode},
    port::Port,
    probe::{Headers, Method, Probe, StatusSet, Tls},
    process::{Command, EnvFile, EnvValue, HealthTest, Healthcheck, Hook, Logging, Watch},
    resources::{Config, ConfigSource, Generation, Network, Secret, SecretSource, Subnet, Volume},
    service::{
        Dependency, ImageSource, Isolation, Kind, Mode, Placement, Pull, Restart, Service, Until,
        Update, UpdateOrder,
    },
};
use crate::{
    name::{
        CertificateName, ConfigName, NetworkName, ProjectName, SecretName, ServiceName, VolumeName,
    },
    span::{Sources, Spanned},
};

/// A whole manifest: all files merged, templates applied, variables filled in, no defaults set.
///
/// Paths are absolute: a relative path was joined with the folder of the file that contains it.
#[derive(Debug)]
pub struct Manifest {
    /// Source texts, for messages.
    pub sources: Arc<Sources>,
    /// Paths of the manifests, in the order in which they were read; the first is the main one.
    pub files: Vec<PathBuf>,
    /// Folder of the first manifest.
    pub directory: PathBuf,
    /// Variables with their values and sources.
    pub environment: Environment,
    /// Names of the variables that the manifest uses.
    pub variables: BTreeSet<String>,
    /// Name of the project: the name in the manifest, or the name of the folder made valid.
    pub project: ProjectName,
    /// Declared networks.
    pub networks: BTreeMap<NetworkName, Network>,
    /// Declared volumes.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Declared secrets.
    pub secrets: BTreeMap<SecretName, Secret>,
    /// Declared configs.
    pub configs: BTreeMap<ConfigName, Config>,
    /// Declared certificates.
    pub certificates: BTreeMap<CertificateName, Certificate>,
    /// Services and jobs.
    pub services: BTreeMap<ServiceName, Service>,
    /// Deploy settings.
    pub deploy: Deploy,
    /// Checks that run when every gate has passed.
    pub verify: Vec<Spanned<Check>>,
}
