//! What is cut off is brought to an end, two at a time are one after the other, and what was is
//! remembered: journal, lock, recovery, history, rollback on a real engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use cimandat::event::{Event, Outcome};
use serde_json::Value;

use crate::support::{Client, Running, World, free_port};

/// Two services, of which the second waits for the first, holds a port and writes to a volume.
fn stack(world: &World, port: u16, text: &str, gate: &str) {
    world.manifest(&format!(
        r#"
        volume "data"
        deploy settle="0s"
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
            ready within="10m" {{ {gate}; }}
        }}
        "#
    ));
}

const READY: &str = "http 8080";
const NEVER: &str = r#"file "/never""#;

/// The lock and the journal that are there, by their role.
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
fn a_deploy_that_is_killed_before_its_commit_goes_back() {
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
        told.contains("before its commit; it would go back"),
        "{told}"
    );
    // The exit code tells which of the two worlds it is.
    world.run(&["recover"]).with_code(5);
    assert_eq!((world.running("db"), world.running("web")), (db, web));
    assert_eq!(world.containers().len(), 2);
    assert_eq!(own(&world), ["journal"]);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
    // Done again it finds nothing to do.
    let again = world.run(&["recover"]).with_code(0);
    assert!(again.err.contains("was not interrupted"), "{}", again.err);
    let deploys = history(&world);
    assert_eq!(deploys["current"], 1);
    assert_eq!(deploys["deploys"][1]["verdict"], "rolled-back");
}

#[test]
fn a_deploy_that_is_killed_after_its_commit_goes_on() {
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
    // The next command that changes something ends it first.
    let ended = world.up().with_code(0);
    assert!(ended.err.contains("took away the lock"), "{}", ended.err);
    assert_eq!(Client::ask(port).as_deref(), Some("two"));
    assert_eq!(world.containers().len(), 2);
    assert_eq!(own(&world), ["journal"]);
    let policy = &world.inspect("web")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "unless-stopped");
    assert_eq!(history(&world)["current"], 2);
}

#[test]
fn a_first_deploy_that_is_killed_leaves_nothing_but_its_volume() {
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
fn what_was_stopped_by_hand_is_started_by_recover() {
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
fn two_deploys_of_one_project_are_one_after_the_other() {
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
    assert!(refused.err.contains("--lock-wait"), "{}", refused.err);
    world.run(&["down"]).with_code(7);
    world.run(&["unlock"]).with_code(7);
    // Whoever waits has its turn when the first is done.
    stack(&world, port, "one", READY);
    let waiting = world.begin(&["up", "--progress", "json", "--lock-wait", "60s"]);
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    waiting.end().with(0, Outcome::Converged);
    assert_eq!(own(&world), ["journal"]);
}

#[test]
fn a_deploy_whose_lock_is_taken_away_stops_and_is_recovered() {
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
fn an_earlier_generation_is_deployed_again_without_its_manifest() {
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
    // It is the container itself that runs again.
    assert_eq!(world.running("web"), first);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));

    // Where that is gone, another one is made of its image.
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

/// Puts the journal where versions kept it that knew no volume for it: into its container.
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
fn journal_of_an_earlier_version_is_read_and_moved_into_a_volume() {
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

    // Reading changes nothing.
    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(told.contains("it would go back"), "{told}");
    assert_eq!(history(&world)["current"], 1);
    assert!(!there());
    world.run(&["recover"]).with_code(5);
    assert!(there());
    assert_eq!(own(&world), ["journal"]);
    let deploys = history(&world);
    assert_eq!(deploys["current"], 1);
    assert_eq!(deploys["deploys"][1]["verdict"], "rolled-back");
    // A prune does not reach it any more.
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
    // Lock and journal go, and so do the old containers, which do not run.
    world.api.prune(&world.project);
    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(told.contains("it would go back"), "{told}");
    let ended = world.run(&["recover"]);
    assert!(matches!(ended.code, Some(5 | 6)), "{ended:?}");
    assert_eq!(history(&world)["current"], 1);
    assert!(
        !world.containers().values().any(|(id, up)| *up && *id == db),
        "it was pruned"
    );
}

#[test]
fn readers_of_a_pruned_journal_all_find_it() {
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
fn no_more_generations_are_kept_than_asked_for() {
    let Some(world) = World::new("keep") else {
        return;
    };
    for text in ["one", "two", "three", "four"] {
        world.manifest(&format!(
            r#"
            deploy settle="0s" keep=2
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
fn a_job_whose_container_was_taken_away_is_remembered() {
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
    let deeds = world.up().with(0, Outcome::Converged).deeds();
    assert!(
        deeds.contains(&format!("starting container {}", world.name("migrate"))),
        "{deeds:?}"
    );
}
