//! Queries about the past of a simulated world, for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Sim, Snapshot};
use crate::name::ServiceName;

/// A call that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The operation, such as `creating container` or `writing`.
    pub verb: String,
    /// The object of the operation.
    pub object: String,
}

impl Sim {
    /// Returns the number of calls that changed something or tried to.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().recorded_calls.len() as u64
    }

    /// Returns those calls, in the order in which they began.
    #[must_use]
    pub fn recorded_calls(&self) -> Vec<RecordedCall> {
        self.lock().recorded_calls.clone()
    }

    /// Returns the faults that did not occur.
    #[must_use]
    pub fn unmet(&self) -> Vec<Fault> {
        let inner = self.lock();
        let faults = inner.faults.iter().enumerate();
        let unmet = faults.filter(|(place, _)| !inner.triggered.contains(place));
        unmet.map(|(_, fault)| fault.clone()).collect()
    }

    /// Returns whether a container with this behavior was not ready when probed, or exited.
    #[must_use]
    pub fn acted(&self, service: &ServiceName, generation: Option<u64>) -> bool {
        self.lock().acted.contains(&(service.clone(), generation))
    }

    /// Returns whether a container needed a port that was grabbed.
    #[must_use]
    pub fn missed_port(&self, port: u16) -> bool {
        self.lock().world.occupied.get(&port) == Some(&true)
    }

    /// Returns the violated invariants, each as a sentence fragment.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        self.lock().world.violations.clone()
    }

    /// Returns the content of each volume: an entry for each generation of a service that wrote to
    /// it.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.lock().world.data.clone()
    }

    /// Returns the observable state of the world.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.lock().world)
    }
}
