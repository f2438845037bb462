//! Networks that a container was detached from, was attached to, or has other names in.

use std::collections::BTreeMap;

use super::{Difference, RepairAction};
use crate::{
    name::NetworkName,
    plan::{addresses, endpoints},
    project::{Attachment, NetworkMode},
    state::{Container, ContainerRecord, Endpoint, RuntimeConfig, State},
};

/// Returns the differences between a container's endpoints and its record.
pub(super) fn endpoints(
    state: &State,
    container: &Container,
    setup: &RuntimeConfig,
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
            None => found.push(detached(field, engine_name, attachment)),
            Some(endpoint) if is_stale(state, engine_name, endpoint) => {
                let why = format!("{engine_name}, which was removed");
                let field = format!("{field}.id");
                found.push(Difference::new(
                    field,
                    Some(engine_name),
                    Some(why),
                    RepairAction::Replace,
                ));
            }
            Some(endpoint) => {
                let wanted = Wanted {
                    names: names(state, container, (network, attachment), engine_name),
                    ipv4: address(state, record, (network, engine_name), attachment),
                };
                found.extend(settings(&field, &wanted, attachment, endpoint));
            }
        }
    }
    let extra = setup.endpoints.keys().filter(|name| {
        let ours = |it: &&String| record.networks.values().any(|own| own == *it);
        !ours(name) && !record.networks.is_empty()
    });
    found.extend(extra.map(|name| {
        Difference::new(
            format!("network.{name}"),
            None::<String>,
            Some("attached"),
            RepairAction::UpdateInPlace,
        )
    }));
    found
}

fn detached(field: String, engine_name: &str, recorded: &Attachment) -> Difference {
    let wanted = format!("attached to {engine_name}");
    Difference::new(field, Some(wanted), Some("detached"), remedy(recorded))
}

/// Returns the repair of an endpoint. The engine assigns a MAC address to a new container only: a
/// container that is attached again gets another one (measured on engine 28.5).
fn remedy(recorded: &Attachment) -> RepairAction {
    match recorded.mac {
        Some(_) => RepairAction::Replace,
        None => RepairAction::UpdateInPlace,
    }
}

/// Returns whether an endpoint belongs to a network that was removed since. Another network may
/// have the same name.
pub(super) fn is_stale(state: &State, engine_name: &str, endpoint: &Endpoint) -> bool {
    let Some(there) = state.networks.get(engine_name) else {
        return true;
    };
    let id = there.id.as_deref();
    id.is_some_and(|id| id != endpoint.network)
}

/// Properties of an endpoint that the manifest does not state explicitly.
struct Wanted {
    names: Vec<String>,
    ipv4: Option<String>,
}

/// Returns the names of a container in a network. A version that did not record whether the
/// service's name is one of them assigned it in all networks of the project. In other networks,
/// both variants count as correct.
fn names(
    state: &State,
    container: &Container,
    (network, attachment): (&NetworkName, &Attachment),
    engine_name: &str,
) -> Vec<String> {
    let names =
        |with_service| endpoints::names(&container.service, attachment, engine_name, with_service);
    let record = container.record.as_ref();
    if let Some(recorded) = record.and_then(|record| record.service_names.get(network)) {
        return names(*recorded);
    }
    let found = state.networks.get(engine_name);
    let ours = found.is_some_and(|it| it.name.is_some());
    let setup = container.setup.as_ref();
    let found = setup.and_then(|it| it.endpoints.get(engine_name));
    let without = names(false);
    let found_without = found.is_some_and(|it| it.aliases == without);
    if !ours && found_without {
        without
    } else {
        names(true)
    }
}

/// Returns the desired address of a container: the one in the manifest, or the one that is reserved
/// for it.
fn address(
    state: &State,
    record: &ContainerRecord,
    (network, engine_name): (&NetworkName, &str),
    attachment: &Attachment,
) -> Option<String> {
    let reserved = || {
        let number = record.addresses.get(network)?;
        let found = state.networks.get(engine_name)?;
        let mut subnets = found.subnets.iter().filter(|_| found.takes_addresses());
        let address = subnets.find_map(|subnet| addresses::reserved(subnet, *number))?;
        Some(address.to_string())
    };
    attachment.ipv4.clone().or_else(reserved)
}

fn settings(
    field: &str,
    wanted: &Wanted,
    recorded: &Attachment,
    found: &Endpoint,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, wanted: Option<String>, found: Option<String>| {
        if wanted != found {
            let field = format!("{field}.{name}");
            differences.push(Difference::new(field, wanted, found, remedy(recorded)));
        }
    };
    compare("alias", list(&wanted.names), list(&found.aliases));
    if wanted.ipv4.is_some() || recorded.ipv4.is_some() {
        compare("ipv4", wanted.ipv4.clone(), found.ipv4.clone());
    }
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
