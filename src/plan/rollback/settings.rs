//! Restores the settings that were changed on a running container to their observed values: restart
//! policy, limits and pause.

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
        for (name, subject) in self.applied.policies.clone() {
            let policy = self.state.containers.get(name).map(policy_of);
            let action = Action::SetRestartPolicy {
                container: name.clone(),
                policy: policy.unwrap_or_default(),
            };
            self.act(action, subject, BTreeSet::new());
        }
        for (name, subject) in self.applied.allowances.clone() {
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
                    // The absence of a limit must be explicit.
                    pids: Some(found.pids.unwrap_or(0)),
                    ..found
                },
            };
            self.act(action, subject, BTreeSet::new());
        }
        for (name, subject) in self.applied.thawed.clone() {
            // A container that was stopped since is paused when it is started again.
            if !self.applied.stopped.contains_key(name) {
                self.pause_again(name, subject, BTreeSet::new());
            }
        }
    }

    /// Pauses a container that was observed as paused.
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

/// Returns the observed restart policy, or the recorded one if the engine does not report it.
fn policy_of(container: &Container) -> RestartPolicy {
    let record = container.record.as_ref();
    let recorded = || {
        record
            .and_then(|record| record.spec.get("restart"))
            .and_then(|policy| serde_json::from_value::<RestartPolicy>(policy.clone()).ok())
    };
    container.restart.or_else(recorded).unwrap_or_default()
}

/// Returns whether a container was paused before the plan started.
pub(super) fn was_frozen(container: &Container) -> bool {
    container.condition.status == Status::Paused
}
