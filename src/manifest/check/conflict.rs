//! Checks of resources that only one service or container can have.

use std::collections::BTreeMap;

use super::{address, port};
use crate::{
    diagnostic::ReferenceError,
    manifest::{Service, context::LowerContext, lower::Declarations},
    span::Span,
};

/// Checks names, addresses, host ports, and paths in containers.
pub(super) fn check(parts: &Declarations, scope: &LowerContext<'_>) {
    // Source order, so that the second of two declarations is the one that is reported.
    let mut services: Vec<&Service> = parts.services.values().collect();
    services.sort_by_key(|service| service.name.span);
    port::clashes(&services, scope);
    names(&services, scope);
    address::check(parts, &services, scope);
    container_names(&services, scope);
    for service in services {
        replicas(service, scope);
        files(service, scope);
    }
}

/// Reports service names that differ only in case: host names and image names ignore case.
fn names(services: &[&Service], scope: &LowerContext<'_>) {
    let mut taken: BTreeMap<String, &Service> = BTreeMap::new();
    for service in services.iter().copied() {
        match taken.get(&service.name.as_str().to_lowercase()) {
            Some(other) => scope.mistake(ReferenceError::NameClash {
                one: other.name.to_string(),
                other: service.name.to_string(),
                at: service.name.span,
                first: other.name.span,
            }),
            None => drop(taken.insert(service.name.as_str().to_lowercase(), service)),
        }
    }
}

/// Returns whether two services can run at the same time. They cannot if both have profiles and
/// share none.
pub(super) fn together(one: &Service, other: &Service) -> bool {
    let apart = !one.profiles.is_empty()
        && !other.profiles.is_empty()
        && !one.profiles.iter().any(|profile| {
            other
                .profiles
                .iter()
                .any(|known| known.value == profile.value)
        });
    !apart
}

fn container_names(services: &[&Service], scope: &LowerContext<'_>) {
    let mut taken: BTreeMap<&str, (&Service, Span)> = BTreeMap::new();
    for service in services.iter().copied() {
        let Some(name) = &service.container_name else {
            continue;
        };
        match taken.get(name.as_str()) {
            Some((other, first)) if together(service, other) => {
                scope.mistake(ReferenceError::ContainerNameClash {
                    name: name.to_string(),
                    at: name.span,
                    first: *first,
                });
            }
            _ => drop(taken.insert(name.as_str(), (service, name.span))),
        }
    }
}

fn replicas(service: &Service, scope: &LowerContext<'_>) {
    let Some(replicas) = service.replicas.filter(|replicas| replicas.value > 1) else {
        return;
    };
    let mistake = |what: String, at: Span| {
        scope.mistake(ReferenceError::NotWithReplicas {
            service: service.name.to_string(),
            replicas: replicas.value,
            what,
            at,
            count: replicas.span,
            help: None,
        });
    };
    if let Some(name) = &service.container_name {
        mistake(format!("the name `{}`", name.value), name.span);
    }
    port::of_replicas(service, replicas, scope);
    for (name, attachment) in &service.networks {
        if attachment.ipv4.is_some() || attachment.ipv6.is_some() || attachment.mac.is_some() {
            mistake(format!("a fixed address in `{name}`"), attachment.span);
        }
    }
}

/// Reports mounts, secrets and configs with the same path.
fn files(service: &Service, scope: &LowerContext<'_>) {
    let secrets = service.secrets.iter().map(|file| {
        let target = file
            .target
            .as_ref()
            .map_or(file.name.as_str(), |target| target.as_str());
        (placed("/run/secrets/", target), file.name.span)
    });
    let configs = service.configs.iter().map(|file| {
        let target = file
            .target
            .as_ref()
            .map_or(file.name.as_str(), |target| target.as_str());
        (placed("/", target), file.name.span)
    });
    let mounts = service
        .mounts
        .iter()
        .map(|mount| (mount.target.value.clone(), mount.span));
    let mut taken: BTreeMap<String, Span> = BTreeMap::new();
    for (target, at) in mounts.chain(secrets).chain(configs) {
        if let Some(first) = taken.get(&target).copied() {
            scope.mistake(ReferenceError::MountClash {
                target,
                place: format!("`{}`", service.name.value),
                at: at.max(first),
                first: at.min(first),
            });
        } else {
            taken.insert(target, at);
        }
    }
}

fn placed(folder: &str, target: &str) -> String {
    if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{folder}{target}")
    }
}
