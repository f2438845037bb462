//! What can only be seen of the whole manifest: names that nothing bears, circles, clashes.

mod address;
mod conflict;
mod port;
mod reference;

use super::{context::LowerContext, interpolate::Layer, lower::Declarations};
use crate::{diagnostic::ParseError, span::Span};

/// Notes every mistake that shows when the parts are put together.
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
