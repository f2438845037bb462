//! A deploy that fails in part, and what is kept of a failure to look at.

use cimandat::event::{Event, Outcome};

use crate::support::World;

/// Two chains that know nothing of each other; `queue` is ready when this file is there.
fn chains(world: &World, text: &str, file: &str) {
    world.manifest(&format!(
        r#"
        deploy settle="0s" rollback="subtree"
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
            ready within="2s" {{ file "{file}"; }}
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
fn what_does_not_wait_for_the_failed_service_is_committed() {
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
    // The next one has to do what is missing, and nothing else.
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
fn the_end_says_who_is_new_and_who_is_not() {
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
    // Nothing was there before, so nothing of them is.
    let names: Vec<String> = world.containers().into_keys().collect();
    assert_eq!(names, [world.name("api"), world.name("db")]);
}

#[test]
fn a_part_that_is_committed_stays_whatever_cuts_its_deploy_off() {
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
    assert!(told.contains("after its commit; it would go on"), "{told}");
    let untouched = |service: &str| !told.contains(&world.name(service));
    assert!(untouched("queue") && untouched("worker"), "{told}");
    // Not all of it is the new generation: that is told.
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

    // The generation before is that of before, whole.
    let rollback = world.run(&["rollback", "--progress", "json"]);
    rollback.with(0, Outcome::Converged);
    for service in ["db", "api", "queue", "worker"] {
        let id = world.running(service);
        assert_eq!(id, before[&world.name(service)].0, "{service}");
    }
}

/// One service, ready when this file is there.
fn app(world: &World, file: &str) {
    world.manifest(&format!(
        r#"
        deploy settle="0s"
        service "app" {{
            use "doomed"
            env TEXT="{file}"
            ready within="2s" {{ file "{file}"; log "at work"; }}
        }}
        "#
    ));
}

/// The names of all containers, and whether each runs.
fn there(world: &World) -> Vec<(String, bool)> {
    let containers = world.containers().into_iter();
    containers.map(|(name, (_, runs))| (name, runs)).collect()
}

const KEEP: [&str; 4] = ["up", "--keep-failed", "--progress", "plain"];

#[test]
fn a_container_that_failed_a_first_deploy_can_be_kept() {
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

    // It does not count as the service's container, and goes when a deploy succeeds.
    app(&world, "/etc");
    world.up().with(0, Outcome::Converged);
    assert_eq!(there(&world), [(world.name("app"), true)]);
}

#[test]
fn a_container_that_failed_an_update_can_be_kept() {
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
    // `down` takes it along, too.
    app(&world, "/never");
    world.run(&KEEP).with_code(5);
    assert_eq!(there(&world).len(), 2);
    world.run(&["down"]).with_code(0);
    assert_eq!(world.things(), Vec::<String>::new());
}
