//! Manifest + environment + profiles + secrets → [`Project`].
//!
//! Everything that the manifest leaves open is filled in here, by the rules of its language, and
//! every name of something outside of it is followed: files must exist, secrets must have values.
//! The engine is not asked. All mistakes are collected; a project with one is none.

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

/// What is asked for beside the manifest.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// Instead of the manifest's name of the project.
    pub project: Option<ProjectName>,
    /// Profiles that are on; `*`: all.
    pub profiles: BTreeSet<String>,
    /// Services that are on whatever their profiles are, because somebody named them.
    pub services: BTreeSet<String>,
    /// Whether secrets and certificates may be made.
    pub store: StoreMode,
    /// New values that are taken instead of those in force.
    pub rotation: Rotation,
    /// Whose files the engine binds.
    pub engine: EngineHost,
    /// The time by which certificates are judged.
    pub now: Timestamp,
}

/// Where the engine runs, as far as paths are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineHost {
    /// Here: what it is to bind can be seen.
    ThisMachine,
    /// On a machine whose files cannot be seen from here; it refuses itself what is missing.
    AnotherMachine,
}

/// Fills in everything that a manifest leaves open.
///
/// With [`StoreMode::Create`] missing secrets and certificates are made and stored; nothing else
/// is written.
///
/// # Errors
/// All mistakes, in the manifest's order.
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

/// The network of services that name none.
fn default_network() -> Option<NetworkName> {
    NetworkName::new("default").ok()
}

/// Without `.` and `..`, by the letters only: a link in it stays a link, so that what it leads to
/// may change between two deploys.
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
    fn a_path_is_cleaned_by_its_letters() {
        let clean = |path: &str| cleaned(Path::new(path)).display().to_string();
        assert_eq!(clean("/a/b/../c/./d"), "/a/c/d");
        assert_eq!(clean("/a/../.."), "/");
    }
}
