//! Deploys with partial failure (`rollback="subtree"`), and failed containers that are kept for
//! inspection (`--keep-failed`).

use cimandat::event::{Event, Outcome};

use crate::support::World;

/// Writes a manifest with two independent dependency chains; `queue` is ready when `file` exists.
fn chains(world: &World, text: &str, file: &str) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s" rollback="subtree"
        service "db" {{ use "doomed"; env TEXT="{text}"; ready {{ log "at work"; }}; }}
        service "api" {{
            use "doomed"
            env TEXT="{text}"
            depends-on "db"
            restart "always"
            ready {{ log "at work"; }}
        }}
        service "queue" {{
            use "doomed"
            env TEXT="{text}"
            restart "always"
            ready timeout="2s" {{ file "{file}"; }}
        }}
        service "worker" {{
            use "doomed"
            env TEXT="{text}"
            depends-on "queue"
            ready {{ log "at work"; }}
        }}
        "#
    ));
}

#[test]
fn services_independent_of_failure_are_committed() {
    let Some(world) = World::new("part") else {
        return;
    };
    chains(&world, "one", "/etc");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    chains(&world, "two", "/never");
    let ended = world.up().with(5, Outcome::RolledBack);
    let (new, old) = ended.told(|event| match event {
        Event::PartiallyCommitted {
            committed: new,
            rolled_back: old,
        } => Some((new.clone(), old.clone())),
        _ => None,
    });
    let names = |them: Vec<cimandat::name::ServiceName>| -> Vec<String> {
        them.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(new), ["api", "db"]);
    assert_eq!(names(old), ["queue", "worker"]);
    for (service, changed) in [
        ("db", true),
        ("api", true),
        ("queue", false),
        ("worker", false),
    ] {
        let id = world.running(service);
        assert_eq!(id != before[&world.name(service)].0, changed, "{service}");
    }
    for service in ["api", "queue"] {
        let policy = &world.inspect(service)["HostConfig"]["RestartPolicy"]["Name"];
        assert_eq!(policy, "always", "{service}");
    }
    // The next deploy has to replace the two rolled-back services, and nothing else.
    let plan = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(plan.contains("2 to replace, 2 unchanged"), "{plan}");
    let again = world.run(&["up", "--progress", "plain"]).with_code(5);
    assert!(
        again.err.contains("running now: the state before, healthy"),
        "{}",
        again.err
    );
    chains(&world, "two", "/etc");
    world.up().with(0, Outcome::Converged);
    assert_eq!(world.running("db"), {
        let containers = world.containers();
        containers[&world.name("db")].0.clone()
    });
}

#[test]
fn verdict_lists_committed_and_rolled_back_services() {
    let Some(world) = World::new("partsay") else {
        return;
    };
    chains(&world, "one", "/never");
    let plain = world.run(&["up", "--progress", "plain"]).with_code(5);
    for line in [
        "failed in part, and that part was rolled back",
        "new, and committed: `api`, `db`",
        "as before: `queue`, `worker`",
    ] {
        assert!(plain.err.contains(line), "{}", plain.err);
    }
    // The rolled-back services did not exist before, so they have no containers.
    let names: Vec<String> = world.containers().into_keys().collect();
    assert_eq!(names, [world.name("api"), world.name("db")]);
}

#[test]
fn partial_commit_survives_a_killed_deploy() {
    let Some(world) = World::new("partkilled") else {
        return;
    };
    chains(&world, "one", "/etc");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    chains(&world, "two", "/never");
    let mut running = world.begin_up();
    running.until("the commit of a part", |event| {
        matches!(event, Event::PartiallyCommitted { .. })
    });
    running.signal("KILL");
    drop(running);

    let told = world.run(&["recover", "--plan"]).with_code(5).out;
    assert!(
        told.contains("after its commit; it would be rolled forward"),
        "{told}"
    );
    let untouched = |service: &str| !told.contains(&world.name(service));
    assert!(untouched("queue") && untouched("worker"), "{told}");
    // The deploy is only partly the new generation; the exit code reports that.
    world.run(&["recover"]).with_code(5);
    assert_eq!(world.containers().len(), 4);
    for (service, changed) in [
        ("db", true),
        ("api", true),
        ("queue", false),
        ("worker", false),
    ] {
        let id = world.running(service);
        assert_eq!(id != before[&world.name(service)].0, changed, "{service}");
    }
    for service in ["api", "queue"] {
        let policy = &world.inspect(service)["HostConfig"]["RestartPolicy"]["Name"];
        assert_eq!(policy, "always", "{service}");
    }
    let told = world.run(&["history"]).with_code(0).out;
    assert!(told.contains("failed, rolled back in part"), "{told}");

    // The generation before is the complete earlier one.
    let rollback = world.run(&["rollback", "--progress", "json"]);
    rollback.with(0, Outcome::Converged);
    for service in ["db", "api", "queue", "worker"] {
        let id = world.running(service);
        assert_eq!(id, before[&world.name(service)].0, "{service}");
    }
}

/// Writes a manifest with one service that is ready when `file` exists.
fn app(world: &World, file: &str) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        service "app" {{
            use "doomed"
            env TEXT="{file}"
            ready timeout="2s" {{ file "{file}"; log "at work"; }}
        }}
        "#
    ));
}

/// Returns the names of all containers, and whether each runs.
fn there(world: &World) -> Vec<(String, bool)> {
    let containers = world.containers().into_iter();
    containers.map(|(name, (_, runs))| (name, runs)).collect()
}

const KEEP: [&str; 4] = ["up", "--keep-failed", "--progress", "plain"];

#[test]
fn keep_failed_keeps_container_of_first_deploy() {
    let Some(world) = World::new("keepfirst") else {
        return;
    };
    app(&world, "/never");
    let failed = world.run(&KEEP).with_code(5);
    let kept = format!("{}.g1.failed", world.name("app"));
    let help = format!("docker logs {kept}");
    assert!(failed.err.contains(&help), "{}", failed.err);
    assert_eq!(there(&world), [(kept.clone(), false)]);
    let path = format!("/containers/{kept}/logs?stdout=1");
    let log = String::from_utf8_lossy(&world.api.ask("GET", &path, None).body).into_owned();
    assert!(log.contains("at work"), "{log}");

    // The kept container does not count as the service's, and is removed after a successful deploy.
    app(&world, "/etc");
    world.up().with(0, Outcome::Converged);
    assert_eq!(there(&world), [(world.name("app"), true)]);
}

#[test]
fn keep_failed_keeps_container_of_update() {
    let Some(world) = World::new("keep") else {
        return;
    };
    app(&world, "/etc");
    world.up().with(0, Outcome::Converged);
    let good = world.running("app");
    app(&world, "/never");
    let ended = world.run(&["up", "--keep-failed", "--progress", "json"]);
    let ended = ended.with(5, Outcome::RolledBack);
    let told = ended.told(|event| match event {
        Event::RunFinished {
            retained_containers: kept_containers,
            ..
        } => Some(kept_containers.clone()),
        _ => None,
    });
    assert_eq!(world.running("app"), good);
    let kept = (told[0].to_string(), false);
    assert_eq!(there(&world), [(world.name("app"), true), kept]);
    app(&world, "/etc");
    world.up().with(0, Outcome::Converged);
    assert_eq!(there(&world), [(world.name("app"), true)]);
    assert_eq!(world.running("app"), good);
    // `down` removes the kept container, too.
    app(&world, "/never");
    world.run(&KEEP).with_code(5);
    assert_eq!(there(&world).len(), 2);
    world.run(&["down"]).with_code(0);
    assert_eq!(world.things(), Vec::<String>::new());
}
