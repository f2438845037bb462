//! Containers that another program made in place of ours.

use super::{Difference, RepairAction, is_unmanaged_copy};
use crate::state::{Container, Identity, State};

/// As much of an id as the engine's own tools show.
const SHORT: usize = 12;

/// Whether a container is another one than was recorded. Its files, anonymous volumes and settings
/// are then whatever that program made them, so that only a new container is known to be right.
pub(super) fn difference(state: &State, container: &Container) -> Option<Difference> {
    let recorded = state.recorded_id(container)?;
    let short = |id: &'_ str| id.get(..SHORT).unwrap_or(id).to_owned();
    let found = format!("{}, made by another program", short(&container.id));
    let differs = recorded != container.id;
    differs.then(|| {
        Difference::new(
            "id",
            Some(short(recorded)),
            Some(found),
            RepairAction::Replace,
        )
    })
}

/// The ids to record at the end of a deploy. An id that was recorded before stays for as long as
/// there is a container with its labels, whoever made that one.
#[must_use]
pub fn identities(origin: &State, now: &State) -> Vec<Identity> {
    let containers = now.containers.iter();
    let ours = containers.filter(|(name, _)| !is_unmanaged_copy(now, name));
    ours.map(|(_, container)| {
        let mut known = origin.identities.iter();
        let known = known.find(|identity| identity.is_of(container));
        known.cloned().unwrap_or(Identity::of(container))
    })
    .collect()
}
