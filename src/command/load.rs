//! Loads a project from its files: the first step of every command.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;

use super::{CommandError, ProjectSelector};
use crate::{
    engine::docker::Settings,
    manifest::{self, Manifest},
    name::{ImageRef, ProjectName, ServiceName},
    plan::{Options, PreflightError},
    project::{
        ImageSource, Project,
        build_inputs::{HashCache, InputsError},
        resolve::{EngineHost, Resolution, resolve},
        rotation::Rotation,
        vault::StoreMode,
    },
    state::State,
};

/// Cache of the digests of unchanged build inputs, relative to the manifest's folder.
const MEMORY: &str = ".cimandat/inputs";

/// Reads and resolves the manifest. The services in `named` are enabled, whatever their profiles
/// say.
pub(super) fn project(
    scope: &ProjectSelector,
    engine: &Settings,
    store: StoreMode,
    named: &[ServiceName],
) -> Result<Project, CommandError> {
    let resolution = resolution(scope, engine, store, named);
    let manifest = manifest(scope)?;
    refuse_unknown(named, &manifest.services.keys().collect())?;
    Ok(resolve(&manifest, &resolution)?)
}

/// Rejects service names that are not in `known`.
fn refuse_unknown(
    named: &[ServiceName],
    known: &BTreeSet<&ServiceName>,
) -> Result<(), CommandError> {
    let unknown = named.iter().filter(|name| !known.contains(name));
    let refusals: Vec<PreflightError> = unknown
        .map(|name| PreflightError::NoService {
            service: name.to_string(),
            known: known.iter().map(ToString::to_string).collect(),
        })
        .collect();
    if refusals.is_empty() {
        return Ok(());
    }
    Err(CommandError::Refused(refusals))
}

/// Rejects service names that exist neither in the manifest nor on the engine. Services that exist
/// on the engine need no manifest.
pub(super) fn refuse_strangers<'a>(
    scope: &ProjectSelector,
    state: &State,
    named: impl IntoIterator<Item = &'a ServiceName>,
) -> Result<(), CommandError> {
    let named: Vec<ServiceName> = named.into_iter().cloned().collect();
    if named.is_empty() {
        return Ok(());
    }
    let manifest = manifest(scope).ok();
    let declared = manifest.iter().flat_map(|it| it.services.keys());
    let there = state.containers.values().map(|it| &it.service);
    refuse_unknown(&named, &declared.chain(there).collect())
}

/// Builds the parameters for resolving a manifest.
pub(super) fn resolution(
    scope: &ProjectSelector,
    engine: &Settings,
    store: StoreMode,
    named: &[ServiceName],
) -> Resolution {
    Resolution {
        project: scope.project.clone(),
        profiles: scope.profiles.clone(),
        services: named.iter().map(ToString::to_string).collect(),
        store,
        rotation: Rotation::default(),
        engine: if engine.is_local() {
            EngineHost::ThisMachine
        } else {
            EngineHost::AnotherMachine
        },
        now: Timestamp::now(),
    }
}

/// Reads the manifest without resolving it.
pub(super) fn manifest(scope: &ProjectSelector) -> Result<Manifest, CommandError> {
    let request = manifest::Request {
        current: scope.directory.clone(),
        files: scope.files.clone(),
        standard_input: scope.standard_input.clone(),
        env_files: scope.env_files.clone(),
        variables: scope.environment.clone(),
    };
    Ok(manifest::load(&request, &manifest::Disk)?)
}

/// Returns the project's name, from the command line or from the manifest. An existing project can
/// be listed and removed by its name alone.
pub(super) fn project_name(scope: &ProjectSelector) -> Result<ProjectName, CommandError> {
    match &scope.project {
        Some(name) => Ok(name.clone()),
        None => Ok(manifest(scope)?.project),
    }
}

/// Sets the readiness timeout of every service to `within`.
pub(super) fn wait_at_most(project: &mut Project, within: Duration) {
    let services = project.services.values_mut();
    services.for_each(|service| service.ready.timeout = within);
}

/// Computes the tag of each image that is built here. A tag contains the digest of the build
/// inputs.
pub(super) fn with_tags(project: &Project, options: Options) -> Result<Options, CommandError> {
    let memory = project.directory.join(MEMORY);
    let mut contents = HashCache::remembered(&memory);
    let mut tags = BTreeMap::new();
    for service in project.services.values() {
        let ImageSource::Build(build) = &service.image else {
            continue;
        };
        let failed = |cause: &InputsError| CommandError::Inputs {
            service: service.name.to_string(),
            cause: cause.to_string(),
        };
        let digest = contents
            .digest(build, service.platform.as_deref())
            .map_err(|cause| failed(&cause))?;
        let name = format!("{}-{}:{digest}", project.name, service.name).to_lowercase();
        // Two valid names and hexadecimal digits form a valid name.
        tags.extend(
            ImageRef::new(name)
                .ok()
                .map(|tag| (service.name.clone(), tag)),
        );
    }
    if memory.parent().is_some_and(Path::is_dir) {
        // Digests that are not cached are computed again.
        let _ = contents.remember();
    }
    Ok(Options { tags, ..options })
}
