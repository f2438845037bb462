//! Who holds a project's lock. Data only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A process that changes a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The user's name; empty when it has none.
    pub user: String,
    /// The machine's name.
    pub host: String,
    /// Where its process number means something: the machine's boot and the process namespace.
    /// Empty where that cannot be told.
    pub boot: String,
    /// The process.
    pub pid: u32,
    /// When the process began, in ticks since the boot: tells a later process of that number
    /// apart.
    pub started: u64,
    /// What it does: `up`, `down`, …
    pub verb: String,
    /// Since when, by its machine's clock.
    pub at: Timestamp,
}
