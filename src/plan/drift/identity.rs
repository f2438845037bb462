//! Containers that another program created in place of those of `cimandat`.

use super::{Difference, RepairAction, is_unmanaged_copy};
use crate::state::{Container, Identity, State};

/// Length of an id in the output of the engine's own tools.
const SHORT: usize = 12;

/// Returns the difference if a container is not the recorded one. Its files, anonymous volumes and
/// settings are then those of the other program, so that only a new container is known to be
/// correct.
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

/// Returns the ids to record at the end of a deploy. A recorded id is kept for as long as a
/// container with its labels exists, even if another program created that container.
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
