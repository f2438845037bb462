//! The current runtime configuration of a container, from the engine's inspect response.

use std::collections::BTreeSet;

use bollard::models::{ContainerInspectResponse, EndpointSettings, HostConfig};
use serde_json::Value;

use super::container_status::time;
use crate::{
    state::{Endpoint, ResourceLimits, RuntimeConfig, label},
    unit::ByteSize,
};

/// Length of the part of an id that the engine uses as a name.
const SHORT_ID: usize = 12;

/// Converts an inspected container.
pub(super) fn setup(inspected: &ContainerInspectResponse) -> RuntimeConfig {
    let networks = inspected
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let host = inspected.host_config.as_ref();
    let state = inspected.state.as_ref();
    let shared = |mode: Option<&String>| mode?.strip_prefix("container:").map(str::to_owned);
    RuntimeConfig {
        endpoints: networks
            .into_iter()
            .flatten()
            .map(|(name, found)| (name.clone(), endpoint(found, inspected)))
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

fn endpoint(found: &EndpointSettings, inspected: &ContainerInspectResponse) -> Endpoint {
    let own = own_names(found, inspected);
    let given = given_names(inspected);
    let mut aliases = found.aliases.clone().unwrap_or_default();
    aliases.retain(|alias| !own.contains(alias) || given.contains(alias));
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

/// Returns the names in a network that no user configured. An engine before 25 also lists the start
/// of the container's id and its host name.
pub(super) fn own_names(
    found: &EndpointSettings,
    inspected: &ContainerInspectResponse,
) -> BTreeSet<String> {
    let id = inspected.id.as_deref().unwrap_or_default();
    let id = id.get(..SHORT_ID).unwrap_or(id).to_owned();
    if !found.aliases.iter().flatten().any(|alias| *alias == id) {
        return BTreeSet::new();
    }
    let config = inspected.config.as_ref();
    let host = config.and_then(|config| config.hostname.clone());
    [id].into_iter().chain(host).collect()
}

/// Returns the aliases in the container record, of all networks, and the service name.
fn given_names(inspected: &ContainerInspectResponse) -> BTreeSet<String> {
    let config = inspected.config.as_ref();
    let labels = config.and_then(|config| config.labels.as_ref());
    let label = |key: &str| labels?.get(key).cloned();
    let record = label(label::RECORD).and_then(|record| serde_json::from_str(&record).ok());
    let record: Value = record.unwrap_or_default();
    let networks = record["spec"]["network"]["networks"].as_object();
    let aliases = networks
        .into_iter()
        .flat_map(|networks| networks.values())
        .filter_map(|attached| attached["aliases"].as_array())
        .flatten();
    let aliases = aliases.filter_map(|alias| alias.as_str().map(str::to_owned));
    aliases.chain(label(label::SERVICE)).collect()
}

/// Returns the resource limits. The engine shows a limit that it does not apply as 0, or omits it.
fn allowance(host: &HostConfig) -> ResourceLimits {
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
    ResourceLimits {
        nano_cpus: host.nano_cpus.filter(|cpus| *cpus > 0).or_else(share),
        memory: bytes(host.memory),
        swap: bytes(host.memory_swap),
        reserved: bytes(host.memory_reservation),
        pids: host.pids_limit.map(|most| most.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::ContainerConfig;
    use serde_json::json;

    use super::*;

    /// Returns the aliases that remain of the listed ones, in a container of service `app` with
    /// this host name, whose container record has the alias `shop`.
    fn names(listed: &[&str], host: &str) -> Vec<String> {
        let spec = json!({ "network": { "networks": { "back": { "aliases": ["shop"] } } } });
        let record = json!({ "spec": spec }).to_string();
        let labels = HashMap::from([
            (label::SERVICE.to_owned(), "app".to_owned()),
            (label::RECORD.to_owned(), record),
        ]);
        let inspected = ContainerInspectResponse {
            id: Some("961e528ab9c9c58dfc087b5fc0367fc3b691b50d6af1c22565ded33b0a7cb4ba".to_owned()),
            config: Some(ContainerConfig {
                hostname: Some(host.to_owned()),
                labels: Some(labels),
                ..ContainerConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let found = EndpointSettings {
            aliases: Some(listed.iter().map(|it| (*it).to_owned()).collect()),
            ..EndpointSettings::default()
        };
        endpoint(&found, &inspected).aliases
    }

    #[test]
    fn engine_generated_aliases_are_ignored() {
        assert_eq!(names(&["app", "961e528ab9c9", "box"], "box"), ["app"]);
        // A configured alias that is also the host name.
        let given = names(&["app", "961e528ab9c9", "shop"], "shop");
        assert_eq!(given, ["app", "shop"]);
        // A newer engine adds no names, so a user has configured this one.
        assert_eq!(names(&["app", "box"], "box"), ["app", "box"]);
    }
}
