//! When is a service ready? What is asked, not how: `engine` asks, `run` decides.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{name::ServiceName, secret::Text};

/// What a service must pass before its dependents go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// All must pass; never empty.
    pub probes: Vec<Probe>,
    /// The deadline, from the start of the container.
    pub timeout: Duration,
    /// How long the container must keep running after its probes passed.
    pub stabilize: Duration,
}

/// One question to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "lowercase")]
pub enum Probe {
    /// A connection is accepted on the container's own address.
    Tcp {
        /// Port inside the container.
        port: u16,
    },
    /// A request is answered as expected, over plain HTTP or TLS.
    Http {
        /// Port inside the container.
        port: u16,
        /// With query, starting with `/`.
        path: String,
        /// The request's method.
        method: Method,
        /// Accepted status codes.
        status: StatusSet,
        /// Sent with the request; values may be secret.
        headers: BTreeMap<String, Text>,
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
        user: String,
        /// The database named in the start-up message.
        database: String,
        /// `None`: plain text.
        tls: Option<Tls>,
    },
    /// A Redis server answers `PING`.
    Redis {
        /// Port inside the container.
        port: u16,
        /// The ACL user, if not the default one.
        user: Option<String>,
        /// Without one, a server that asks for a password counts as ready.
        password: Option<Text>,
        /// `None`: plain text.
        tls: Option<Tls>,
    },
    /// The gRPC health service says `SERVING`.
    Grpc {
        /// Port inside the container.
        port: u16,
        /// The service asked for; empty for the whole server.
        service: String,
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
        /// In the syntax of the `regex` crate; checked when the manifest is read.
        pattern: String,
        /// How many lines must match; at least 1.
        times: u32,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verify", rename_all = "lowercase")]
pub enum Tls {
    /// Encrypted, whoever it is.
    Require,
    /// Signed by this authority, for this name.
    Verify {
        /// PEM.
        authority: String,
        /// The name the certificate must bear; the service's own unless said otherwise.
        host: String,
    },
}

/// The method of an HTTP probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The default.
    #[default]
    Get,
    /// No body is sent back.
    Head,
    /// With an empty body.
    Post,
    /// Asks what is allowed.
    Options,
}

/// A set of HTTP status codes, as ranges with both ends in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusSet(pub Vec<(u16, u16)>);

impl StatusSet {
    /// Whether the set has this code.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.0
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&code))
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if low == high {
                write!(f, "{comma}{low}")?;
            } else {
                write!(f, "{comma}{low}-{high}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Probe {
    /// As a person calls it: `http 3001 /api/v1/health`, `postgres 5432`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { port } => write!(f, "tcp {port}"),
            Self::Http {
                port, path, tls, ..
            } => {
                write!(
                    f,
                    "http{} {port} {path}",
                    if tls.is_some() { "s" } else { "" }
                )
            }
            Self::Postgres { port, .. } => write!(f, "postgres {port}"),
            Self::Redis { port, .. } => write!(f, "redis {port}"),
            Self::Grpc { port, .. } => write!(f, "grpc {port}"),
            Self::Exec { command } => write!(f, "exec {}", shell_words::join(command)),
            Self::Log { pattern, .. } => write!(f, "log /{pattern}/"),
            Self::File { path } => write!(f, "file {path}"),
            Self::Healthcheck => f.write_str("healthcheck"),
            Self::Exit => f.write_str("exit"),
            Self::Started => f.write_str("started"),
        }
    }
}

/// One check of the whole, made when every gate has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "lowercase")]
pub enum Check {
    /// A request from where `cimandat` runs is answered as expected.
    Http {
        /// The whole address, `http://` or `https://`.
        url: String,
        /// Accepted status codes.
        status: StatusSet,
        /// A text that the body must hold.
        contains: Option<String>,
    },
    /// A service's port is not published on this host.
    Unreachable {
        /// The service.
        service: ServiceName,
        /// Its port.
        port: u16,
    },
    /// A command in a service's container exits with 0.
    Exec {
        /// The service.
        service: ServiceName,
        /// Program and arguments.
        command: Vec<String>,
        /// A text that its output must hold.
        contains: Option<String>,
    },
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => write!(f, "http {url}"),
            Self::Unreachable { service, port } => write!(f, "unreachable {service} {port}"),
            Self::Exec {
                service, command, ..
            } => {
                write!(f, "exec {service} {}", shell_words::join(command))
            }
        }
    }
}
