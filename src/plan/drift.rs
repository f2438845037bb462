//! What of a container is not as its record says: the traces of hands, and of the engine's own
//! restarts.
//!
//! Pure, and from the state alone: needs no manifest. What a run sets for a time only is no drift:
//! a container that is not committed yet is not looked at.

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

/// One thing that is not as recorded, and what puts it right.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub change: FieldChange,
    pub remedy: RepairAction,
}

/// What puts a difference right, gentlest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RepairAction {
    /// Something is set while the container runs.
    UpdateInPlace,
    /// It is started.
    Start,
    /// It is stopped and started.
    Restart,
    /// A new one takes its place.
    Replace,
}

/// What drift is found by: the parts of a recorded spec that a hand can change.
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

/// Each field of a container that is not as recorded: the recorded value, and the one found.
///
/// Empty for a container without a record, and for one whose run has not committed it.
#[must_use]
pub fn drift(state: &State, name: &ContainerName) -> Vec<FieldChange> {
    let differences = differences(state, name).into_iter();
    differences.map(|it| it.change).collect()
}

/// As [`drift`], each with its remedy.
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
    // While somebody deploys, a policy that is not given yet is no hand's work.
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

/// Whether a container that was kept can be started where its networks are now.
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

/// Whether a container has the name that it has only until its run is committed.
fn is_interim(name: &ContainerName, container: &Container) -> bool {
    let last = container.record.as_ref().and_then(|it| it.name.as_ref());
    last.is_some_and(|last| interim_name(last, container.generation) == *name)
}

/// Whether a container bears the labels of another one: somebody made it after its likeness.
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

/// What sets a container right without a new start; the rest is done after the commit.
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
                // No limit has to be said, or the one that was found stays.
                pids: wanted.pids.or(found.pids.map(|_| 0)),
                ..wanted
            },
        });
    }
    actions
}

/// Whether a container's endpoints are not as recorded, and can be put right without a new container.
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

/// All containers that bear the project's label but were not made by us.
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

/// The target of a mount as the engine shows it.
fn shown_target(mount: &Mount) -> &str {
    match mount.target.trim_end_matches('/') {
        "" => "/",
        target => target,
    }
}

/// A container sees a new file at the source of a bind mount from its next start on.
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

/// A limit cannot be taken away from a running container, but for that of processes.
fn limits(recorded: ResourceLimits, found: ResourceLimits) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field: &str, wanted: Option<String>, found: Option<String>| {
        // What the engine does not apply, for want of the kernel's support, is no hand's work:
        // a limit that is set cannot be taken away.
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
    fn limits_are_compared_one_by_one() {
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
                "limit.cpus: 0.5 → 1.25 (Amend)",
                "limit.memory: 64MiB → 128MiB (Amend)",
                "reserve.memory: 32MiB (new) (Replace)",
                "limit.pids: 50 (gone) (Amend)",
            ],
        );
        let swap = ResourceLimits {
            swap: Some(ByteSize(96 * MIB)),
            ..recorded
        };
        check_limits(recorded, swap, &["limit.swap: 64MiB → 96MiB (Amend)"]);
    }

    #[test]
    fn what_the_engine_does_not_apply_is_no_drift() {
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
