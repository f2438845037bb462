//! `ready`: when a service counts as ready.

use std::time::Duration;

use super::{
    context::LowerContext,
    node::Node,
    probe::{self, Probe},
    reader::Reader,
};
use crate::{
    diagnostic::SchemaError,
    span::{Span, Spanned},
};

/// What a service must pass before its dependents go on.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Where it is declared.
    pub span: Span,
    /// All must pass; never empty.
    pub probes: Vec<Spanned<Probe>>,
    /// The deadline, from the start of the container.
    pub timeout: Option<Duration>,
    /// How long the container must keep running after its probes passed.
    pub stabilize: Option<Duration>,
}

/// Reads `ready`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Gate> {
    let mut reader = Reader::new(node, scope);
    let span = reader.span();
    let within = reader.property("within");
    let settle = reader.property("settle");
    let written = reader.children();
    reader.end();
    if written.is_empty() {
        scope.mistake(SchemaError::MissingChild {
            node: "ready".to_owned(),
            wanted: "at least one probe".to_owned(),
            at: span,
            help: Some(
                "such as `ready { http 8080 \"/health\" }` or `ready { started }`".to_owned(),
            ),
        });
        return None;
    }
    let probes = written
        .iter()
        .filter_map(|child| Some(Spanned::new(probe::lower(child, scope)?, child.head())))
        .collect();
    Some(Gate {
        span,
        probes,
        timeout: within,
        stabilize: settle,
    })
}
