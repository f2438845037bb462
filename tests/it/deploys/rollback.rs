//! Rollbacks in difficult cases: several services, a deadline, and failed rollbacks.

use std::fs;

use cimandat::event::{Event, Outcome};

use crate::support::{Running, World};

fn is_step(event: &Event, wanted: &str, on: &str) -> bool {
    matches!(event, Event::StepStarted { verb, object, .. } if verb == wanted && object == on)
}

fn until_asked(running: &mut Running<'_>, service: &str) {
    running.until("the gate to be asked", |event| {
        matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == service)
    });
}

/// Writes a manifest with two services, both of which contain `text`.
fn stack(world: &World, text: &str, file: &str) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        defaults {{ update order="stop-first"; }}
        service "db" {{ use "doomed"; env TEXT="{text}"; ready {{ log "at work"; }}; }}
        service "app" {{
            use "doomed"
            env TEXT="{text}"
            depends-on "db"
            restart "always"
            ready timeout="1s" {{ file "{file}"; }}
        }}
        "#
    ));
}

#[test]
fn rollback_stops_dependents_first_and_starts_them_last() {
    let Some(world) = World::new("order") else {
        return;
    };
    stack(&world, "one", "/etc");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    stack(&world, "two", "/never");
    let ended = world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
    let policy = &world.inspect("app")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "always");
    let when = |verb: &str, object: &str| ended.when(|event| is_step(event, verb, object));
    let (db, app) = (world.name("db"), world.name("app"));
    let (new_db, new_app) = (format!("{db}.g2"), format!("{app}.g2"));
    let back = ended.when(|event| matches!(event, Event::RollbackStarted { .. }));
    assert!(when("stopping container", &new_app) >= back);
    assert!(when("stopping container", &new_db) > when("stopping container", &new_app));
    assert!(when("starting container", &db) >= when("stopping container", &new_db));
    assert!(when("starting container", &app) > when("starting container", &db));
}

#[test]
fn deploy_past_its_deadline_is_rolled_back() {
    let Some(world) = World::new("deadline") else {
        return;
    };
    world.manifest(
        r#"
        deploy deadline="2s"
        service "app" { use "doomed"; ready timeout="10m" { file "/never"; }; }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let cause = ended.told(|event| match event {
        Event::RunFinished { cause, .. } => cause.clone(),
        _ => None,
    });
    assert_eq!(cause, "not done within 2 s");
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn failed_rollback_exits_6() {
    let Some(world) = World::new("stuck") else {
        return;
    };
    let mark = world.path("mark");
    let app = |text: &str, wanted: &str| {
        let folder = world.path("").display().to_string();
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "app" {{
                use "doomed"
                env TEXT="{text}"
                bind "{folder}" "/state"
                ready timeout="2s" {{ file "{wanted}"; }}
            }}
            "#
        ));
    };
    fs::write(&mark, "").unwrap();
    app("one", "/state/mark");
    world.up().with(0, Outcome::Converged);
    app("two", "/never");
    let mut running = world.begin_up();
    until_asked(&mut running, "app");
    // The file that the old container needs to become ready again is removed.
    fs::remove_file(&mark).unwrap();
    let ended = running.end().with(6, Outcome::RollbackFailed);
    let left = ended.told(|event| match event {
        Event::RunFinished {
            unfinished: left, ..
        } => Some(left.clone()),
        _ => None,
    });
    assert!(
        left.iter().any(|text| text.contains(&world.name("app"))),
        "{left:?}"
    );
    // The old container runs, but its readiness is unknown.
    world.running("app");
    fs::write(&mark, "").unwrap();
    app("one", "/state/mark");
    world.up().with_code(0);
    assert_eq!(world.containers().len(), 1);
}

#[test]
fn interrupt_does_not_stop_a_rollback() {
    let Some(world) = World::new("persist") else {
        return;
    };
    stack(&world, "one", "/etc");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    stack(&world, "two", "/never");
    let mut running = world.begin_up();
    running.until("the rollback", |event| {
        matches!(event, Event::RollbackStarted { .. })
    });
    running.interrupt();
    running.end().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
}

#[test]
fn failed_job_leaves_services_running() {
    let Some(world) = World::new("migrate") else {
        return;
    };
    let stack = |line: &str, text: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            job "migrate" {{ image "debian:trixie-slim"; command "sh" "-c" "{line}"; }}
            service "app" {{ use "doomed"; env TEXT="{text}"; depends-on "migrate"; }}
            "#
        ));
    };
    stack("echo well", "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    let start = world.inspect("app")["State"]["StartedAt"].clone();
    stack("echo bad; exit 1", "two");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
    assert_eq!(
        world.inspect("app")["State"]["StartedAt"],
        start,
        "it was never stopped"
    );
}

#[test]
fn closed_output_does_not_stop_deploy() {
    let Some(world) = World::new("pipe") else {
        return;
    };
    stack(&world, "one", "/etc");
    let mut command = world.command(&["up", "--progress", "json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    world.running("app");
}

/// A service that never becomes ready.
const NEVER_READY: &str =
    r#"service "app" { use "doomed"; ready timeout="10m" { file "/never"; }; }"#;

#[test]
fn sigterm_and_sighup_are_interrupts() {
    for signal in ["TERM", "HUP"] {
        let Some(world) = World::new("end") else {
            return;
        };
        world.manifest(NEVER_READY);
        // The test process may have been started with the signal ignored, and children inherit
        // that.
        let mut command = std::process::Command::new("env");
        command
            .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_cimandat")])
            .args(["up", "--progress", "json"])
            .current_dir(world.path(""));
        let mut running = Running::begin(&world, command);
        until_asked(&mut running, "app");
        running.signal(signal);
        running.end().with(8, Outcome::Cancelled);
        assert_eq!(world.things(), Vec::<String>::new());
    }
}

#[test]
fn inherited_ignored_sighup_is_ignored() {
    let Some(world) = World::new("nohup") else {
        return;
    };
    world.manifest(NEVER_READY);
    let program = env!("CARGO_BIN_EXE_cimandat");
    let line = format!("trap '' HUP; exec {program} up --progress json");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).current_dir(world.path(""));
    let mut running = Running::begin(&world, shell);
    until_asked(&mut running, "app");
    running.signal("HUP");
    // The deploy continues until another signal arrives; the later signal does not overtake the
    // first.
    running.interrupt();
    let ended = running.end().with(8, Outcome::Cancelled);
    let asked = ended
        .events
        .iter()
        .filter(|it| matches!(it.event, Event::Interrupted { .. }));
    assert_eq!(asked.count(), 1);
}
