//! How a container is set up now: what a hand can change after it was made.
//!
//! What the engine tells, and nothing of what was asked for; see [`crate::plan::drift`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    project::{Limits, Reservation},
    unit::ByteSize,
};

/// How a container is set up now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeConfig {
    /// Its endpoints, by the network's name on the engine.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// What it may use.
    pub allowance: ResourceLimits,
    /// Id of the container whose network stack it has; `None`: its own.
    pub network_of: Option<String>,
    /// Id or name of the container whose process namespace it has; `None`: its own.
    pub pid_of: Option<String>,
    /// Id or name of the container whose IPC namespace it has; `None`: its own.
    pub ipc_of: Option<String>,
    /// Its last start in nanoseconds since the epoch, by the engine's clock; `None`: none yet.
    pub started: Option<i64>,
    /// Targets of bind mounts whose source on the host is another file or folder than the one that
    /// the container sees. Empty where that is not known.
    #[serde(default)]
    pub replaced_binds: BTreeSet<String>,
}

/// How a container is attached to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network: String,
    /// Its names in this network, sorted, without those that the engine gives by itself.
    pub aliases: Vec<String>,
    /// The fixed address that it asks for.
    pub ipv4: Option<String>,
    /// The fixed address that it asks for.
    pub ipv6: Option<String>,
    /// Its hardware address; `None`: it does not run.
    pub mac: Option<String>,
    /// The network with the highest gives the default route; `None`: the engine does not tell.
    pub priority: Option<i64>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// What a container may use; `None`: without a limit, or the engine does not apply it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Memory and swap together.
    pub swap: Option<ByteSize>,
    /// Memory that is kept for it.
    pub reserved: Option<ByteSize>,
    /// Processes; 0: a limit was taken away.
    pub pids: Option<i64>,
}

impl ResourceLimits {
    /// What a spec asks for, as the engine is told it.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "processors are few; what a float cannot hold exactly is less than one part in 10^9"
    )]
    pub fn of(limit: Limits, reserve: Reservation) -> Self {
        Self {
            nano_cpus: limit.cpus.map(|cpus| (cpus * 1e9).round() as i64),
            memory: limit.memory,
            // Without it the engine gives as much swap again.
            swap: limit.memory,
            reserved: reserve.memory,
            pids: limit.pids.filter(|most| *most > 0),
        }
    }
}
