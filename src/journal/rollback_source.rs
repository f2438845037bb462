//! How good a way back to an older generation there is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::HistoryEntry;
use crate::{name::ImageRef, plan::GenerationMember, project::Kind, state::State};

/// How good the way back to a generation is; worse ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollbackSource {
    /// Its containers are there.
    Container,
    /// Its images are there, so that its containers can be made again.
    Image,
    /// A registry had its images, under names that do not move.
    Registry,
    /// There is none.
    None,
}

impl RollbackSource {
    /// In a word, for people.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Container => "containers kept",
            Self::Image => "images kept",
            Self::Registry => "to be pulled",
            Self::None => "none",
        }
    }
}

impl HistoryEntry {
    /// How good the way back to this generation is; `None`: it was never committed.
    #[must_use]
    pub fn tier(&self, state: &State) -> Option<RollbackSource> {
        if !self.committed() {
            return None;
        }
        let services = self.made.values().filter(|made| {
            let service = self.project.services.get(&made.service);
            // What a job did is done.
            service.is_some_and(|service| service.kind == Kind::Service)
        });
        services
            .map(|made| tier_of(made, state))
            .max()
            .or(Some(RollbackSource::Container))
    }

    /// The images by which the way back can be told.
    #[must_use]
    pub fn images(&self) -> BTreeSet<ImageRef> {
        let ids = self.made.values().map(|made| made.image.as_str());
        let tags = self.tags.values().map(String::as_str);
        ids.chain(tags)
            .filter_map(|name| ImageRef::new(name).ok())
            .collect()
    }
}

fn tier_of(made: &GenerationMember, state: &State) -> RollbackSource {
    let kept = state.containers.values().any(|container| {
        container.service == made.service
            && container.replica == made.replica
            && container.generation == made.generation
    });
    if kept {
        RollbackSource::Container
    } else if state.images.values().any(|image| image.id == made.image) {
        RollbackSource::Image
    } else if made.digests.is_empty() {
        RollbackSource::None
    } else {
        RollbackSource::Registry
    }
}
