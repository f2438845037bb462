//! `ready`: the gate that decides when a service is ready.

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

/// Conditions that a service must pass before its dependents proceed.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Span of the declaration.
    pub span: Span,
    /// Probes, all of which must pass; never empty.
    pub probes: Vec<Spanned<Probe>>,
    /// Timeout, counted from the start of the container.
    pub timeout: Option<Duration>,
    /// How long the container must keep running after its probes have passed.
    pub stabilize: Option<Duration>,
}

/// Reads `ready`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Gate> {
    let mut reader = Reader::new(node, scope);
    let span = reader.span();
    let timeout = reader.property("timeout");
    let stabilize = reader.property("stabilize");
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
        timeout,
        stabilize,
    })
}
