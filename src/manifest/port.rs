//! `port` and `expose` in a service: the ports that can be reached from outside.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    context::LowerContext,
    node::{Node, Scalar, Value},
    reader::Reader,
    scalar::{Read, invalid, one_of, parsed, whole},
};
use crate::{
    diagnostic::ValueError,
    span::{Span, Spanned},
    unit::Protocol,
};

/// A published port; a range is expanded into one for each port inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Span of the declaration.
    pub span: Span,
    /// Port inside the container, 1 to 65535.
    pub target: u16,
    /// Protocol of the port.
    pub protocol: Protocol,
    /// Port on the host for the first replica; `None` for any free port.
    pub published: Option<u16>,
    /// Last port of a host range that is published for one port inside the container: replica N
    /// publishes the Nth port. `None` if there is no such range.
    pub last: Option<u16>,
    /// Address on the host; `None` for all addresses.
    pub host_ip: Option<IpAddr>,
    /// `host` or `ingress`, for a distributed engine.
    pub mode: Option<String>,
}

impl Port {
    /// Returns the range of host ports as written; `None` for any free port.
    pub(super) fn range(&self) -> Option<RangeInclusive<u16>> {
        let first = self.published?;
        Some(first..=self.last.unwrap_or(first))
    }

    /// Returns the part of the range that this many replicas publish.
    pub(super) fn taken(&self, replicas: u32) -> Option<RangeInclusive<u16>> {
        let (first, last) = self.range()?.into_inner();
        let further = u16::try_from(replicas.saturating_sub(1)).unwrap_or(u16::MAX);
        Some(first..=first.saturating_add(further).min(last))
    }
}

/// Range of valid port numbers.
pub(super) const NUMBERS: RangeInclusive<i128> = 1..=65535;
/// Examples of port texts, for messages.
const EXAMPLE: &str = "ports look like `8080`, `\"8080:80\"`, `\"127.0.0.1:8080:80/tcp\"`, \
                       `\"3000-3005:3000-3005\"` or, for replicas, `\"8081-8083:80\"`";
const PROTOCOLS: &[(&str, Protocol)] = &[
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
];
const MODES: &[(&str, &str)] = &[("host", "host"), ("ingress", "ingress")];

/// Parsed form of a port text: `[[address:]published:]target[/protocol]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ports {
    host_ip: Option<IpAddr>,
    /// Host range; `None` if it is the same as the target, 0 for any free port.
    published: Option<Range>,
    target: Range,
    protocol: Option<Protocol>,
}

type Range = (u16, u16);

/// Reads a `port`, as one [`Port`] for each number of its range.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Vec<Port> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a port");
    let to = reader.raw("to");
    let host_ip = reader.raw("host-ip");
    let protocol = reader.word("protocol", PROTOCOLS);
    let mode = reader.word("mode", MODES).map(str::to_owned);
    reader.end();
    let Some(written) = written else {
        return Vec::new();
    };
    let Some(mut ports) = ports(written, scope) else {
        return Vec::new();
    };
    if let Some(to) = to {
        // In `port 8080 to=80`, the argument is the host port.
        ports.published = ports.published.or(Some(ports.target));
        match whole(to, scope, "a port", NUMBERS) {
            Some(target) => ports.target = (target, target),
            None => return Vec::new(),
        }
    }
    if let Some(address) = host_ip {
        ports.host_ip = parsed(address, scope, "an IP address", Some("such as `127.0.0.1`"));
    }
    ports.protocol = protocol.or(ports.protocol);
    spread(&ports, node, mode.as_deref(), written, scope)
}

fn spread(
    ports: &Ports,
    node: &Node,
    mode: Option<&str>,
    written: &Scalar,
    scope: &LowerContext<'_>,
) -> Vec<Port> {
    let (low, high) = ports.target;
    let published = ports.published.unwrap_or(ports.target);
    let any = published == (0, 0);
    let each = low == high && published.0 < published.1;
    if !any && !each && published.1 - published.0 != high - low {
        scope.mistake(ValueError::Invalid {
            wanted: "a pair of ranges of one length".to_owned(),
            found: scope.written(written.span).trim_matches('"').to_owned(),
            at: written.span,
            help: Some(EXAMPLE.to_owned()),
        });
        return Vec::new();
    }
    if low == 0 || !any && published.0 == 0 {
        scope.mistake(ValueError::OutOfRange {
            what: "a port".to_owned(),
            low: NUMBERS.start().to_string(),
            high: NUMBERS.end().to_string(),
            found: "0".to_owned(),
            at: written.span,
        });
        return Vec::new();
    }
    (low..=high)
        .map(|target| Port {
            span: node.head(),
            target,
            protocol: ports.protocol.unwrap_or_default(),
            published: (!any).then(|| published.0 + (target - low)),
            last: each.then_some(published.1),
            host_ip: ports.host_ip,
            mode: mode.map(str::to_owned),
        })
        .collect()
}

/// Returns the key by which a port is merged: the port inside the container.
pub(super) fn key(node: &Node, scope: &LowerContext<'_>) -> Option<String> {
    // Errors of the port are reported when it is lowered, not when it is compared.
    let silent = scope.silent();
    let first = lower(node, &silent).into_iter().next()?;
    Some(format!("{}/{}", first.target, first.protocol))
}

/// Reads one `expose`, as one entry for each number of its range.
pub(super) fn expose(node: &Node, scope: &LowerContext<'_>) -> Vec<Spanned<(u16, Protocol)>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a port");
    let protocol = reader
        .raw("protocol")
        .and_then(|scalar| one_of(scalar, scope, "`protocol`", PROTOCOLS));
    reader.end();
    let Some(written) = written else {
        return Vec::new();
    };
    let Some(found) = ports(written, scope) else {
        return Vec::new();
    };
    if found.published.is_some() || found.target.0 == 0 {
        let help = Some("`expose` names the container's side only; `port` publishes");
        return invalid::<Vec<_>>(written, scope, "a port of the container", help)
            .unwrap_or_default();
    }
    let protocol = protocol.or(found.protocol).unwrap_or_default();
    let numbers = found.target.0..=found.target.1;
    numbers
        .map(|port| Spanned::new((port, protocol), written.span))
        .collect()
}

fn ports(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Ports> {
    if let Value::Integer(number) = scalar.value {
        // 0 is checked later: before `to=` it means any free port of the host.
        let port: u16 = if number == 0 {
            0
        } else {
            whole(scalar, scope, "a port", NUMBERS)?
        };
        return Some(Ports {
            host_ip: None,
            published: None,
            target: (port, port),
            protocol: None,
        });
    }
    let text = String::read(scalar, scope)?;
    parse(&text).or_else(|| invalid(scalar, scope, "a port", Some(EXAMPLE)))
}

fn parse(text: &str) -> Option<Ports> {
    let (rest, protocol) = match text.split_once('/') {
        Some((rest, word)) => {
            let known = PROTOCOLS.iter().find(|(name, _)| *name == word)?;
            (rest, Some(known.1))
        }
        None => (text, None),
    };
    let (rest, target) = match rest.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, rest),
    };
    let target = range(target)?;
    let Some(rest) = rest else {
        return Some(Ports {
            host_ip: None,
            published: None,
            target,
            protocol,
        });
    };
    // An IPv6 address contains colons, so it is in brackets.
    let (address, published) = match rest.rsplit_once(':') {
        Some((address, published)) => (Some(address), published),
        None => (None, rest),
    };
    let host_ip = match address {
        Some(address) => {
            let bare = address
                .strip_prefix('[')
                .and_then(|bare| bare.strip_suffix(']'));
            Some(bare.unwrap_or(address).parse().ok()?)
        }
        None => None,
    };
    // `127.0.0.1::80` means any free port of that address.
    let published = if published.is_empty() {
        (0, 0)
    } else {
        range(published)?
    };
    Some(Ports {
        host_ip,
        published: Some(published),
        target,
        protocol,
    })
}

fn range(text: &str) -> Option<Range> {
    let number = |digits: &str| {
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        if plain {
            digits.parse::<u16>().ok()
        } else {
            None
        }
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (number(text)?, number(text)?),
    };
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = parse(text).map_or("nothing".to_owned(), |ports| {
            let address = ports
                .host_ip
                .map(|address| address.to_string())
                .unwrap_or_default();
            format!(
                "{address} {:?} {:?} {:?}",
                ports.published, ports.target, ports.protocol
            )
        });
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn port_parses_all_forms() {
        check("80", " None (80, 80) None");
        check("8080:80", " Some((8080, 8080)) (80, 80) None");
        check(
            "127.0.0.1:5432:5432/tcp",
            "127.0.0.1 Some((5432, 5432)) (5432, 5432) Some(Tcp)",
        );
        check("[::1]:53:53/udp", "::1 Some((53, 53)) (53, 53) Some(Udp)");
        check("127.0.0.1::80", "127.0.0.1 Some((0, 0)) (80, 80) None");
        check(
            "3000-3005:4000-4005",
            " Some((3000, 3005)) (4000, 4005) None",
        );
        for bad in [
            "", "http", "80/http", "99999", "5-3", "1:2:3:4", "-1", "+80", "80:", "a:80",
        ] {
            check(bad, "nothing");
        }
    }

    #[test]
    fn replicas_take_first_ports_of_range() {
        let check = |published, last, replicas, expected: &[u16]| {
            let port = Port {
                span: Span::default(),
                target: 80,
                protocol: Protocol::Tcp,
                published,
                last,
                host_ip: None,
                mode: None,
            };
            let taken: Vec<u16> = port.taken(replicas).into_iter().flatten().collect();
            assert_eq!(taken, expected, "{replicas}");
        };
        check(Some(8081), Some(8083), 0, &[8081]);
        check(Some(8081), Some(8083), 1, &[8081]);
        check(Some(8081), Some(8083), 2, &[8081, 8082]);
        check(Some(8081), Some(8083), 4, &[8081, 8082, 8083]);
        check(Some(65_534), Some(65_535), 70_000, &[65_534, 65_535]);
        check(Some(8081), None, 2, &[8081]);
        check(None, None, 2, &[]);
    }
}
