//! `ready`: when a service counts as ready.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Template;
use crate::span::{Span, Spanned};

/// What a service must pass before its dependents go on.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Where it is declared.
    pub span: Span,
    /// All must pass; never empty.
    pub probes: Vec<Spanned<Probe>>,
    /// The deadline, from the start of the container.
    pub within: Option<Duration>,
    /// How long the container must keep running after its probes passed.
    pub settle: Option<Duration>,
}

/// Headers of a request, by name; values may be secret.
pub type Headers = BTreeMap<String, Spanned<Template>>;

/// One question to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is accepted.
    Tcp {
        /// Port inside the container.
        port: u16,
    },
    /// A request is answered as expected.
    Http {
        /// Port inside the container.
        port: u16,
        /// With query, starting with `/`; `/` unless given.
        path: Option<String>,
        /// The request's method.
        method: Option<Method>,
        /// Accepted status codes.
        status: Option<StatusSet>,
        /// Sent with the request.
        headers: Headers,
        /// A text that the body must hold.
        contains: Option<String>,
        /// `None`: plain HTTP.
        tls: Option<Tls>,
    },
    /// A PostgreSQL server takes a start-up message.
    Postgres {
        /// Port inside the container.
        port: u16,
        /// The role named in the start-up message.
        user: Option<String>,
        /// The database named in the start-up message.
        database: Option<String>,
        /// `None`: plain text.
        tls: Option<Tls>,
    },
    /// A Redis server answers `PING`.
    Redis {
        /// Port inside the container.
        port: u16,
        /// The ACL user.
        user: Option<String>,
        /// Its password, written out or composed (`password=`) or one of the project's secrets
        /// (`secret=`, which gives a template of that one secret).
        password: Option<Spanned<Template>>,
        /// `None`: plain text.
        tls: Option<Tls>,
    },
    /// The gRPC health service says `SERVING`.
    Grpc {
        /// Port inside the container.
        port: u16,
        /// The service asked for.
        service: Option<String>,
        /// `None`: plain text.
        tls: Option<Tls>,
    },
    /// A command inside the container exits with 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A regular expression matches the log of this start.
    Log {
        /// Checked to be valid.
        pattern: String,
        /// How many lines must match; at least 1.
        times: Option<u32>,
    },
    /// A path exists inside the container.
    File {
        /// Absolute.
        path: String,
    },
    /// The engine says `healthy`, or the same test run by `exec` passes.
    Healthcheck,
    /// It ended with 0.
    Exit,
    /// It runs, and still runs after `settle`.
    Started,
}

/// How far a server's certificate is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Encrypted, whoever it is.
    Require,
    /// Signed by an authority, for a name.
    Verify {
        /// A PEM file, absolute (`authority=`); `None`: the project's own authority.
        authority: Option<Spanned<PathBuf>>,
        /// The name the certificate must bear (`host=`); `None`: the service's own.
        host: Option<String>,
    },
}

/// The method of an HTTP probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The usual one.
    Get,
    /// No body is sent back.
    Head,
    /// With an empty body.
    Post,
    /// Asks what is allowed.
    Options,
}

/// HTTP status codes, as ranges with both ends in them; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(pub Vec<(u16, u16)>);
