//! Gives back what was set on a container that went on running: its policy, limits and pause, as
//! they were found.

use std::collections::BTreeSet;

use super::RollbackBuilder;
use crate::{
    name::ContainerName,
    plan::{Action, StepId, Subject},
    project::RestartPolicy,
    state::{Container, ResourceLimits, Status},
};

impl RollbackBuilder<'_> {
    pub(super) fn restore_settings(&mut self) {
        for (name, subject) in self.deeds.policies.clone() {
            let policy = self.state.containers.get(name).map(policy_of);
            let action = Action::SetRestartPolicy {
                container: name.clone(),
                policy: policy.unwrap_or_default(),
            };
            self.act(action, subject, BTreeSet::new());
        }
        for (name, subject) in self.deeds.allowances.clone() {
            let setup = self
                .state
                .containers
                .get(name)
                .and_then(|it| it.setup.as_ref());
            let Some(found) = setup.map(|setup| setup.allowance) else {
                continue;
            };
            let action = Action::SetAllowance {
                container: name.clone(),
                allowance: ResourceLimits {
                    // No limit has to be said.
                    pids: Some(found.pids.unwrap_or(0)),
                    ..found
                },
            };
            self.act(action, subject, BTreeSet::new());
        }
        for (name, subject) in self.deeds.thawed.clone() {
            // One that was stopped since is frozen where it is started again.
            if !self.deeds.stopped.contains_key(name) {
                self.pause_again(name, subject, BTreeSet::new());
            }
        }
    }

    /// Freezes a container that was found frozen.
    pub(super) fn pause_again(
        &mut self,
        name: &ContainerName,
        subject: &Subject,
        needs: BTreeSet<StepId>,
    ) -> StepId {
        let action = Action::SetPaused {
            container: name.clone(),
            paused: true,
        };
        self.act(action, subject, needs)
    }
}

/// What was found; where the engine does not tell, what is recorded.
fn policy_of(container: &Container) -> RestartPolicy {
    let record = container.record.as_ref();
    let recorded = || {
        record
            .and_then(|record| record.spec.get("restart"))
            .and_then(|policy| serde_json::from_value::<RestartPolicy>(policy.clone()).ok())
    };
    container.restart.or_else(recorded).unwrap_or_default()
}

/// Whether a container was frozen before the plan was begun.
pub(super) fn was_frozen(container: &Container) -> bool {
    container.condition.status == Status::Paused
}
