//! Manifest + environment + profiles + secrets → [`Project`].
//!
//! Fills in everything that the manifest leaves open, by the rules of its language. Every reference
//! to something outside the manifest is resolved: files must exist, secrets must have values. The
//! engine is not queried. All errors are collected, and any error means that there is no project.

mod build;
mod container;
mod cutover;
mod deploy;
mod environment;
mod file;
mod gate;
mod inventory;
mod mount;
mod network;
mod process;
mod profile;
mod resolver;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;

pub use self::inventory::{Kept, Source, inventory, renew};
use self::resolver::Resolver;
use super::{Project, rotation::Rotation, vault::StoreMode};
use crate::{
    diagnostic::Report,
    manifest::Manifest,
    name::{NetworkName, ProjectName},
};

/// Parameters of the resolution besides the manifest.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// Overrides the name of the project in the manifest.
    pub project: Option<ProjectName>,
    /// Enabled profiles; `*` for all.
    pub profiles: BTreeSet<String>,
    /// Services that are enabled whatever their profiles are, because the user named them.
    pub services: BTreeSet<String>,
    /// Whether secrets and certificates may be created.
    pub store: StoreMode,
    /// New values that replace the active ones.
    pub rotation: Rotation,
    /// The machine of the engine, for bind mounts.
    pub engine: EngineHost,
    /// The time for the validity of certificates.
    pub now: Timestamp,
}

/// The machine of the engine, as far as paths are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineHost {
    /// The engine is on this machine: sources of bind mounts can be checked.
    ThisMachine,
    /// The engine is on another machine. Its files cannot be checked from here, and it rejects
    /// missing sources itself.
    AnotherMachine,
}

/// Resolves a manifest.
///
/// With [`StoreMode::Create`], missing secrets and certificates are created and stored. Nothing
/// else is written.
///
/// # Errors
/// All errors, in the order of the manifest.
pub fn resolve(manifest: &Manifest, resolution: &Resolution) -> Result<Project, Report> {
    let mut resolver = Resolver::new(manifest, resolution);
    let services: BTreeMap<_, _> = resolver
        .enabled_services()
        .into_iter()
        .filter_map(|service| {
            let name = service.name.value.clone();
            Some((name, resolver.service(service)?))
        })
        .collect();
    let used = services
        .values()
        .flat_map(|service| network::used(&service.container));
    let networks = resolver.networks(&used.collect());
    let mut project = Project {
        name: resolver.project.clone(),
        directory: cleaned(&manifest.directory),
        files: manifest.files.iter().map(|file| cleaned(file)).collect(),
        networks,
        volumes: resolver.volumes(),
        services,
        deploy: deploy::policy(&manifest.deploy),
        verify: resolver.checks(),
    };
    cutover::add_networks(&mut project);
    match Report::new(manifest.sources.clone(), resolver.into_mistakes()) {
        Some(report) => Err(report),
        None => Ok(project),
    }
}

/// The network of services that configure none.
fn default_network() -> Option<NetworkName> {
    NetworkName::new("default").ok()
}

/// Removes `.` and `..` lexically: a link in the path is not resolved, so that its target may
/// change between two deploys.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_cleaned_lexically() {
        let clean = |path: &str| cleaned(Path::new(path)).display().to_string();
        assert_eq!(clean("/a/b/../c/./d"), "/a/c/d");
        assert_eq!(clean("/a/../.."), "/");
    }
}
