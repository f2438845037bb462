//! Networks that a container was taken from, put into, or is known in by other names.

use std::collections::BTreeMap;

use super::{Difference, Remedy};
use crate::{
    name::ServiceName,
    plan::networks,
    project::{Attachment, NetworkMode},
    state::{Container, Endpoint, Setup, State},
};

/// The engine's own network.
const DEFAULT_BRIDGE: &str = "bridge";

/// What of a container's endpoints is not as recorded.
pub(super) fn endpoints(
    state: &State,
    container: &Container,
    setup: &Setup,
    recorded: &NetworkMode,
) -> Vec<Difference> {
    let (NetworkMode::Networks(attached), Some(record)) = (recorded, &container.record) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (network, attachment) in attached {
        let Some(engine_name) = record.networks.get(network) else {
            continue;
        };
        let field = format!("network.{network}");
        match setup.endpoints.get(engine_name) {
            None => found.push(detached(field, engine_name)),
            Some(endpoint) if is_stale(state, engine_name, endpoint) => {
                let why = format!("{engine_name}, which was removed");
                let field = format!("{field}.id");
                found.push(Difference::new(
                    field,
                    Some(engine_name),
                    Some(why),
                    Remedy::Replace,
                ));
            }
            Some(endpoint) => {
                let at = (field.as_str(), engine_name.as_str());
                found.extend(settings(at, &container.service, attachment, endpoint));
            }
        }
    }
    let extra = setup.endpoints.keys().filter(|name| {
        let ours = |it: &&String| record.networks.values().any(|own| own == *it);
        !ours(name) && !record.networks.is_empty() && !is_auxiliary(state, name)
    });
    found.extend(extra.map(|name| {
        Difference::new(
            format!("network.{name}"),
            None::<String>,
            Some("attached"),
            Remedy::Replace,
        )
    }));
    found
}

fn detached(field: String, engine_name: &str) -> Difference {
    let recorded = format!("attached to {engine_name}");
    Difference::new(field, Some(recorded), Some("detached"), Remedy::Replace)
}

/// The endpoint belongs to a network that was removed since; another one may have its name.
pub(super) fn is_stale(state: &State, engine_name: &str, endpoint: &Endpoint) -> bool {
    let Some(there) = state.networks.get(engine_name) else {
        return true;
    };
    let id = there.id.as_deref();
    id.is_some_and(|id| id != endpoint.network)
}

fn is_auxiliary(state: &State, name: &str) -> bool {
    let found = state.networks.get(name);
    found.is_some_and(networks::is_auxiliary)
}

fn settings(
    (field, engine_name): (&str, &str),
    service: &ServiceName,
    recorded: &Attachment,
    found: &Endpoint,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, wanted: Option<String>, found: Option<String>| {
        if wanted != found {
            let field = format!("{field}.{name}");
            differences.push(Difference::new(field, wanted, found, Remedy::Replace));
        }
    };
    let mut names = vec![service.to_string()];
    names.extend(recorded.aliases.iter().cloned());
    names.sort();
    names.dedup();
    // The engine's own network has no names.
    if engine_name != DEFAULT_BRIDGE {
        compare("alias", list(&names), list(&found.aliases));
    }
    compare("ipv4", recorded.ipv4.clone(), found.ipv4.clone());
    compare("ipv6", recorded.ipv6.clone(), found.ipv6.clone());
    if let (Some(wanted), Some(mac)) = (&recorded.mac, &found.mac)
        && !wanted.eq_ignore_ascii_case(mac)
    {
        compare("mac", Some(wanted.clone()), Some(mac.clone()));
    }
    if let Some(priority) = found.priority {
        let text = |priority: i64| Some(priority.to_string());
        compare("priority", text(recorded.priority), text(priority));
    }
    let options = |options: &BTreeMap<String, String>| {
        let lines: Vec<String> = options
            .iter()
            .map(|(key, it)| format!("{key}={it}"))
            .collect();
        list(&lines)
    };
    compare(
        "option",
        options(&recorded.options),
        options(&found.options),
    );
    differences
}

fn list(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}
