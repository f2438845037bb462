//! `cimandat simulate`: runs a command on a simulated engine, and only reads from the real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, env, fs, process::Command, time::Duration};

use cimandat::{
    engine::{
        Engine, Query,
        docker::{Docker, Settings},
        sim::{ExternalAction, Latency, Seed, Sim},
    },
    event::{Event, EventEnvelope, Outcome},
    name::{ContainerName, ImageRef, ProjectName},
    plan::{self, Options},
    project::Project,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    fixtures::{Wish, in_virtual_time, never, observe, project, up, wish, world},
    support::{Ended, IMAGE, Running, World},
};

/// A database, a job that depends on it, and a service that depends on the job.
const SHOP: &str = r#"
    project "shop"
    deploy stabilize="2s"
    volume "db"
    service "postgres" {
        image "postgres:17"
        volume "db" "/var/lib/postgresql/data"
        ready timeout="30s" { tcp 5432; }
    }
    job "migrate" {
        image "app:1"
        command "node" "migrate.js"
        depends-on "postgres"
    }
    service "web" {
        image "app:1"
        port 8080 to=3000
        depends-on "migrate"
        ready timeout="20s" { http 3000 "/health"; }
        restart "unless-stopped"
    }
"#;

/// A finished simulation.
struct Simulated {
    code: Option<i32>,
    events: Vec<EventEnvelope>,
    /// The JSON line after the events.
    last: Value,
    out: String,
    err: String,
}

/// Simulates a first deploy without an engine.
fn simulate(arguments: &[&str]) -> Simulated {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cimandat.kdl"), SHOP).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cimandat"))
        .args(["simulate", "--empty"])
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("CIMANDAT_PROJECT")
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let last = out
        .lines()
        .last()
        .and_then(|it| serde_json::from_str(it).ok());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    Simulated {
        code: output.status.code(),
        events: out
            .lines()
            .filter_map(|it| serde_json::from_str(it).ok())
            .collect(),
        last: last.unwrap_or_default(),
        err: String::from_utf8(output.stderr).unwrap(),
        out,
    }
}

/// Simulates one fault, and returns what happens from it on.
fn story(fault: &str) -> String {
    let simulated = simulate(&["--progress", "json", "--fault", fault]);
    assert!(simulated.events.iter().all(|it| it.simulated));
    let lines = simulated.events.iter().filter_map(|it| told(&it.event));
    let mut lines: Vec<String> = lines
        .skip_while(|line| !line.contains("failed") && !line.starts_with("inter"))
        .collect();
    let [faults, code] = ["faults", "exit_code"].map(|key| simulated.last[key].to_string());
    assert_eq!(
        Some(code.as_str()),
        simulated.code.map(|it| it.to_string()).as_deref()
    );
    lines.push(format!("{code} {faults} {}", simulated.last["services"]));
    lines.join("\n")
}

fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepStarted { verb, object, .. } => format!("{verb} {object}"),
        Event::StepFailed {
            object, failure, ..
        } => format!("failed {object}: {}", failure.message),
        Event::ReadinessFailed { report, .. } | Event::UnhealthyAfterReady { report, .. } => {
            format!("failed {}: {}", report.container, report.cause)
        }
        Event::Interrupted { .. } => "interrupted".to_owned(),
        Event::RollbackStarted { .. } => "back".to_owned(),
        Event::Committed => "committed".to_owned(),
        Event::RunStarted { verb, .. } => verb.clone(),
        Event::RunFinished {
            outcome: verdict, ..
        } => format!("{verdict:?}"),
        _ => return None,
    })
}

#[test]
fn first_deploy_is_simulated_without_engine() {
    let simulated = simulate(&["--progress", "json", "--list-calls"]);
    assert_eq!(simulated.code, Some(0), "{}", simulated.err);
    assert_eq!(simulated.err, "");
    let lines: Vec<String> = simulated
        .events
        .iter()
        .filter_map(|it| told(&it.event))
        .collect();
    assert_eq!(lines.first().map(String::as_str), Some("simulate up"));
    assert_eq!(lines.last().map(String::as_str), Some("Converged"));
    assert_eq!(
        simulated.last["calls"],
        simulated.last["call_list"].as_array().unwrap().len()
    );
    assert_eq!(simulated.last["services"]["web"][0]["generation"], 1);
}

#[test]
fn failed_gate_rolls_back() {
    insta::assert_snapshot!(story("not-ready:web"), @r#"
    failed shop-web-1: not ready within 20 s
    back
    stopping container shop-web-1
    stopping container shop-migrate-1
    removing container shop-web-1
    stopping container shop-postgres-1
    removing container shop-migrate-1
    removing container shop-postgres-1
    removing image shop-postgres:g1
    removing image shop-migrate:g1
    removing image shop-web:g1
    removing network shop_default
    RolledBack
    5 [{"fault":"not-ready:web","occurred":true}] {}
    "#);
}

#[test]
fn unavailable_image_fails_deploy_untouched() {
    insta::assert_snapshot!(story("pull:web"), @r#"
    failed app:1: image `app:1` is not available: no registry answers, an injected fault
    Aborted
    4 [{"fault":"pull:web","occurred":true}] {}
    "#);
}

#[test]
fn engine_killed_before_commit_rolls_back() {
    insta::assert_snapshot!(story("engine-crash:15"), @r#"
    failed shop-migrate-1: starting container `shop-migrate-1`: the connection broke
    back
    stopping container shop-migrate-1
    removing container shop-web-1
    stopping container shop-postgres-1
    removing container shop-migrate-1
    removing container shop-postgres-1
    removing image shop-postgres:g1
    removing image shop-migrate:g1
    removing image shop-web:g1
    removing network shop_default
    stopping container shop-migrate-1
    removing container shop-web-1
    stopping container shop-postgres-1
    removing container shop-migrate-1
    removing container shop-postgres-1
    removing image shop-postgres:g1
    removing image shop-migrate:g1
    removing image shop-web:g1
    removing network shop_default
    RolledBack
    5 [{"fault":"engine-crash:15","occurred":true}] {}
    "#);
}

#[test]
fn engine_killed_after_commit_exits_6() {
    insta::assert_snapshot!(story("engine-crash:18"), @r#"6 [{"fault":"engine-crash:18","occurred":true}] {"migrate":[{"down":0,"generation":1,"well":1}],"postgres":[{"down":1,"generation":1,"well":0}],"web":[{"down":1,"generation":1,"well":0}]}"#);
}

/// First failure, outcome, exit code, and whether the fault occurred.
fn outline(fault: &str) -> String {
    let story = story(fault);
    let mut lines: Vec<&str> = story.lines().collect();
    let last = lines.pop().unwrap_or_default();
    let code = last.split(' ').next().unwrap_or_default();
    let met = last.contains("\"occurred\":true");
    let failed = lines.first().copied().unwrap_or("nothing failed");
    let verdict = lines.last().copied().unwrap_or("-");
    format!("{fault}: {failed}; {verdict}, {code}, {met}")
}

#[test]
fn every_fault_has_expected_outcome() {
    let faults = [
        "exit:web=3",
        "unhealthy:web",
        "job:migrate=2",
        "create:web",
        "start:web",
        "stop:web",
        "port:8080",
        "refuse:12",
        "lost-response:14",
        "interrupt:15",
        "crash:15",
        "crash:17",
        "crash:900",
    ];
    let told: Vec<String> = faults.into_iter().map(outline).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    exit:web=3: failed shop-web-1: exited with code 3; RolledBack, 5, true
    unhealthy:web: failed shop-web-1: exited with code 1; RolledBack, 5, true
    job:migrate=2: failed shop-migrate-1: `exit` will never pass: exited with code 2; RolledBack, 5, true
    create:web: failed shop-web-1: creating container `shop-web-1`: the engine refuses it, an injected fault; RolledBack, 5, true
    start:web: failed shop-web-1: starting container `shop-web-1`: the engine refuses it, an injected fault; RolledBack, 5, true
    stop:web: nothing failed; -, 0, false
    port:8080: failed shop-web-1: port 8080 of this host is already in use by a process of the host; RolledBack, 5, true
    refuse:12: failed shop-migrate-1: call `12`: the engine refuses it, an injected fault; RolledBack, 5, true
    lost-response:14: failed shop-postgres-1: call `14`: the answer was lost, an injected fault; RolledBack, 5, true
    interrupt:15: interrupted; Cancelled, 8, true
    crash:15: nothing failed; -, 5, true
    crash:17: nothing failed; -, 0, true
    crash:900: nothing failed; -, 0, false
    ");
}

#[test]
fn failed_rollback_prints_manual_steps() {
    let simulated = simulate(&[
        "--progress",
        "quiet",
        "--fault",
        "not-ready:web",
        "--fault",
        "stop:web",
    ]);
    assert_eq!(simulated.code, Some(6));
    let end = simulated
        .err
        .lines()
        .skip_while(|line| !line.starts_with("in the"));
    insta::assert_snapshot!(end.collect::<Vec<_>>().join("\n"), @"
    in the simulation `up` of `shop` failed, and the rollback failed too: manual intervention is required (about 34.4 s)
      because: `web`: not ready within 20 s (http 3000 /health: connection refused)
      not rolled back: stopping container `shop-web-1` failed: stopping container `shop-web-1`: the engine refuses it, an injected fault; run manually: `docker stop shop-web-1`
      not rolled back: removing container `shop-web-1` was not tried; run manually: `docker rm -v shop-web-1`
      not rolled back: removing network `shop_default` was not tried; run manually: `docker network rm shop_default`
      help: run the remaining commands in this order, or fix the cause above and run `cimandat -p shop recover`, which tries it again; `cimandat -p shop ps` shows what runs and what does not
      data: no named volume was removed or restored
      kept volumes, with what the failed deploy wrote: `shop_db`
      help: `cimandat down --volumes` removes them and what they hold

    afterwards:
      generation 1 runs: `web`
      to do: `cimandat -p shop recover`, after the cause above is fixed
    this was a simulation: nothing on the engine was changed, and its times are nominal
    ");
}

#[test]
fn killed_simulation_continues_with_recovery() {
    let simulated = simulate(&["--fault", "crash:15"]);
    assert_eq!(simulated.code, Some(5));
    let told = &simulated.err;
    for part in [
        "simulation: up: 3 to create",
        "`cimandat up` was killed at call 15, starting container `shop-migrate-1`",
        "broke the lock of `cimandat up`",
        "simulation: recover: rolling back deploy 1; 3 services to check",
        "in the simulation deploy 1 of `shop`, which was interrupted, is rolled back",
        "running now: nothing, as before",
        "nothing of `shop` is there",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
}

#[test]
fn crash_at_every_call_ends_consistent() {
    let simulated = simulate(&["--crash-matrix", "--progress", "json"]);
    assert_eq!(
        simulated.code,
        Some(0),
        "{}{}",
        simulated.out,
        simulated.err
    );
    assert_eq!(simulated.last["whole"], true);
    let calls = simulated.last["calls"].as_array().unwrap();
    let worlds = |when: &str| -> String {
        let outcome = |call: &Value| format!("{}{}", call[when]["world"], call[when]["exit_code"]);
        calls
            .iter()
            .map(outcome)
            .collect::<Vec<_>>()
            .join(" ")
            .replace('"', "")
    };
    insta::assert_snapshot!(format!("{}\n{}", worlds("before"), worlds("after")), @"
    old0 old0 old0 old0 old0 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 new0 new0 new0
    old0 old0 old0 old0 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 old5 new0 new0 new0 new0
    ");
    let told = simulate(&["--crash-matrix", "--fault", "not-ready:web"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(
        told.out
            .ends_with("every recovery ended consistent; nothing on the engine was changed\n")
    );
}

#[test]
fn invalid_fault_is_reported() {
    let told = |fault: &str| {
        let simulated = simulate(&["--fault", fault]);
        assert_eq!(simulated.code, Some(1));
        simulated.err.lines().next().unwrap_or_default().to_owned()
    };
    let faults = [
        "not-ready:postgre",
        "not-ready:x",
        "job:web",
        "not-ready:migrate",
        "build:web",
        "port:81",
        "gat:web",
    ];
    insta::assert_snapshot!(faults.map(told).join("\n"), @"
    error: `not-ready:postgre`: there is no service `postgre`: did you mean `postgres`?
    error: `not-ready:x`: there is no service `x`: there are `migrate`, `postgres`, `web`
    error: `job:web`: `web` is no job; did you mean `exit:web`?
    error: `not-ready:migrate`: `migrate` is a job; did you mean `job:migrate`?
    error: `build:web`: `web` is not built here; did you mean `pull:web`?
    error: `port:81`: no service publishes port 81
    error: invalid value 'gat:web' for '--fault <FAULT>': there is no fault `gat`: there are not-ready, start, create, exit, unhealthy, job, build, pull, stop, port, refuse, lost-response, engine-crash, crash, interrupt
    ");
}

#[test]
fn missing_engine_suggests_from_nothing() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cimandat.kdl"), SHOP).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cimandat"))
        .arg("simulate")
        .current_dir(folder.path())
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("`--empty`"), "{err}");
}

/// A world as manual changes and faults may have left it.
async fn used(seed: u64) -> (Sim, Project) {
    let wishes = |version| {
        let of_version = |wish: Wish| Wish { version, ..wish };
        let database = Wish {
            volume: true,
            snapshot: seed.is_multiple_of(2),
            ..wish("db", &[])
        };
        let job = Wish {
            job: true,
            ..wish("migrate", &["db"])
        };
        let web = Wish {
            port: Some(8080),
            replicas: if seed.is_multiple_of(3) { 1 } else { 2 },
            ..wish("web", &["migrate"])
        };
        project(&[database, job, web].map(of_version))
    };
    let sim = world(seed);
    up(&sim, &wishes(1), never()).await;
    if !seed.is_multiple_of(4) {
        up(&sim, &wishes(2), never()).await;
    }
    let name = |name: &str| ContainerName::new(name).unwrap();
    match seed % 5 {
        1 => sim.external(&ExternalAction::Kill(name("shop-db-1"))),
        2 => sim.external(&ExternalAction::Pause(name("shop-web-1"))),
        3 => sim.external(&ExternalAction::KillEngine),
        4 => sim.external(&ExternalAction::RestartEngine),
        _ => {}
    }
    sleep(Duration::from_secs(2)).await;
    (sim, wishes(3))
}

#[test]
fn seeded_simulation_matches_observed_state() {
    for seed in 0..20 {
        in_virtual_time(async {
            let (sim, next) = used(seed).await;
            let state = observe(&sim).await;
            let again = Sim::of(
                Seed {
                    project: next.name.clone(),
                    state: state.clone(),
                    pages: Vec::new(),
                    lock: None,
                },
                Latency::instant(),
            );
            let shown = observe(&again).await;
            assert_eq!(shown, state, "seed {seed}");
            let plans = [&state, &shown].map(|state| {
                let deploy = plan::deploy(&next, state, &Options::default()).unwrap();
                deploy.plan
            });
            assert_eq!(plans[0], plans[1], "seed {seed}");
            let first = up(&sim, &next, never()).await;
            let second = up(&again, &next, never()).await;
            assert_eq!(first.outcome.outcome, second.outcome.outcome, "seed {seed}");
            assert_eq!(first.after, second.after, "seed {seed}");
        });
    }
}

/// Every object on the engine with the project's label, as the engine reports it.
fn everything(world: &World) -> BTreeSet<String> {
    let containers = world.api.containers(&world.project);
    let mut all: BTreeSet<String> = containers
        .iter()
        .map(|it| format!("{} {} {}", it["Id"], it["Names"], it["State"]))
        .collect();
    all.extend(world.api.networks(&world.project));
    all.extend(world.volumes());
    all.extend(world.api.generations(&world.project));
    all
}

/// Writes a manifest of two services. The second depends on the first, serves `text`, and is ready
/// when it serves `wanted`.
fn stack(world: &World, text: &str, wanted: &str) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        volume "data"
        secret "token" generate="alphanumeric" length=16
        service "first" {{
            use "web"
            env TEXT="first"
            volume "data" "/data"
            stop-grace-period "1s"
            ready {{ http 8080 contains="first"; }}
        }}
        service "second" {{
            use "web"
            env TEXT="{text}"
            depends-on "first"
            stop-grace-period "1s"
            restart "unless-stopped"
            ready timeout="4s" {{ http 8080 contains="{wanted}"; }}
        }}
        "#
    ));
}

/// Asserts that a simulation seeded from the engine observes the same state.
fn seeded_from_the_engine(world: &World) {
    let project = ProjectName::new(world.project.as_str()).unwrap();
    let query = Query {
        images: BTreeSet::from([ImageRef::new(IMAGE).unwrap()]),
        ..Query::of(project.clone())
    };
    let settings = Settings {
        host: env::var("DOCKER_HOST").ok(),
        ..Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let state = runtime.block_on(async {
        let docker = Docker::connect(&settings).await.unwrap();
        docker.observe(&query).await.unwrap()
    });
    let seed = Seed {
        project,
        state: state.clone(),
        pages: Vec::new(),
        lock: None,
    };
    let shown = in_virtual_time(async {
        let sim = Sim::of(seed, Latency::instant());
        sim.observe(&query).await.unwrap()
    });
    assert_eq!(shown, state);
}

#[test]
fn simulation_changes_nothing_and_predicts_deploy() {
    let Some(world) = World::new("simulate") else {
        return;
    };
    stack(&world, "one", "one");
    world.run(&["simulate"]).with_code(0);
    assert_eq!(everything(&world), BTreeSet::new());
    assert!(!world.path(".cimandat").exists());
    world.up().with(0, Outcome::Converged);
    seeded_from_the_engine(&world);
    // A simulation seeded from the observed state has nothing to do.
    let before = everything(&world);
    let simulated = world.run(&["simulate", "--progress", "json"]).with_code(0);
    assert_eq!(simulated.steps(), Vec::<String>::new(), "{}", simulated.out);
    assert!(simulated.out.contains("\"unchanged\""), "{}", simulated.out);
    assert!(simulated.out.contains("\"calls\":0"), "{}", simulated.out);
    stack(&world, "two", "never");
    let simulated = world.run(&[
        "simulate",
        "--progress",
        "json",
        "--fault",
        "not-ready:second",
    ]);
    let simulated = simulated.with_code(5);
    let everywhere = world.run(&["simulate", "--crash-matrix"]).with_code(0);
    assert!(
        everywhere.out.contains("every recovery ended consistent"),
        "{}",
        everywhere.out
    );
    assert_eq!(everything(&world), before);
    // The gate waits for a text that is never served.
    let real = world.up().with(5, Outcome::RolledBack);
    let sorted = |mut recorded_calls: Vec<String>| {
        recorded_calls.sort();
        recorded_calls
    };
    assert_eq!(sorted(simulated.steps()), sorted(real.steps()));
    let failed = |event: &Event| match event {
        Event::ReadinessFailed { report, .. } => {
            Some((report.container.clone(), report.cause.clone()))
        }
        _ => None,
    };
    assert_eq!(simulated.told(failed), real.told(failed));
}

#[test]
fn simulation_predicts_recovery_of_interrupted_deploy() {
    let Some(world) = World::new("simulate-cut") else {
        return;
    };
    stack(&world, "one", "one");
    world.up().with(0, Outcome::Converged);
    stack(&world, "two", "two");
    let mut command = world.command(&["up"]);
    command.env("CIMANDAT_CRASH", "after:12");
    assert_eq!(Running::begin(&world, command).end().code, None);
    let before = everything(&world);
    let simulated = world.run(&["simulate", "--progress", "json"]).with_code(0);
    let everywhere = world.run(&["simulate", "--crash-matrix"]).with_code(0);
    assert!(
        everywhere.out.contains("every recovery ended consistent"),
        "{}",
        everywhere.out
    );
    assert_eq!(everything(&world), before);
    let real = world.run(&["recover", "--progress", "json"]);
    assert!(matches!(real.code, Some(0 | 5)), "{real:?}");
    let until_its_end = |ended: &Ended| {
        let events = ended.events.iter().map(|it| &it.event);
        let first = events.take_while(|it| !matches!(it, Event::RunFinished { .. }));
        let mut recorded_calls: Vec<String> = first.filter_map(told).collect();
        recorded_calls.sort();
        recorded_calls.retain(|it| !it.ends_with("recover"));
        recorded_calls
    };
    assert_eq!(until_its_end(&simulated), until_its_end(&real));
}
