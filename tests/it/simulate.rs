//! `cimandat rehearse`: what would happen, on a simulated engine; the real one is only looked at.
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

/// A database, a job on it, and what waits for both.
const SHOP: &str = r#"
    project "shop"
    deploy settle="2s"
    volume "db"
    service "postgres" {
        image "postgres:17"
        volume "db" "/var/lib/postgresql/data"
        ready within="30s" { tcp 5432; }
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
        ready within="20s" { http 3000 "/health"; }
        restart "unless-stopped"
    }
"#;

/// A rehearsal that has ended.
struct Rehearsed {
    code: Option<i32>,
    events: Vec<EventEnvelope>,
    /// The line after the events.
    last: Value,
    out: String,
    err: String,
}

/// Rehearses a first deploy, without any engine.
fn rehearse(arguments: &[&str]) -> Rehearsed {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cimandat.kdl"), SHOP).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cimandat"))
        .args(["rehearse", "--from-nothing"])
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
    Rehearsed {
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

/// Rehearses one fault, and tells what happens from it on.
fn story(fault: &str) -> String {
    let rehearsed = rehearse(&["--progress", "json", "--fault", fault]);
    assert!(rehearsed.events.iter().all(|it| it.rehearsal));
    let lines = rehearsed.events.iter().filter_map(|it| told(&it.event));
    let mut lines: Vec<String> = lines
        .skip_while(|line| !line.contains("failed") && !line.starts_with("inter"))
        .collect();
    let [faults, code] = ["faults", "exit_code"].map(|key| rehearsed.last[key].to_string());
    assert_eq!(
        Some(code.as_str()),
        rehearsed.code.map(|it| it.to_string()).as_deref()
    );
    lines.push(format!("{code} {faults} {}", rehearsed.last["services"]));
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
fn a_first_deploy_is_rehearsed_without_an_engine() {
    let rehearsed = rehearse(&["--progress", "json", "--calls"]);
    assert_eq!(rehearsed.code, Some(0), "{}", rehearsed.err);
    assert_eq!(rehearsed.err, "");
    let lines: Vec<String> = rehearsed
        .events
        .iter()
        .filter_map(|it| told(&it.event))
        .collect();
    assert_eq!(lines.first().map(String::as_str), Some("rehearse up"));
    assert_eq!(lines.last().map(String::as_str), Some("Converged"));
    assert_eq!(
        rehearsed.last["calls"],
        rehearsed.last["deeds"].as_array().unwrap().len()
    );
    assert_eq!(rehearsed.last["services"]["web"][0]["generation"], 1);
}

#[test]
fn a_gate_that_never_passes() {
    insta::assert_snapshot!(story("gate:web"), @r#"
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
    5 [{"fault":"gate:web","took_place":true}] {}
    "#);
}

#[test]
fn an_image_that_cannot_be_had() {
    insta::assert_snapshot!(story("pull:web"), @r#"
    failed app:1: image `app:1` is not available: no registry answers, as rehearsed
    Untouched
    4 [{"fault":"pull:web","took_place":true}] {}
    "#);
}

#[test]
fn an_engine_that_is_killed_in_the_middle() {
    insta::assert_snapshot!(story("engine-killed:15"), @r#"
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
    5 [{"fault":"engine-killed:15","took_place":true}] {}
    "#);
}

#[test]
fn an_engine_that_is_killed_after_the_commit() {
    insta::assert_snapshot!(story("engine-killed:18"), @r#"6 [{"fault":"engine-killed:18","took_place":true}] {"migrate":[{"down":0,"generation":1,"well":1}],"postgres":[{"down":1,"generation":1,"well":0}],"web":[{"down":1,"generation":1,"well":0}]}"#);
}

/// What failed first, the verdict, the exit code, and whether the fault took place.
fn outline(fault: &str) -> String {
    let story = story(fault);
    let mut lines: Vec<&str> = story.lines().collect();
    let last = lines.pop().unwrap_or_default();
    let code = last.split(' ').next().unwrap_or_default();
    let met = last.contains("\"took_place\":true");
    let failed = lines.first().copied().unwrap_or("nothing failed");
    let verdict = lines.last().copied().unwrap_or("-");
    format!("{fault}: {failed}; {verdict}, {code}, {met}")
}

#[test]
fn every_fault_has_its_end() {
    let faults = [
        "exit:web=3",
        "relapse:web",
        "job:migrate=2",
        "create:web",
        "start:web",
        "stop:web",
        "port:8080",
        "refuse:12",
        "lost-answer:14",
        "interrupt:15",
        "crash:15",
        "crash:17",
        "crash:900",
    ];
    let told: Vec<String> = faults.into_iter().map(outline).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    exit:web=3: failed shop-web-1: exited with code 3; RolledBack, 5, true
    relapse:web: failed shop-web-1: exited with code 1; RolledBack, 5, true
    job:migrate=2: failed shop-migrate-1: `exit` will never pass: exited with code 2; RolledBack, 5, true
    create:web: failed shop-web-1: creating container `shop-web-1`: the engine refuses it, as rehearsed; RolledBack, 5, true
    start:web: failed shop-web-1: starting container `shop-web-1`: the engine refuses it, as rehearsed; RolledBack, 5, true
    stop:web: nothing failed; -, 0, false
    port:8080: failed shop-web-1: port 8080 of this host is already in use by a process of the host; RolledBack, 5, true
    refuse:12: failed shop-migrate-1: call `12`: the engine refuses it, as rehearsed; RolledBack, 5, true
    lost-answer:14: failed shop-postgres-1: call `14`: the answer was lost, as rehearsed; RolledBack, 5, true
    interrupt:15: interrupted; Interrupted, 8, true
    crash:15: nothing failed; -, 5, true
    crash:17: nothing failed; -, 0, true
    crash:900: nothing failed; -, 0, false
    ");
}

#[test]
fn a_way_back_that_gets_stuck_says_what_to_do() {
    let rehearsed = rehearse(&[
        "--progress",
        "quiet",
        "--fault",
        "gate:web",
        "--fault",
        "stop:web",
    ]);
    assert_eq!(rehearsed.code, Some(6));
    let end = rehearsed
        .err
        .lines()
        .skip_while(|line| !line.starts_with("in the"));
    insta::assert_snapshot!(end.collect::<Vec<_>>().join("\n"), @"
    in the rehearsal `up` of `shop` failed, and so did the way back: an operator is needed (about 34.4 s)
      because: `web`: not ready within 20 s (http 3000 /health: connection refused)
      left undone: stopping container `shop-web-1` failed: stopping container `shop-web-1`: the engine refuses it, as rehearsed; by hand: `docker stop shop-web-1`
      left undone: removing container `shop-web-1` was not tried; by hand: `docker rm -v shop-web-1`
      left undone: removing network `shop_default` was not tried; by hand: `docker network rm shop_default`
      help: do what is left in this order, or remedy what stands above and run `cimandat -p shop recover`, which tries it again; `cimandat -p shop ps` shows what runs and what does not
      data: no named volume was removed or put back
      kept volumes, with what the failed deploy wrote: `shop_db`
      help: `cimandat down --volumes` removes them and what they hold

    afterwards:
      generation 1 runs: `web`
      to do: `cimandat -p shop recover`, when what stands above is remedied
    this was a rehearsal: nothing on the engine was changed, and its times are nominal
    ");
}

#[test]
fn a_killed_rehearsal_goes_on_with_the_recovery() {
    let rehearsed = rehearse(&["--fault", "crash:15"]);
    assert_eq!(rehearsed.code, Some(5));
    let told = &rehearsed.err;
    for part in [
        "rehearsal: up: 3 to create",
        "`cimandat up` was killed at call 15, starting container `shop-migrate-1`",
        "took away the lock of `cimandat up`",
        "rehearsal: recover: rolling back deploy 1; 3 services to check",
        "in the rehearsal deploy 1 of `shop`, which was interrupted, is rolled back",
        "running now: nothing, as before",
        "nothing of `shop` is there",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
}

#[test]
fn killed_everywhere_it_always_ends_whole() {
    let rehearsed = rehearse(&["--crash-everywhere", "--progress", "json"]);
    assert_eq!(
        rehearsed.code,
        Some(0),
        "{}{}",
        rehearsed.out,
        rehearsed.err
    );
    assert_eq!(rehearsed.last["whole"], true);
    let calls = rehearsed.last["calls"].as_array().unwrap();
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
    let told = rehearse(&["--crash-everywhere", "--fault", "gate:web"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(
        told.out
            .ends_with("each one ended whole; nothing on the engine was changed\n")
    );
}

#[test]
fn a_fault_that_cannot_be_meant_is_told() {
    let told = |fault: &str| {
        let rehearsed = rehearse(&["--fault", fault]);
        assert_eq!(rehearsed.code, Some(1));
        rehearsed.err.lines().next().unwrap_or_default().to_owned()
    };
    let faults = [
        "gate:postgre",
        "gate:x",
        "job:web",
        "gate:migrate",
        "build:web",
        "port:81",
        "gat:web",
    ];
    insta::assert_snapshot!(faults.map(told).join("\n"), @"
    error: `gate:postgre`: there is no service `postgre`: did you mean `postgres`?
    error: `gate:x`: there is no service `x`: there are `migrate`, `postgres`, `web`
    error: `job:web`: `web` is no job; did you mean `exit:web`?
    error: `gate:migrate`: `migrate` is a job; did you mean `job:migrate`?
    error: `build:web`: `web` is not built here; did you mean `pull:web`?
    error: `port:81`: no service publishes port 81
    error: invalid value 'gat:web' for '--fault <FAULT>': there is no fault `gat`: did you mean `gate`?
    ");
}

#[test]
fn without_an_engine_it_says_how_it_goes_all_the_same() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cimandat.kdl"), SHOP).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cimandat"))
        .arg("rehearse")
        .current_dir(folder.path())
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("`--from-nothing`"), "{err}");
}

/// A world as hands and faults may have left it.
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
fn a_world_that_was_observed_shows_itself_again_and_goes_on_alike() {
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

/// Everything on the engine that bears the project's label, as the engine tells it.
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

/// Two services in a row; the second says `text` and is ready when it says `wanted`.
fn stack(world: &World, text: &str, wanted: &str) {
    world.manifest(&format!(
        r#"
        deploy settle="0s"
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
            ready within="4s" {{ http 8080 contains="{wanted}"; }}
        }}
        "#
    ));
}

/// What the engine shows, a world seeded from it shows too.
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
fn a_rehearsal_touches_nothing_and_foretells_what_then_happens() {
    let Some(world) = World::new("rehearse") else {
        return;
    };
    stack(&world, "one", "one");
    world.run(&["rehearse"]).with_code(0);
    assert_eq!(everything(&world), BTreeSet::new());
    assert!(!world.path(".cimandat").exists());
    world.up().with(0, Outcome::Converged);
    seeded_from_the_engine(&world);
    // Seeded from what is there, there is nothing to do.
    let before = everything(&world);
    let rehearsed = world.run(&["rehearse", "--progress", "json"]).with_code(0);
    assert_eq!(rehearsed.deeds(), Vec::<String>::new(), "{}", rehearsed.out);
    assert!(rehearsed.out.contains("\"unchanged\""), "{}", rehearsed.out);
    assert!(rehearsed.out.contains("\"calls\":0"), "{}", rehearsed.out);
    stack(&world, "two", "never");
    let rehearsed = world.run(&["rehearse", "--progress", "json", "--fault", "gate:second"]);
    let rehearsed = rehearsed.with_code(5);
    let everywhere = world.run(&["rehearse", "--crash-everywhere"]).with_code(0);
    assert!(
        everywhere.out.contains("each one ended whole"),
        "{}",
        everywhere.out
    );
    assert_eq!(everything(&world), before);
    // The gate waits for a text that never comes.
    let real = world.up().with(5, Outcome::RolledBack);
    let sorted = |mut deeds: Vec<String>| {
        deeds.sort();
        deeds
    };
    assert_eq!(sorted(rehearsed.deeds()), sorted(real.deeds()));
    let failed = |event: &Event| match event {
        Event::ReadinessFailed { report, .. } => {
            Some((report.container.clone(), report.cause.clone()))
        }
        _ => None,
    };
    assert_eq!(rehearsed.told(failed), real.told(failed));
}

#[test]
fn what_was_cut_off_comes_to_its_end_first_as_foretold() {
    let Some(world) = World::new("rehearse-cut") else {
        return;
    };
    stack(&world, "one", "one");
    world.up().with(0, Outcome::Converged);
    stack(&world, "two", "two");
    let mut command = world.command(&["up"]);
    command.env("CIMANDAT_CRASH", "after:12");
    assert_eq!(Running::begin(&world, command).end().code, None);
    let before = everything(&world);
    let rehearsed = world.run(&["rehearse", "--progress", "json"]).with_code(0);
    let everywhere = world.run(&["rehearse", "--crash-everywhere"]).with_code(0);
    assert!(
        everywhere.out.contains("each one ended whole"),
        "{}",
        everywhere.out
    );
    assert_eq!(everything(&world), before);
    let real = world.run(&["recover", "--progress", "json"]);
    assert!(matches!(real.code, Some(0 | 5)), "{real:?}");
    let until_its_end = |ended: &Ended| {
        let events = ended.events.iter().map(|it| &it.event);
        let first = events.take_while(|it| !matches!(it, Event::RunFinished { .. }));
        let mut deeds: Vec<String> = first.filter_map(told).collect();
        deeds.sort();
        deeds.retain(|it| !it.ends_with("recover"));
        deeds
    };
    assert_eq!(until_its_end(&rehearsed), until_its_end(&real));
}
