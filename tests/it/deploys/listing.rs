//! Reports about a project: unknown names, counts, missing replicas, and the author of a deploy.

use std::process::Command;

use cimandat::event::Outcome;
use serde_json::Value;

use crate::support::{Running, World};

fn remove(world: &World, container: &str) {
    let path = format!("/containers/{container}?force=1&v=1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 204);
}

#[test]
fn unknown_services_are_refused_by_every_command() {
    let Some(world) = World::new("unknown") else {
        return;
    };
    world.manifest(r#"service "web" { use "doomed"; }; service "cache" { use "doomed"; }"#);
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    for command in ["up", "plan", "simulate", "build", "down", "ps", "logs"] {
        let told = world.run(&[command, "cahce", "nope"]).with_code(3);
        for part in [
            "no service or job `cahce`",
            "did you mean `cache`?",
            "no service or job `nope`",
            "its services are cache, web",
        ] {
            assert!(
                told.err.contains(part),
                "{command}: no {part:?} in\n{}",
                told.err
            );
        }
        assert_eq!(told.out, "", "{command}");
    }
    let rerun = world.run(&["plan", "--rerun", "cahce"]).with_code(3).err;
    assert!(rerun.contains("did you mean `cache`?"), "{rerun}");
    assert_eq!(world.containers(), before);
    // The names of existing services are known without a manifest.
    std::fs::remove_file(world.path("cimandat.kdl")).unwrap();
    let told = world
        .run(&["-p", &world.project, "down", "cahce"])
        .with_code(3)
        .err;
    assert!(told.contains("did you mean `cache`?"), "{told}");
    world
        .run(&["-p", &world.project, "down", "cache"])
        .with_code(0);
}

#[test]
fn plan_and_verdict_report_equal_counts() {
    let Some(world) = World::new("counts") else {
        return;
    };
    let services = |names: &[&str], replicas: u32| {
        let named = names.iter();
        let named: Vec<String> = named
            .map(|name| format!("service \"{name}\" {{ use \"doomed\"; }}\n"))
            .collect();
        let named = named.concat();
        let workers = format!("service \"worker\" {{ use \"doomed\"; replicas {replicas}; }}\n");
        world.manifest(&format!("{named}{workers}deploy stabilize=\"0s\""));
    };
    let check = |planned: &str, done: &str| {
        let plan = world.run(&["plan"]).with_code(0).out;
        let first = plan.lines().next().unwrap();
        assert_eq!(first, format!("{}: {planned}", world.project));
        let told = world.run(&["up", "--progress", "quiet"]).with_code(0).err;
        let expected = format!("`{}` is running: {done} in ", world.project);
        assert!(told.starts_with(&expected), "{told}");
    };
    services(&["db", "api"], 4);
    check("6 to create", "6 created");
    // `api` is renamed to `backend`.
    services(&["db", "backend"], 4);
    check(
        "1 to create, 1 to remove, 5 unchanged",
        "1 created, 1 removed (`api`), 5 unchanged",
    );
    services(&["db"], 4);
    check(
        "1 to remove, 5 unchanged",
        "1 removed (`backend`), 5 unchanged",
    );
    services(&["db"], 1);
    check(
        "3 to remove, 2 unchanged",
        "3 removed (`worker-2`, `worker-3`, `worker-4`), 2 unchanged",
    );
}

#[test]
fn missing_replicas_are_listed_in_numeric_order() {
    let Some(world) = World::new("gaps") else {
        return;
    };
    world.manifest(
        r#"
        service "svc-10" { use "doomed"; }
        service "svc-2" { use "doomed"; replicas 2; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let gone = format!("{}-svc-2-2", world.project);
    remove(&world, &gone);
    let told = world.run(&["ps"]).with_code(0).out;
    let rows: Vec<Vec<&str>> = told
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    let name = |end: &str| format!("{}-{end}", world.project);
    let (two, ten) = (name("svc-2-1"), name("svc-10-1"));
    let expected = [
        ["svc-2", &two, "running"],
        ["svc-2", &gone, "missing"],
        ["svc-10", &ten, "running"],
    ];
    assert_eq!(rows, expected, "{told}");
    assert!(!told.contains("running for"), "{told}");
    let told = world.run(&["ps", "--format", "json"]).with_code(0).out;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["missing"].as_array().unwrap().len(), 1);
    assert_eq!(told["missing"][0]["container"], gone);
    world.up().with(0, Outcome::Converged);
    let told = world.run(&["ps"]).with_code(0).out;
    assert!(!told.contains("missing"), "{told}");
}

#[test]
fn author_is_known_without_environment_variables() {
    let Some(world) = World::new("author") else {
        return;
    };
    world.manifest(r#"service "app" { use "doomed"; }"#);
    let mut command = world.command(&["up", "--progress", "json"]);
    for name in ["USER", "LOGNAME", "USERNAME"] {
        command.env_remove(name);
    }
    Running::begin(&world, command)
        .end()
        .with(0, Outcome::Converged);
    let id = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(id.stdout).unwrap();
    let told = world.run(&["history", "--format", "json"]).with_code(0).out;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["deploys"][0]["author"]["user"], user.trim());
}

#[test]
fn unreachable_registry_error_names_the_local_image() {
    let Some(world) = World::new("registry") else {
        return;
    };
    // Nothing listens on this port.
    let image = format!("127.0.0.1:1/{}", world.project);
    let tag = format!("/images/{}/tag?repo={image}&tag=1", crate::support::IMAGE);
    assert_eq!(world.api.ask("POST", &tag, None).status, 201);
    world.manifest(&format!(
        r#"service "app" {{ use "doomed"; image "{image}:1"; pull "always"; }}"#
    ));
    let told = world.run(&["up", "--progress", "quiet"]);
    let taken = world.run(&["up", "--pull", "missing", "--progress", "json"]);
    world.run(&["down"]).with_code(0);
    let path = format!("/images/{image}:1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 200);
    let absent = world.run(&["up", "--progress", "quiet"]);

    let told = told.with_code(4).err;
    for part in [
        "its registry cannot be reached",
        "it is on the engine already",
        "help: `pull \"missing\"` in the manifest, or `--pull missing` once",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
    taken.with(0, Outcome::Converged);
    let absent = absent.with_code(4).err;
    assert!(!absent.contains("on the engine already"), "{absent}");
    assert!(
        absent.contains("its registry cannot be reached"),
        "{absent}"
    );
}

#[test]
fn refusals_of_the_engine_are_explained() {
    let Some(world) = World::new("explained") else {
        return;
    };
    world.manifest(r#"service "app" { use "doomed"; user "nosuch"; }"#);
    let told = world.run(&["up", "--progress", "quiet"]).err;
    let ours = "the image has no user `nosuch`; the engine says: unable to find user nosuch";
    assert!(told.contains(ours), "{told}");
}
