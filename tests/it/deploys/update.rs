//! Updates in difficult cases: order, hand-over of ports and volumes, unchanged services, hooks.

use std::{fs, time::Duration};

use cimandat::event::{Event, Outcome};

use crate::support::{Client, Ended, Running, World, free_port};

fn step(ended: &Ended, wanted: &str, object: &str) -> Duration {
    ended.when(|event| {
        matches!(event, Event::StepStarted { verb, object: its, .. }
            if verb == wanted && its == object)
    })
}

fn until_settling(running: &mut Running<'_>) {
    running.until("everything to be ready", |event| {
        matches!(event, Event::Stabilizing { .. })
    });
}

#[test]
fn volume_never_has_two_writers() {
    let Some(world) = World::new("writers") else {
        return;
    };
    let store = |text: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="10m"
            volume "data"
            service "store" {{
                use "doomed"
                env TEXT="{text}"
                volume "data" "/data"
                ready {{ log "at work"; }}
            }}
            "#
        ));
        fs::write(world.path("hurry.kdl"), "deploy stabilize=\"0s\"\n").unwrap();
    };
    store("one");
    let hurry = [
        "up",
        "-f",
        "cimandat.kdl",
        "-f",
        "hurry.kdl",
        "--progress",
        "json",
    ];
    world.run(&hurry).with(0, Outcome::Converged);
    store("two");
    let mut running = world.begin_up();
    until_settling(&mut running);
    let old = world.inspect("store")["State"].clone();
    let path = format!("/containers/{}.g2/json", world.name("store"));
    let new = world.api.get(&path)["State"].clone();
    assert_eq!(old["Running"], false);
    assert_eq!(new["Running"], true);
    // Both are in the engine's time format, which sorts as text.
    let (ended, started) = (old["FinishedAt"].as_str(), new["StartedAt"].as_str());
    assert!(ended < started, "{ended:?} {started:?}");
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    world.running("store");
}

#[test]
fn two_services_swap_their_ports() {
    let Some(world) = World::new("swap") else {
        return;
    };
    let (one, two) = (free_port(), free_port());
    let pages = |a: u16, b: u16, awaited: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "a" {{
                use "web"
                env TEXT="a"
                port "127.0.0.1:{a}:8080"
                ready timeout="2s" {{ http 8080 contains="a"; }}
            }}
            service "b" {{
                use "web"
                env TEXT="b"
                port "127.0.0.1:{b}:8080"
                ready timeout="2s" {{ http 8080 contains="{awaited}"; }}
            }}
            "#
        ));
    };
    let answers = || [Client::ask(one), Client::ask(two)].map(Option::unwrap_or_default);
    pages(one, two, "b");
    world.up().with(0, Outcome::Converged);
    assert_eq!(answers(), ["a", "b"]);
    let before = world.containers();
    // The rollback swaps the ports in the same way.
    pages(two, one, "never said");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(answers(), ["a", "b"]);
    assert_eq!(world.containers(), before);
    pages(two, one, "b");
    world.up().with(0, Outcome::Converged);
    assert_eq!(answers(), ["b", "a"]);
}

#[test]
fn renamed_service_takes_over_port_and_returns_it() {
    let Some(world) = World::new("renamed") else {
        return;
    };
    let port = free_port();
    let page = |service: &str, awaited: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "{service}" {{
                use "web"
                env TEXT="{service}"
                port "127.0.0.1:{port}:8080"
                ready timeout="2s" {{ http 8080 contains="{awaited}"; }}
            }}
            "#
        ));
    };
    page("old", "old");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    page("new", "never said");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before);
    assert_eq!(Client::ask(port).as_deref(), Some("old"));
    page("new", "new");
    world.up().with(0, Outcome::Converged);
    assert_eq!(Client::ask(port).as_deref(), Some("new"));
    assert_eq!(world.containers().len(), 1);
}

#[test]
fn dependents_restart_only_when_configured() {
    let Some(world) = World::new("restart") else {
        return;
    };
    let stack = |text: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "db" {{ use "doomed"; env TEXT="{text}"; ready {{ log "at work"; }}; }}
            service "close" {{
                use "doomed"
                depends-on "db" restart=#true
                ready {{ log "at work"; }}
            }}
            service "loose" {{ use "doomed"; depends-on "db"; ready {{ log "at work"; }}; }}
            "#
        ));
    };
    stack("one");
    world.up().with(0, Outcome::Converged);
    let start = |service: &str| world.inspect(service)["State"]["StartedAt"].clone();
    let before = (world.containers(), start("close"), start("loose"));
    stack("two");
    let ended = world.up().with(0, Outcome::Converged);
    let after = world.containers();
    for service in ["close", "loose"] {
        assert_eq!(after[&world.name(service)], before.0[&world.name(service)]);
    }
    assert_ne!(start("close"), before.1);
    assert_eq!(start("loose"), before.2);
    let new = format!("{}.g2", world.name("db"));
    let again = step(&ended, "starting container", &world.name("close"));
    assert!(again > step(&ended, "starting container", &new));
}

#[test]
fn replica_count_changes_keep_other_replicas() {
    let Some(world) = World::new("replicas") else {
        return;
    };
    let workers = |replicas: u32| {
        world.manifest(&format!(
            r#"service "worker" {{ use "doomed"; replicas {replicas}; ready {{ log "at work"; }}; }}"#
        ));
    };
    workers(3);
    world.up().with(0, Outcome::Converged);
    let three = world.containers();
    assert_eq!(three.len(), 3);
    workers(1);
    world.up().with(0, Outcome::Converged);
    let one = world.containers();
    assert_eq!(one.keys().collect::<Vec<_>>(), [&world.name("worker")]);
    assert_eq!(one[&world.name("worker")], three[&world.name("worker")]);
    workers(2);
    let ended = world.up().with(0, Outcome::Converged);
    let second = format!("{}-worker-2", world.project);
    assert!(
        ended
            .steps()
            .iter()
            .all(|step| step.ends_with(&second) || step.starts_with("tagging")),
        "{:?}",
        ended.steps()
    );
    assert_eq!(world.containers().len(), 2);
}

#[test]
fn up_of_named_service_leaves_others_unchanged() {
    let Some(world) = World::new("named") else {
        return;
    };
    let stack = |text: &str| {
        world.manifest(&format!(
            r#"
            service "a" {{ use "doomed"; env TEXT="{text}"; }}
            service "b" {{ use "doomed"; env TEXT="{text}"; depends-on "a"; }}
            service "c" {{ use "doomed"; env TEXT="{text}"; }}
            "#
        ));
    };
    stack("one");
    let named = ["up", "--progress", "json", "b"];
    world.run(&named).with(0, Outcome::Converged);
    assert_eq!(
        world.containers().len(),
        2,
        "what it depends on comes along"
    );
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    stack("two");
    world
        .run(&["up", "--progress", "json", "a"])
        .with(0, Outcome::Converged);
    let after = world.containers();
    assert_ne!(after[&world.name("a")], before[&world.name("a")]);
    assert_eq!(after[&world.name("b")], before[&world.name("b")]);
    assert_eq!(after[&world.name("c")], before[&world.name("c")]);
}

#[test]
fn hooks_run_after_start_and_before_stop() {
    let Some(world) = World::new("hooks") else {
        return;
    };
    let stack = |text: &str, hook: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            volume "data"
            service "app" {{
                use "doomed"
                env TEXT="{text}"
                volume "data" "/data"
                ready {{ log "at work"; }}
                post-start {{ command "sh" "-c" "{hook}"; }}
                pre-stop {{ command "sh" "-c" "echo stop $$TEXT >> /data/hooks"; }}
            }}
            "#
        ));
    };
    stack("one", "echo start $$TEXT >> /data/hooks");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    stack(
        "two",
        "echo start $$TEXT >> /data/hooks; echo no luck; exit 4",
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let failure = ended.told(|event| match event {
        Event::StepFailed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert_eq!(failure.output, ["no luck"]);
    assert_eq!(world.containers(), before);
    stack("three", "echo start $$TEXT >> /data/hooks");
    world.up().with(0, Outcome::Converged);
    world.manifest(
        r#"
        volume "data"
        job "read" {
            image "debian:trixie-slim"
            command "cat" "/data/hooks"
            volume "data" "/data"
        }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let said = world.run(&["logs", "--no-prefix", "read"]).with_code(0).out;
    assert_eq!(
        said,
        "start one\nstop one\nstart two\nstop one\nstart three\n"
    );
}

#[test]
fn down_removes_anonymous_volumes() {
    let Some(world) = World::new("anonymous") else {
        return;
    };
    let app = |text: &str, file: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            secret "token" generate="hex" bytes=8
            service "app" {{
                use "doomed"
                env TEXT="{text}"
                volume "/cache"
                read-only #true
                secret "token"
                ready timeout="1s" {{ file "{file}"; }}
            }}
            "#
        ));
    };
    let mounted = || {
        let mounts = world.inspect("app")["Mounts"].clone();
        let mounts = mounts.as_array().unwrap().iter();
        let named = mounts
            .filter(|mount| mount["Type"] == "volume")
            .map(|mount| {
                let text = |key: &str| mount[key].as_str().unwrap().to_owned();
                (text("Destination"), text("Name"))
            });
        named.collect::<std::collections::BTreeMap<String, String>>()
    };
    let is_there = |name: &str| {
        world
            .api
            .ask("GET", &format!("/volumes/{name}"), None)
            .status
            == 200
    };
    app("one", "/etc");
    world.up().with(0, Outcome::Converged);
    let first = mounted();
    app("two", "/never");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(mounted(), first);
    app("two", "/etc");
    world.up().with(0, Outcome::Converged);
    let second = mounted();
    assert_eq!(
        first["/cache"], second["/cache"],
        "what it holds is carried over"
    );
    // The volumes of the container that is kept for a rollback still exist; `down` removes all of
    // them.
    world.run(&["down"]).with_code(0);
    for name in first.values().chain(second.values()) {
        assert!(!is_there(name), "{second:?}");
    }
}
