//! `network`, `network-mode` and `link` in a service: how its container is attached.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::{
    name::ServiceName,
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
