//! Ctrl-C in every phase: the state before is restored, and the exit code reports the interrupt.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, net::TcpListener, thread, time::Duration};

use cimandat::event::{BuildStepState, Event, Outcome, Progress};
use serde_json::Value;

use crate::support::{Client, World, free_port};

/// A manifest with two services, of which the second never becomes ready.
const NEVER_READY: &str = r#"
    volume "data"
    service "db" { use "doomed"; volume "data" "/data"; ready { log "at work"; }; }
    service "app" {
        use "doomed"
        depends-on "db"
        ready timeout="10m" { file "/never"; }
    }
"#;

fn is_step(event: &Event, wanted: &str) -> bool {
    matches!(event, Event::StepStarted { verb, .. } if verb == wanted)
}

fn is_asked(event: &Event, service: &str) -> bool {
    matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == service)
}

#[test]
fn interrupt_during_pull_leaves_nothing() {
    let Some(world) = World::new("pull") else {
        return;
    };
    // A registry that accepts connections and never answers.
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = registry.local_addr().unwrap();
    world.manifest(&format!(r#"service "app" {{ image "{address}/app:1"; }}"#));
    let mut running = world.begin_up();
    running.until("the pull", |event| is_step(event, "pulling image"));
    let call = registry.accept().unwrap();
    running.interrupt();
    let ended = running.end().with(8, Outcome::Cancelled);
    drop(call);
    assert_eq!(ended.steps(), [format!("pulling image {address}/app:1")]);
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn interrupt_during_build_leaves_nothing() {
    let Some(world) = World::new("build") else {
        return;
    };
    fs::create_dir(world.path("app")).unwrap();
    let mark = &world.project;
    let recipe = format!("FROM debian:trixie-slim\nRUN sleep 600 # {mark}\n");
    fs::write(world.path("app/Dockerfile"), recipe).unwrap();
    world.manifest(r#"service "app" { build "app"; }"#);
    let mut running = world.begin_up();
    running.until("the build's second step", |event| {
        matches!(event, Event::Progress {
            progress: Progress::BuildStep { name, state: BuildStepState::Running, .. }, ..
        } if name.contains("sleep 600"))
    });
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn interrupt_during_create_leaves_nothing() {
    let Some(world) = World::new("create") else {
        return;
    };
    world.manifest(NEVER_READY);
    let mut running = world.begin_up();
    running.until("a container to be made", |event| {
        is_step(event, "creating container")
    });
    running.interrupt();
    let ended = running.end().with(8, Outcome::Cancelled);
    assert!(
        ended
            .events
            .iter()
            .any(|it| matches!(it.event, Event::Interrupted { .. }))
    );
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn interrupt_during_first_gate_keeps_only_volumes() {
    let Some(world) = World::new("gate") else {
        return;
    };
    world.manifest(NEVER_READY);
    let mut running = world.begin_up();
    running.until("app's gate to be asked", |event| is_asked(event, "app"));
    running.interrupt();
    let ended = running.end().with(8, Outcome::Cancelled);
    assert_eq!(world.things(), Vec::<String>::new());
    let volume = format!("{}_data", world.project);
    assert_eq!(world.volumes(), [volume.as_str()]);
    let kept = ended.told(|event| match event {
        Event::RunFinished {
            retained_volumes: kept_volumes,
            ..
        } => Some(kept_volumes.clone()),
        _ => None,
    });
    assert_eq!(kept, [volume]);
}

/// Writes a manifest with a service that answers with `text`, and that is ready when `file` exists.
fn page(world: &World, port: u16, text: &str, file: &str) {
    world.manifest(&format!(
        r#"
        service "page" {{
            use "web"
            env TEXT="{text}"
            port "127.0.0.1:{port}:8080"
            ready timeout="10m" {{ http 8080; file "{file}"; }}
        }}
        deploy stabilize="10m"
        "#
    ));
}

/// Deploys the page that runs before the interrupted deploy.
fn first_page(world: &World, port: u16) {
    page(world, port, "one", "/etc");
    // The later file wins, so that nothing else differs from a manifest of `page`.
    let hurry = "deploy stabilize=\"0s\"\n";
    fs::write(world.path("hurry.kdl"), hurry).unwrap();
    let files = ["-f", "cimandat.kdl", "-f", "hurry.kdl"];
    let ended = world.run(&[&files[..], &["up", "--progress", "json"]].concat());
    ended.with(0, Outcome::Converged);
}

#[test]
fn interrupt_during_update_restores_old_container() {
    let Some(world) = World::new("update") else {
        return;
    };
    let port = free_port();
    first_page(&world, port);
    let before = world.containers();
    page(&world, port, "two", "/never");
    let mut running = world.begin_up();
    running.until("the new page's gate to be asked", |event| {
        is_asked(event, "page")
    });
    assert_ne!(
        world.containers(),
        before,
        "the old one is stopped, the new one runs"
    );
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

#[test]
fn interrupt_during_stabilization_restores_old_container() {
    let Some(world) = World::new("settle") else {
        return;
    };
    let port = free_port();
    first_page(&world, port);
    let before = world.containers();
    page(&world, port, "two", "/etc");
    let mut running = world.begin_up();
    running.until("everything to be ready", |event| {
        matches!(event, Event::Stabilizing { .. })
    });
    assert_eq!(Client::ask(port).as_deref(), Some("two"));
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

#[test]
fn second_signal_within_two_seconds_is_ignored() {
    let Some(world) = World::new("reflex") else {
        return;
    };
    let port = free_port();
    first_page(&world, port);
    let before = world.containers();
    page(&world, port, "two", "/never");
    let mut running = world.begin_up();
    running.until("the new page's gate to be asked", |event| {
        is_asked(event, "page")
    });
    running.interrupt();
    thread::sleep(Duration::from_millis(200));
    running.signal("TERM");
    let ended = running.end().with(8, Outcome::Cancelled);
    let asked = ended
        .events
        .iter()
        .filter(|it| matches!(it.event, Event::Interrupted { .. }));
    assert_eq!(asked.count(), 1);
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

/// Interrupts the rollback of an update whose new container takes six seconds to stop.
fn interrupt_the_rollback(world: &World) {
    let deaf = r#"
        service "app" {
            use "deaf"
            stop-grace-period "6s"
            ready timeout="10m" { file "/never"; }
        }
    "#;
    world.manifest(deaf);
    let mut running = world.begin_up();
    running.until("app's gate to be asked", |event| is_asked(event, "app"));
    running.interrupt();
    running.until("app to be stopped", |event| {
        is_step(event, "stopping container")
    });
    thread::sleep(Duration::from_millis(2100));
    running.interrupt();
    let ended = running.end().with(9, Outcome::RollbackInterrupted);
    let (left, recoverable) = ended.told(|event| match event {
        Event::RunFinished {
            unfinished: left,
            recoverable,
            ..
        } => Some((left.clone(), *recoverable)),
        _ => None,
    });
    assert_eq!((left, recoverable), (Vec::new(), true));
    let took = ended.events.last().unwrap().at;
    assert!(took.as_secs() < 30, "it waited for the end: {took:?}");
}

#[test]
fn later_signal_leaves_rollback_to_recover() {
    let Some(world) = World::new("twice") else {
        return;
    };
    let first = r#"service "app" { use "doomed"; ready { log "at work"; }; }"#;
    world.manifest(first);
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    interrupt_the_rollback(&world);

    let line =
        "deploy 2 was interrupted; the next command rolls it back first: `cimandat recover --plan`";
    let plan = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(plan.starts_with(line), "{plan}");
    assert!(
        plan.contains("1 to replace") && !plan.contains("remove"),
        "{plan}"
    );
    let plan = world.run(&["plan", "--format", "json"]).with_code(0).out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["unfinished"]["deploy"], 2);
    assert_eq!(plan["generation"], 3);
    for reading in ["ps", "history"] {
        let told = world.run(&[reading]).with_code(0);
        assert_eq!(told.err, format!("{line}\n"));
    }
    let history = world.run(&["history"]).with_code(0).out;
    assert!(history.contains("interrupted, open"), "{history}");
    assert!(
        history.lines().all(|line| line.chars().count() <= 100),
        "{history}"
    );
    world.manifest(first);
    let plan = world.run(&["plan"]).with_code(0).out;
    assert!(plan.contains("no changes"), "{plan}");

    world.run(&["recover", "--plan"]).with_code(5);
    world.run(&["recover", "--progress", "json"]).with_code(5);
    assert_eq!(world.containers(), before);
    let plan = world.run(&["plan"]).with_code(0).out;
    assert!(!plan.contains("interrupted"), "{plan}");
}

#[test]
fn signal_during_recovery_starts_no_deploy() {
    let Some(world) = World::new("recovery") else {
        return;
    };
    world.manifest(r#"service "app" { use "doomed"; ready { log "at work"; }; }"#);
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    interrupt_the_rollback(&world);
    let mut running = world.begin_up();
    running.until("the rollback", |event| {
        matches!(event, Event::RollbackStarted { .. })
    });
    running.interrupt();
    let ended = running.end().with_code(8);
    assert!(
        ended.err.contains("nothing else was begun"),
        "{}",
        ended.err
    );
    assert_eq!(world.containers(), before);
}

#[test]
fn signal_during_lock_wait_ends_the_wait() {
    let Some(world) = World::new("lock") else {
        return;
    };
    world.manifest(NEVER_READY);
    let mut running = world.begin_up();
    running.until("app's gate to be asked", |event| is_asked(event, "app"));
    let waiting = world.begin(&["up", "--lock-timeout", "10m", "--progress", "json"]);
    thread::sleep(Duration::from_secs(3));
    waiting.interrupt();
    let ended = waiting.end().with_code(8);
    assert!(ended.err.contains("waiting for the lock"), "{}", ended.err);
    let held = world.run(&["recover", "--plan"]).with_code(7);
    assert!(held.err.contains("locked by `cimandat up`"), "{}", held.err);
    let plan = world.run(&["plan"]).with_code(0).out;
    assert!(
        plan.starts_with("deploy 1 is running: `cimandat up`"),
        "{plan}"
    );
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
}
