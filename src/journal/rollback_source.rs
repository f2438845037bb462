//! The source of a rollback to an older generation.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::HistoryEntry;
use crate::{name::ImageRef, plan::GenerationMember, project::Kind, state::State};

/// The source of a rollback to a generation, ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollbackSource {
    /// The containers of the generation exist.
    Container,
    /// The images of the generation exist, so that its containers can be recreated.
    Image,
    /// The images have digest references in a registry, from which they can be pulled.
    Registry,
    /// No source: a rollback is impossible.
    None,
}

impl RollbackSource {
    /// Returns the text for people.
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
    /// Returns the source of a rollback to this generation; `None` if it was not committed.
    #[must_use]
    pub fn tier(&self, state: &State) -> Option<RollbackSource> {
        if !self.committed() {
            return None;
        }
        let services = self.made.values().filter(|made| {
            let service = self.project.services.get(&made.service);
            // A job has already run, and is not repeated.
            service.is_some_and(|service| service.kind == Kind::Service)
        });
        services
            .map(|made| tier_of(made, state))
            .max()
            .or(Some(RollbackSource::Container))
    }

    /// Returns the images whose presence determines the source of a rollback.
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
