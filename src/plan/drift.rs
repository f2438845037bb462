//! Drift: differences between a container and its record that are caused by manual changes or by
//! the engine's own restarts.
//!
//! Pure. Drift is computed from the state alone and needs no manifest. Settings that a run changes
//! temporarily are not drift: a container that is not committed yet is skipped.

mod identity;
mod namespace;
mod network;

use serde::Deserialize;

pub use self::identity::identities;

use super::{Action, FieldChange, deploy::interim_name, networks::Networks};
use crate::{
    name::ContainerName,
    project::{
        Kind, Limits, Mount, MountKind, NetworkMode, Project, Reservation, RestartPolicy, Service,
    },
    state::{Container, ResourceLimits, RuntimeConfig, State, Status},
    unit::ByteSize,
};

/// One difference from the record, with its repair.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub change: FieldChange,
    pub remedy: RepairAction,
}

/// Repair of a difference, least disruptive first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RepairAction {
    /// A setting is changed while the container runs.
    UpdateInPlace,
    /// The container is started.
    Start,
    /// The container is stopped and started.
    Restart,
    /// The container is replaced.
    Replace,
}

/// The fields of a recorded specification that can be changed manually.
#[derive(Debug, Deserialize)]
struct Recorded {
    #[serde(default)]
    network: NetworkMode,
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    ipc: Option<String>,
    #[serde(default)]
    mounts: Vec<Mount>,
    #[serde(default)]
    limit: Limits,
    #[serde(default)]
    reserve: Reservation,
    #[serde(default)]
    restart: RestartPolicy,
}

/// Returns the fields of a container that differ from its record: the recorded and the observed
/// value of each.
///
/// The result is empty for a container without a record, for a job, and for a container that is not
/// committed yet.
#[must_use]
pub fn drift(state: &State, name: &ContainerName) -> Vec<FieldChange> {
    let differences = differences(state, name).into_iter();
    differences.map(|it| it.change).collect()
}

/// Returns the differences of [`drift`], each with its repair.
pub(super) fn differences(state: &State, name: &ContainerName) -> Vec<Difference> {
    let Some(container) = state.containers.get(name) else {
        return Vec::new();
    };
    let Some(record) = &container.record else {
        return Vec::new();
    };
    let Ok(recorded) = Recorded::deserialize(&record.spec) else {
        return Vec::new();
    };
    if is_interim(name, container) || record.kind != Kind::Service {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some(wanted) = record.name.as_ref().filter(|wanted| *wanted != name) {
        found.push(Difference::new(
            "name",
            Some(wanted),
            Some(name),
            RepairAction::UpdateInPlace,
        ));
    }
    found.extend(identity::difference(state, container));
    found.extend(status(container));
    // While another process deploys, a restart policy that is not set yet is not a manual change.
    let pending = state.locked && container.restart == Some(RestartPolicy::No);
    if !pending {
        found.extend(restart(recorded.restart, container));
    }
    if let Some(setup) = &container.setup {
        found.extend(volumes(&recorded.mounts, container));
        found.extend(binds(&recorded.mounts, setup));
        let wanted = ResourceLimits::of(recorded.limit, recorded.reserve);
        found.extend(limits(wanted, setup.allowance));
        found.extend(network::endpoints(
            state,
            container,
            setup,
            &recorded.network,
        ));
        found.extend(shares(state, container, setup, &recorded));
    }
    found
}

/// Returns whether a retained container can start in the current networks.
pub(super) fn fits(state: &State, networks: &Networks, container: &Container) -> bool {
    let record = container.record.as_ref();
    let endpoints = container.setup.iter().flat_map(|setup| &setup.endpoints);
    let mut recorded = record.iter().flat_map(|record| &record.networks);
    recorded.all(|(network, engine_name)| {
        let placed = networks.get(network);
        placed.is_some_and(|placed| placed.engine_name == *engine_name)
    }) && !endpoints
        .into_iter()
        .any(|(name, endpoint)| network::is_stale(state, name, endpoint))
}

/// Returns whether a container has its interim name, which it has only until the commit.
fn is_interim(name: &ContainerName, container: &Container) -> bool {
    let last = container.record.as_ref().and_then(|it| it.name.as_ref());
    last.is_some_and(|last| interim_name(last, container.generation) == *name)
}

/// Returns whether a container is a manual copy that carries the labels of another container.
pub(super) fn is_unmanaged_copy(state: &State, name: &ContainerName) -> bool {
    let Some(container) = state.containers.get(name) else {
        return false;
    };
    let Some(last) = container.record.as_ref().and_then(|it| it.name.as_ref()) else {
        return false;
    };
    let named_well = last == name || is_interim(name, container) || state.is_retained_failure(name);
    !named_well
        && state.containers.iter().any(|(other, it)| {
            other != name
                && (&it.service, it.replica) == (&container.service, container.replica)
                && (other == last || is_interim(other, it))
        })
}

/// Returns the actions that repair a container without a restart. The remaining repairs are done
/// after the commit.
pub(super) fn amendments(state: &State, name: &ContainerName, service: &Service) -> Vec<Action> {
    let Some(container) = state.containers.get(name) else {
        return Vec::new();
    };
    let mut actions = Vec::new();
    if container.condition.status == Status::Paused {
        actions.push(Action::SetPaused {
            container: name.clone(),
            paused: false,
        });
    }
    let found = container.setup.as_ref().map(|setup| setup.allowance);
    let spec = &service.container;
    let wanted = ResourceLimits::of(spec.limit, spec.reserve);
    if let Some(found) = found.filter(|found| !limits(wanted, *found).is_empty()) {
        actions.push(Action::SetAllowance {
            container: name.clone(),
            allowance: ResourceLimits {
                // The absence of a limit must be explicit, or the observed limit remains.
                pids: wanted.pids.or(found.pids.map(|_| 0)),
                ..wanted
            },
        });
    }
    actions
}

/// Returns whether a container's endpoints differ from its record and can be repaired without a new
/// container.
pub(super) fn is_attached_otherwise(state: &State, name: &ContainerName) -> bool {
    let differences = |container: &Container| {
        let record = container.record.as_ref()?;
        let recorded = Recorded::deserialize(&record.spec).ok()?;
        let setup = container.setup.as_ref()?;
        Some(network::endpoints(
            state,
            container,
            setup,
            &recorded.network,
        ))
    };
    let found = state.containers.get(name).and_then(differences);
    let mut found = found.into_iter().flatten();
    found.any(|it| it.remedy == RepairAction::UpdateInPlace)
}

/// Returns all containers that carry the project's label but were not created by `cimandat`.
pub(super) fn unknown(project: &Project, state: &State) -> Vec<ContainerName> {
    let likenesses = state.containers.keys();
    let labelled = state
        .foreign
        .iter()
        .filter(|(_, it)| it.project.as_deref() == Some(project.name.as_str()));
    likenesses
        .filter(|name| is_unmanaged_copy(state, name))
        .chain(labelled.map(|(name, _)| name))
        .cloned()
        .collect()
}

impl Difference {
    fn new(
        field: impl Into<String>,
        recorded: Option<impl ToString>,
        found: Option<impl ToString>,
        remedy: RepairAction,
    ) -> Self {
        let change = FieldChange {
            field: field.into(),
            from: recorded.map(|it| it.to_string()),
            to: found.map(|it| it.to_string()),
        };
        Self { change, remedy }
    }
}

fn status(container: &Container) -> Option<Difference> {
    let (found, remedy) = match container.condition.status {
        Status::Paused => ("paused".to_owned(), RepairAction::UpdateInPlace),
        Status::Exited => {
            let code = container.condition.exit_code.unwrap_or_default();
            (format!("exited with code {code}"), RepairAction::Start)
        }
        _ => return None,
    };
    Some(Difference::new(
        "status",
        Some("running"),
        Some(found),
        remedy,
    ))
}

fn restart(recorded: RestartPolicy, container: &Container) -> Option<Difference> {
    let found = container.restart.filter(|found| *found != recorded)?;
    let (from, to) = (policy(recorded), policy(found));
    Some(Difference::new(
        "restart",
        Some(from),
        Some(to),
        RepairAction::UpdateInPlace,
    ))
}

fn policy(policy: RestartPolicy) -> String {
    match policy {
        RestartPolicy::No => "no".to_owned(),
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        RestartPolicy::OnFailure { max: 0 } => "on-failure".to_owned(),
        RestartPolicy::OnFailure { max } => format!("on-failure max={max}"),
    }
}

fn volumes<'a>(
    recorded: &'a [Mount],
    container: &'a Container,
) -> impl Iterator<Item = Difference> + 'a {
    recorded.iter().filter_map(|mount| {
        let MountKind::Volume { engine_name, .. } = &mount.kind else {
            return None;
        };
        let found = container
            .volumes
            .get(shown_target(mount))
            .map(|it| &it.name);
        let field = format!("mounts[{}]", mount.target);
        (found != Some(engine_name))
            .then(|| Difference::new(field, Some(engine_name), found, RepairAction::Replace))
    })
}

/// Returns the target of a mount in the form that the engine reports.
fn shown_target(mount: &Mount) -> &str {
    match mount.target.trim_end_matches('/') {
        "" => "/",
        target => target,
    }
}

/// Returns the bind mounts with a replaced source. A container sees the new file only after its
/// next start.
fn binds<'a>(
    recorded: &'a [Mount],
    setup: &'a RuntimeConfig,
) -> impl Iterator<Item = Difference> + 'a {
    recorded.iter().filter_map(|mount| {
        let MountKind::Bind { source, .. } = &mount.kind else {
            return None;
        };
        let replaced = setup.replaced_binds.contains(shown_target(mount));
        replaced.then(|| {
            let field = format!("mounts[{}]", mount.target);
            let found = Some("replaced since the start");
            Difference::new(field, Some(source), found, RepairAction::Restart)
        })
    })
}

/// Returns the limits that differ. A limit cannot be removed from a running container, except for
/// the process limit.
fn limits(recorded: ResourceLimits, found: ResourceLimits) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field: &str, wanted: Option<String>, found: Option<String>| {
        // A limit that the engine does not apply, because the kernel does not support it, is not a
        // manual change: a limit that is set cannot be removed.
        if found.is_some() && wanted != found {
            let remedy = match wanted {
                Some(_) => RepairAction::UpdateInPlace,
                None => RepairAction::Replace,
            };
            differences.push(Difference::new(field, wanted, found, remedy));
        }
    };
    let bytes = |size: Option<ByteSize>| size.map(|size| size.to_string());
    compare(
        "limit.cpus",
        recorded.nano_cpus.map(processors),
        found.nano_cpus.map(processors),
    );
    compare("limit.memory", bytes(recorded.memory), bytes(found.memory));
    if recorded.memory.is_some() && recorded.memory == found.memory {
        compare("limit.swap", bytes(recorded.swap), bytes(found.swap));
    }
    compare(
        "reserve.memory",
        bytes(recorded.reserved),
        bytes(found.reserved),
    );
    let none = |most: Option<i64>| most.filter(|most| *most > 0);
    if found.pids.is_some() && none(found.pids) != recorded.pids {
        differences.push(Difference::new(
            "limit.pids",
            recorded.pids,
            none(found.pids),
            RepairAction::UpdateInPlace,
        ));
    }
    differences
}

fn processors(nano: i64) -> String {
    let (whole, rest) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let rest = format!("{rest:09}");
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

fn shares(
    state: &State,
    container: &Container,
    setup: &RuntimeConfig,
    recorded: &Recorded,
) -> Vec<Difference> {
    let network = match &recorded.network {
        NetworkMode::Service(peer) => Some(peer.as_str()),
        _ => None,
    };
    let service = |mode: &'_ Option<String>| {
        let peer = mode.as_ref()?.strip_prefix("service:")?;
        Some(peer.to_owned())
    };
    let (pid, ipc) = (service(&recorded.pid), service(&recorded.ipc));
    let shared = [
        ("network-mode", network, setup.network_of.as_deref()),
        ("pid", pid.as_deref(), setup.pid_of.as_deref()),
        ("ipc", ipc.as_deref(), setup.ipc_of.as_deref()),
    ];
    shared
        .into_iter()
        .filter_map(|(field, peer, owner)| {
            namespace::difference(state, container, field, (peer?, owner))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_limits(recorded: ResourceLimits, found: ResourceLimits, expected: &[&str]) {
        let shown: Vec<String> = limits(recorded, found)
            .into_iter()
            .map(|it| format!("{} ({:?})", it.change, it.remedy))
            .collect();
        assert_eq!(shown, expected);
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn limit_drift_is_reported_per_limit() {
        let recorded = ResourceLimits {
            nano_cpus: Some(500_000_000),
            memory: Some(ByteSize(64 * MIB)),
            swap: Some(ByteSize(64 * MIB)),
            reserved: None,
            pids: Some(50),
        };
        check_limits(recorded, recorded, &[]);
        let found = ResourceLimits {
            nano_cpus: Some(1_250_000_000),
            memory: Some(ByteSize(128 * MIB)),
            swap: Some(ByteSize(128 * MIB)),
            reserved: Some(ByteSize(32 * MIB)),
            pids: Some(0),
        };
        check_limits(
            recorded,
            found,
            &[
                "limit.cpus: 0.5 → 1.25 (UpdateInPlace)",
                "limit.memory: 64MiB → 128MiB (UpdateInPlace)",
                "reserve.memory: 32MiB (new) (Replace)",
                "limit.pids: 50 (gone) (UpdateInPlace)",
            ],
        );
        let swap = ResourceLimits {
            swap: Some(ByteSize(96 * MIB)),
            ..recorded
        };
        check_limits(
            recorded,
            swap,
            &["limit.swap: 64MiB → 96MiB (UpdateInPlace)"],
        );
    }

    #[test]
    fn limits_not_applied_are_not_drift() {
        let recorded = ResourceLimits {
            nano_cpus: Some(1),
            memory: Some(ByteSize(MIB)),
            swap: Some(ByteSize(MIB)),
            reserved: Some(ByteSize(MIB)),
            pids: Some(1),
        };
        check_limits(recorded, ResourceLimits::default(), &[]);
    }
}
