//! How a container is set up now, from what the engine says about it.

use std::collections::BTreeSet;

use bollard::models::{ContainerInspectResponse, EndpointSettings, HostConfig};

use super::condition::time;
use crate::{
    state::{Allowance, Endpoint, Setup},
    unit::ByteSize,
};

/// As much of an id as the engine gives as a name.
const SHORT_ID: usize = 12;

/// Translates an inspected container.
pub(super) fn setup(inspected: &ContainerInspectResponse) -> Setup {
    let id = inspected.id.as_deref().unwrap_or_default();
    let networks = inspected
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let host = inspected.host_config.as_ref();
    let state = inspected.state.as_ref();
    let shared = |mode: Option<&String>| mode?.strip_prefix("container:").map(str::to_owned);
    Setup {
        endpoints: networks
            .into_iter()
            .flatten()
            .map(|(name, found)| (name.clone(), endpoint(found, id)))
            .collect(),
        allowance: host.map(allowance).unwrap_or_default(),
        network_of: shared(host.and_then(|host| host.network_mode.as_ref())),
        pid_of: shared(host.and_then(|host| host.pid_mode.as_ref())),
        ipc_of: shared(host.and_then(|host| host.ipc_mode.as_ref())),
        started: time(state.and_then(|state| state.started_at.as_deref()))
            .and_then(|time| i64::try_from(time.as_nanosecond()).ok()),
        replaced_binds: BTreeSet::new(),
    }
}

fn endpoint(found: &EndpointSettings, id: &str) -> Endpoint {
    let own = id.get(..SHORT_ID).unwrap_or(id);
    let mut aliases = found.aliases.clone().unwrap_or_default();
    // An engine before 25 lists its own name for the container, too.
    aliases.retain(|alias| alias != own);
    aliases.sort();
    aliases.dedup();
    let fixed = found.ipam_config.as_ref();
    let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    Endpoint {
        network: found.network_id.clone().unwrap_or_default(),
        aliases,
        ipv4: text(fixed.and_then(|fixed| fixed.ipv4_address.as_ref())),
        ipv6: text(fixed.and_then(|fixed| fixed.ipv6_address.as_ref())),
        mac: text(found.mac_address.as_ref()),
        priority: found.gw_priority,
        options: found.driver_opts.clone().into_iter().flatten().collect(),
    }
}

/// What the engine does not apply it shows as 0, or not at all.
fn allowance(host: &HostConfig) -> Allowance {
    let bytes = |found: Option<i64>| {
        let found = found.and_then(|bytes| u64::try_from(bytes).ok());
        found.filter(|bytes| *bytes > 0).map(ByteSize)
    };
    let share = || {
        let quota = host.cpu_quota.filter(|quota| *quota > 0)?;
        let period = host.cpu_period.filter(|period| *period > 0);
        quota
            .checked_mul(1_000_000_000)?
            .checked_div(period.unwrap_or(100_000))
    };
    Allowance {
        nano_cpus: host.nano_cpus.filter(|cpus| *cpus > 0).or_else(share),
        memory: bytes(host.memory),
        swap: bytes(host.memory_swap),
        reserved: bytes(host.memory_reservation),
        pids: host.pids_limit.map(|most| most.max(0)),
    }
}
