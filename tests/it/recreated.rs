//! Containers that another program recreates, and bind-mounted files that are replaced, in a
//! simulated world: how both are detected and repaired.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use cimandat::{
    command::{
        CommandOutcome, Console, ExecutionMode, OutputMode, ProjectSelector, Recover, Rollback, Up,
    },
    engine::{
        StateStore,
        sim::{Behavior, FaultTiming, Sim},
    },
    event::Outcome,
    journal::{self, Collection},
    name::ContainerName,
    plan::{self, DriftPolicy, Options, Plan, PlanView},
    project::{BindCreation, Mount, MountKind, Project},
    state::State,
};
use futures::future::{Either, select};

use crate::fixtures::{
    in_virtual_time, never, observe, project, project_name, service_name, wish, world,
};

const SILENT: Console = Console {
    progress: OutputMode::Quiet,
    stage: ExecutionMode::Silent,
    colour: false,
    colour_out: false,
    terminal_out: false,
    width: 80,
    height: 24,
};

fn scope() -> ProjectSelector {
    ProjectSelector {
        files: Vec::new(),
        directory: PathBuf::from("/shop"),
        project: None,
        env_files: Vec::new(),
        profiles: BTreeSet::new(),
        environment: BTreeMap::new(),
        standard_input: None,
    }
}

/// Runs `up` as the program does, with a journal.
async fn up(sim: &Sim, project: &Project) -> Outcome {
    let up = Up {
        options: Options::default(),
        ready_timeout: None,
        lock_timeout: Duration::from_mins(2),
        attach: false,
        keep_failed: false,
        rotate: BTreeSet::new(),
    };
    let engine = Arc::new(sim.clone());
    let scope = scope();
    let end = up.on((&engine, project.clone()), (&scope, SILENT), never());
    match Box::pin(end).await.unwrap() {
        CommandOutcome::Run(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

async fn recover(sim: &Sim) {
    let recover = Recover {
        plan: false,
        discard_journal: false,
        lock_timeout: Duration::from_mins(2),
    };
    let engine = Arc::new(sim.clone());
    let (name, scope) = (project_name(), scope());
    let place = (&engine, &name);
    let end = recover.on(place, (&scope, SILENT), never());
    Box::pin(end).await.unwrap();
}

async fn rollback(sim: &Sim) -> CommandOutcome {
    let rollback = Rollback {
        generation: None,
        lock_timeout: Duration::from_mins(2),
    };
    let engine = Arc::new(sim.clone());
    let (name, scope) = (project_name(), scope());
    let place = (&engine, &name);
    let end = rollback.on(place, (&scope, SILENT), never());
    Box::pin(end).await.unwrap()
}

/// Observed state, with the container ids that the journal recorded.
async fn seen(sim: &Sim) -> State {
    let pages = sim.read_pages(&project_name(), Collection::Journal).await;
    State {
        identities: journal::identities(&pages.unwrap()),
        ..observe(sim).await
    }
}

fn shown(project: &Project, state: &State) -> String {
    let deploy = plan::deploy(project, state, &Options::default()).unwrap();
    PlanView::new(project, &Plan::default(), &deploy).text()
}

fn drifted(state: &State) -> Vec<String> {
    let names = state.containers.keys();
    let changes = names.flat_map(|name| plan::drift(state, name));
    changes.map(|change| change.field).collect()
}

fn name(text: &str) -> ContainerName {
    ContainerName::new(text).unwrap()
}

fn stack(version: u32) -> Project {
    let mut web = wish("web", &["db"]);
    web.version = version;
    project(&[wish("db", &[]), web])
}

#[test]
fn recreated_container_is_detected_and_replaced() {
    in_virtual_time(async {
        let (sim, wanted) = (world(7), stack(0));
        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        let before = seen(&sim).await;
        assert_eq!(drifted(&before), Vec::<String>::new());
        sim.recreate(&name("shop-web-1"));
        let state = seen(&sim).await;
        let id = |state: &State| state.containers["shop-web-1"].id.clone();
        insta::assert_snapshot!(shown(&wanted, &state), @"
        shop: 1 to replace, 1 unchanged
          = db   unchanged
          ~ web  replaced (start first): 1 field drifted
              drifted id: 000000000000 → 000000000000, made by another program
              no interruption; open connections stay open until the old container stops
        ");
        let options = Options {
            drift: DriftPolicy::Error,
            ..Options::default()
        };
        assert_eq!(
            plan::deploy(&wanted, &state, &options).unwrap_err().len(),
            1
        );

        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        let after = seen(&sim).await;
        assert_eq!(drifted(&after), Vec::<String>::new());
        assert!(![id(&before), id(&state)].contains(&id(&after)));
        // The recreated container is not kept: it lacks what the recorded one had, and cannot serve
        // as a rollback target.
        let names: Vec<&str> = after.containers.keys().map(ContainerName::as_str).collect();
        assert_eq!(names, ["shop-db-1", "shop-web-1"]);
        assert_eq!(up(&sim, &wanted).await, Outcome::Unchanged);
    });
}

#[test]
fn failed_replacement_keeps_recreated_container_and_drift() {
    in_virtual_time(async {
        let (sim, wanted) = (world(7), stack(0));
        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        sim.recreate(&name("shop-web-1"));
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        assert_eq!(up(&sim, &wanted).await, Outcome::RolledBack);
        assert_eq!(drifted(&seen(&sim).await), ["id"]);
        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        assert_eq!(drifted(&seen(&sim).await), Vec::<String>::new());
    });
}

#[test]
fn rollback_ignores_recreated_kept_container() {
    in_virtual_time(async {
        for recreated in [false, true] {
            let sim = world(7);
            assert_eq!(up(&sim, &stack(0)).await, Outcome::Converged);
            assert_eq!(up(&sim, &stack(1)).await, Outcome::Converged);
            let kept = seen(&sim).await.containers["shop-web-1.g1"].id.clone();
            if recreated {
                sim.recreate(&name("shop-web-1.g1"));
            }
            assert_eq!(
                rollback(&sim).await,
                CommandOutcome::Run(Outcome::Converged)
            );
            let state = seen(&sim).await;
            assert_eq!(state.containers["shop-web-1"].id == kept, !recreated);
            assert_eq!(drifted(&state), Vec::<String>::new());
        }
    });
}

#[test]
fn interrupted_deploy_records_container_ids() {
    in_virtual_time(async {
        let mut at = 0;
        loop {
            let sim = world(7);
            assert_eq!(up(&sim, &stack(0)).await, Outcome::Converged);
            let crashed = sim.crash_at(sim.calls() + at, FaultTiming::After);
            let wanted = stack(1);
            let over = matches!(
                select(pin!(up(&sim, &wanted)), crashed).await,
                Either::Left(_)
            );
            drop(sim.crash_at(u64::MAX, FaultTiming::Before));
            recover(&sim).await;
            let state = seen(&sim).await;
            assert_eq!(drifted(&state), Vec::<String>::new(), "call {at}");
            for container in state.containers.values() {
                let recorded = state.recorded_id(container);
                assert_eq!(recorded, Some(container.id.as_str()), "call {at}");
            }
            if over {
                break;
            }
            at += 1;
        }
        assert!(at > 10, "{at}");
    });
}

#[test]
fn replaced_bind_file_restarts_container() {
    in_virtual_time(async {
        let (sim, mut wanted) = (world(7), stack(0));
        let web = wanted.services.get_mut("web").unwrap();
        let bind = MountKind::Bind {
            source: "/srv/app.conf".to_owned(),
            create: BindCreation::Refuse,
            propagation: None,
        };
        web.container.mounts.push(Mount {
            target: "/etc/app.conf".to_owned(),
            read_only: true,
            kind: bind,
        });
        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        let before = seen(&sim).await;
        sim.replace_bound(&name("shop-web-1"), "/etc/app.conf");
        insta::assert_snapshot!(shown(&wanted, &seen(&sim).await), @"
        shop: 1 to restart, 1 unchanged
          = db   unchanged
          > web  restarted: 1 field drifted
              drifted mounts[/etc/app.conf]: /srv/app.conf → replaced since the start
        not answering while restarted: web
        ");
        assert_eq!(up(&sim, &wanted).await, Outcome::Converged);
        let after = seen(&sim).await;
        assert_eq!(drifted(&after), Vec::<String>::new());
        let id = |state: &State| state.containers["shop-web-1"].id.clone();
        assert_eq!(id(&after), id(&before));
    });
}
