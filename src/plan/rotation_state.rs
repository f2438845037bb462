//! Detection of new secrets in use, based on the records of the current containers.

use super::{change::field_changes, diff};
use crate::{project::Project, state::State};

/// Returns whether a current container was created with the values that `new` has and `old` does
/// not have.
///
/// Both are the same manifest: `old` is resolved with the active secrets, `new` with those of an
/// interrupted rotation.
#[must_use]
pub fn rotated(state: &State, old: &Project, new: &Project) -> bool {
    new.services.values().any(|service| {
        let Some(before) = old.services.get(&service.name) else {
            return false;
        };
        let spec = |it| serde_json::to_value(it).unwrap_or_default();
        let desired = spec(&service.container);
        let turned = field_changes(&spec(&before.container), &desired);
        let holds = |replica| {
            let current = diff::current(new, state, service, replica);
            let record = current.and_then(|(_, container)| container.record.as_ref());
            record.is_some_and(|record| {
                // Other fields may differ, because the manifest may have changed since.
                let differing = field_changes(&record.spec, &desired);
                turned
                    .iter()
                    .all(|change| differing.iter().all(|it| it.field != change.field))
            })
        };
        !turned.is_empty() && (1..=service.replicas).any(holds)
    })
}
