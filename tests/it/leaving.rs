//! Removed containers in a simulated world: the reason for the removal, and the service that takes
//! over their ports and volumes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use cimandat::{
    engine::sim::{Behavior, ExternalAction, Sim},
    event::Outcome,
    name::ContainerName,
    plan::{self, Options, Plan, PlanView},
    project::{NetworkMode, Project},
    run::{Run, Settings, drive},
    state::State,
};

use crate::fixtures::{
    Wish, in_virtual_time, never, observe, project, service_name, settings, up, wish, world,
};

fn shown(wanted: &Project, state: &State) -> String {
    let deploy = plan::deploy(wanted, state, &Options::default()).unwrap();
    PlanView::new(wanted, &Plan::default(), &deploy).text()
}

async fn deployed(sim: &Sim, wanted: &Project) {
    let ended = up(sim, wanted, never()).await;
    assert_eq!(ended.outcome.outcome, Outcome::Converged);
}

/// A service of this name that publishes port 8080 and writes to the volume `data`.
fn store(name: &str, version: u32) -> Wish {
    Wish {
        port: Some(8080),
        shared: Some("data"),
        version,
        ..wish(name, &[])
    }
}

#[test]
fn renamed_service_takes_over_port_and_volume() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &project(&[store("app", 0)])).await;
        deployed(&sim, &project(&[store("app", 1)])).await;
        let wanted = project(&[store("shop", 1), wish("web", &[])]);
        insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
        shop: 2 to create, 2 to remove
          + shop  created: does not exist yet
          + web   created: does not exist yet
          - app   removed: no longer part of the project
          - app   removed: kept from generation 1, and its service is not in the manifest
        `shop` takes over port 8080 and volume shop_data from `app`, which stops first
        ");
        deployed(&sim, &wanted).await;
        let message = shown(&wanted, &observe(&sim).await);
        assert_eq!(message, "shop: no changes: the project is up to date\n");
    });
}

#[test]
fn new_service_without_conflict_takes_nothing_over() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &project(&[store("app", 0)])).await;
        let message = shown(&project(&[wish("shop", &[])]), &observe(&sim).await);
        assert!(!message.contains("takes over"), "{message}");
        // An additional replica is not a new service.
        let mut more = store("app", 0);
        more.port = None;
        more.replicas = 2;
        let message = shown(&project(&[more]), &observe(&sim).await);
        assert!(!message.contains("takes over"), "{message}");
    });
}

#[test]
fn surplus_replicas_and_kept_failures_have_distinct_reasons() {
    in_virtual_time(async {
        let sim = world(7);
        let replicas = |replicas, version| Wish {
            replicas,
            version,
            ..wish("web", &[])
        };
        deployed(&sim, &project(&[replicas(3, 0)])).await;
        // A failed deploy that keeps its failed container.
        let failing = project(&[replicas(3, 1)]);
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let state = observe(&sim).await;
        let deploy = plan::deploy(&failing, &state, &Options::default()).unwrap();
        let settings = Settings {
            keep_failed: true,
            ..settings(state)
        };
        let run = Run::new(deploy.plan, settings);
        let outcome = drive(std::sync::Arc::new(sim.clone()), run, |_| (), never()).await;
        assert_eq!(outcome.outcome, Outcome::RolledBack);
        let wanted = project(&[replicas(1, 0)]);
        insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
        shop: 3 to remove, 1 unchanged
          = web-1  unchanged
          - web-1  removed: kept when deploy 2 failed
          - web-2  removed: its service has 1 replica
          - web-3  removed: its service has 1 replica
        ");
        deployed(&sim, &wanted).await;
        assert_eq!(observe(&sim).await.containers.len(), 1);
    });
}

/// A project of `owner` and `guest`. `share` makes the guest share a namespace or mounts of the
/// owner.
fn pair(share: impl Fn(&mut cimandat::project::ContainerSpec)) -> Project {
    let mut pair = project(&[wish("owner", &[]), wish("guest", &["owner"])]);
    share(&mut pair.services.get_mut("guest").unwrap().container);
    pair
}

#[test]
fn killed_namespace_owner_restarts_sharers() {
    in_virtual_time(async {
        let name = |name: &str| ContainerName::new(name).unwrap();
        for shared in ["network", "pid", "ipc"] {
            let wanted = pair(|guest| match shared {
                "network" => guest.network = NetworkMode::Service(service_name("owner")),
                "pid" => guest.pid = Some("service:owner".to_owned()),
                _ => guest.ipc = Some("service:owner".to_owned()),
            });
            let sim = world(7);
            deployed(&sim, &wanted).await;
            let before = observe(&sim).await;
            sim.external(&ExternalAction::Kill(name("shop-owner-1")));
            let state = observe(&sim).await;
            if shared == "network" {
                insta::assert_snapshot!(shown(&wanted, &state), @"
                shop: 1 to start, 1 to restart
                  > owner  started: not running
                      drifted status: running → exited with code 137
                  > guest  restarted: `owner` is started again
                not answering while restarted: guest
                ");
            }
            deployed(&sim, &wanted).await;
            let after = observe(&sim).await;
            for (name, container) in &before.containers {
                assert_eq!(container.id, after.containers[name].id, "{shared}: {name}");
            }
            let started = |state: &State| {
                let guest = &state.containers["shop-guest-1"];
                guest.setup.as_ref().unwrap().started
            };
            assert!(started(&after) > started(&before), "{shared}");
            let message = shown(&wanted, &after);
            assert_eq!(message, "shop: no changes: the project is up to date\n");
        }
    });
}

#[test]
fn killed_mount_owner_leaves_sharer_running() {
    in_virtual_time(async {
        let wanted = pair(|guest| guest.volumes_from = vec!["owner".to_owned()]);
        let sim = world(7);
        deployed(&sim, &wanted).await;
        let before = observe(&sim).await;
        sim.external(&ExternalAction::Kill(
            ContainerName::new("shop-owner-1").unwrap(),
        ));
        deployed(&sim, &wanted).await;
        let after = observe(&sim).await;
        let guest = |state: &State| state.containers["shop-guest-1"].setup.clone();
        assert_eq!(guest(&after), guest(&before));
    });
}
