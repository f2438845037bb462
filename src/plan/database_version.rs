//! Refusal to run another major version of a database on existing data, unless the user allows it.
//!
//! Only PostgreSQL is checked: its data directory contains the major version that wrote it, and no
//! other major version reads it. Other databases convert their data at startup or read the data of
//! the previous version. For them, a refusal would be wrong as often as right.
//!
//! Volumes are inspected only if the result matters. [`databases_in_question`] returns the
//! containers to inspect, and the plan is then made again with the result.

use std::collections::BTreeSet;

use super::{Change, Decision, DeploymentPlan, Options, PreflightError, image_of};
use crate::{
    name::{ContainerName, ImageRef, ServiceName},
    project::{Project, Service},
    state::{Container, State},
};

/// Returns the containers that are replaced by PostgreSQL from another image. Their data
/// directories must be inspected before the deploy can be planned. The result is usually empty.
#[must_use]
pub fn databases_in_question(
    project: &Project,
    state: &State,
    options: &Options,
    deploy: &DeploymentPlan,
) -> BTreeSet<ContainerName> {
    if options.allow_major_upgrade {
        return BTreeSet::new();
    }
    let candidates = candidates(project, state, options, &deploy.decisions);
    candidates.map(|it| it.name.clone()).collect()
}

/// Returns an error for each database that could not read its data.
pub(super) fn refusals(
    project: &Project,
    state: &State,
    options: &Options,
    decisions: &[Decision],
) -> Vec<PreflightError> {
    candidates(project, state, options, decisions)
        .filter_map(|it| {
            let database = state.databases.get(it.name)?;
            (database.major != it.major).then(|| PreflightError::MajorVersion {
                service: it.service.clone(),
                volume: volume_of(it.container, &database.folder),
                folder: database.folder.clone(),
                from: database.major.clone(),
                to: it.major,
            })
        })
        .collect()
}

/// A container with a writable volume that is replaced by PostgreSQL from another image.
struct Candidate<'a> {
    service: &'a ServiceName,
    name: &'a ContainerName,
    container: &'a Container,
    /// Major version of the new server.
    major: String,
}

fn candidates<'a>(
    project: &'a Project,
    state: &'a State,
    options: &'a Options,
    decisions: &'a [Decision],
) -> impl Iterator<Item = Candidate<'a>> {
    let replaced = decisions.iter().filter(|it| it.change == Change::Replace);
    replaced.filter_map(|decision| {
        let service = project.services.get(&decision.service)?;
        let (name, container) = state.containers.get_key_value(decision.current.as_ref()?)?;
        let major = major_of(project, state, options, service, container)?;
        let writes = container.volumes.values().any(|volume| volume.writable);
        writes.then_some(Candidate {
            service: &service.name,
            name,
            container,
            major,
        })
    })
}

/// Returns the major version in the image that a service would run, if the image differs from the
/// current one.
fn major_of(
    project: &Project,
    state: &State,
    options: &Options,
    service: &Service,
    current: &Container,
) -> Option<String> {
    let image = image_of(project, &options.tags, service)?;
    let facts = state.images.get(&image)?;
    if facts.id == current.image {
        return None;
    }
    facts.postgres_major.clone().or_else(|| tagged(&image))
}

/// Returns the major version in an image tag: `17` for
/// `registry.example/mirror/postgres:17.2-alpine`, `9.6` for `postgres:9.6.24`.
fn tagged(image: &ImageRef) -> Option<String> {
    let (_, last) = image
        .as_str()
        .rsplit_once('/')
        .unwrap_or(("", image.as_str()));
    let tag = last.strip_prefix("postgres:")?;
    let version = tag.split('-').next().unwrap_or(tag);
    let mut parts = version
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let first = parts.next()?;
    // Before version 10, a major version consists of two numbers.
    match parts.next().filter(|_| first < 10) {
        Some(second) => Some(format!("{first}.{second}")),
        None => (first >= 10).then(|| first.to_string()),
    }
}

/// Returns the name of the volume that contains a folder of a container.
fn volume_of(container: &Container, folder: &str) -> String {
    let holds = |target: &str| {
        let below = folder.strip_prefix(target.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let volumes = container.volumes.iter().filter(|(target, _)| holds(target));
    let nearest = volumes.max_by_key(|(target, _)| target.len());
    nearest
        .map(|(_, volume)| volume.name.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_official_tags_only() {
        let of = |image: &str| tagged(&ImageRef::new(image).unwrap());
        assert_eq!(of("postgres:17"), Some("17".to_owned()));
        assert_eq!(
            of("registry.example/mirror/postgres:9.6-alpine"),
            Some("9.6".to_owned())
        );
        assert_eq!(of("postgres:9"), None);
        assert_eq!(of("postgres:latest"), None);
        assert_eq!(of("postgres"), None);
        assert_eq!(of("shop-postgres:17"), None);
    }
}
