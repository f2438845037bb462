//! The recorded engine id of each container that a deploy created.
//!
//! A program that recreates a container can copy its labels, name and settings. The engine assigns
//! the id and never reuses it.

use serde::{Deserialize, Serialize};

use super::{Container, State};
use crate::name::ServiceName;

/// The recorded id of one container. A deploy creates one container for each service and replica,
/// and generation numbers are never reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Service or job of the container.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Generation that created the container.
    pub generation: u64,
    /// Id on the engine.
    pub id: String,
}

impl Identity {
    /// Returns the identity of an observed container.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        Self {
            service: container.service.clone(),
            replica: container.replica,
            generation: container.generation,
            id: container.id.clone(),
        }
    }

    /// Whether this identity was recorded for a container with these labels.
    #[must_use]
    pub fn is_of(&self, container: &Container) -> bool {
        (&self.service, self.replica, self.generation)
            == (&container.service, container.replica, container.generation)
    }
}

impl State {
    /// Returns the id that was recorded for a container with these labels; `None` if there is no
    /// record.
    #[must_use]
    pub fn recorded_id(&self, container: &Container) -> Option<&str> {
        let mut recorded = self.identities.iter();
        let identity = recorded.find(|identity| identity.is_of(container))?;
        Some(&identity.id)
    }

    /// Whether another program recreated this container, so that its id differs from the recorded
    /// one.
    #[must_use]
    pub fn is_recreated(&self, container: &Container) -> bool {
        let recorded = self.recorded_id(container);
        recorded.is_some_and(|id| id != container.id)
    }
}
