//! Names of images on the engine.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::ListImagesOptionsBuilder;

use super::Docker;
use crate::{
    engine::{EngineError, Query},
    name::ImageRef,
    plan,
};

/// Returns the names under which images are kept for a project's generations. `None`: the query
/// does not ask for them.
pub(super) async fn kept(
    docker: &Docker,
    query: &Query,
) -> Result<Option<BTreeSet<ImageRef>>, EngineError> {
    if !query.kept_images {
        return Ok(None);
    }
    let pattern = format!("{}-*:g*", query.project).to_lowercase();
    let filters = HashMap::from([("reference", vec![pattern])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let listed = docker
        .client
        .list_images(Some(options))
        .await
        .map_err(|wire| docker.doing("listing", "images").failed(wire))?;
    let kept = listed
        .into_iter()
        .flat_map(|image| image.repo_tags)
        .filter(|name| plan::is_generation_tag(&query.project, name))
        .filter_map(|name| ImageRef::new(name).ok())
        .collect();
    Ok(Some(kept))
}
