//! Namespaces of another container that is not there any more, or was started since.

use super::{Difference, RepairAction};
use crate::state::{Container, State};

/// Whether a container still shares what it is recorded to share with a service: `peer` is that
/// service, `owner` the container whose namespace it has.
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
        return Some(differs("a container that is gone", RepairAction::Replace));
    };
    let both_up = owner.condition.status.is_up() && container.condition.status.is_up();
    let started = |it: &Container| it.setup.as_ref().and_then(|setup| setup.started);
    let since = both_up && started(owner) > started(container);
    since.then(|| {
        let found = format!("that of `{peer}` before its last start");
        differs(&found, RepairAction::Restart)
    })
}
