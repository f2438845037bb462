//! Images that are built and pulled before anything else is decided.
//!
//! Images are a separate stage. Whether a reference points to another image is known only once the
//! images are available. Until then, nothing of the project is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, BuildImage, BuildPolicy, Options, Plan, PreflightError, PullImage, Reason, Step,
    Subject,
    builder::{Key, PlanBuilder},
};
use crate::{
    name::{ImageRef, ServiceName},
    project::{Build, ImageSource, Project, PullPolicy, Service},
    state::State,
};

/// Returns the image that a service runs; `None` if the service that provides the image is not
/// enabled.
#[must_use]
pub fn image_of(
    project: &Project,
    tags: &BTreeMap<ServiceName, ImageRef>,
    service: &Service,
) -> Option<ImageRef> {
    match &service.image {
        ImageSource::Reference(image) => Some(image.clone()),
        ImageSource::Build(_) => tags.get(&service.name).cloned(),
        ImageSource::Of(other) => image_of(project, tags, project.services.get(other)?),
    }
}

/// Plans the builds and pulls that these services need.
///
/// # Errors
/// Returns every image that is missing and must not be built or pulled.
pub fn images(
    project: &Project,
    state: &State,
    options: &Options,
    services: &BTreeSet<ServiceName>,
) -> Result<Plan, Vec<PreflightError>> {
    let mut draft = PlanBuilder::default();
    let mut refusals = Vec::new();
    let sources: BTreeMap<&ServiceName, &Service> = services
        .iter()
        .filter_map(|name| source(project, project.services.get(name)?))
        .map(|service| (&service.name, service))
        .collect();
    for service in sources.into_values() {
        let Some(image) = image_of(project, &options.tags, service) else {
            continue;
        };
        let key = Key::Image(image.to_string());
        let subject = Subject::Image {
            name: service.name.clone(),
        };
        let present = state.images.contains_key(&image);
        let wanted = match &service.image {
            ImageSource::Build(build) => build_reason(service, options, present)
                .map(|why| why.map(|why| (build_action(project, service, build, image), why))),
            _ => pull_reason(service, options, present, &image)
                .map(|why| why.map(|why| (pull_action(service, image), why))),
        };
        match wanted {
            Ok(Some((action, why))) => draft.add(key, Step::act(action, subject, why), []),
            Ok(None) => {}
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    // Images do not depend on each other, so that there is no cycle to report.
    draft.finish().map_err(|_| Vec::new())
}

fn build_reason(
    service: &Service,
    options: &Options,
    present: bool,
) -> Result<Option<Reason>, PreflightError> {
    match (options.build, present) {
        (BuildPolicy::Always, _) => Ok(Some(Reason::Requested)),
        (BuildPolicy::Missing, false) => Ok(Some(Reason::BuildInputsChanged)),
        (BuildPolicy::Never, false) => Err(PreflightError::NotBuilt {
            service: service.name.clone(),
        }),
        (_, true) => Ok(None),
    }
}

fn build_action(project: &Project, service: &Service, build: &Build, image: ImageRef) -> Action {
    let mut tags = vec![image];
    tags.extend(build.tags.iter().cloned());
    Action::BuildImage(Box::new(BuildImage {
        project: project.name.clone(),
        service: service.name.clone(),
        build: build.clone(),
        platform: service.platform.clone(),
        tags,
    }))
}

fn pull_reason(
    service: &Service,
    options: &Options,
    present: bool,
    image: &ImageRef,
) -> Result<Option<Reason>, PreflightError> {
    match (options.pull.unwrap_or(service.pull), present) {
        (PullPolicy::Always, _) => Ok(Some(Reason::Requested)),
        (PullPolicy::Missing, false) => Ok(Some(Reason::NotFound)),
        (PullPolicy::Never, false) => Err(PreflightError::NoImage {
            service: service.name.clone(),
            image: image.clone(),
            by_option: options.pull.is_some(),
        }),
        (_, true) => Ok(None),
    }
}

fn pull_action(service: &Service, image: ImageRef) -> Action {
    Action::PullImage(PullImage {
        image,
        platform: service.platform.clone(),
    })
}

/// Returns the service that provides the image of a service.
fn source<'a>(project: &'a Project, service: &'a Service) -> Option<&'a Service> {
    match &service.image {
        ImageSource::Of(other) => source(project, project.services.get(other)?),
        _ => Some(service),
    }
}
