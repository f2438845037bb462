//! Steps that must be recorded one by one before they start.
//!
//! The plan is recorded first. It is the intent of everything that it creates and starts: the
//! rollback removes whatever exists of it. Steps that touch existing objects or that cannot be
//! undone are recorded individually, so that a recovery does not have to guess.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Plan, StepId, StepKind};
use crate::{
    name::ContainerName,
    project::{Kind, MountKind},
};

impl Plan {
    /// Returns the steps before the commit that must be recorded before they start.
    #[must_use]
    pub fn intents(&self) -> BTreeSet<StepId> {
        let made = self.made();
        let steps = self.steps.iter().enumerate();
        steps
            .filter(|(_, step)| !step.after_commit)
            .filter(|(_, step)| match &step.kind {
                StepKind::Action(action) => touches(action, &made),
                StepKind::AwaitReady { .. } | StepKind::Drain { .. } | StepKind::Verify(_) => false,
            })
            .map(|(index, _)| StepId(index))
            .collect()
    }

    /// Returns the containers that the plan creates, and whether the start of each has to be
    /// recorded. It has to be if the effect of the container cannot be undone, or is undone by a
    /// snapshot, which must not be restored without need.
    fn made(&self) -> BTreeMap<&ContainerName, bool> {
        let copied: BTreeSet<&str> = self.copied().collect();
        let actions = self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Action(Action::CreateContainer(create)) => Some(create),
            _ => None,
        });
        actions
            .map(|create| {
                let final_ = create.record.kind == Kind::Job { irreversible: true };
                let writes = create.spec.mounts.iter().any(|mount| {
                    matches!(&mount.kind, MountKind::Volume { engine_name, .. }
                        if copied.contains(engine_name.as_str()))
                });
                let inherits = !copied.is_empty() && !create.spec.volumes_from.is_empty();
                (&create.name, final_ || writes || inherits)
            })
            .collect()
    }
}

impl Plan {
    /// Returns the volumes that the plan copies before a new container writes to them.
    fn copied(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Action(Action::SnapshotVolume(snapshot)) => Some(snapshot.source.as_str()),
            _ => None,
        })
    }
}

fn touches(action: &Action, made: &BTreeMap<&ContainerName, bool>) -> bool {
    match action {
        Action::BuildImage(_)
        | Action::PullImage(_)
        | Action::TagImage { .. }
        | Action::CreateNetwork(_)
        | Action::CreateVolume(_)
        | Action::SnapshotVolume(_)
        | Action::CreateContainer(_) => false,
        Action::StartContainer(container) => made.get(container).copied().unwrap_or(true),
        Action::StopContainer { container, .. }
        | Action::RenameContainer {
            from: container, ..
        }
        | Action::RemoveContainer(container)
        | Action::SetRestartPolicy { container, .. }
        | Action::SetAllowance { container, .. }
        | Action::SetPaused { container, .. } => !made.contains_key(container),
        Action::RunHook(run) => !made.contains_key(&run.container),
        Action::Cutover(_)
        | Action::RestoreVolume(_)
        | Action::RemoveSnapshot(_)
        | Action::RemoveNetwork(_)
        | Action::RemoveVolume(_)
        | Action::RemoveImage(_) => true,
    }
}
