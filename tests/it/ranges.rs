//! Replicas with a range of host ports in a simulated world: replica N has the Nth port of the
//! range in every deploy, rollback and plan.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use cimandat::{
    engine::sim::{Behavior, Sim},
    event::Outcome,
    name::ContainerName,
    plan::{self, Options, Plan, PlanView},
    project::{NetworkMode, Project, UpdateOrder},
    state::{PublishedPort, State, UnmanagedContainer},
    unit::Protocol,
};

use crate::fixtures::{
    Told, Wish, in_virtual_time, never, observe, project, service_name, up, wish, world,
};

fn web(replicas: u32, first: u16, version: u32) -> Project {
    project(&[Wish {
        replicas,
        port: Some(first),
        version,
        ..wish("web", &[])
    }])
}

fn shown(wanted: &Project, state: &State) -> String {
    let deploy = plan::deploy(wanted, state, &Options::default()).unwrap();
    PlanView::new(wanted, &Plan::default(), &deploy).text()
}

/// Deploys, and asserts that a second plan has nothing to do.
async fn deployed(sim: &Sim, wanted: &Project) -> Told {
    let told = up(sim, wanted, never()).await;
    assert_eq!(told.outcome.outcome, Outcome::Converged);
    assert_eq!(sim.breaches(), Vec::<String>::new());
    assert_eq!(
        shown(wanted, &observe(sim).await),
        "shop: no changes: the project is up to date\n"
    );
    told
}

/// Ports and id of each running container.
async fn held(sim: &Sim) -> BTreeMap<String, (Vec<u16>, String)> {
    let state = observe(sim).await;
    let up = state.containers.into_iter();
    up.filter(|(_, it)| it.condition.status.is_up())
        .map(|(name, it)| {
            let ports = it.ports.iter().map(|port| port.published).collect();
            (name.to_string(), (ports, it.id))
        })
        .collect()
}

async fn ports(sim: &Sim) -> Vec<(String, Vec<u16>)> {
    let held = held(sim).await.into_iter();
    held.map(|(name, (ports, _))| (name, ports)).collect()
}

/// Expected ports: `shop-web-N` has the Nth port, counted from `first`.
fn in_order(replicas: u16, first: u16) -> Vec<(String, Vec<u16>)> {
    (0..replicas)
        .map(|further| (format!("shop-web-{}", further + 1), vec![first + further]))
        .collect()
}

#[test]
fn scaled_replicas_keep_their_containers_and_ports() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &web(1, 8081, 0)).await;
        let mut before = held(&sim).await;
        for replicas in [2, 3, 1] {
            deployed(&sim, &web(replicas, 8081, 0)).await;
            let after = held(&sim).await;
            for (name, container) in before.iter().filter(|(name, _)| after.contains_key(*name)) {
                assert_eq!(after[name], *container);
            }
            assert_eq!(
                ports(&sim).await,
                in_order(u16::try_from(replicas).unwrap(), 8081)
            );
            before = after;
        }
    });
}

#[test]
fn updated_replicas_keep_their_ports() {
    in_virtual_time(async {
        for order in [UpdateOrder::Auto, UpdateOrder::StopFirst] {
            let sim = world(7);
            deployed(&sim, &web(2, 8081, 0)).await;
            let mut wanted = web(2, 8081, 1);
            wanted.services.get_mut("web").unwrap().update.order = order;
            if order == UpdateOrder::Auto {
                insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
                shop: 2 to replace
                  ~ web-1  replaced (stop first, as both publish port 8081): 1 field changed
                      env.VERSION: 0 → 1
                      does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
                      to shorten it: attach it to an internal network, on which the new container is probed before it takes the port
                  ~ web-2  replaced (stop first, as both publish port 8082): 1 field changed
                      env.VERSION: 0 → 1
                      does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
                      to shorten it: attach it to an internal network, on which the new container is probed before it takes the port
                ");
            }
            deployed(&sim, &wanted).await;
            assert_eq!(ports(&sim).await, in_order(2, 8081));
        }
    });
}

#[test]
fn start_first_replicas_move_their_own_ports() {
    in_virtual_time(async {
        let start_first = |version| {
            let mut wanted = web(2, 8081, version);
            let mut inner = wanted.networks["default"].clone();
            inner.engine_name = "shop_inner".to_owned();
            inner.internal = true;
            let name = cimandat::name::NetworkName::new("inner").unwrap();
            wanted.networks.insert(name.clone(), inner);
            let web = wanted.services.get_mut("web").unwrap();
            web.update.order = UpdateOrder::StartFirst;
            if let NetworkMode::Networks(networks) = &mut web.container.network {
                let default = networks["default"].clone();
                networks.insert(name, default);
            }
            wanted
        };
        let sim = world(7);
        up(&sim, &start_first(0), never()).await;
        insta::assert_snapshot!(shown(&start_first(1), &observe(&sim).await), @"
        shop: 2 to replace
          ~ web-1  replaced (start first): 1 field changed
              env.VERSION: 0 → 1
              port 8081 does not answer while the old container finishes its requests and stops
          ~ web-2  replaced (start first): 1 field changed
              env.VERSION: 0 → 1
              port 8082 does not answer while the old container finishes its requests and stops
        ");
        let told = up(&sim, &start_first(1), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        assert_eq!(ports(&sim).await, in_order(2, 8081));
    });
}

#[test]
fn shifted_range_hands_ports_between_replicas() {
    in_virtual_time(async {
        for (from, to, replicas) in [(8081, 8082, 3), (8082, 8081, 3), (8081, 8082, 2)] {
            let sim = world(7);
            deployed(&sim, &web(3, from, 0)).await;
            let wanted = web(replicas, to, 0);
            if (to, replicas) == (8082, 3) {
                insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
                shop: 3 to replace
                  ~ web-1  replaced (start first): 1 field changed
                      ports[80/tcp].published: 8081 → 8082
                      no interruption; open connections stay open until the old container stops
                  ~ web-2  replaced (stop first, as replica `web-1` takes over its port, address or volume): 1 field changed
                      ports[80/tcp].published: 8082 → 8083
                      does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
                  ~ web-3  replaced (stop first, as replica `web-2` takes over its port, address or volume): 1 field changed
                      ports[80/tcp].published: 8083 → 8084
                      does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
                ");
            }
            deployed(&sim, &wanted).await;
            assert_eq!(
                ports(&sim).await,
                in_order(u16::try_from(replicas).unwrap(), to)
            );
        }
    });
}

#[test]
fn failed_update_rolls_back_replica_ports() {
    in_virtual_time(async {
        for first in [8081, 8082] {
            let sim = world(7);
            deployed(&sim, &web(2, 8081, 0)).await;
            let before = held(&sim).await;
            let late = Behavior::exits(Duration::from_millis(10), 1);
            sim.script(&service_name("web"), Some(2), late);
            let told = up(&sim, &web(3, first, 1), never()).await;
            assert_eq!(told.outcome.outcome, Outcome::RolledBack);
            assert_eq!(held(&sim).await, before);
        }
    });
}

#[test]
fn port_range_held_by_foreign_container_is_refused() {
    in_virtual_time(async {
        let sim = world(7);
        let foreign = UnmanagedContainer {
            project: None,
            running: true,
            ports: vec![PublishedPort {
                host_ip: String::new(),
                published: 8083,
                target: 80,
                protocol: Protocol::Tcp,
            }],
        };
        sim.add_foreign(ContainerName::new("stranger").unwrap(), foreign);
        let state = observe(&sim).await;
        let plan = |replicas| plan::deploy(&web(replicas, 8081, 0), &state, &Options::default());
        plan(2).unwrap();
        let refusals: Vec<String> = plan(3)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        insta::assert_snapshot!(refusals.join("\n"), @"port 8083 of this host, which `web` publishes, is held by container `stranger`");
    });
}

#[test]
fn renamed_service_takes_over_port_range() {
    in_virtual_time(async {
        let sim = world(7);
        deployed(&sim, &web(3, 8081, 0)).await;
        let wanted = project(&[Wish {
            replicas: 3,
            port: Some(8081),
            ..wish("front", &[])
        }]);
        insta::assert_snapshot!(shown(&wanted, &observe(&sim).await), @"
        shop: 3 to create, 3 to remove
          + front-1  created: does not exist yet
          + front-2  created: does not exist yet
          + front-3  created: does not exist yet
          - web-1    removed: no longer part of the project
          - web-2    removed: no longer part of the project
          - web-3    removed: no longer part of the project
        `front` takes over ports 8081-8083 from `web`, which stops first
        ");
        deployed(&sim, &wanted).await;
    });
}
