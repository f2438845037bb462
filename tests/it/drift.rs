//! Manual changes to containers in a simulated world: how drift is reported, repaired and rolled
//! back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use cimandat::{
    engine::sim::{Behavior, Fault, FaultTiming, FaultTrigger, Sim},
    event::Outcome,
    name::ContainerName,
    plan::{self, Action, DriftPolicy, FieldChange, Options, Plan, PlanView},
    project::{Limits, NetworkMode, Project, RestartPolicy},
    state::{ResourceLimits, State, Status},
    unit::ByteSize,
};

use crate::fixtures::{in_virtual_time, never, observe, project, service_name, up, wish, world};

const MIB: u64 = 1 << 20;

fn container(name: &str) -> ContainerName {
    ContainerName::new(name).unwrap()
}

/// A project of `db` with resource limits, `web`, which depends on it, and `side`, which shares the
/// network stack of `db`.
fn stack() -> Project {
    let mut wanted = project(&[wish("db", &[]), wish("side", &["db"]), wish("web", &["db"])]);
    let db = wanted.services.get_mut("db").unwrap();
    db.container.limit = Limits {
        cpus: Some(0.5),
        memory: Some(ByteSize(64 * MIB)),
        pids: Some(50),
    };
    let side = wanted.services.get_mut("side").unwrap();
    side.container.network = NetworkMode::Service(service_name("db"));
    wanted
}

async fn deployed(wanted: &Project) -> Sim {
    let sim = world(7);
    let told = up(&sim, wanted, never()).await;
    assert_eq!(told.outcome.outcome, Outcome::Converged);
    sim
}

fn found(state: &State) -> String {
    let mut text = String::new();
    for name in state.containers.keys() {
        for change in plan::drift(state, name) {
            let _ = writeln!(text, "{name} {change}");
        }
    }
    text
}

fn shown(wanted: &Project, state: &State) -> String {
    let deploy = plan::deploy(wanted, state, &Options::default()).unwrap();
    PlanView::new(wanted, &Plan::default(), &deploy).text()
}

fn refused(wanted: &Project, state: &State) -> String {
    let options = Options {
        drift: DriftPolicy::Error,
        ..Options::default()
    };
    let refusals = plan::deploy(wanted, state, &options).unwrap_err();
    refusals.iter().fold(String::new(), |mut text, refusal| {
        let _ = writeln!(text, "{refusal}\n  {}", refusal.help());
        text
    })
}

fn policy(name: &str, policy: RestartPolicy) -> Action {
    Action::SetRestartPolicy {
        container: container(name),
        policy,
    }
}

fn allow(name: &str, allowance: ResourceLimits) -> Action {
    Action::SetAllowance {
        container: container(name),
        allowance,
    }
}

fn pause(name: &str) -> Action {
    Action::SetPaused {
        container: container(name),
        paused: true,
    }
}

fn stop(name: &str) -> Action {
    Action::StopContainer {
        container: container(name),
        grace: None,
    }
}

fn rename(from: &str, to: &str) -> Action {
    Action::RenameContainer {
        from: container(from),
        to: container(to),
    }
}

const MORE: ResourceLimits = ResourceLimits {
    nano_cpus: Some(1_000_000_000),
    memory: Some(ByteSize(128 * MIB)),
    swap: Some(ByteSize(128 * MIB)),
    reserved: None,
    pids: Some(0),
};

#[test]
fn fresh_deploy_has_no_drift() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        assert_eq!(found(&observe(&sim).await), "");
    });
}

#[test]
fn manual_changes_report_recorded_and_observed_values() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        for action in [
            policy("shop-db-1", RestartPolicy::OnFailure { max: 3 }),
            allow("shop-db-1", MORE),
            pause("shop-db-1"),
            rename("shop-web-1", "elsewhere"),
        ] {
            sim.by_hand(&action).unwrap();
        }
        sim.detach(&container("elsewhere"), "shop_default");
        let state = observe(&sim).await;
        insta::assert_snapshot!(found(&state), @"
        elsewhere name: shop-web-1 → elsewhere
        elsewhere network.default: attached to shop_default → detached
        shop-db-1 status: running → paused
        shop-db-1 restart: unless-stopped → on-failure max=3
        shop-db-1 limit.cpus: 0.5 → 1
        shop-db-1 limit.memory: 64MiB → 128MiB
        shop-db-1 limit.pids: 50 (gone)
        ");
        insta::assert_snapshot!(shown(&wanted, &state), @"
        shop: 2 to repair, 1 unchanged
          ~ db    repaired: 5 fields drifted
              drifted status: running → paused
              drifted restart: unless-stopped → on-failure max=3
              drifted limit.cpus: 0.5 → 1
              drifted limit.memory: 64MiB → 128MiB
              drifted limit.pids: 50 (gone)
          = side  unchanged
          ~ web   repaired: 2 fields drifted
              drifted name: shop-web-1 → elsewhere
              drifted network.default: attached to shop_default → detached
        ");
        insta::assert_snapshot!(refused(&wanted, &state), @"
        container `shop-db-1` has drifted: status: running → paused; restart: unless-stopped → on-failure max=3; limit.cpus: 0.5 → 1; limit.memory: 64MiB → 128MiB; limit.pids: 50 (gone)
          `cimandat up` without `--drift error` repairs it; add changes to keep to the manifest
        container `elsewhere` has drifted: name: shop-web-1 → elsewhere; network.default: attached to shop_default → detached
          `cimandat up` without `--drift error` repairs it; add changes to keep to the manifest
        ");
    });
}

#[test]
fn drift_is_repaired_without_recreation() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        let before = (observe(&sim).await, sim.snapshot());
        for action in [
            policy("shop-db-1", RestartPolicy::No),
            allow("shop-db-1", MORE),
            pause("shop-db-1"),
            rename("shop-web-1", "elsewhere"),
        ] {
            sim.by_hand(&action).unwrap();
        }
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        let after = observe(&sim).await;
        assert_eq!(found(&after), "");
        assert_eq!(sim.snapshot(), before.1);
        for (name, container) in &after.containers {
            let was = &before.0.containers[name];
            assert_eq!(container.id, was.id, "{name} is another one");
            assert_eq!(
                container.setup.as_ref().unwrap().started,
                was.setup.as_ref().unwrap().started,
                "{name} was started again"
            );
        }
        let again = up(&sim, &wanted, never()).await;
        assert_eq!(again.outcome.outcome, Outcome::Unchanged);
    });
}

#[test]
fn failed_repair_restores_drifted_state() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        sim.by_hand(&allow("shop-db-1", MORE)).unwrap();
        sim.by_hand(&pause("shop-db-1")).unwrap();
        sim.by_hand(&policy("shop-web-1", RestartPolicy::Always))
            .unwrap();
        let before = (observe(&sim).await, sim.snapshot());
        sim.script(&service_name("db"), Some(1), Behavior::never_ready());
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        let after = observe(&sim).await;
        assert_eq!(found(&after), found(&before.0));
        assert_eq!(
            after.containers["shop-db-1"].condition.status,
            Status::Paused
        );
        assert_eq!(sim.snapshot(), before.1);
    });
}

#[test]
fn detached_container_is_reattached_or_rolled_back() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        sim.detach(&container("shop-web-1"), "shop_default");
        let before = observe(&sim).await;
        sim.script(&service_name("web"), Some(1), Behavior::never_ready());
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(found(&observe(&sim).await), found(&before));
        sim.script(&service_name("web"), Some(1), Behavior::default());
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        let after = observe(&sim).await;
        assert_eq!(found(&after), "");
        let id = |state: &State, name: &str| state.containers[name].id.clone();
        assert_eq!(id(&after, "shop-web-1"), id(&before, "shop-web-1"));
        assert_eq!(id(&after, "shop-db-1"), id(&before, "shop-db-1"));
    });
}

#[test]
fn namespace_owner_restart_restarts_sharers() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        sim.by_hand(&stop("shop-db-1")).unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        sim.by_hand(&Action::StartContainer(container("shop-db-1")))
            .unwrap();
        let state = observe(&sim).await;
        insta::assert_snapshot!(shown(&wanted, &state), @"
        shop: 1 to restart, 2 unchanged
          = db    unchanged
          > side  restarted: 1 field drifted
              drifted network-mode: service:db → that of `db` before its last start
          = web   unchanged
        not answering while restarted: side
        ");
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        let after = observe(&sim).await;
        assert_eq!(found(&after), "");
        let id = |state: &State| state.containers["shop-side-1"].id.clone();
        assert_eq!(id(&after), id(&state));
    });
}

#[test]
fn stopped_container_without_network_is_recreated() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        for name in ["shop-web-1", "shop-side-1", "shop-db-1"] {
            sim.by_hand(&stop(name)).unwrap();
        }
        sim.by_hand(&Action::RemoveNetwork("shop_default".to_owned()))
            .unwrap();
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        assert_eq!(found(&observe(&sim).await), "");
        assert_eq!(sim.breaches(), Vec::<String>::new());
    });
}

#[test]
fn copied_container_is_reported_and_left_alone() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        let mut state = observe(&sim).await;
        let likeness = state.containers["shop-web-1"].clone();
        state.containers.insert(container("my-copy"), likeness);
        insta::assert_snapshot!(shown(&wanted, &state), @"
        shop: no changes: the project is up to date
        not created by cimandat, although it carries this project's label, and left alone: container my-copy
        ");
    });
}

#[test]
fn lost_repair_response_rolls_back() {
    in_virtual_time(async {
        let wanted = stack();
        for (call, when) in [
            (0, FaultTiming::Before),
            (0, FaultTiming::After),
            (1, FaultTiming::After),
        ] {
            let sim = deployed(&wanted).await;
            sim.by_hand(&allow("shop-db-1", MORE)).unwrap();
            sim.by_hand(&pause("shop-db-1")).unwrap();
            let before = observe(&sim).await;
            sim.fail(Fault {
                at: FaultTrigger::Call(sim.calls() + call),
                when,
                error: cimandat::engine::EngineError::Transport {
                    verb: "asking".to_owned(),
                    object: "engine".to_owned(),
                    cause: "the connection broke".to_owned(),
                },
            });
            let told = up(&sim, &wanted, never()).await;
            assert_eq!(told.outcome.outcome, Outcome::RolledBack);
            assert_eq!(found(&observe(&sim).await), found(&before));
        }
    });
}

/// A change has the same text wherever it is shown.
#[test]
fn field_change_displays_recorded_then_observed() {
    let change = FieldChange {
        field: "limit.memory".to_owned(),
        from: Some("64MiB".to_owned()),
        to: Some("128MiB".to_owned()),
    };
    assert_eq!(change.to_string(), "limit.memory: 64MiB → 128MiB");
}

#[test]
fn changed_network_moves_all_containers_or_none() {
    in_virtual_time(async {
        let mut wanted = stack();
        wanted.deploy.history = 1;
        let sim = deployed(&wanted).await;
        let before = (observe(&sim).await, sim.snapshot());
        wanted.networks.get_mut("default").unwrap().internal = true;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(sim.snapshot(), before.1);
        assert_eq!(found(&observe(&sim).await), "");
        sim.script(&service_name("web"), Some(2), Behavior::default());
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        let after = observe(&sim).await;
        assert_eq!(after.networks.len(), 1, "{:?}", after.networks.keys());
        assert!(!after.networks.contains_key("shop_default"));
        assert_eq!(found(&after), "");
        let again = up(&sim, &wanted, never()).await;
        assert_eq!(again.outcome.outcome, Outcome::Unchanged);
        assert_eq!(sim.breaches(), Vec::<String>::new());
    });
}

#[test]
fn pending_restart_policy_is_not_drift() {
    in_virtual_time(async {
        let wanted = stack();
        let sim = deployed(&wanted).await;
        sim.by_hand(&policy("shop-web-1", RestartPolicy::No))
            .unwrap();
        let mut state = observe(&sim).await;
        assert_eq!(found(&state), "shop-web-1 restart: unless-stopped → no\n");
        state.locked = true;
        assert_eq!(found(&state), "");
    });
}

#[test]
fn network_change_can_be_reverted() {
    in_virtual_time(async {
        let mut wanted = stack();
        let sim = deployed(&wanted).await;
        for internal in [true, false] {
            wanted.networks.get_mut("default").unwrap().internal = internal;
            let told = up(&sim, &wanted, never()).await;
            assert_eq!(told.outcome.outcome, Outcome::Converged);
            let state = observe(&sim).await;
            let web = &state.containers["shop-web-1"];
            let on = web.networks.keys().next().unwrap();
            assert_eq!(on == "shop_default", !internal, "{on}");
            assert_eq!(state.networks.len(), 1, "{:?}", state.networks.keys());
            let again = up(&sim, &wanted, never()).await;
            assert_eq!(again.outcome.outcome, Outcome::Unchanged);
        }
    });
}
