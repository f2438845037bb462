//! Failed deploys: their reports, and the restored state.

use std::net::TcpListener;

use cimandat::event::{Event, GateReport, Outcome};
use serde_json::json;

use crate::support::{Client, Ended, IMAGE, Running, World, free_port};

/// Writes a manifest with one published service that answers with `text`, and whose gate waits for
/// `awaited`.
fn page(world: &World, port: u16, text: &str, awaited: &str) {
    world.manifest(&format!(
        r#"
        service "page" {{
            use "web"
            env TEXT="{text}"
            port "127.0.0.1:{port}:8080"
            ready timeout="3s" {{ http 8080 contains="{awaited}" }}
        }}
        "#
    ));
}

fn gate_report(ended: &Ended) -> GateReport {
    ended.told(|event| match event {
        Event::ReadinessFailed { report, .. } => Some((**report).clone()),
        _ => None,
    })
}

fn cause(ended: &Ended) -> String {
    ended.told(|event| match event {
        Event::RunFinished { cause, .. } => cause.clone(),
        _ => None,
    })
}

/// Waits for the stabilization window to begin.
fn until_settling(running: &mut Running<'_>) {
    running.until("everything to be ready", |event| {
        matches!(event, Event::Stabilizing { .. })
    });
}

#[test]
fn unavailable_image_leaves_everything_unchanged() {
    let Some(world) = World::new("image") else {
        return;
    };
    let port = free_port();
    page(&world, port, "one", "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    world.manifest(&format!(
        r#"
        service "page" {{ use "web"; env TEXT="two"; port "127.0.0.1:{port}:8080"; }}
        service "new" {{ image "debian:no-such-tag"; }}
        "#
    ));
    let ended = world.up().with(4, Outcome::Aborted);
    assert_eq!(ended.steps(), ["pulling image debian:no-such-tag"]);
    assert!(
        cause(&ended).contains("debian:no-such-tag"),
        "{}",
        cause(&ended)
    );
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

#[test]
fn failed_first_deploy_keeps_only_volumes() {
    let Some(world) = World::new("gate") else {
        return;
    };
    world.manifest(
        r#"
        volume "data"
        service "db" { use "doomed"; volume "data" "/data"; ready { log "at work"; }; }
        service "app" {
            use "doomed"
            depends-on "db"
            ready timeout="1s" { tcp 9; log "at work"; }
        }
        service "page" { use "web"; depends-on "app"; }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = gate_report(&ended);
    assert_eq!(report.container.as_str(), world.name("app"));
    assert_eq!(report.log, ["at work"]);
    let answers: Vec<(&str, &str, bool)> = report
        .answers
        .iter()
        .map(|it| (it.probe.as_str(), it.answer.as_str(), it.passed))
        .collect();
    assert_eq!(answers[0], ("tcp 9", "connection refused", false));
    assert!(answers[1].2, "{answers:?}");
    // A dependent of the failed service is never started.
    let steps = ended.steps();
    assert!(
        !steps.contains(&format!("starting container {}", world.name("page"))),
        "{steps:?}"
    );
    let kept: Vec<String> = ended.told(|event| match event {
        Event::RunFinished {
            retained_volumes: kept_volumes,
            ..
        } => Some(kept_volumes.clone()),
        _ => None,
    });
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.volumes(), kept);
    assert_eq!(kept, [format!("{}_data", world.project)]);
}

#[test]
fn failed_update_restores_the_old_container() {
    let Some(world) = World::new("update") else {
        return;
    };
    let port = free_port();
    page(&world, port, "one", "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    let client = Client::begin(port);
    page(&world, port, "two", "never said");
    let ended = world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
    let (gap, answers) = client.end();
    assert_eq!(answers.first().map(String::as_str), Some("one"));
    assert_eq!(answers.last().map(String::as_str), Some("one"));
    let report = gate_report(&ended);
    assert!(report.answers[0].answer.contains("200"), "{report:?}");
    tell(&format!(
        "no answer for {} ms, and the new one was seen: {answers:?}",
        gap.as_millis()
    ));
    // A failed update is tried again: it does not count as done.
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
}

#[expect(clippy::print_stderr, reason = "a measurement for those who look")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[test]
fn immediate_exit_fails_gate_without_timeout() {
    let Some(world) = World::new("crash") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            image "debian:trixie-slim"
            command "sh" "-c" "echo no configuration >&2; exit 3"
            restart "always"
            ready timeout="60s" { tcp 80; }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = gate_report(&ended);
    assert!(report.cause.contains('3'), "{report:?}");
    assert_eq!(report.log, ["no configuration"]);
    assert!(report.after.as_secs() < 30, "{report:?}");
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn exit_during_stabilization_rolls_back() {
    let Some(world) = World::new("settle") else {
        return;
    };
    let app = |text: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="60s"
            service "app" {{ use "doomed"; env TEXT="{text}"; ready {{ log "at work"; }}; }}
            "#
        ));
    };
    app("one");
    let mut first = world.begin_up();
    until_settling(&mut first);
    world.api.signal(&world.name("app"), "USR1");
    let ended = first.end().with(5, Outcome::RolledBack);
    let report = ended.told(|event| match event {
        Event::UnhealthyAfterReady { report, .. } => Some((**report).clone()),
        _ => None,
    });
    assert!(report.cause.contains('3'), "{report:?}");
    assert_eq!(report.log, ["at work"]);
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn exit_of_dependency_during_deploy_rolls_back() {
    let Some(world) = World::new("depend") else {
        return;
    };
    world.manifest(
        r#"
        service "db" { use "doomed"; ready { log "at work"; }; }
        service "app" {
            use "doomed"
            depends-on "db"
            ready timeout="90s" { file "/never"; }
        }
        "#,
    );
    let mut running = world.begin_up();
    running.until(
        "app's gate to be asked",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "app"),
    );
    world.api.signal(&world.name("db"), "USR1");
    let ended = running.end().with(5, Outcome::RolledBack);
    assert!(
        cause(&ended).contains(&world.name("db")),
        "{}",
        cause(&ended)
    );
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn oom_kill_is_reported() {
    let Some(world) = World::new("memory") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            image "debian:trixie-slim"
            command "perl" "-e" "my $$greed = 'x' x 500_000_000; sleep 600"
            limit memory="16MiB"
            ready { tcp 80; }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = gate_report(&ended);
    assert!(report.cause.contains("OOM-killed"), "{report:?}");
    assert!(
        report
            .condition
            .is_some_and(|condition| condition.oom_killed)
    );
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn port_held_by_process_names_its_holder() {
    let Some(world) = World::new("port") else {
        return;
    };
    let port = free_port();
    page(&world, port, "one", "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    let other = free_port();
    let held = TcpListener::bind(("127.0.0.1", other));
    page(&world, other, "one", "one");
    let ended = world.up().with(5, Outcome::RolledBack);
    drop(held);
    let failure = ended.told(|event| match event {
        Event::StepFailed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    let me = std::process::id().to_string();
    assert!(
        failure.message.contains(&format!("port {other} ")),
        "{failure:?}"
    );
    assert!(failure.message.contains(&me), "{failure:?}");
    assert!(failure.help.is_some(), "{failure:?}");
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

/// A container that belongs to no project; it is removed on drop.
struct Foreign<'w>(&'w World, String);

impl<'w> Foreign<'w> {
    fn new(world: &'w World, name: &str, port: u16) -> Self {
        let body = json!({
            "Image": IMAGE,
            "Cmd": ["sleep", "600"],
            "ExposedPorts": { "8080/tcp": {} },
            "HostConfig": {
                "Init": true,
                "PortBindings": {
                    "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }],
                },
            },
        });
        let foreign = Self(world, world.api.create(name, &body));
        let start = format!("/containers/{}/start", foreign.1);
        assert_eq!(world.api.ask("POST", &start, None).status, 204);
        foreign
    }

    fn runs(&self) -> bool {
        let path = format!("/containers/{}/json", self.1);
        self.0.api.get(&path)["State"]["Running"] == true
    }
}

impl Drop for Foreign<'_> {
    fn drop(&mut self) {
        self.0
            .api
            .ask("DELETE", &format!("/containers/{}?force=1", self.1), None);
    }
}

#[test]
fn port_held_by_foreign_container_is_refused() {
    let Some(world) = World::new("held") else {
        return;
    };
    let port = free_port();
    let name = format!("{}-foreign", world.project);
    let foreign = Foreign::new(&world, &name, port);
    page(&world, port, "one", "one");
    let ended = world.up().with_code(3);
    assert!(
        ended.err.contains(&name) && ended.err.contains(&port.to_string()),
        "{}",
        ended.err
    );
    assert_eq!(world.things(), Vec::<String>::new());
    assert!(foreign.runs());
}

#[test]
fn name_of_foreign_container_is_refused() {
    let Some(world) = World::new("name") else {
        return;
    };
    let foreign = Foreign::new(&world, &world.name("page"), free_port());
    page(&world, free_port(), "one", "one");
    let ended = world.up().with_code(3);
    assert!(ended.err.contains(&world.name("page")), "{}", ended.err);
    assert_eq!(ended.events, []);
    assert_eq!(world.things(), Vec::<String>::new());
    assert!(foreign.runs());
    world.run(&["down", "--volumes"]).with_code(0);
    assert!(foreign.runs());
}
