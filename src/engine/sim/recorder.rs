//! What can be asked of a simulated world when something has happened in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Sim, Snapshot};
use crate::name::ServiceName;

/// What a call that changes something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// `creating container`, `writing`, …
    pub verb: String,
    /// Its object.
    pub object: String,
}

impl Sim {
    /// How many calls changed, or were to change, something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().deeds.len() as u64
    }

    /// Those calls, in the order of their beginning.
    #[must_use]
    pub fn deeds(&self) -> Vec<RecordedCall> {
        self.lock().deeds.clone()
    }

    /// The faults that have not taken place.
    #[must_use]
    pub fn unmet(&self) -> Vec<Fault> {
        let inner = self.lock();
        let faults = inner.faults.iter().enumerate();
        let unmet = faults.filter(|(place, _)| !inner.triggered.contains(place));
        unmet.map(|(_, fault)| fault.clone()).collect()
    }

    /// Whether a container that goes by this script was asked in vain, or came to its end.
    #[must_use]
    pub fn acted(&self, service: &ServiceName, generation: Option<u64>) -> bool {
        self.lock().acted.contains(&(service.clone(), generation))
    }

    /// Whether somebody was in want of a port that was grabbed.
    #[must_use]
    pub fn missed_port(&self, port: u16) -> bool {
        self.lock().world.occupied.get(&port) == Some(&true)
    }

    /// What happened that must never happen, each in a fragment.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        self.lock().world.violations.clone()
    }

    /// What each volume holds: a note of each generation of a service that wrote to it.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.lock().world.data.clone()
    }

    /// What can be seen of the world.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.lock().world)
    }
}
