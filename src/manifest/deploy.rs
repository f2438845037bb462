//! `deploy` and `verify`: deploy settings, and checks that run when every gate has passed.

use std::time::Duration;

use super::{
    StatusSet,
    context::LowerContext,
    node::Node,
    port::NUMBERS,
    probe::status,
    reader::{Reader, texts, unknown_node},
    scalar::{Read, invalid, whole},
};
use crate::{name::ServiceName, span::Spanned};

/// Deploy settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deploy {
    /// What is rolled back when the deploy fails.
    pub rollback: Option<RollbackScope>,
    /// How long every gate must stay green after the last one has passed.
    pub stabilize: Option<Duration>,
    /// Maximum duration of the whole deploy.
    pub deadline: Option<Duration>,
    /// Number of generations in the history, 1 to 1000.
    pub history: Option<u32>,
}

/// What is rolled back when a deploy fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackScope {
    /// Everything that the deploy changed.
    All,
    /// The failed service and what depends on it.
    Subtree,
    /// Nothing.
    None,
}

/// A check that runs when every gate has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// An HTTP request from the machine that runs `cimandat` is answered as expected.
    Http {
        /// Full URL, `http://` or `https://`.
        url: String,
        /// Accepted status codes.
        status: Option<StatusSet>,
        /// Text that the body must contain.
        contains: Option<String>,
    },
    /// A service's port is not published on this host.
    Unreachable {
        /// Name of the service.
        service: Spanned<ServiceName>,
        /// Port of the service.
        port: u16,
    },
    /// A command in a service's container exits with 0.
    Exec {
        /// Name of the service.
        service: Spanned<ServiceName>,
        /// Program and arguments.
        command: Vec<String>,
        /// Text that the output must contain.
        contains: Option<String>,
    },
}

/// Reads `deploy`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Deploy {
    const SCOPES: &[(&str, RollbackScope)] = &[
        ("all", RollbackScope::All),
        ("subtree", RollbackScope::Subtree),
        ("none", RollbackScope::None),
    ];
    let mut reader = Reader::new(node, scope);
    let deploy = Deploy {
        rollback: reader.word("rollback", SCOPES),
        stabilize: reader.property("stabilize"),
        deadline: reader.property("deadline"),
        history: reader.number("history", 1..=1000),
    };
    reader.end();
    deploy
}

/// Reads `verify`.
pub(super) fn verify(node: &Node, scope: &LowerContext<'_>) -> Vec<Spanned<Check>> {
    let mut reader = Reader::new(node, scope);
    let children = reader.children();
    reader.end();
    let checks = children.iter();
    checks
        .filter_map(|child| Some(Spanned::new(check(child, scope)?, child.head())))
        .collect()
}

fn check(node: &Node, scope: &LowerContext<'_>) -> Option<Check> {
    let mut reader = Reader::new(node, scope);
    let check = match reader.name() {
        "http" => http(&mut reader),
        "unreachable" => unreachable(&mut reader),
        "exec" => exec(&mut reader),
        _ => {
            unknown_node(node, "`verify`", &["exec", "http", "unreachable"], scope);
            return None;
        }
    };
    reader.end();
    check
}

fn http(reader: &mut Reader<'_>) -> Option<Check> {
    let url = reader.needed("an address").and_then(|scalar| {
        let url = String::read(scalar, reader.scope)?;
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        if host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) {
            return Some(url);
        }
        let help = "a whole one, such as `http://localhost:3000/`";
        invalid(scalar, reader.scope, "an address", Some(help))
    });
    let status = reader
        .raw("status")
        .and_then(|scalar| status(scalar, reader.scope));
    let contains = reader.property("contains");
    Some(Check::Http {
        url: url?,
        status,
        contains,
    })
}

fn unreachable(reader: &mut Reader<'_>) -> Option<Check> {
    let service = reader.argument("a service and a port");
    let port = service.as_ref().and_then(|_| reader.needed("a port"));
    let port = port.and_then(|scalar| whole(scalar, reader.scope, "a port", NUMBERS));
    Some(Check::Unreachable {
        service: service?,
        port: port?,
    })
}

fn exec(reader: &mut Reader<'_>) -> Option<Check> {
    let contains = reader.property("contains");
    let service = reader.argument("a service and a program")?;
    let command = texts(reader.all("a program"));
    Some(Check::Exec {
        service,
        command,
        contains,
    })
}
