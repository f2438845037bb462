//! Readiness gates: what is probed. `engine` runs the probes, and `run` decides on the results.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{name::ServiceName, secret::Text};

/// The condition that a service must meet before its dependents start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The probes; all must pass. Never empty.
    pub probes: Vec<Probe>,
    /// Timeout, from the start of the container.
    pub timeout: Duration,
    /// Time that the container must keep running after its probes passed.
    pub stabilize: Duration,
}

/// One readiness test of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "lowercase")]
pub enum Probe {
    /// Passes if a connection to the container's own address is accepted.
    Tcp {
        /// Port in the container.
        port: u16,
    },
    /// Passes if the response to a request is as expected, over plain HTTP or TLS.
    Http {
        /// Port in the container.
        port: u16,
        /// Path and query, starting with `/`.
        path: String,
        /// The method of the request.
        method: Method,
        /// Accepted status codes.
        status: StatusSet,
        /// Headers of the request; the values may be secret.
        headers: BTreeMap<String, Text>,
        /// Text that the body must contain.
        contains: Option<String>,
        /// TLS settings; `None` for plain HTTP.
        tls: Option<Tls>,
    },
    /// Passes if a PostgreSQL server accepts a start-up message.
    Postgres {
        /// Port in the container.
        port: u16,
        /// The role in the start-up message.
        user: String,
        /// The database in the start-up message.
        database: String,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// Passes if a Redis server answers `PING`.
    Redis {
        /// Port in the container.
        port: u16,
        /// The ACL user; `None` for the default user.
        user: Option<String>,
        /// The password. Without one, a server that asks for a password counts as ready.
        password: Option<Text>,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// Passes if the gRPC health service reports `SERVING`.
    Grpc {
        /// Port in the container.
        port: u16,
        /// The service to check; empty for the whole server.
        service: String,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// Passes if a command in the container exits with code 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Passes if a regular expression matches the log since the last start.
    Log {
        /// Pattern in the syntax of the `regex` crate; validated when the manifest is read.
        pattern: String,
        /// Required number of matching lines; at least 1.
        times: u32,
    },
    /// Passes if a path exists in the container.
    File {
        /// Absolute path in the container.
        path: String,
    },
    /// Passes if the engine reports `healthy`, or if the same test passes when run by `exec`.
    Healthcheck,
    /// Passes if the container exited with code 0.
    Exit,
    /// Passes if the container runs, and still runs after `stabilize`.
    Started,
}

/// The verification of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verify", rename_all = "lowercase")]
pub enum Tls {
    /// Requires encryption and accepts every certificate.
    Require,
    /// Requires a certificate that this authority signed for this name.
    Verify {
        /// The authority, as PEM.
        authority: String,
        /// The name that the certificate must contain; the name of the service by default.
        host: String,
    },
}

/// The method of an HTTP probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`, the default.
    #[default]
    Get,
    /// `HEAD`: the response has no body.
    Head,
    /// `POST`, with an empty body.
    Post,
    /// `OPTIONS`.
    Options,
}

/// A set of HTTP status codes, as inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusSet(pub Vec<(u16, u16)>);

impl StatusSet {
    /// Returns whether the set contains this code.
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
    /// Formats the probe for messages: `http 3001 /api/v1/health`, `postgres 5432`.
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

/// One check of the whole deployment, made after every gate passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "lowercase")]
pub enum Check {
    /// Passes if the response to a request from the host of `cimandat` is as expected.
    Http {
        /// The complete URL, `http://` or `https://`.
        url: String,
        /// Accepted status codes.
        status: StatusSet,
        /// Text that the body must contain.
        contains: Option<String>,
    },
    /// Passes if a port of a service is not published on this host.
    Unreachable {
        /// The service.
        service: ServiceName,
        /// The port in the container.
        port: u16,
    },
    /// Passes if a command in a service's container exits with code 0.
    Exec {
        /// The service.
        service: ServiceName,
        /// Program and arguments.
        command: Vec<String>,
        /// Text that the output must contain.
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
