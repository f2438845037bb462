//! Volumes with a snapshot before the update: a rollback restores their data.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, fs, io::Read};

use cimandat::event::{Event, Outcome};

use crate::support::{Ended, World};

/// Fills an empty volume, with owners, modes and links that a copy could lose.
const SEED: &str = r#"
    unless (-e "/data/keep") {
        mkdir "/data/sub";
        open(my $$keep, ">", "/data/keep"); print $$keep "precious\n" x 1000; close $$keep;
        open(my $$old, ">", "/data/sub/old"); print $$old "old\n"; close $$old;
        open(my $$big, ">", "/data/big"); truncate($$big, BIG); close $$big;
        symlink "sub/old", "/data/link";
        link "/data/keep", "/data/twin";
        chown 999, 998, "/data/keep", "/data/sub";
        chmod 0640, "/data/keep"; chmod 0750, "/data/sub"; chmod 0700, "/data";
        chown 999, 999, "/data";
    }
"#;

/// Changes, adds and removes files.
const SPOIL: &str = r#"
    open(my $$keep, ">", "/data/keep"); print $$keep "spoilt\n"; close $$keep;
    unlink "/data/sub/old"; rmdir "/data/sub"; unlink "/data/link";
    mkdir "/data/new"; open(my $$new, ">", "/data/new/file"); print $$new "new\n"; close $$new;
    open(my $$pid, ">", "/data/lock"); print $$pid "1\n"; close $$pid;
    chown 0, 0, "/data/keep", "/data"; chmod 0777, "/data", "/data/keep";
"#;

/// Writes a manifest with one service that runs this program on its volume, and is ready when a
/// file exists.
fn keeper(world: &World, steps: &str, ready: &str) {
    world.manifest(&format!(
        r##"
        volume "data" snapshot="before-update"
        service "keeper" {{
            image "debian:trixie-slim"
            command "perl" "-e" #"""
$$| = 1;
{steps}
print "at work\n";
sleep 600 while 1;
"""#
            volume "data" "/data"
            ready timeout="10m" {{ log "at work"; file "{ready}"; }}
        }}
        deploy stabilize="0s"
        "##,
        steps = steps.replace("BIG", "1000"),
    ));
}

/// Returns the content of a container's folder by path: kind, mode, owner, group, link target and
/// bytes.
fn contents(world: &World, service: &str) -> BTreeMap<String, (String, Vec<u8>)> {
    let path = format!("/containers/{}/archive?path=/data", world.name(service));
    let reply = world.api.ask("GET", &path, None);
    assert_eq!(reply.status, 200);
    let mut archive = tar::Archive::new(&reply.body[..]);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        // Engine 20.10 repeats the file type in the bits above the permissions.
        let permissions = header.mode().unwrap() & 0o7777;
        let facts = format!(
            "{:?} {permissions:o} {}:{} {:?}",
            header.entry_type(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.link_name().unwrap(),
        );
        let path = entry.path().unwrap().display().to_string();
        found.insert(path, (facts, content));
    }
    found
}

/// Returns the containers that only copy volumes.
fn helpers(world: &World) -> Vec<String> {
    let listed = world.api.containers(&world.project);
    let copies = listed
        .iter()
        .filter(|it| it["Labels"]["io.cimandat.snapshot"].is_string());
    copies.map(|it| it["Names"][0].to_string()).collect()
}

fn restored(ended: &Ended) -> Vec<String> {
    ended.told(|event| match event {
        Event::RunFinished {
            restored_volumes, ..
        } => Some(restored_volumes.clone()),
        _ => None,
    })
}

#[test]
fn failed_update_restores_damaged_volume() {
    let Some(world) = World::new("data") else {
        return;
    };
    keeper(&world, SEED, "/etc");
    world.up().with(0, Outcome::Converged);
    let before = (
        world.containers(),
        world.volumes(),
        contents(&world, "keeper"),
    );
    assert_eq!(before.2["data/keep"].0, "Regular 640 999:998 None");
    // The program exits right after it has damaged the data.
    keeper(
        &world,
        &format!("{SPOIL} print \"harm done\\n\"; exit 3;"),
        "/etc",
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let volume = format!("{}_data", world.project);
    assert_eq!(restored(&ended), [volume.as_str()]);
    let after = (
        world.containers(),
        world.volumes(),
        contents(&world, "keeper"),
    );
    assert_eq!(after, before);
    // The data was really damaged.
    let log = ended.told(|event| match event {
        Event::ReadinessFailed { report, .. } => Some(report.log.clone()),
        _ => None,
    });
    assert_eq!(log, ["harm done"]);
    // The plain output reports the restored data, too.
    let told = world.run(&["up", "--progress", "plain"]).with_code(5);
    assert!(
        told.err.contains("data restored to its state before:"),
        "{}",
        told.err
    );
}

#[test]
fn successful_updates_keep_one_snapshot() {
    let Some(world) = World::new("copies") else {
        return;
    };
    let volume = format!("{}_data", world.project);
    keeper(&world, SEED, "/etc");
    world.up().with(0, Outcome::Converged);
    assert_eq!(world.volumes(), [volume.as_str()]);
    for generation in 2..=3 {
        let steps = format!("{SEED} # generation {generation}\n");
        keeper(&world, &steps, "/etc");
        world.up().with(0, Outcome::Converged);
        let copy = format!("{volume}.before-g{generation}");
        assert_eq!(world.volumes(), [volume.clone(), copy]);
    }
    assert_eq!(world.containers().len(), 1);
    world.up().with(0, Outcome::Unchanged);
    // Snapshots are removed with the data, and not before.
    world.run(&["down", "--timeout", "1"]).with_code(0);
    assert_eq!(world.volumes().len(), 2);
    world.run(&["down", "--volumes"]).with_code(0);
    assert_eq!(world.volumes(), Vec::<String>::new());
    assert_eq!(world.things(), Vec::<String>::new());
}

#[test]
fn interrupted_volume_copy_leaves_nothing() {
    let Some(world) = World::new("cut") else {
        return;
    };
    // Large, and created instantly, as the file is sparse.
    keeper(&world, &SEED.replace("BIG", "400_000_000"), "/etc");
    world.up().with(0, Outcome::Converged);
    let before = (world.containers(), world.volumes());
    keeper(&world, SPOIL, "/etc");
    let mut running = world.begin_up();
    running.until(
        "the copy to begin",
        |event| matches!(event, Event::StepStarted { verb, .. } if verb == "copying volume"),
    );
    running.interrupt();
    let ended = running.end().with(8, Outcome::Cancelled);
    let started = format!("starting container {}.g2", world.name("keeper"));
    assert!(!ended.steps().contains(&started), "{:?}", ended.steps());
    assert_eq!(restored(&ended), Vec::<String>::new());
    assert_eq!((world.containers(), world.volumes()), before);
    assert_eq!(helpers(&world), Vec::<String>::new());
    world.running("keeper");
}

#[test]
fn killed_volume_copy_is_recovered() {
    let Some(world) = World::new("killed") else {
        return;
    };
    keeper(&world, &SEED.replace("BIG", "400_000_000"), "/etc");
    world.up().with(0, Outcome::Converged);
    let before = (world.containers(), world.volumes());
    keeper(&world, SPOIL, "/etc");
    let mut running = world.begin_up();
    running.until(
        "the copy to begin",
        |event| matches!(event, Event::StepStarted { verb, .. } if verb == "copying volume"),
    );
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    let recovered = world.run(&["recover", "--progress", "plain"]);
    assert_eq!(
        (world.containers(), world.volumes()),
        before,
        "{recovered:?}"
    );
    assert_eq!(helpers(&world), Vec::<String>::new());
    world.running("keeper");
}

/// Builds an image that claims a major version of PostgreSQL and contains only a shell.
fn server(world: &World, major: &str) {
    let recipe = format!("FROM debian:trixie-slim\nENV PG_MAJOR={major} PGDATA=/data/pg\n");
    fs::create_dir_all(world.path("server")).unwrap();
    fs::write(world.path("server/Dockerfile"), recipe).unwrap();
    world.manifest(
        r#"
        volume "data"
        service "db" {
            build "server"
            command shell="test -e /data/pg || { mkdir /data/pg; echo $$PG_MAJOR > /data/pg/PG_VERSION; }; exec sleep 600"
            volume "data" "/data"
            ready { file "/data/pg/PG_VERSION"; }
        }
        deploy stabilize="0s"
        "#,
    );
}

#[test]
fn database_major_upgrade_is_refused_unless_allowed() {
    let Some(world) = World::new("major") else {
        return;
    };
    server(&world, "16");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    server(&world, "17");
    let ended = world.run(&["up", "--progress", "plain"]).with_code(3);
    let volume = format!("{}_data", world.project);
    let told = format!(
        "`db` would run PostgreSQL 17 on data of PostgreSQL 16 (volume `{volume}`, `/data/pg`)"
    );
    assert!(ended.err.contains(&told), "{}", ended.err);
    assert!(ended.err.contains("--allow-major-upgrade"), "{}", ended.err);
    assert_eq!(world.containers(), before);
    world.run(&["plan"]).with_code(3);
    let up = ["up", "--allow-major-upgrade", "--progress", "json"];
    world.run(&up).with(0, Outcome::Converged);
    assert_ne!(world.containers(), before);
    // The data still says 16, which does not matter as long as the image stays the same.
    world.up().with(0, Outcome::Unchanged);
    world
        .run(&["down", "--volumes", "--images", "--timeout", "1"])
        .with_code(0);
}
