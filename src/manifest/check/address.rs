//! Checks of fixed addresses: the ranges of networks, and the addresses of containers in them.

use std::{collections::BTreeMap, net::IpAddr};

use super::conflict::together;
use crate::{
    diagnostic::{ReferenceError, SchemaError},
    manifest::{
        Attachment, Network, Service, Subnet, context::LowerContext, lower::Declarations,
        subnet::Range,
    },
    span::Span,
};

/// A range with its declaration.
struct Held<'a> {
    network: &'a Network,
    subnet: &'a Subnet,
    range: Range,
}

/// Checks the ranges of networks, and the addresses of containers.
pub(super) fn check(parts: &Declarations, services: &[&Service], scope: &LowerContext<'_>) {
    // An external network gets its range from elsewhere.
    let own = parts.networks.values().filter(|network| !network.external);
    let mut ranges: Vec<Held<'_>> = own.flat_map(ranges).collect();
    ranges.sort_by_key(|held| held.subnet.span);
    overlaps(&ranges, scope);
    families(&ranges, scope);
    let mut taken = BTreeMap::new();
    for service in services.iter().copied() {
        for (name, attachment) in &service.networks {
            let network = parts.networks.get(name);
            if network.is_some_and(|network| network.external) {
                continue;
            }
            for address in addresses(attachment) {
                let place = (name.as_str(), address);
                fixed(place, attachment.span, network, scope);
                clash(place, service, attachment.span, &mut taken, scope);
            }
        }
    }
}

fn ranges(network: &Network) -> impl Iterator<Item = Held<'_>> {
    network.subnets.iter().filter_map(move |subnet| {
        Some(Held {
            network,
            subnet,
            range: subnet.subnet.parse().ok()?,
        })
    })
}

fn addresses(attachment: &Attachment) -> impl Iterator<Item = IpAddr> {
    let ipv4 = attachment.ipv4.map(IpAddr::V4);
    ipv4.into_iter().chain(attachment.ipv6.map(IpAddr::V6))
}

/// Reports overlapping ranges: the engine assigns an address to one network only.
fn overlaps(ranges: &[Held<'_>], scope: &LowerContext<'_>) {
    for (index, held) in ranges.iter().enumerate() {
        let first = ranges[..index]
            .iter()
            .find(|first| first.range.overlaps(held.range));
        let Some(first) = first else { continue };
        scope.mistake(ReferenceError::SubnetClash {
            one: first.network.name.to_string(),
            other: held.network.name.to_string(),
            range: held.range.to_string(),
            at: held.subnet.span,
            first: first.subnet.span,
            help: free(ranges, held.range)
                .map(|free| format!("give one of them another range, such as `{free}`")),
        });
    }
}

/// Returns an unused range of the same size.
fn free(ranges: &[Held<'_>], like: Range) -> Option<Range> {
    let all = std::iter::successors(like.after(), |range| range.after());
    all.take(1024)
        .find(|range| ranges.iter().all(|held| !held.range.overlaps(*range)))
}

/// Reports a second range of the same family: a `bridge` network has one range of each family.
fn families(ranges: &[Held<'_>], scope: &LowerContext<'_>) {
    for (index, held) in ranges.iter().enumerate() {
        let first = ranges[..index].iter().find(|first| {
            first.network.name == held.network.name
                && first.range.is_ipv4() == held.range.is_ipv4()
                && !first.range.overlaps(held.range)
        });
        if let (Some(first), true) = (first, is_bridge(held.network)) {
            scope.mistake(SchemaError::Conflict {
                one: format!("`{}`", first.subnet.subnet),
                other: format!("`{}`", held.subnet.subnet),
                at: held.subnet.span,
                first: first.subnet.span,
                help: Some(
                    "a network of the driver `bridge` has one range of IPv4 addresses and one of \
                     IPv6"
                        .to_owned(),
                ),
            });
        }
    }
}

/// Reports an address that the engine would not assign to a container.
fn fixed(
    (name, address): (&str, IpAddr),
    at: Span,
    network: Option<&Network>,
    scope: &LowerContext<'_>,
) {
    let mistake = |cause: String, help: Option<String>| {
        scope.mistake(ReferenceError::FixedAddress {
            address: address.to_string(),
            network: name.to_owned(),
            cause,
            at,
            help,
        });
    };
    let alike: Vec<Held<'_>> = network
        .into_iter()
        .flat_map(ranges)
        .filter(|held| held.range.is_ipv4() == address.is_ipv4())
        .collect();
    if alike.is_empty() {
        let usual = if address.is_ipv4() { 24 } else { 64 };
        let range = format!("{address}/{usual}").parse::<Range>().ok();
        let help =
            range.map(|range| format!("declare it: `network \"{name}\" subnet=\"{range}\"`"));
        return mistake("the network has no subnet".to_owned(), help);
    }
    let Some(held) = alike.iter().find(|held| held.range.contains(address)) else {
        let known: Vec<_> = alike
            .iter()
            .map(|held| format!("`{}`", held.range))
            .collect();
        let cause = format!("it is outside of {}", known.join(" and "));
        return mistake(cause, None);
    };
    let gateway = held.subnet.gateway.as_ref().and_then(|it| it.parse().ok());
    if gateway == Some(address) {
        mistake("the gateway has it".to_owned(), None);
    } else if gateway.is_none() && implied_gateway(held) == Some(address) {
        let remedy = "give another address to the container, or to the gateway (`gateway=`)";
        let cause = "the engine gives it to the gateway".to_owned();
        mistake(cause, Some(remedy.to_owned()));
    } else if held.range.is_reserved(address) {
        mistake(
            "it is the first or the last one of the subnet".to_owned(),
            None,
        );
    }
}

/// Returns the address that the engine assigns to the gateway of a `bridge` network. It is the
/// first address of the range that addresses are assigned from. If that is the network's own
/// address, it is the next one.
fn implied_gateway(held: &Held<'_>) -> Option<IpAddr> {
    let mut options = held.network.options.keys();
    // A network with one of these options can have no gateway.
    let special = options.any(|it| it.contains("gateway_mode") || it.contains("inhibit_ipv4"));
    if special || !is_bridge(held.network) {
        return None;
    }
    let range = held.subnet.range.as_ref();
    let part: Range = range.map_or(Ok(held.range), |it| it.parse()).ok()?;
    match part.first() {
        first if first == held.range.first() => held.range.second(),
        first => Some(first),
    }
}

fn is_bridge(network: &Network) -> bool {
    let driver = network.driver.as_ref();
    driver.is_none_or(|driver| driver.value == "bridge")
}

/// Reports an address that is given to two containers.
fn clash<'a>(
    place: (&'a str, IpAddr),
    service: &'a Service,
    at: Span,
    taken: &mut BTreeMap<(&'a str, IpAddr), Vec<(&'a Service, Span)>>,
    scope: &LowerContext<'_>,
) {
    let others = taken.entry(place).or_default();
    let clash = others.iter().find(|(other, _)| together(service, other));
    if let Some((other, first)) = clash {
        scope.mistake(ReferenceError::AddressClash {
            address: place.1.to_string(),
            network: place.0.to_owned(),
            one: other.name.to_string(),
            other: service.name.to_string(),
            at,
            first: *first,
        });
    } else {
        others.push((service, at));
    }
}
