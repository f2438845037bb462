//! Containers that go, in a simulated world: why, and who takes over what they had.
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

/// A service that publishes a port and writes to a volume of this name.
fn store(name: &str, version: u32) -> Wish {
    Wish {
        port: Some(8080),
        shared: Some("data"),
        version,
        ..wish(name, &[])
    }
}

#[test]
fn a_renamed_service_takes_over_port_and_volume() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &project(&[store("app", 0)])).await;
        deployed(&sim, &project(&[store("app", 1)])).await;
        let wanted = project(&[store("shop", 1), wish("web", &[])]);
        insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
        shop: 2 to create, 2 to remove
          + shop  created: not there yet
          + web   created: not there yet
          - app   removed: not part of the project any more
          - app   removed: kept of generation 1, and its service is not in the manifest
        `shop` takes over port 8080 and volume shop_data from `app`, which stops first
        ");
        deployed(&sim, &wanted).await;
        let message = shown(&wanted, &observe(&sim).await);
        assert_eq!(
            message,
            "shop: nothing to do, all is as the manifest says\n"
        );
    });
}

#[test]
fn a_new_service_that_needs_nothing_of_an_old_one_takes_nothing_over() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &project(&[store("app", 0)])).await;
        let message = shown(&project(&[wish("shop", &[])]), &observe(&sim).await);
        assert!(!message.contains("takes over"), "{message}");
        // A replica more of what is there is no new service.
        let mut more = store("app", 0);
        more.port = None;
        more.replicas = 2;
        let message = shown(&project(&[more]), &observe(&sim).await);
        assert!(!message.contains("takes over"), "{message}");
    });
}

#[test]
fn surplus_replicas_and_kept_failures_go_for_their_own_reasons() {
    in_virtual_time(async {
        let sim = world(7);
        let replicas = |replicas, version| Wish {
            replicas,
            version,
            ..wish("web", &[])
        };
        deployed(&sim, &project(&[replicas(3, 0)])).await;
        // A deploy that fails and keeps what failed.
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

/// `owner`, and `guest`, which has its network stack.
fn pair(share: impl Fn(&mut cimandat::project::ContainerSpec)) -> Project {
    let mut pair = project(&[wish("owner", &[]), wish("guest", &["owner"])]);
    share(&mut pair.services.get_mut("guest").unwrap().container);
    pair
}

#[test]
fn what_shares_namespaces_with_a_killed_container_is_started_again() {
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
            assert_eq!(
                message,
                "shop: nothing to do, all is as the manifest says\n"
            );
        }
    });
}

#[test]
fn what_only_shares_mounts_with_a_killed_container_runs_on() {
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
