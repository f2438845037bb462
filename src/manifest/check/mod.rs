//! Checks that need the whole manifest: undeclared names, cycles and clashes.

mod address;
mod conflict;
mod port;
mod reference;

use super::{context::LowerContext, interpolate::Layer, lower::Declarations};
use crate::{diagnostic::ParseError, span::Span};

/// Reports every error that shows when the parts of the manifest are combined.
pub(super) fn check(parts: &Declarations, layers: &[Layer], scope: &LowerContext<'_>) {
    reference::check(parts, layers, scope);
    conflict::check(parts, scope);
    let declared = parts
        .declared
        .get("service")
        .is_some_and(|services| !services.is_empty());
    if !declared && scope.is_clean() {
        let start = layers
            .iter()
            .map(|layer| layer.start)
            .min()
            .unwrap_or_default();
        scope.mistake(ParseError::Empty {
            at: Span::new(start, 0),
        });
    }
}
