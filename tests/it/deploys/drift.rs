//! Drift of containers after manual changes, and its repair by `up`.

use std::{fs, os::unix::fs::symlink};

use cimandat::event::Outcome;
use serde_json::{Value, json};

use crate::support::{Ended, World};

/// Makes a manual change through the engine's API.
#[track_caller]
fn by_hand(world: &World, path: &str, body: Option<&Value>) {
    let reply = world.api.ask("POST", path, body);
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    assert!((200..300).contains(&reply.status), "{path}: {said}");
}

/// Writes a manifest with a resource-limited `db`, also named `store`, and `web`, whose gate
/// resolves both names.
fn shop(world: &World) {
    world.manifest(
        r#"
        deploy stabilize="0s"
        volume "data"
        network "back"
        service "db" {
            use "web"
            env TEXT="data"
            volume "data" "/data"
            network "back" alias="store"
            limit cpus=0.5 memory="64MiB" pids=50
            restart "unless-stopped"
            ready timeout="60s" { http 8080 contains="data"; }
        }
        service "web" {
            use "web"
            env TEXT="page"
            network "back"
            depends-on "db"
            ready timeout="60s" { exec "sh" "-c" "getent hosts db && getent hosts store"; }
        }
        "#,
    );
}

fn listed(world: &World) -> Value {
    let ended = world.run(&["ps", "--format", "json"]).with_code(0);
    serde_json::from_str(&ended.out).unwrap_or_default()
}

/// Returns a service's drift as `ps` reports it: each field with its recorded and its observed
/// value.
fn drift(world: &World, service: &str) -> Vec<String> {
    let listed = listed(world);
    let containers = listed["containers"].as_array().cloned().unwrap_or_default();
    let own = containers.iter().filter(|it| it["service"] == service);
    own.flat_map(|it| it["drift"].as_array().cloned().unwrap_or_default())
        .map(|it| {
            let side = |key: &str| it[key].as_str().unwrap_or("-").to_owned();
            format!("{}: {} → {}", side("field"), side("from"), side("to"))
        })
        .collect()
}

/// Runs `up --drift error`, which must change nothing because of drift.
fn refused(world: &World) -> Ended {
    let before = world.containers();
    let ended = world.run(&["up", "--drift", "error"]).with_code(3);
    assert!(ended.err.contains("nothing was changed"), "{}", ended.err);
    assert_eq!(world.containers(), before);
    ended
}

fn started(world: &World, service: &str) -> Value {
    world.inspect(service)["State"]["StartedAt"].clone()
}

#[test]
fn manual_setting_changes_are_repaired_without_restart() {
    let Some(world) = World::new("settings") else {
        return;
    };
    shop(&world);
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(&world, "db"), Vec::<String>::new());
    let before = (world.containers(), started(&world, "db"));
    let (db, web) = (world.name("db"), world.name("web"));
    let update = json!({
        "Memory": 128 << 20, "MemorySwap": 128 << 20, "PidsLimit": -1,
        "RestartPolicy": { "Name": "always" },
    });
    by_hand(&world, &format!("/containers/{db}/update"), Some(&update));
    by_hand(&world, &format!("/containers/{db}/pause"), None);
    let other = format!("{}-elsewhere", world.project);
    by_hand(
        &world,
        &format!("/containers/{web}/rename?name={other}"),
        None,
    );
    assert_eq!(
        drift(&world, "db"),
        [
            "status: running → paused",
            "restart: unless-stopped → always",
            "limit.memory: 64MiB → 128MiB",
            "limit.pids: 50 → -",
        ]
    );
    assert_eq!(drift(&world, "web"), [format!("name: {web} → {other}")]);
    let told = refused(&world).err;
    assert!(told.contains("limit.memory: 64MiB → 128MiB"), "{told}");
    assert!(told.contains(&other), "{told}");
    let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(shown.contains("drifted restart:"), "{shown}");

    world.up().with(0, Outcome::Converged);
    assert_eq!((world.containers(), started(&world, "db")), before);
    let host = world.inspect("db")["HostConfig"].clone();
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 64 << 20);
    assert_eq!(host["PidsLimit"], 50);
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(drift(&world, "db"), Vec::<String>::new());
    world
        .run(&["up", "--drift", "error", "--progress", "json"])
        .with(0, Outcome::Unchanged);
}

#[test]
fn detached_container_is_reattached_with_all_aliases() {
    let Some(world) = World::new("detached") else {
        return;
    };
    shop(&world);
    world.up().with(0, Outcome::Converged);
    let web = world.running("web");
    let network = format!("{}_back", world.project);
    let out = json!({ "Container": world.name("db"), "Force": true });
    by_hand(
        &world,
        &format!("/networks/{network}/disconnect"),
        Some(&out),
    );
    assert_eq!(
        drift(&world, "db"),
        [format!("network.back: attached to {network} → detached")]
    );
    // Reattached without its aliases, as users do: `store` no longer resolves.
    let back = json!({ "Container": world.name("db") });
    by_hand(&world, &format!("/networks/{network}/connect"), Some(&back));
    let found = drift(&world, "db");
    assert_eq!(found[0], "network.back.alias: db, store → -");
    assert!(found[1].starts_with("network.back.ipv4: "), "{found:?}");
    assert_eq!(found.len(), 2);
    refused(&world);
    let db = world.running("db");
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(&world, "db"), Vec::<String>::new());
    assert_eq!(world.running("db"), db, "it was attached while it ran");
    assert_eq!(world.running("web"), web);
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn stopped_containers_with_removed_network_are_recreated() {
    let Some(world) = World::new("pruned") else {
        return;
    };
    shop(&world);
    world.up().with(0, Outcome::Converged);
    for service in ["web", "db"] {
        let path = format!("/containers/{}/stop?t=1", world.name(service));
        by_hand(&world, &path, None);
    }
    assert_eq!(
        drift(&world, "web"),
        ["status: running → exited with code 143"]
    );
    let network = format!("/networks/{}_back", world.project);
    assert_eq!(world.api.ask("DELETE", &network, None).status, 204);
    world.up().with(0, Outcome::Converged);
    world.running("web");
    world.running("db");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn repair_that_fails_its_gate_is_rolled_back() {
    let Some(world) = World::new("unproven") else {
        return;
    };
    let app = |file: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
            service "app" {{
                use "doomed"
                limit memory="64MiB"
                ready timeout="1s" {{ file "{file}"; }}
            }}
            "#
        ));
    };
    app("/etc");
    world.up().with(0, Outcome::Converged);
    let before = (world.containers(), started(&world, "app"));
    let path = format!("/containers/{}/update", world.name("app"));
    let update = json!({ "Memory": 128 << 20, "MemorySwap": 128 << 20 });
    by_hand(&world, &path, Some(&update));
    app("/never");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!((world.containers(), started(&world, "app")), before);
    let memory = world.inspect("app")["HostConfig"]["Memory"].clone();
    assert_eq!(memory, 128 << 20, "as it was found");
    app("/etc");
    world.up().with(0, Outcome::Converged);
    let memory = world.inspect("app")["HostConfig"]["Memory"].clone();
    assert_eq!(memory, 64 << 20);
}

#[test]
fn network_stack_guest_restarts_after_its_owner() {
    let Some(world) = World::new("sharing") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s"
        service "owner" { use "web"; env TEXT="owner"; ready { http 8080; }; }
        service "guest" {
            use "doomed"
            network-mode "service:owner"
            depends-on "owner"
            ready timeout="60s" { exec "sh" "-c" "grep -q eth0 /proc/net/dev"; }
        }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    assert_eq!(drift(&world, "guest"), Vec::<String>::new());
    let restart = format!("/containers/{}/restart?t=1", world.name("owner"));
    by_hand(&world, &restart, None);
    assert_eq!(
        drift(&world, "guest"),
        ["network-mode: service:owner → that of `owner` before its last start"]
    );
    // The gate passes only with the new network stack.
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(&world, "guest"), Vec::<String>::new());
    assert_eq!(world.containers(), before);
}

#[test]
fn retagged_image_replaces_its_containers() {
    let Some(world) = World::new("retagged") else {
        return;
    };
    let (project, tag) = (&world.project, format!("{}:1", world.project));
    let retag = |image: &str| {
        by_hand(
            &world,
            &format!("/images/{image}/tag?repo={project}&tag=1"),
            None,
        );
    };
    retag(crate::support::IMAGE);
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        service "app" {{ use "doomed"; image "{tag}"; pull "never"; }}
        "#
    ));
    world.up().with(0, Outcome::Converged);
    let first = world.running("app");
    let commit = format!(
        "/commit?container={}&repo={project}&tag=2",
        world.name("app")
    );
    by_hand(&world, &commit, None);
    retag(&format!("{project}:2"));
    let shown = world.run(&["plan"]).with_code(0).out;
    assert!(shown.contains("(start first): image "), "{shown}");
    world.up().with(0, Outcome::Converged);
    assert_ne!(world.running("app"), first);
    world.run(&["down", "--timeout", "1"]).with_code(0);
    for tag in [tag, format!("{project}:2")] {
        let gone = world.api.ask("DELETE", &format!("/images/{tag}"), None);
        assert_eq!(gone.status, 200, "{tag}");
    }
}

#[test]
fn container_with_copied_labels_is_reported_and_kept() {
    let Some(world) = World::new("copied") else {
        return;
    };
    shop(&world);
    world.up().with(0, Outcome::Converged);
    let labels = world.inspect("web")["Config"]["Labels"].clone();
    let copy = format!("{}-copy", world.project);
    let body = json!({ "Image": crate::support::IMAGE, "Labels": labels });
    let id = world.api.create(&copy, &body);
    let shown = world.run(&["plan"]).with_code(0).out;
    assert!(shown.contains(&copy), "{shown}");
    world.up().with(0, Outcome::Unchanged);
    let there = world.api.get(&format!("/containers/{id}/json"));
    assert_eq!(there["Name"], format!("/{copy}"));
    let gone = world.api.ask("DELETE", &format!("/containers/{id}"), None);
    assert_eq!(gone.status, 204);

    // A container under the project's own name, with the project's label only.
    let web = world.name("web");
    let path = format!("/containers/{web}?force=1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 204);
    let body = json!({
        "Image": crate::support::IMAGE, "Labels": { "io.cimandat.project": world.project },
    });
    let id = world.api.create(&web, &body);
    let told = world.up().with_code(3).err;
    assert!(told.contains("was not created by `cimandat`"), "{told}");
    let gone = world.api.ask("DELETE", &format!("/containers/{id}"), None);
    assert_eq!(gone.status, 204);
    world.up().with(0, Outcome::Converged);
    world.running("web");
}

/// Recreates a container in the manner of another program: same name, labels and settings, as tools
/// do that replace containers when their image has a newer version.
fn recreate(world: &World, service: &str) -> String {
    let inspected = world.inspect(service);
    let (name, networks) = (
        world.name(service),
        inspected["NetworkSettings"]["Networks"].clone(),
    );
    let networks = networks.as_object().cloned().unwrap_or_default();
    let endpoints = networks.into_iter().map(|(network, it)| {
        let settings = json!({ "Aliases": it["Aliases"], "IPAMConfig": it["IPAMConfig"] });
        (network, settings)
    });
    let mut body = inspected["Config"].clone();
    body["HostConfig"] = inspected["HostConfig"].clone();
    body["NetworkingConfig"] = json!({
        "EndpointsConfig": endpoints.collect::<serde_json::Map<_, _>>(),
    });
    let path = format!("/containers/{name}?force=1&v=1");
    assert_eq!(world.api.ask("DELETE", &path, None).status, 204);
    let id = world.api.create(&name, &body);
    by_hand(world, &format!("/containers/{id}/start"), None);
    id
}

#[test]
fn container_recreated_by_another_program_is_replaced() {
    let Some(world) = World::new("recreated") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s"
        secret "pw" generate="alphanumeric" length=8
        config "page" content="a page"
        network "back"
        service "app" {
            use "doomed"
            stop-grace-period "0s"
            network "back"
            secret "pw"
            config "page" target="/etc/page"
            ready { file "/run/secrets/pw"; file "/etc/page"; }
        }
        service "other" { use "doomed"; stop-grace-period "0s"; network "back"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let (first, other) = (world.running("app"), world.running("other"));
    let second = recreate(&world, "app");
    let short = |id: &str| id.chars().take(12).collect::<String>();
    let message = format!(
        "id: {} → {}, made by another program",
        short(&first),
        short(&second)
    );
    assert_eq!(drift(&world, "app"), [message.as_str()]);
    let listed = world.run(&["ps"]).with_code(0).out;
    assert!(listed.contains("drifted: id"), "{listed}");
    let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(shown.contains(&format!("drifted {message}")), "{shown}");
    assert!(refused(&world).err.contains(&message));

    world.up().with(0, Outcome::Converged);
    let third = world.running("app");
    assert!(third != first && third != second);
    assert_eq!(world.running("other"), other);
    assert_eq!(drift(&world, "app"), Vec::<String>::new());
    // The recreated container, without its files, is not kept as a rollback target.
    let all = world.api.containers(&world.project);
    assert!(all.iter().all(|it| it["Id"] != second.as_str()), "{all:?}");
    world.run(&["plan", "--exit-code"]).with_code(0);

    // Drift is also detected for kept containers and for containers that a later deploy leaves
    // unchanged.
    recreate(&world, "other");
    let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(shown.contains("other  replaced"), "{shown}");
}

#[test]
fn host_name_of_container_causes_no_drift() {
    let Some(world) = World::new("hostname") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s"
        network "back"
        service "app" {
            use "doomed"
            stop-grace-period "0s"
            hostname "box"
            network "back" alias="shop"
        }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(&world, "app"), Vec::<String>::new());
    world.up().with(0, Outcome::Unchanged);
}

/// Returns whether the test may read the namespaces of container processes; only root may.
fn may_look() -> bool {
    fs::read_link("/proc/1/ns/mnt").is_ok()
}

fn write(world: &World, file: &str, text: &str) {
    fs::write(world.path(file), text).expect("a file");
}

/// Replaces a file by a new one, as an editor saves it.
fn replace(world: &World, file: &str, text: &str) {
    write(world, "new", text);
    fs::rename(world.path("new"), world.path(file)).expect("another name");
}

/// Writes a manifest in which `app` bind-mounts `source` of the manifest's folder.
fn mounting(world: &World, source: &str, target: &str) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        service "app" {{
            use "doomed"
            stop-grace-period "0s"
            bind "./{source}" "{target}" read-only=#true
            ready {{ log "at work"; }}
        }}
        "#
    ));
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(world, "app"), Vec::<String>::new());
}

/// Checks that `up` restarts `app`, which then sees the current content of the source.
fn followed(world: &World, source: &str, target: &str) {
    let before = (world.containers(), started(world, "app"));
    let path = world.path(source).display().to_string();
    let message = format!("mounts[{target}]: {path} → replaced since the start");
    assert_eq!(drift(world, "app"), [message.as_str()]);
    assert!(refused(world).err.contains(&message));
    let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
    let line = format!("app  restarted: 1 field drifted\n      drifted {message}");
    assert!(shown.contains(&line), "{shown}");
    world.up().with(0, Outcome::Converged);
    assert_eq!(drift(world, "app"), Vec::<String>::new());
    assert_eq!(world.containers(), before.0);
    assert_ne!(started(world, "app"), before.1);
    world.run(&["plan", "--exit-code"]).with_code(0);
}

#[test]
fn replaced_bind_file_restarts_container() {
    let Some(world) = World::new("bound").filter(|_| may_look()) else {
        return;
    };
    write(&world, "file", "1");
    mounting(&world, "file", "/etc/file");
    // Content that is written in place is visible inside the container.
    write(&world, "file", "2");
    assert_eq!(drift(&world, "app"), Vec::<String>::new());
    replace(&world, "file", "3");
    followed(&world, "file", "/etc/file");
    // A bind source that does not exist is not reported: the container could not be started with
    // it.
    fs::remove_file(world.path("file")).expect("a file less");
    assert_eq!(drift(&world, "app"), Vec::<String>::new());
}

#[test]
fn retargeted_bind_link_restarts_container() {
    let Some(world) = World::new("linked").filter(|_| may_look()) else {
        return;
    };
    write(&world, "one", "1");
    write(&world, "two", "2");
    symlink("one", world.path("link")).expect("a link");
    mounting(&world, "link", "/etc/file");
    fs::remove_file(world.path("link")).expect("a link less");
    symlink("two", world.path("link")).expect("a link");
    followed(&world, "link", "/etc/file");
}

#[test]
fn replaced_bind_folder_restarts_container() {
    let Some(world) = World::new("folder").filter(|_| may_look()) else {
        return;
    };
    fs::create_dir(world.path("folder")).expect("a folder");
    write(&world, "folder/file", "1");
    mounting(&world, "folder", "/etc/folder");
    replace(&world, "folder/file", "2");
    assert_eq!(drift(&world, "app"), Vec::<String>::new());
    fs::rename(world.path("folder"), world.path("old")).expect("another name");
    fs::create_dir(world.path("folder")).expect("a folder");
    followed(&world, "folder", "/etc/folder");
}

#[test]
fn network_stack_guest_restarts_after_owner_is_killed() {
    let Some(world) = World::new("killed") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s"
        service "owner" { use "web"; env TEXT="owner"; ready { http 8080; }; }
        service "guest" {
            use "doomed"
            network-mode "service:owner"
            depends-on "owner"
            stop-grace-period "0s"
            ready timeout="60s" { exec "sh" "-c" "grep -q eth0 /proc/net/dev"; }
        }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    world.api.signal(&world.name("owner"), "KILL");
    let shown = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(
        shown.contains("guest  restarted: `owner` is started again"),
        "{shown}"
    );
    world.up().with(0, Outcome::Converged);
    assert_eq!(world.containers(), before);
    world.run(&["plan", "--exit-code"]).with_code(0);
}
