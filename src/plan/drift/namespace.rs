//! Namespaces of another container that no longer exists, or that was started since.

use super::{Difference, RepairAction};
use crate::state::{Container, State};

/// Returns the difference if a container no longer shares the recorded namespace. `peer` is the
/// recorded service, `owner` the container that owns the namespace in use.
pub(super) fn difference(
    state: &State,
    container: &Container,
    field: &str,
    (peer, owner): (&str, Option<&str>),
) -> Option<Difference> {
    let recorded = format!("service:{peer}");
    let differs =
        |found: &str, remedy| Difference::new(field, Some(&recorded), Some(found), remedy);
    let owner = owner.and_then(|owner| {
        let mut all = state.containers.iter();
        all.find(|(name, it)| it.id == owner || name.as_str() == owner)
    });
    let Some((_, owner)) = owner.filter(|(_, owner)| owner.service.as_str() == peer) else {
        return Some(differs(
            "a container that does not exist",
            RepairAction::Replace,
        ));
    };
    let both_up = owner.condition.status.is_up() && container.condition.status.is_up();
    let started = |it: &Container| it.setup.as_ref().and_then(|setup| setup.started);
    let since = both_up && started(owner) > started(container);
    since.then(|| {
        let found = format!("that of `{peer}` before its last start");
        differs(&found, RepairAction::Restart)
    })
}
