//! `port` and `expose` in a service: what of it can be reached from outside.

use std::net::IpAddr;

use crate::{span::Span, unit::Protocol};

/// A published port; ranges have been spread into one for each number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where it is declared.
    pub span: Span,
    /// Port inside the container.
    pub target: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Port of the host; `None`: any free one.
    pub published: Option<u16>,
    /// The host's address; `None`: all.
    pub host_ip: Option<IpAddr>,
    /// `host` or `ingress`, for a distributed engine.
    pub mode: Option<String>,
}
