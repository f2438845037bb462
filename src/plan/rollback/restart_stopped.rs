//! Restart of containers that should run and do not, for any reason.

use std::collections::BTreeSet;

use super::{conflicts_with_container, recovery_plan};
use crate::{
    name::{ContainerName, ServiceName},
    plan::{Plan, Reason},
    project::{Kind, PortBinding},
    state::{Container, State, Status},
    unit::Protocol,
};

/// Returns the starts of all containers that should run and do not, in dependency order. Possible
/// reasons are a restart policy that a shutdown of the engine undid, or a container that was
/// stopped manually.
///
/// `wanted` are the services of the manifest that was deployed last. Other services are started
/// only if nothing has replaced them: after a partial commit they are kept, stopped if necessary,
/// until a full deploy removes them.
#[must_use]
pub fn restart_stopped(state: &State, wanted: Option<&BTreeSet<ServiceName>>) -> Plan {
    let kept_out = |it: &Container| {
        wanted.is_some_and(|wanted| !wanted.contains(&it.service)) && is_blocked_by_newer(state, it)
    };
    let mut desired = state.clone();
    let down: BTreeSet<&ContainerName> = state
        .containers
        .iter()
        .filter(|(name, it)| {
            let service = it
                .record
                .as_ref()
                .is_some_and(|it| it.kind == Kind::Service);
            service
                && !it.condition.status.is_up()
                && !state.is_superseded(name)
                && !state.is_retained_failure(name)
                && !has_running_replacement(state, it)
                && !kept_out(it)
        })
        .map(|(name, _)| name)
        .collect();
    for (name, container) in &mut desired.containers {
        container.condition.status = if down.contains(name) {
            Status::Running
        } else {
            Status::Exited
        };
    }
    let back = recovery_plan(&Plan::default(), &BTreeSet::new(), &desired);
    let mut plan = back.plan;
    for (step, earlier) in back.after {
        if let Some(step) = plan.steps.get_mut(step.0) {
            step.requires.extend(earlier);
        }
    }
    for step in &mut plan.steps {
        step.reason = Reason::Stopped;
    }
    plan
}

/// Returns whether a later container has taken over resources that this one would need.
fn is_blocked_by_newer(state: &State, container: &Container) -> bool {
    let ports = ports(container);
    let mut later = state.containers.iter().filter(|(name, other)| {
        other.generation > container.generation
            && other.service != container.service
            && !state.is_retained_failure(name)
    });
    later.any(|(_, other)| {
        let theirs = self::ports(other);
        conflicts_with_container(container, other) || theirs.iter().any(|port| ports.contains(port))
    })
}

/// Returns the host ports that a container was created for, whether it runs or not.
fn ports(container: &Container) -> BTreeSet<(u16, Protocol)> {
    let spec = container.record.as_ref().map(|record| &record.spec);
    let ports = spec.and_then(|spec| spec.get("ports").cloned());
    let ports = ports.and_then(|ports| serde_json::from_value::<Vec<PortBinding>>(ports).ok());
    let ports = ports.into_iter().flatten();
    ports
        .filter_map(|port| Some((port.published?, port.protocol)))
        .collect()
}

/// Returns whether another container of the same replica runs, under any name. A deploy may have
/// ended before its renames were complete.
fn has_running_replacement(state: &State, container: &Container) -> bool {
    state.containers.values().any(|it| {
        (&it.service, it.replica) == (&container.service, container.replica)
            && it.id != container.id
            && it.condition.status.is_up()
    })
}
