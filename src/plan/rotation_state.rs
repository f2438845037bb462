//! Whether new secrets are at work: seen by what the containers that count were made from.

use super::{change::field_changes, diff};
use crate::{project::Project, state::State};

/// Whether some container that counts was made with the values that `new` has and `old` has not.
///
/// The two are one manifest, resolved with the secrets in force and with those of a rotation whose
/// maker did not live to see its end.
#[must_use]
pub fn rotated(state: &State, old: &Project, new: &Project) -> bool {
    new.services.values().any(|service| {
        let Some(before) = old.services.get(&service.name) else {
            return false;
        };
        let spec = |it| serde_json::to_value(it).unwrap_or_default();
        let wished = spec(&service.container);
        let turned = field_changes(&spec(&before.container), &wished);
        let holds = |replica| {
            let current = diff::current(new, state, service, replica);
            let record = current.and_then(|(_, container)| container.record.as_ref());
            record.is_some_and(|record| {
                // Other fields may differ: the manifest may have been changed since.
                let differing = field_changes(&record.spec, &wished);
                turned
                    .iter()
                    .all(|change| differing.iter().all(|it| it.field != change.field))
            })
        };
        !turned.is_empty() && (1..=service.replicas).any(holds)
    })
}
