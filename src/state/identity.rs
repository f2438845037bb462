//! Which container a deploy made: the engine's id of each, as it was recorded.
//!
//! Labels, names and settings can be copied by any program that recreates a container; the id is
//! given by the engine and never given twice.

use serde::{Deserialize, Serialize};

use super::{Container, State};
use crate::name::ServiceName;

/// The recorded id of one container. A deploy makes one container of each service and replica, and
/// numbers of generations are never given twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its service or job.
    pub service: ServiceName,
    /// Counted from 1.
    pub replica: u32,
    /// The generation that made it.
    pub generation: u64,
    /// The engine's id.
    pub id: String,
}

impl Identity {
    /// Of a container as it is now.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        Self {
            service: container.service.clone(),
            replica: container.replica,
            generation: container.generation,
            id: container.id.clone(),
        }
    }

    /// Whether this is recorded of a container with these labels.
    #[must_use]
    pub fn is_of(&self, container: &Container) -> bool {
        (&self.service, self.replica, self.generation)
            == (&container.service, container.replica, container.generation)
    }
}

impl State {
    /// The id that was recorded for a container with these labels; `None`: nothing is recorded.
    #[must_use]
    pub fn recorded_id(&self, container: &Container) -> Option<&str> {
        let mut recorded = self.identities.iter();
        let identity = recorded.find(|identity| identity.is_of(container))?;
        Some(&identity.id)
    }

    /// Whether another program made this container in place of the recorded one.
    #[must_use]
    pub fn is_recreated(&self, container: &Container) -> bool {
        let recorded = self.recorded_id(container);
        recorded.is_some_and(|id| id != container.id)
    }
}
