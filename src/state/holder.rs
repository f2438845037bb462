//! The holder of a project's lock. Data only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A process that changes a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the user; empty if the user has no name.
    pub user: String,
    /// Name of the machine.
    pub host: String,
    /// Scope of the process id: the boot of the machine and the process namespace. Empty if
    /// unknown.
    pub boot: String,
    /// Process id.
    pub pid: u32,
    /// Start of the process, in ticks since the boot. Distinguishes it from a later process with
    /// the same id.
    pub started: u64,
    /// Command that holds the lock: `up`, `down`, …
    pub verb: String,
    /// When the lock was taken, by the clock of the machine.
    pub at: Timestamp,
}
