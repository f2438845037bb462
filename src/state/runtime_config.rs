//! The current settings of a container that can be changed manually after its creation.
//!
//! Contains only what the engine reports, not what was requested; see [`crate::plan::drift`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    project::{Limits, Reservation},
    unit::ByteSize,
};

/// Current settings of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeConfig {
    /// Endpoints, by name of the network on the engine.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Resource limits.
    pub allowance: ResourceLimits,
    /// Id of the container whose network stack it shares; `None`: its own.
    pub network_of: Option<String>,
    /// Id or name of the container whose process namespace it shares; `None`: its own.
    pub pid_of: Option<String>,
    /// Id or name of the container whose IPC namespace it shares; `None`: its own.
    pub ipc_of: Option<String>,
    /// Last start in nanoseconds since the epoch, by the engine's clock; `None` if never started.
    pub started: Option<i64>,
    /// Targets of bind mounts whose source on the host is no longer the file or folder that is
    /// mounted in the container. Empty if that is unknown.
    #[serde(default)]
    pub replaced_binds: BTreeSet<String>,
}

/// Endpoint of a container in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Id of the network.
    pub network: String,
    /// Aliases in this network, sorted, without those that the engine assigns itself.
    pub aliases: Vec<String>,
    /// Requested fixed IPv4 address.
    pub ipv4: Option<String>,
    /// Requested fixed IPv6 address.
    pub ipv6: Option<String>,
    /// MAC address; `None` if the container is not running.
    pub mac: Option<String>,
    /// Gateway priority: the network with the highest priority provides the default route. `None`
    /// if the engine does not report it.
    pub priority: Option<i64>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

/// Resource limits of a container; `None`: no limit, or the engine does not apply it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// CPU limit in billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Memory limit.
    pub memory: Option<ByteSize>,
    /// Limit of memory and swap together.
    pub swap: Option<ByteSize>,
    /// Memory reservation.
    pub reserved: Option<ByteSize>,
    /// Maximum number of processes; 0: a limit was removed.
    pub pids: Option<i64>,
}

impl ResourceLimits {
    /// Returns the limits of a spec, as they are passed to the engine.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "processors are few; what a float cannot hold exactly is less than one part in 10^9"
    )]
    pub fn of(limit: Limits, reserve: Reservation) -> Self {
        Self {
            nano_cpus: limit.cpus.map(|cpus| (cpus * 1e9).round() as i64),
            memory: limit.memory,
            // Without this limit, the engine allows swap of the same size in addition.
            swap: limit.memory,
            reserved: reserve.memory,
            pids: limit.pids.filter(|most| *most > 0),
        }
    }
}
