//! Checks of host ports: published by two services, or fewer than there are replicas.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
};

use super::conflict::together;
use crate::{
    diagnostic::ReferenceError,
    manifest::{Port, Service, context::LowerContext},
    span::Spanned,
    unit::Protocol,
};

/// Checks that no port is published twice, by services or by their replicas.
pub(super) fn clashes(services: &[&Service], scope: &LowerContext<'_>) {
    let mut taken: BTreeMap<(u16, Protocol), Vec<(&Service, &Port)>> = BTreeMap::new();
    for service in services.iter().copied() {
        for port in &service.ports {
            let numbers = port.taken(replicas(service)).into_iter().flatten();
            for published in numbers {
                let others = taken.entry((published, port.protocol)).or_default();
                let clash = others.iter().find(|(other, known)| {
                    meet(port.host_ip, known.host_ip) && together(service, other)
                });
                let Some((other, known)) = clash else {
                    others.push((service, port));
                    continue;
                };
                let (one, two) = (&other.name.value, &service.name.value);
                let who = if one == two {
                    format!("by `{one}`")
                } else {
                    format!("by `{one}` and by `{two}`")
                };
                scope.mistake(ReferenceError::PortClash {
                    port: format!("{published}/{}", port.protocol),
                    who,
                    one: one.to_string(),
                    other: two.to_string(),
                    at: port.span,
                    first: known.span,
                    help: elsewhere(services, port),
                });
                // The other ports of the range would cause the same error.
                break;
            }
        }
    }
}

/// Checks that each replica has its own host port.
pub(super) fn of_replicas(service: &Service, replicas: Spanned<u32>, scope: &LowerContext<'_>) {
    let mut told = BTreeSet::new();
    for port in &service.ports {
        let Some(range) = port.range().filter(|_| told.insert(port.span)) else {
            continue;
        };
        if port.last.is_none() {
            scope.mistake(ReferenceError::NotWithReplicas {
                service: service.name.to_string(),
                replicas: replicas.value,
                what: format!("port {} of this host", range.start()),
                at: port.span,
                count: replicas.span,
                help: Some(one_each(service, port, replicas.value)),
            });
        } else if range.len() < usize::try_from(replicas.value).unwrap_or(usize::MAX) {
            scope.mistake(ReferenceError::TooFewPorts {
                service: service.name.to_string(),
                replicas: replicas.value,
                ports: range.len(),
                at: port.span,
                count: replicas.span,
                help: long_enough(port, replicas.value).map(|range| {
                    let written = written(&range, port);
                    format!("this range is long enough: `port {written}`")
                }),
            });
        }
    }
}

fn replicas(service: &Service) -> u32 {
    service.replicas.map_or(1, |replicas| replicas.value)
}

/// Returns help on how to give each replica a port.
fn one_each(service: &Service, port: &Port, replicas: u32) -> String {
    let chosen = format!("let the engine choose: `port 0{}`", rest(port));
    let Some(range) = long_enough(port, replicas) else {
        return chosen;
    };
    let written = written(&range, port);
    let its = service.ports.iter().filter(|it| it.span == port.span);
    let how = if its.count() > 1 {
        "publish each port of the container with a range that has a port for each replica"
    } else {
        "give each replica a port of a range"
    };
    format!("{how}: `port {written}`, or {chosen}")
}

/// Returns a host range with a port for each replica. It starts at the published port, or lower if
/// the range would end above 65535.
fn long_enough(port: &Port, replicas: u32) -> Option<RangeInclusive<u16>> {
    let further = u16::try_from(replicas.checked_sub(1)?).ok()?;
    let latest = u16::MAX.checked_sub(further).filter(|first| *first > 0)?;
    let first = port.published?.min(latest);
    Some(first..=first + further)
}

/// Returns help on how to publish a port where no service publishes one.
fn elsewhere(services: &[&Service], port: &Port) -> Option<String> {
    let range = port.range()?;
    let all = services.iter().flat_map(|service| {
        let ports = service.ports.iter();
        ports.filter_map(|other| Some((other.protocol, other.taken(replicas(service))?)))
    });
    let taken: BTreeSet<u16> = all
        .filter(|(protocol, _)| *protocol == port.protocol)
        .flat_map(|(_, numbers)| numbers)
        .collect();
    let (first, last) = range.into_inner();
    let further = last - first;
    let free = (first..=u16::MAX - further)
        .map(|first| first..=first + further)
        .find(|range| taken.range(range.clone()).next().is_none())?;
    let written = written(&free, port);
    Some(format!("publish one of them elsewhere: `port {written}`"))
}

/// Formats a host range and the container port as in a manifest.
fn written(range: &RangeInclusive<u16>, port: &Port) -> String {
    let (first, last) = (range.start(), range.end());
    let rest = rest(port);
    if first == last {
        format!("{first}{rest}")
    } else {
        format!("\"{first}-{last}\"{rest}")
    }
}

/// Formats the properties that follow the host port. The host address is one of them: without it,
/// the port would be open to all.
fn rest(port: &Port) -> String {
    let address = port
        .host_ip
        .map(|address| format!(" host-ip=\"{address}\""))
        .unwrap_or_default();
    let protocol = match port.protocol {
        Protocol::Tcp => String::new(),
        other => format!(" protocol=\"{other}\""),
    };
    format!(" to={}{address}{protocol}", port.target)
}

/// Returns whether two host addresses can be the same one.
fn meet(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let any = |address: Option<IpAddr>| address.is_none_or(|address| address.is_unspecified());
    any(one) || any(other) || one == other
}
