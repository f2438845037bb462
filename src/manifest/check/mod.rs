//! What can only be seen of the whole manifest: names that nothing bears, circles, clashes.

mod address;
mod clash;
mod port;
mod reference;

use super::{fill::Layer, lower::Parts, scope::Scope};
use crate::{diagnostic::ReadingMistake, span::Span};

/// Notes every mistake that shows when the parts are put together.
pub(super) fn check(parts: &Parts, layers: &[Layer], scope: &Scope<'_>) {
    reference::check(parts, layers, scope);
    clash::check(parts, scope);
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
        scope.mistake(ReadingMistake::Empty {
            at: Span::new(start, 0),
        });
    }
}
