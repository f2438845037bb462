//! `network`, `network-mode` and `link` in a service: how its container is attached.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{
    node::{Node, Scalar},
    pair::pairs,
    reader::{Reader, texts, unknown_node},
    scalar::{Read, invalid, parsed},
    scope::Scope,
};
use crate::{
    diagnostic::ValueMistake,
    name::{NetworkName, ServiceName},
    span::{Span, Spanned},
};

/// How a container is attached to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Where it is declared.
    pub span: Span,
    /// More names in this network.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<String>,
    /// The network with the highest gives the default route.
    pub priority: Option<i64>,
    /// Options of the driver for this endpoint.
    pub options: BTreeMap<String, String>,
}

/// Which network stack a container has, when not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The host's.
    Host,
    /// Only a loopback device.
    None,
    /// That of another service's container.
    Service(ServiceName),
    /// That of a container that is not of the project.
    Container(String),
}

/// Another name for a service, as its network sees it (`link "db" "database"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The other service.
    pub service: Spanned<ServiceName>,
    /// The other name, if not its own.
    pub alias: Option<String>,
}

/// Reads `network NAME …` in a service.
pub(super) fn attachment(
    node: &Node,
    scope: &Scope<'_>,
) -> Option<(Spanned<NetworkName>, Attachment)> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a network's name");
    let mut attachment = Attachment {
        span: node.head(),
        aliases: reader.property("alias").into_iter().collect(),
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
                attachment.aliases.extend(texts(inner.all("a name")));
                inner.end();
            }
            "option" => attachment.options.extend(pairs(child, scope)),
            _ => unknown_node(child, "a service's network", &["alias", "option"], scope),
        }
    }
    reader.end();
    Some((name?, attachment))
}

fn address<T: FromStr>(scalar: Option<&Scalar>, scope: &Scope<'_>, wanted: &str) -> Option<T> {
    parsed(scalar?, scope, wanted, None)
}

/// Reads a hardware address.
pub(super) fn mac(scalar: &Scalar, scope: &Scope<'_>) -> Option<String> {
    let text = String::read(scalar, scope)?;
    let pair = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    if text.split(':').count() == 6 && text.split(':').all(pair) {
        return Some(text);
    }
    invalid(
        scalar,
        scope,
        "a hardware address",
        Some("such as `02:42:ac:11:00:02`"),
    )
}

/// Reads `network-mode`.
pub(super) fn mode(node: &Node, scope: &Scope<'_>) -> Option<Spanned<NetworkMode>> {
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
            scope.mistake(ValueMistake::UnknownValue {
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
pub(super) fn link(node: &Node, scope: &Scope<'_>) -> Option<Link> {
    let mut reader = Reader::new(node, scope);
    let service = reader.argument("a service");
    let alias = reader.optional::<String>().map(|alias| alias.value);
    reader.end();
    Some(Link {
        service: service?,
        alias,
    })
}
