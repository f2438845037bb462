//! Successful deploys: the first deploy, one without changes, a change of one service, and `down`.

use std::fs;

use cimandat::event::{Event, Outcome};

use crate::support::{Client, Ended, World, free_port};

/// Writes a manifest with two services, of which `shop` depends on the others and is published.
fn shop(world: &World, port: u16, text: &str) {
    world.manifest(&format!(
        r#"
        volume "data"
        service "db" {{
            use "web"
            env TEXT="data"
            volume "data" "/data"
            ready {{ http 8080 contains="data" }}
        }}
        service "cache" {{
            use "doomed"
            ready {{ log "at work" }}
        }}
        service "shop" {{
            use "web"
            env TEXT="{text}"
            port "127.0.0.1:{port}:8080"
            depends-on "db" "cache"
            restart "unless-stopped"
            ready {{ http 8080 contains="{text}" }}
        }}
        verify {{ http "http://127.0.0.1:{port}/" contains="{text}" }}
        "#
    ));
}

fn is_about(subject: &cimandat::plan::Subject, service: &str) -> bool {
    subject.to_string() == service
}

fn start_of(ended: &Ended, service: &str) -> std::time::Duration {
    ended.when(|event| {
        matches!(event, Event::StepStarted { subject, verb, .. }
            if verb == "starting container" && is_about(subject, service))
    })
}

fn gate_of(ended: &Ended, service: &str) -> std::time::Duration {
    ended.when(|event| matches!(event, Event::Ready { subject, .. } if is_about(subject, service)))
}

#[test]
fn first_deploy_starts_in_dependency_order() {
    let Some(world) = World::new("first") else {
        return;
    };
    let port = free_port();
    shop(&world, port, "one");
    let ended = world.up().with(0, Outcome::Converged);
    assert!(start_of(&ended, "shop") >= gate_of(&ended, "db"));
    assert!(start_of(&ended, "shop") >= gate_of(&ended, "cache"));
    // Services without dependencies do not wait for each other.
    assert!(start_of(&ended, "db") < gate_of(&ended, "cache"));
    assert!(start_of(&ended, "cache") < gate_of(&ended, "db"));
    let steps = ended.steps();
    let started = |step: &String| step.starts_with("starting");
    let made = |step: &String| step.starts_with("creating");
    assert!(
        steps.iter().position(started) > steps.iter().rposition(made),
        "{steps:?}"
    );
    for service in ["db", "cache", "shop"] {
        world.running(service);
    }
    assert_eq!(world.volumes(), [format!("{}_data", world.project)]);
    assert_eq!(Client::ask(port).as_deref(), Some("one"));
    // The restart policy is set after a successful deploy.
    let policy = &world.inspect("shop")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "unless-stopped");
}

#[test]
fn repeated_deploy_changes_nothing() {
    let Some(world) = World::new("idle") else {
        return;
    };
    shop(&world, free_port(), "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    let ended = world.up().with(0, Outcome::Unchanged);
    assert_eq!(ended.steps(), Vec::<String>::new());
    assert_eq!(world.containers(), before);
}

#[test]
fn update_replaces_only_changed_services() {
    let Some(world) = World::new("change") else {
        return;
    };
    let port = free_port();
    shop(&world, port, "one");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    shop(&world, port, "two");
    let ended = world.up().with(0, Outcome::Converged);
    let after = world.containers();
    assert_eq!(before.len(), after.len());
    for (name, seen) in &before {
        assert_eq!(
            after[name] == *seen,
            *name != world.name("shop"),
            "{name}: {after:?}"
        );
    }
    assert_eq!(Client::ask(port).as_deref(), Some("two"));
    let steps = ended.steps();
    assert!(
        steps
            .iter()
            .all(|step| step.contains("shop") || step.contains("http://")),
        "{steps:?}"
    );
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn orphans_are_removed_after_commit() {
    let Some(world) = World::new("orphans") else {
        return;
    };
    let both = r#"service "a" { use "doomed"; }
                  service "b" { use "doomed"; }"#;
    world.manifest(both);
    world.up().with(0, Outcome::Converged);
    let kept = world.running("a");
    world.manifest(r#"service "a" { use "doomed"; }"#);
    let ended = world.up().with(0, Outcome::Converged);
    let committed = ended.when(|event| matches!(event, Event::Committed));
    let removed = ended.when(
        |event| matches!(event, Event::StepStarted { object, .. } if *object == world.name("b")),
    );
    assert!(removed >= committed);
    assert_eq!(world.running("a"), kept);
    assert_eq!(world.containers().len(), 1);
}

#[test]
fn down_keeps_volumes_unless_requested() {
    let Some(world) = World::new("down") else {
        return;
    };
    shop(&world, free_port(), "one");
    world.up().with(0, Outcome::Converged);
    let volume = format!("{}_data", world.project);
    let down = ["down", "--progress", "json"];
    let ended = world.run(&down).with(0, Outcome::Converged);
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.volumes(), [volume.as_str()]);
    // Dependents stop before their dependencies.
    let stop = |service: &str| {
        ended.when(|event| {
            matches!(event, Event::StepStarted { verb, object, .. }
                if verb == "stopping container" && *object == world.name(service))
        })
    };
    assert!(stop("shop") < stop("db") && stop("shop") < stop("cache"));
    world.run(&down).with(0, Outcome::Unchanged);
    assert_eq!(world.volumes(), [volume]);

    world
        .run(&["down", "--volumes", "--progress", "json"])
        .with(0, Outcome::Converged);
    assert_eq!(world.volumes(), Vec::<String>::new());
    world
        .run(&["down", "--volumes", "--progress", "json"])
        .with(0, Outcome::Unchanged);
}

#[test]
fn down_with_images_removes_all_tags_of_built_images() {
    let Some(world) = World::new("down-images") else {
        return;
    };
    fs::create_dir(world.path("app")).unwrap();
    fs::write(
        world.path("app/Dockerfile"),
        "FROM debian:trixie-slim\nCMD [\"sleep\", \"600\"]\n",
    )
    .unwrap();
    // One image has its own name, and a name for each service and generation.
    for text in ["one", "two"] {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "a" {{ build "app"; env TEXT="{text}"; }}
            service "b" {{ image-of "a"; env TEXT="{text}"; }}
            "#
        ));
        world.up().with(0, Outcome::Converged);
    }
    let names = || -> Vec<String> {
        let listed = world.api.get("/images/json");
        let tags = listed.as_array().unwrap().iter().flat_map(|image| {
            let tags = image["RepoTags"].as_array().cloned();
            tags.unwrap_or_default()
        });
        let tags = tags.map(|tag| tag.as_str().unwrap().to_owned());
        tags.filter(|tag| tag.starts_with(&world.project)).collect()
    };
    assert_eq!(names().len(), 5, "{:?}", names());
    let down = ["down", "--images", "--timeout", "1", "--progress", "json"];
    world.run(&down).with(0, Outcome::Converged);
    assert_eq!(names(), Vec::<String>::new());
}
