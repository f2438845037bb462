//! The probes of `ready`: what is asked of a container.

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

/// Every probe.
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

/// `tls="require|verify" authority= host=`; either of the last two asks for verification too.
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

/// `authority= host=`: without both, the certificate is not looked at.
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
        // The library draws a picture of several lines; the last of them says what is wrong.
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
