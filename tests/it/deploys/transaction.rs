//! Transactions on a real engine: journal, lock, recovery, history and rollback. Interrupted
//! deploys are completed, and concurrent deploys run one after the other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use cimandat::event::{Event, Outcome};
use serde_json::Value;

use crate::support::{Client, Running, World, free_port};

/// Writes a manifest with two services; `web` depends on `db`, publishes a port and is ready by
/// `gate`. `db` writes to a volume.
fn stack(world: &World, port: u16, text: &str, gate: &str) {
    world.manifest(&format!(
        r#"
        volume "data"
        deploy stabilize="0s"
        service "db" {{
            use "doomed"
            env TEXT="{text}"
            volume "data" "/data"
            restart "unless-stopped"
            ready {{ log "at work"; }}
        }}
        service "web" {{
            use "web"
            env TEXT="{text}"
            port {port} to=8080
            depends-on "db"
            restart "unless-stopped"
            ready timeout="10m" {{ {gate}; }}
        }}
        "#
    ));
}

const READY: &str = "http 8080";
const NEVER: &str = r#"file "/never""#;

/// Returns the roles of the existing lock and journal containers.
fn own(world: &World) -> Vec<String> {
    let listed = world.api.containers(&world.project);
    let roles = listed
        .iter()
        .filter_map(|it| it["Labels"]["io.cimandat.role"].as_str().map(str::to_owned));
    let mut roles: Vec<String> = roles.collect();
    roles.sort();
    roles
}

fn is_begun(event: &Event, wanted: &str, whom: &str) -> bool {
    matches!(event, Event::StepStarted { verb, object, .. } if verb == wanted && object.ends_with(whom))
}

fn kill(running: Running<'_>) {
    running.signal("KILL");
    drop(running);
}

fn history(world: &World) -> Value {
    let told = world.run(&["history", "--format", "json"]).with_code(0);
    serde_json::from_str(&told.out).unwrap()
}

#[test]
fn deploy_killed_before_commit_is_rolled_back() {
    let Some(world) = World::new("killed") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    let (db, web) = (world.running("db"), world.running("web"));

    stack(&world, port, "two", NEVER);
    let mut running = world.begin_up();
    running.until(
        "the new gate",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "web"),
    );
    kill(running);
    assert_eq!(own(&world), ["journal", "lock"]);

    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(
        told.contains("before its commit; it would be rolled back"),
        "{told}"
    );
    // The exit code tells whether the old or the new generation runs.
    world.run(&["recover"]).with_code(5);
    assert_eq!((world.running("db"), world.running("web")), (db, web));
    assert_eq!(world.containers().len(), 2);
    assert_eq!(own(&world), ["journal"]);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
    // A second `recover` finds nothing to do.
    let again = world.run(&["recover"]).with_code(0);
    assert!(again.err.contains("was not interrupted"), "{}", again.err);
    let deploys = history(&world);
    assert_eq!(deploys["current"], 1);
    assert_eq!(deploys["deploys"][1]["outcome"], "rolled-back");
}

#[test]
fn deploy_killed_after_commit_is_rolled_forward() {
    let Some(world) = World::new("committed") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    stack(&world, port, "two", READY);
    let mut running = world.begin_up();
    running.until("the commit", |event| matches!(event, Event::Committed));
    kill(running);
    // The next changing command completes the interrupted deploy first.
    let ended = world.up().with_code(0);
    assert!(ended.err.contains("broke the lock"), "{}", ended.err);
    assert_eq!(Client::ask(port).as_deref(), Some("two"));
    assert_eq!(world.containers().len(), 2);
    assert_eq!(own(&world), ["journal"]);
    let policy = &world.inspect("web")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "unless-stopped");
    assert_eq!(history(&world)["current"], 2);
}

#[test]
fn killed_first_deploy_leaves_only_its_volume() {
    let Some(world) = World::new("killedfirst") else {
        return;
    };
    stack(&world, free_port(), "one", NEVER);
    let mut running = world.begin_up();
    running.until(
        "the gate",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "web"),
    );
    kill(running);
    world.run(&["recover"]).with_code(5);
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.volumes(), [format!("{}_data", world.project)]);
}

#[test]
fn recover_starts_manually_stopped_containers() {
    let Some(world) = World::new("stopped") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    for service in ["web", "db"] {
        let stop = format!("/containers/{}/stop?t=1", world.name(service));
        assert_eq!(world.api.ask("POST", &stop, None).status, 204);
    }
    world.run(&["recover"]).with_code(0);
    world.running("db");
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
}

#[test]
fn concurrent_deploys_of_one_project_are_serialized() {
    let Some(world) = World::new("locked") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", NEVER);
    let mut running = world.begin_up();
    running.until("the start of web", |event| {
        is_begun(event, "starting container", "web-1")
    });
    let refused = world.run(&["up"]).with_code(7);
    assert!(
        refused.err.contains("is locked by `cimandat up`"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("--lock-timeout"), "{}", refused.err);
    world.run(&["down"]).with_code(7);
    world.run(&["unlock"]).with_code(7);
    // A waiting command runs when the first one has released the lock.
    stack(&world, port, "one", READY);
    let waiting = world.begin(&["up", "--progress", "json", "--lock-timeout", "60s"]);
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    waiting.end().with(0, Outcome::Converged);
    assert_eq!(own(&world), ["journal"]);
}

#[test]
fn deploy_with_broken_lock_stops_and_is_recovered() {
    let Some(world) = World::new("deposed") else {
        return;
    };
    stack(&world, free_port(), "one", NEVER);
    let mut running = world.begin_up();
    running.until("the start of web", |event| {
        is_begun(event, "starting container", "web-1")
    });
    world.run(&["unlock", "--force"]).with_code(0);
    let ended = running.end().with_code(6);
    assert!(ended.err.contains("`cimandat recover`"), "{}", ended.err);
    world.run(&["recover"]).with_code(5);
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn rollback_needs_no_manifest() {
    let Some(world) = World::new("rollback") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    let first = world.running("web");
    stack(&world, port, "two", READY);
    world.up().with(0, Outcome::Converged);
    assert_ne!(world.running("web"), first);
    std::fs::remove_file(world.path("cimandat.kdl")).unwrap();

    let told = world
        .run(&["history", "-p", &world.project])
        .with_code(0)
        .out;
    assert!(told.contains("containers kept"), "{told}");
    let rollback = ["rollback", "-p", &world.project, "--progress", "json"];
    world.run(&rollback).with(0, Outcome::Converged);
    // The kept container itself runs again.
    assert_eq!(world.running("web"), first);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));

    // Without the kept container, a new one is created from its image.
    world.run(&rollback).with(0, Outcome::Converged);
    assert_eq!(Client::ask(port).as_deref(), Some("two"));
    for it in world.api.containers(&world.project) {
        let kept = it["State"] == "exited";
        let path = format!("/containers/{}?v=1", it["Id"].as_str().unwrap());
        assert!(!kept || world.api.ask("DELETE", &path, None).status == 204);
    }
    let to_first = ["rollback", "1", "-p", &world.project, "--progress", "json"];
    world.run(&to_first).with(0, Outcome::Converged);
    assert_ne!(world.running("web"), first);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
    let unknown = world
        .run(&["rollback", "77", "-p", &world.project])
        .with_code(1);
    assert!(
        unknown.err.contains("remembered are 1, 2"),
        "{}",
        unknown.err
    );
}

fn docker(arguments: &[&str]) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Moves the journal to where earlier versions without a journal volume kept it: into the
/// filesystem of its container.
fn journal_without_volume(world: &World) {
    let name = format!("cimandat.state.{}", world.project);
    let pages = world.path("pages").display().to_string();
    docker(&["cp", &format!("{name}:/state"), &pages]);
    docker(&["rm", &name]);
    docker(&["volume", "rm", &name]);
    let project = format!("io.cimandat.project={}", world.project);
    let mut create = vec!["create", "--name", &name, "--label", &project];
    create.extend(["--label", "io.cimandat.role=journal", "--network", "none"]);
    create.extend(["cimandat-empty:1", "-"]);
    docker(&create);
    docker(&["cp", &format!("{pages}/."), &format!("{name}:/")]);
}

#[test]
fn journal_of_earlier_version_moves_into_volume() {
    let Some(world) = World::new("oldjournal") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    stack(&world, port, "two", NEVER);
    let mut running = world.begin_up();
    running.until(
        "the new gate",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "web"),
    );
    kill(running);
    journal_without_volume(&world);
    let volume = format!("cimandat.state.{}", world.project);
    let there = || world.api.volumes(&world.project).contains(&volume);

    // Read-only commands change nothing.
    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(told.contains("it would be rolled back"), "{told}");
    assert_eq!(history(&world)["current"], 1);
    assert!(!there());
    world.run(&["recover"]).with_code(5);
    assert!(there());
    assert_eq!(own(&world), ["journal"]);
    let deploys = history(&world);
    assert_eq!(deploys["current"], 1);
    assert_eq!(deploys["deploys"][1]["outcome"], "rolled-back");
    // A prune of containers no longer removes the journal.
    world.api.prune(&world.project);
    assert_eq!(history(&world)["deploys"], deploys["deploys"]);
}

#[test]
fn deploy_whose_journal_was_pruned_is_recovered() {
    let Some(world) = World::new("prunedjournal") else {
        return;
    };
    let port = free_port();
    stack(&world, port, "one", READY);
    world.up().with(0, Outcome::Converged);
    let db = world.running("db");
    stack(&world, port, "two", NEVER);
    let mut running = world.begin_up();
    running.until(
        "the new gate",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "web"),
    );
    kill(running);
    // The prune removes the lock, the journal container and the old containers, which do not run.
    world.api.prune(&world.project);
    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(told.contains("it would be rolled back"), "{told}");
    let ended = world.run(&["recover"]);
    assert!(matches!(ended.code, Some(5 | 6)), "{ended:?}");
    assert_eq!(history(&world)["current"], 1);
    assert!(
        !world.containers().values().any(|(id, up)| *up && *id == db),
        "it was pruned"
    );
}

#[test]
fn concurrent_readers_find_a_pruned_journal() {
    let Some(world) = World::new("readers") else {
        return;
    };
    stack(&world, free_port(), "one", READY);
    world.up().with(0, Outcome::Converged);
    for _ in 0..3 {
        world.api.prune(&world.project);
        let readers = [(); 4].map(|()| world.begin(&["history", "--format", "json"]));
        for reader in readers {
            let told = reader.end().with_code(0);
            let told: Value = serde_json::from_str(&told.out).unwrap();
            assert_eq!(told["current"], 1);
        }
    }
}

#[test]
fn history_limit_bounds_kept_generations() {
    let Some(world) = World::new("keep") else {
        return;
    };
    for text in ["one", "two", "three", "four"] {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s" history=2
            service "app" {{ use "doomed"; env TEXT="{text}"; ready {{ log "at work"; }}; }}
            "#
        ));
        world.up().with(0, Outcome::Converged);
    }
    let kept: Vec<Value> = world.api.containers(&world.project);
    let names = kept.iter().filter_map(|it| it["Names"][0].as_str());
    let mut names: Vec<&str> = names.filter(|it| it.contains("app")).collect();
    names.sort_unstable();
    let name = format!("/{}", world.name("app"));
    assert_eq!(names, [name.clone(), format!("{name}.g3")]);
    let mut tags = world.api.generations(&world.project);
    let mut wanted = vec![
        format!("{}-app:g3", world.project),
        format!("{}-app:g4", world.project),
    ];
    wanted.sort();
    tags.sort();
    assert_eq!(tags, wanted);
}

#[test]
fn job_with_removed_container_is_not_rerun() {
    let Some(world) = World::new("remember") else {
        return;
    };
    let stack = |text: &str| {
        world.manifest(&format!(
            r#"
            job "migrate" {{ image "debian:trixie-slim"; command "true"; env TEXT="{text}"; }}
            service "app" {{ use "doomed"; depends-on "migrate"; ready {{ log "at work"; }}; }}
            "#
        ));
    };
    stack("one");
    world.up().with(0, Outcome::Converged);
    let job = format!("/containers/{}", world.name("migrate"));
    assert_eq!(world.api.ask("DELETE", &job, None).status, 204);
    world.up().with(0, Outcome::Unchanged);
    stack("two");
    let steps = world.up().with(0, Outcome::Converged).steps();
    assert!(
        steps.contains(&format!("starting container {}", world.name("migrate"))),
        "{steps:?}"
    );
}
