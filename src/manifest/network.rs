//! `network`, `network-mode` and `link` in a service: attachments of its container.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{
    context::LowerContext,
    map::pairs,
    node::{Node, Scalar},
    reader::{Reader, unknown_node},
    scalar::{Read, invalid, parsed},
};
use crate::{
    diagnostic::ValueError,
    name::{NetworkName, ServiceName},
    span::{Span, Spanned},
};

/// Attachment of a container to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Span of the declaration.
    pub span: Span,
    /// Additional names of the container in this network.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Fixed MAC address.
    pub mac: Option<String>,
    /// Priority, -1000000 to 1000000; the network with the highest one provides the default route.
    pub priority: Option<i64>,
    /// Driver options for this endpoint.
    pub options: BTreeMap<String, String>,
}

/// Network stack of a container, if it is not the container's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// Network stack of the host.
    Host,
    /// Loopback device only.
    None,
    /// Network stack of another service's container.
    Service(ServiceName),
    /// Network stack of a container outside of the project.
    Container(String),
}

/// An additional name for a service in its networks (`link "db" "database"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The service that gets the name.
    pub service: Spanned<ServiceName>,
    /// Additional name, if it differs from the service's name.
    pub alias: Option<String>,
}

/// Reads `network NAME …` in a service.
pub(super) fn attachment(
    node: &Node,
    scope: &LowerContext<'_>,
) -> Option<(Spanned<NetworkName>, Attachment)> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a network's name");
    let mut attachment = Attachment {
        span: node.head(),
        aliases: alias(reader.placed("alias"), scope).into_iter().collect(),
        ipv4: address(reader.raw("ipv4"), scope, "an IPv4 address"),
        ipv6: address(reader.raw("ipv6"), scope, "an IPv6 address"),
        mac: reader.raw("mac").and_then(|scalar| mac(scalar, scope)),
        priority: reader.number("priority", -1_000_000..=1_000_000),
        options: BTreeMap::new(),
    };
    for child in reader.children() {
        match child.name.value.as_str() {
            "alias" => {
                let mut inner = Reader::new(child, scope);
                let names = inner.all("a name").into_iter();
                let aliases = names.filter_map(|name| alias(Some(name), scope));
                attachment.aliases.extend(aliases);
                inner.end();
            }
            "option" => attachment.options.extend(pairs(child, scope)),
            _ => unknown_node(child, "a service's network", &["alias", "option"], scope),
        }
    }
    reader.end();
    Some((name?, attachment))
}

/// Checks a name by which other containers look up this one.
fn alias(name: Option<Spanned<String>>, scope: &LowerContext<'_>) -> Option<String> {
    let name = name.filter(|name| is_host(name, name.span, scope))?;
    Some(name.value)
}

fn address<T: FromStr>(
    scalar: Option<&Scalar>,
    scope: &LowerContext<'_>,
    wanted: &str,
) -> Option<T> {
    parsed(scalar?, scope, wanted, None)
}

/// Reads a MAC address.
pub(super) fn mac(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<String> {
    let text = String::read(scalar, scope)?;
    let pair = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    if text.split(':').count() == 6 && text.split(':').all(pair) {
        // The lowest bit of the first byte marks group addresses.
        let is_group = u8::from_str_radix(&text[..2], 16).is_ok_and(|first| first & 1 == 1);
        if !is_group && text != "00:00:00:00:00:00" {
            return Some(text);
        }
        let help = "its second digit is `0`, `2`, `4`, `6`, `8`, `a`, `c` or `e`";
        return invalid(scalar, scope, "a unicast address", Some(help));
    }
    invalid(
        scalar,
        scope,
        "a hardware address",
        Some("such as `02:42:ac:11:00:02`"),
    )
}

/// Reads `network-mode`.
pub(super) fn mode(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<NetworkMode>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a mode, such as `\"host\"`");
    reader.end();
    let written = written?;
    let text = String::read(written, scope)?;
    let mode = match text.split_once(':') {
        Some(("service", name)) => match ServiceName::new(name) {
            Ok(name) => NetworkMode::Service(name),
            Err(_) => return invalid(written, scope, "a service's name", None),
        },
        Some(("container", name)) if !name.is_empty() => NetworkMode::Container(name.to_owned()),
        _ if text == "host" => NetworkMode::Host,
        _ if text == "none" => NetworkMode::None,
        _ => {
            scope.mistake(ValueError::UnknownValue {
                what: "`network-mode`".to_owned(),
                found: text,
                at: written.span,
                help: Some("one of `host`, `none`, `service:NAME`, `container:NAME`".to_owned()),
            });
            return None;
        }
    };
    Some(Spanned::new(mode, written.span))
}

/// Reads `link SERVICE [ALIAS]`.
pub(super) fn link(node: &Node, scope: &LowerContext<'_>) -> Option<Link> {
    let mut reader = Reader::new(node, scope);
    let service = reader.argument("a service");
    let alias = alias(reader.optional(), scope);
    reader.end();
    Some(Link {
        service: service?,
        alias,
    })
}

/// Maximum length of a host name in the kernel, in bytes.
const HOST_NAME: usize = 64;

/// Reads `hostname`.
pub(super) fn host_name(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<String>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a host name");
    reader.end();
    let written = written?;
    let name = String::read(written, scope)?;
    if name.len() > HOST_NAME {
        let wanted = format!("a host name: it is longer than {HOST_NAME} characters");
        return invalid(written, scope, &wanted, None);
    }
    is_host(&name, written.span, scope).then(|| Spanned::new(name, written.span))
}

/// Returns whether the text is valid as a name in `/etc/hosts`, and reports it if not.
fn is_host(name: &str, at: Span, scope: &LowerContext<'_>) -> bool {
    let parts = |letter: char| letter.is_whitespace() || letter.is_control() || letter == ':';
    let known = !name.is_empty() && !name.contains(parts);
    if !known {
        // Other tools write an extra host as `NAME:ADDRESS` or `NAME=ADDRESS`.
        let help = name.split_once([':', '=']).map(|(host, address)| {
            format!("name and address are separate arguments: `\"{host}\" \"{address}\"`")
        });
        scope.mistake(ValueError::Invalid {
            wanted: "a host name".to_owned(),
            found: name.to_owned(),
            at,
            help,
        });
    }
    known
}

/// Reads `extra-host NAME ADDRESS…`; an address may also be one of `words`.
pub(super) fn extra_hosts(
    node: &Node,
    words: &[&str],
    into: &mut BTreeMap<String, Vec<String>>,
    scope: &LowerContext<'_>,
) {
    let mut reader = Reader::new(node, scope);
    let mut found: Vec<(Spanned<String>, &Scalar)> = Vec::new();
    if let Some(name) = reader.optional::<String>() {
        found.extend(given(&mut reader, &name));
    }
    let properties = reader.open().iter();
    found.extend(properties.map(|(name, address)| (name.clone(), address)));
    for child in reader.children() {
        let mut inner = Reader::new(child, scope);
        found.extend(given(&mut inner, &child.name));
        inner.end();
    }
    reader.end();
    for (name, written) in found {
        if !is_host(&name, name.span, scope) {
            continue;
        }
        let Some(address) = host_address(written, words, scope) else {
            continue;
        };
        let known = into.entry(name.value).or_default();
        if !known.contains(&address) {
            known.push(address);
        }
    }
}

/// Reads the addresses that follow a name; at least one is required.
fn given<'a>(
    reader: &mut Reader<'a>,
    name: &Spanned<String>,
) -> Vec<(Spanned<String>, &'a Scalar)> {
    let mut given = Vec::new();
    while let Some(address) = reader.next() {
        given.push((name.clone(), address));
    }
    if given.is_empty() && is_host(name, name.span, reader.scope) {
        reader.missing(&format!("an address for `{}`", name.value), None);
    }
    given
}

fn host_address(scalar: &Scalar, words: &[&str], scope: &LowerContext<'_>) -> Option<String> {
    let text = String::read(scalar, scope)?;
    if text.parse::<IpAddr>().is_ok() || words.contains(&text.as_str()) {
        return Some(text);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let help = if bare.parse::<IpAddr>().is_ok() {
        format!("it has no brackets here: `\"{bare}\"`")
    } else {
        let words = words.iter().map(|word| format!(", or `{word}`"));
        format!("such as `10.0.0.5`{}", words.collect::<String>())
    };
    invalid(scalar, scope, "an IP address", Some(&help))
}

/// Reads `dns ADDRESS…`.
pub(super) fn name_servers(node: &Node, scope: &LowerContext<'_>) -> Vec<String> {
    let mut reader = Reader::new(node, scope);
    let mut servers = Vec::new();
    let mut next = reader.needed("the address of a name server");
    while let Some(scalar) = next {
        // A link-local address may have its interface as a suffix: `fe80::1%eth0`.
        let plain = |text: &str| text.split('%').next().unwrap_or_default().parse::<IpAddr>();
        if let Some(text) = String::read(scalar, scope) {
            if plain(&text).is_ok_and(|address| address.is_ipv6() || !text.contains('%')) {
                servers.push(text);
            } else {
                invalid::<()>(scalar, scope, "an IP address", Some("such as `1.1.1.1`"));
            }
        }
        next = reader.next();
    }
    reader.end();
    servers
}
