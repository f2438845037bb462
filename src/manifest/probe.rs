//! The probes of `ready`: checks of a container.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Environment, Template,
    context::LowerContext,
    environment::interpolate,
    map::open_pairs,
    node::{Node, Scalar, Value},
    port::NUMBERS,
    reader::{Reader, texts, unknown_node},
    scalar::{ContainerPath, Read, invalid, whole},
};
use crate::{
    diagnostic::{SchemaError, ValueError},
    name::SecretName,
    span::Spanned,
};

/// HTTP headers, by name; values may contain secrets.
pub type Headers = BTreeMap<String, Spanned<Template>>;

/// A check of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is accepted.
    Tcp {
        /// Port inside the container.
        port: u16,
    },
    /// An HTTP request is answered as expected.
    Http {
        /// Port inside the container.
        port: u16,
        /// Path with an optional query, starting with `/`; `/` if not given.
        path: Option<String>,
        /// HTTP method; `GET` if not given.
        method: Option<Method>,
        /// Accepted status codes.
        status: Option<StatusSet>,
        /// Headers that are sent with the request.
        headers: Headers,
        /// Text that the body must contain.
        contains: Option<String>,
        /// TLS settings; `None` for plain HTTP.
        tls: Option<Tls>,
    },
    /// A PostgreSQL server accepts a startup message.
    Postgres {
        /// Port inside the container.
        port: u16,
        /// Role in the startup message.
        user: Option<String>,
        /// Database in the startup message.
        database: Option<String>,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// A Redis server answers `PING`.
    Redis {
        /// Port inside the container.
        port: u16,
        /// ACL user.
        user: Option<String>,
        /// Password of the user, given as a template (`password=`) or as one of the project's
        /// secrets (`secret=`, which is lowered to a template of that one secret).
        password: Option<Spanned<Template>>,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// The gRPC health service reports `SERVING`.
    Grpc {
        /// Port inside the container.
        port: u16,
        /// Name of the service to check.
        service: Option<String>,
        /// TLS settings; `None` for plain text.
        tls: Option<Tls>,
    },
    /// A command inside the container exits with 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A regular expression matches log lines of the container since its last start.
    Log {
        /// Regular expression; it is valid.
        pattern: String,
        /// Number of lines that must match; at least 1.
        times: Option<u32>,
    },
    /// A path exists inside the container.
    File {
        /// Path inside the container, absolute.
        path: String,
    },
    /// The engine reports `healthy`, or the health check's own test passes when run by `exec`.
    Healthcheck,
    /// The container exited with code 0.
    Exit,
    /// The container is running, and still runs after the stabilization window.
    Started,
}

/// Verification of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// The connection is encrypted; the certificate is not verified.
    Require,
    /// The certificate is signed by an authority, for a name.
    Verify {
        /// PEM file of the authority, absolute (`authority=`); `None` for the project's own
        /// authority.
        authority: Option<Spanned<PathBuf>>,
        /// Name in the certificate (`host=`); `None` for the service's own name.
        host: Option<String>,
    },
}

/// The method of an HTTP probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`; the response has no body.
    Head,
    /// `POST` with an empty body.
    Post,
    /// `OPTIONS`.
    Options,
}

/// HTTP status codes, as inclusive ranges; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(pub Vec<(u16, u16)>);

/// Names of all probes.
const PROBES: &[&str] = &[
    "exec",
    "exit",
    "file",
    "grpc",
    "healthcheck",
    "http",
    "https",
    "log",
    "postgres",
    "redis",
    "started",
    "tcp",
];
const METHODS: &[(&str, Method)] = &[
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("OPTIONS", Method::Options),
];

/// Reads one probe.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Probe> {
    let mut reader = Reader::new(node, scope);
    let probe = match reader.name() {
        "tcp" => port(&mut reader).map(|port| Probe::Tcp { port }),
        "http" | "https" => http(&mut reader),
        "postgres" => postgres(&mut reader),
        "redis" => redis(&mut reader),
        "grpc" => grpc(&mut reader),
        "exec" => exec(&mut reader),
        "log" => log(&mut reader),
        "file" => reader
            .argument::<ContainerPath>("a path in the container")
            .map(|path| Probe::File { path: path.value.0 }),
        "healthcheck" => Some(Probe::Healthcheck),
        "exit" => Some(Probe::Exit),
        "started" => Some(Probe::Started),
        _ => {
            unknown_node(node, "`ready`", PROBES, scope);
            return None;
        }
    };
    reader.end();
    probe
}

fn port(reader: &mut Reader<'_>) -> Option<u16> {
    whole(reader.needed("a port")?, reader.scope, "a port", NUMBERS)
}

fn http(reader: &mut Reader<'_>) -> Option<Probe> {
    let tls = (reader.name() == "https").then(|| verification(reader));
    let port = port(reader);
    let path = reader.next().and_then(|scalar| {
        let path = String::read(scalar, reader.scope)?;
        if path.starts_with('/') {
            return Some(path);
        }
        invalid(
            scalar,
            reader.scope,
            "a path of a request",
            Some("it begins with `/`"),
        )
    });
    let method = reader.word("method", METHODS);
    let status = reader
        .raw("status")
        .and_then(|scalar| status(scalar, reader.scope));
    let contains = reader.property("contains");
    let mut headers = Headers::new();
    for child in reader.children() {
        match child.name.value.as_str() {
            "header" => header(child, &mut headers, reader.scope),
            _ => unknown_node(child, "a probe", &["header"], reader.scope),
        }
    }
    Some(Probe::Http {
        port: port?,
        path,
        method,
        status,
        headers,
        contains,
        tls,
    })
}

fn header(node: &Node, headers: &mut Headers, scope: &LowerContext<'_>) {
    for (name, value) in open_pairs::<Template>(node, scope) {
        if let Some(template) = value.value {
            headers.insert(name, Spanned::new(template, value.span));
        } else {
            let wanted = format!("a value for `{name}`");
            Reader::new(node, scope).missing(&wanted, Some("`header NAME=\"value\"`"));
        }
    }
}

fn postgres(reader: &mut Reader<'_>) -> Option<Probe> {
    let user = reader.property("user");
    let database = reader.property("database");
    let tls = encryption(reader);
    Some(Probe::Postgres {
        port: port(reader)?,
        user,
        database,
        tls,
    })
}

fn redis(reader: &mut Reader<'_>) -> Option<Probe> {
    let user = reader.property("user");
    let password = reader.placed::<Template>("password");
    let secret = reader.placed::<SecretName>("secret");
    let tls = encryption(reader);
    if let (Some(password), Some(secret)) = (&password, &secret) {
        reader.scope.mistake(SchemaError::Conflict {
            one: "`password=`".to_owned(),
            other: "`secret=`".to_owned(),
            at: password.span.max(secret.span),
            first: password.span.min(secret.span),
            help: None,
        });
    }
    let secret = secret.and_then(|name| {
        let text = format!("${{secret:{}}}", name.value);
        let template = interpolate(&text, &Environment::default()).ok()?;
        Some(Spanned::new(template, name.span))
    });
    Some(Probe::Redis {
        port: port(reader)?,
        user,
        password: password.or(secret),
        tls,
    })
}

fn grpc(reader: &mut Reader<'_>) -> Option<Probe> {
    let service = reader.property("service");
    let tls = encryption(reader);
    Some(Probe::Grpc {
        port: port(reader)?,
        service,
        tls,
    })
}

/// Reads `tls="require|verify" authority= host=`. Each of the last two also enables verification.
fn encryption(reader: &mut Reader<'_>) -> Option<Tls> {
    let known = [("require", false), ("verify", true)];
    let verify = reader.word("tls", &known);
    match (verify, verification(reader)) {
        (
            Some(false),
            Tls::Verify {
                authority: None,
                host: None,
            },
        ) => Some(Tls::Require),
        (None, Tls::Require) => None,
        (Some(true), Tls::Require) => Some(Tls::Verify {
            authority: None,
            host: None,
        }),
        (_, tls) => Some(tls),
    }
}

/// Reads `authority= host=`. Without both, the certificate is not verified.
fn verification(reader: &mut Reader<'_>) -> Tls {
    let authority = reader.placed("authority");
    let host = reader.property("host");
    if authority.is_none() && host.is_none() {
        return Tls::Require;
    }
    Tls::Verify { authority, host }
}

fn exec(reader: &mut Reader<'_>) -> Option<Probe> {
    let command = texts(reader.all("a program"));
    (!command.is_empty()).then_some(Probe::Exec { command })
}

fn log(reader: &mut Reader<'_>) -> Option<Probe> {
    let times = reader.number("times", 1..=1_000_000);
    let pattern = reader.argument::<String>("a regular expression")?;
    if let Err(error) = regex::Regex::new(&pattern) {
        // The library's message is a multi-line picture; only its last line states the cause.
        let cause = error.to_string();
        let cause = cause
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        reader.scope.mistake(ValueError::Regex {
            cause: cause.to_owned(),
            at: pattern.span,
        });
        return None;
    }
    Some(Probe::Log {
        pattern: pattern.value,
        times,
    })
}

/// Reads `status=200` or `status="200-299,304"`.
pub(super) fn status(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<StatusSet> {
    if let Value::Integer(_) = scalar.value {
        let code = whole(scalar, scope, "a status", 100..=599)?;
        return Some(StatusSet(vec![(code, code)]));
    }
    let text = String::read(scalar, scope)?;
    let ranges: Option<Vec<_>> = text.split(',').map(|part| codes(part.trim())).collect();
    ranges.map(StatusSet).or_else(|| {
        invalid(
            scalar,
            scope,
            "a set of status codes",
            Some("such as `200` or `\"200-299,304\"`"),
        )
    })
}

fn codes(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let code = |digits: &str| {
        digits
            .parse()
            .ok()
            .filter(|code| (100..=599).contains(code))
    };
    let (low, high) = (code(low)?, code(high)?);
    (low <= high).then_some((low, high))
}
