//! `down`: it names everything that it leaves, with the reason, and does not mention a rollback.

use std::{thread, time::Duration};

use cimandat::event::{Event, Outcome};
use serde_json::json;

use crate::support::{Ended, World};

fn left(ended: &Ended) -> Vec<String> {
    ended.told(|event| match event {
        Event::RunFinished {
            unfinished: left, ..
        } => Some(left.clone()),
        _ => None,
    })
}

#[test]
fn foreign_container_on_the_network_is_named() {
    let Some(world) = World::new("stranger") else {
        return;
    };
    world.manifest(
        r#"
        network "front"
        network "back"
        service "app" { use "doomed"; network "front"; network "back"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let network = format!("{}_front", world.project);
    let stranger = format!("{}-stranger", world.project);
    let body = json!({
        "Image": crate::support::IMAGE,
        "Cmd": ["sleep", "600"],
        "HostConfig": {"NetworkMode": network, "Init": true},
    });
    let id = world.api.create(&stranger, &body);
    let path = format!("/containers/{id}/start");
    assert_eq!(world.api.ask("POST", &path, None).status, 204);

    let ended = world.run(&["down", "--progress", "json"]);
    let things = world.things();
    let again = world.run(&["down", "--progress", "plain"]);
    // The container is removed before the checks: after a failed check nothing else would remove
    // it.
    let path = format!("/containers/{id}?force=1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 204);
    let ended = ended.with(10, Outcome::RemovalIncomplete);
    assert_eq!(left(&ended), [format!("network `{network}`")]);
    assert_eq!(things, [network.as_str()]);
    let told = again.with_code(10).err;
    for part in [
        format!("`{network}` is still in use by container `{stranger}` (of no project)"),
        format!("docker network disconnect --force {network} {stranger}"),
        format!("not removed: network `{network}`"),
    ] {
        assert!(told.contains(&part), "no {part:?} in\n{told}");
    }
    for word in ["undone", "rolled back", "rollback", "intervention"] {
        assert!(!told.contains(word), "{word:?} in\n{told}");
    }
    world.run(&["down"]).with_code(0);
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn foreign_container_on_a_volume_is_named() {
    let Some(world) = World::new("borrower") else {
        return;
    };
    world.manifest(
        r#"
        volume "data"
        service "app" { use "doomed"; volume "data" "/data"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let volume = format!("{}_data", world.project);
    let borrower = format!("{}-borrower", world.project);
    let body = json!({
        "Image": crate::support::IMAGE,
        "HostConfig": {"Binds": [format!("{volume}:/data")]},
    });
    let id = world.api.create(&borrower, &body);
    let down = ["down", "--volumes", "--progress", "json"];
    let ended = world.run(&down);
    let path = format!("/containers/{id}?force=1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 204);
    let ended = ended.with(10, Outcome::RemovalIncomplete);
    assert_eq!(left(&ended), [format!("volume `{volume}`")]);
    let message = ended.told(|event| match event {
        Event::StepFailed { failure, .. } => Some(failure.message.clone()),
        _ => None,
    });
    assert!(
        message.contains(&format!("container `{borrower}`")),
        "{message}"
    );
    world.run(&down).with(0, Outcome::Converged);
}

#[test]
fn removal_of_one_service_does_not_claim_the_project() {
    let Some(world) = World::new("one") else {
        return;
    };
    world.manifest(r#"service "db" { use "doomed"; }"#);
    world.up().with(0, Outcome::Converged);
    let told = world
        .run(&["down", "db", "--progress", "quiet"])
        .with_code(0)
        .err;
    let expected = format!("`db` of `{}`: 1 container removed in", world.project);
    assert!(told.starts_with(&expected), "{told}");
    world.up().with(0, Outcome::Converged);
    let told = world.run(&["down", "--progress", "quiet"]).with_code(0).err;
    let expected = format!("`{}` is down: 1 container removed in", world.project);
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn interrupted_removal_names_what_is_left() {
    let Some(world) = World::new("halfway") else {
        return;
    };
    world.manifest(r#"service "app" { use "deaf"; stop-grace-period "4s"; }"#);
    world.up().with(0, Outcome::Converged);
    let mut running = world.begin(&["down", "--progress", "json"]);
    running.until(
        "the stop",
        |event| matches!(event, Event::StepStarted { verb, .. } if verb == "stopping container"),
    );
    thread::sleep(Duration::from_millis(100));
    running.interrupt();
    let ended = running.end().with(10, Outcome::RemovalIncomplete);
    let expected = [
        format!("container `{}`", world.name("app")),
        format!("network `{}_default`", world.project),
    ];
    assert_eq!(left(&ended), expected);
    world.run(&["down"]).with_code(0);
}
