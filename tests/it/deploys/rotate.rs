//! Secret rotation: a new value is deployed like any change, and becomes active only when the
//! deploy succeeds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::PathBuf, process::Command};

use cimandat::{
    event::{Event, Outcome},
    secret::digest,
};
use serde_json::Value;

use crate::support::{Ended, Running, World};

/// Writes a manifest with an app that is ready if its secret equals the file `known`, or if `known`
/// does not exist.
fn picky(world: &World) {
    world.manifest(
        r##"
        secret "token" generate="hex" bytes=24
        deploy stabilize="0s"
        service "app" {
            image "debian:trixie-slim"
            command "sh" "-c" #"""
                if [ ! -e /state/known ] || cmp -s /run/secrets/token /state/known
                then touch /tmp/known; fi
                exec sleep 600
                """#
            bind "." "/state" read-only=#true
            secret "token"
            restart "unless-stopped"
            ready timeout="10m" { file "/tmp/known"; }
        }
        "##,
    );
}

/// Returns the project's store.
fn store(world: &World) -> PathBuf {
    world.path(".cimandat").join(&world.project)
}

fn stored(world: &World) -> PathBuf {
    store(world).join("secrets/token")
}

fn pending(world: &World) -> bool {
    store(world).join("rotation/pending").exists()
}

/// Returns the active value.
fn value(world: &World) -> String {
    fs::read_to_string(stored(world)).unwrap()
}

/// Returns a world in which the app runs and accepts its secret, and that secret.
fn running(story: &str) -> Option<(World, String)> {
    let world = World::new(story)?;
    picky(&world);
    world.up().with(0, Outcome::Converged);
    let value = value(&world);
    fs::write(world.path("known"), &value).unwrap();
    Some((world, value))
}

/// Checks that the old value is active, its container runs, and nothing is left to do.
fn is_as_before(world: &World, old: &str, container: &str) {
    assert_eq!(value(world), old);
    assert_eq!(world.running("app"), container);
    assert!(!pending(world));
    world.run(&["plan", "--exit-code"]).with_code(0);
    world.up().with(0, Outcome::Unchanged);
    assert_eq!(world.containers().len(), 1);
}

fn rotate<'w>(world: &'w World, more: &[&str]) -> Running<'w> {
    let mut arguments = vec!["secret", "rotate", "token", "--progress", "json"];
    arguments.extend(more);
    world.begin(&arguments)
}

fn until_asked(running: &mut Running<'_>) {
    running.until(
        "the gate to be asked",
        |event| matches!(event, Event::ProbeResult { subject, .. } if subject.to_string() == "app"),
    );
}

fn remark(ended: &Ended) -> String {
    ended.told(|event| match event {
        Event::Warning { text } => Some(text.clone()),
        _ => None,
    })
}

fn listed(world: &World) -> Vec<Value> {
    let list = world.run(&["secret", "list", "--format", "json"]);
    let list: Value = serde_json::from_str(&list.with_code(0).out).unwrap();
    list["secrets"].as_array().unwrap().clone()
}

#[test]
fn rotated_value_is_deployed_and_becomes_active() {
    let Some(world) = World::new("rotate") else {
        return;
    };
    world.manifest(
        r#"
        secret "token" generate="hex" bytes=24
        secret "other" generate="hex"
        certificate "app" host="app"
        service "app" {
            use "doomed"
            secret "token"
            certificate "app" "/run/certs"
            ready { log "at work"; }
        }
        service "sealed" {
            use "doomed"
            env URL="tcp://user:${secret:token}@app"
            depends-on "app"
            ready { log "at work"; }
        }
        service "aside" { use "doomed"; secret "other"; ready { log "at work"; }; }
        deploy stabilize="0s"
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let (old, before) = (value(&world), world.containers());
    rotate(&world, &[]).end().with(0, Outcome::Converged);
    let new = value(&world);
    assert_ne!(old, new);
    assert_eq!(new.len(), 48);
    let after = world.containers();
    for (service, changed) in [("app", true), ("sealed", true), ("aside", false)] {
        let name = world.name(service);
        assert_eq!(after[&name] != before[&name], changed, "{service}");
        assert!(after[&name].1);
    }
    let environment = world.inspect("sealed")["Config"]["Env"].to_string();
    assert!(environment.contains(&new));
    world.run(&["plan", "--exit-code"]).with_code(0);
    world.up().with(0, Outcome::Unchanged);

    // The earlier value is kept for a rollback.
    let earlier = format!("earlier/secrets/{}.token", digest(old.as_bytes()));
    let earlier = store(&world).join(earlier);
    assert_eq!(fs::read_to_string(earlier).unwrap(), old);

    let certificate = listed(&world)[2]["digest"].clone();
    let arguments = ["secret", "rotate", "certificate:app", "--progress", "json"];
    world.run(&arguments).with(0, Outcome::Converged);
    assert_ne!(listed(&world)[2]["digest"], certificate);
    assert_eq!(value(&world), new);
    world.up().with(0, Outcome::Unchanged);

    let list = listed(&world);
    let names: Vec<&Value> = list.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["other", "token", "app"]);
    assert_eq!(list[1]["digest"], digest(new.as_bytes()));
    assert_eq!(list[1]["used_by"], serde_json::json!(["app", "sealed"]));
    assert_eq!(list[2]["used_by"], serde_json::json!(["app"]));
    let text = world.run(&["secret", "list"]).with_code(0).out;
    assert!(text.contains("made: 48 characters of hex"), "{text}");
    let told = world.told();
    assert!(!told.contains(&old) && !told.contains(&new));
}

#[test]
fn failed_rotation_keeps_old_value_active() {
    let Some((world, old)) = running("rotatefail") else {
        return;
    };
    let container = world.running("app");
    let ended = rotate(&world, &["--ready-timeout", "2s"]).end();
    let ended = ended.with(5, Outcome::RolledBack);
    assert_eq!(remark(&ended), "the old values of `token` stay active");
    is_as_before(&world, &old, &container);
}

#[test]
fn interrupted_rotation_keeps_old_value_active() {
    let Some((world, old)) = running("rotateint") else {
        return;
    };
    let container = world.running("app");
    let mut running = rotate(&world, &[]);
    until_asked(&mut running);
    assert!(pending(&world));
    assert_eq!(value(&world), old);
    running.interrupt();
    running.end().with(8, Outcome::Cancelled);
    is_as_before(&world, &old, &container);
}

#[test]
fn killed_rotation_before_commit_keeps_old_value() {
    let Some((world, old)) = running("rotatekill") else {
        return;
    };
    let container = world.running("app");
    let mut running = rotate(&world, &[]);
    until_asked(&mut running);
    running.signal("KILL");
    drop(running);
    assert!(pending(&world));
    // Nothing was committed: the plan uses the old value, and changes nothing.
    let plan = world.run(&["plan"]).with_code(0);
    assert!(!plan.out.contains("token"), "{}", plan.out);
    assert!(pending(&world));
    // The interrupted rotation is rolled back; then nothing is left to do.
    world.up().with_code(0);
    is_as_before(&world, &old, &container);
}

/// Writes a manifest with an app of some version that has its secret in a file, a variable and a
/// config.
fn versioned(world: &World, version: &str, more: &str) {
    world.manifest(&format!(
        r#"
        secret "token" generate="hex" bytes=24
        certificate "app" host="app"
        config "url" content="{version} ${{secret:token}}"
        deploy stabilize="0s"
        service "app" {{
            use "doomed"
            secret "token"
            config "url" target="/etc/app/url"
            certificate "app" "/run/certs"
            env VERSION="{version}" URL="tcp://user:${{secret:token}}@{version}"
            ready {{ log "at work"; }}
        }}
        service "aside" {{ use "doomed"; ready {{ log "at work"; }}; }}
        {more}
        "#
    ));
}

/// Returns the environment of the running app.
fn environment(world: &World) -> Vec<String> {
    world.running("app");
    let environment = world.inspect("app")["Config"]["Env"].clone();
    let lines = environment.as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// Returns a file of the running app.
fn file(world: &World, path: &str) -> String {
    let output = Command::new("docker")
        .args(["exec", &world.name("app"), "cat", path])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that the app runs in this version and has the active secret.
#[track_caller]
fn runs(world: &World, version: &str) {
    let token = value(world);
    let environment = environment(world);
    for line in [
        format!("VERSION={version}"),
        format!("URL=tcp://user:{token}@{version}"),
    ] {
        assert!(environment.contains(&line), "{line}: {environment:?}");
    }
    assert_eq!(file(world, "/run/secrets/token"), token);
}

#[test]
fn rotation_is_refused_when_sealed_text_differs_from_manifest() {
    let Some(world) = World::new("rotateback") else {
        return;
    };
    versioned(&world, "one", "");
    world.up().with(0, Outcome::Converged);
    // A config that contains the secret has another text.
    versioned(&world, "two", "");
    world.up().with(0, Outcome::Converged);
    world
        .run(&["rollback", "--progress", "json"])
        .with(0, Outcome::Converged);
    runs(&world, "one");
    let old = value(&world);
    let refused = world.run(&["secret", "rotate", "token"]).with_code(3).err;
    insta::assert_snapshot!(refused, @"
    error: the file `/etc/app/url` of `app` cannot be rotated: its current value is not stored, only its digest
     help: deploy the manifest first: `cimandat up`
    ");
    assert_eq!(value(&world), old);
    assert!(!pending(&world));
}

#[test]
fn rotation_after_rollback_does_not_deploy_manifest_changes() {
    let Some(world) = World::new("rotatediff") else {
        return;
    };
    let plain = |version: &str, more: &str| {
        versioned(&world, version, more);
        let path = world.path("cimandat.kdl");
        let text = fs::read_to_string(&path).unwrap();
        let content = format!("content=\"{version} ");
        fs::write(&path, text.replace(&content, "content=\"fixed ")).unwrap();
    };
    plain("one", "");
    world.up().with(0, Outcome::Converged);
    let more = r#"service "later" { use "doomed"; ready { log "at work"; }; }"#;
    plain("two", more);
    world.up().with(0, Outcome::Converged);
    world
        .run(&["rollback", "--progress", "json"])
        .with(0, Outcome::Converged);
    runs(&world, "one");
    let (old, aside) = (value(&world), world.running("aside"));
    let certificate = file(&world, "/run/certs/tls.crt");

    let ended = rotate(&world, &["certificate:app"])
        .end()
        .with(0, Outcome::Converged);
    assert_eq!(
        remark(&ended),
        "only `token`, `app` changed; the manifest differs from what runs in `app`, `later`, which \
         `cimandat up` deploys"
    );
    assert_ne!(value(&world), old);
    runs(&world, "one");
    assert_ne!(file(&world, "/run/certs/tls.crt"), certificate);
    assert_eq!(
        file(&world, "/etc/app/url"),
        format!("fixed {}", value(&world))
    );
    assert_eq!(world.running("aside"), aside);
    assert_eq!(world.containers().len(), 2);

    // Rotated again from the rotated generation, and then from one whose value is not active.
    rotate(&world, &[]).end().with(0, Outcome::Converged);
    runs(&world, "one");
    world
        .run(&["rollback", "--progress", "json"])
        .with(0, Outcome::Converged);
    rotate(&world, &[]).end().with(0, Outcome::Converged);
    runs(&world, "one");
    assert_eq!(world.containers().len(), 2);

    world.up().with(0, Outcome::Converged);
    runs(&world, "two");
    world.running("later");
    world.up().with(0, Outcome::Unchanged);
    // Now the manifest and the running generation agree.
    let ended = rotate(&world, &[]).end().with(0, Outcome::Converged);
    let warned = |it: &cimandat::event::EventEnvelope| matches!(it.event, Event::Warning { .. });
    assert!(!ended.events.iter().any(warned), "{}", ended.out);
    runs(&world, "two");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn rotation_without_running_containers_deploys_nothing() {
    let Some(world) = World::new("rotatenone") else {
        return;
    };
    versioned(&world, "one", "");
    let ended = rotate(&world, &[]).end().with(0, Outcome::Unchanged);
    assert!(
        remark(&ended).starts_with("nothing that runs uses `token`; new values are active"),
        "{}",
        ended.out
    );
    assert_eq!(world.things(), Vec::<String>::new());
    let token = value(&world);
    world.up().with(0, Outcome::Converged);
    assert_eq!(value(&world), token);
    runs(&world, "one");
}

#[test]
fn rotation_needs_no_history() {
    let Some(world) = World::new("rotatelost") else {
        return;
    };
    versioned(&world, "one", "");
    world.up().with(0, Outcome::Converged);
    world.api.prune(&world.project);
    let volume = format!("/volumes/cimandat.state.{}", world.project);
    assert_eq!(world.api.ask("DELETE", &volume, None).status, 204);
    // A manifest change that the rotation does not deploy.
    versioned(&world, "one", r#"service "later" { use "doomed"; }"#);
    rotate(&world, &[]).end().with(0, Outcome::Converged);
    runs(&world, "one");
    assert_eq!(world.containers().len(), 2);
    world.up().with(0, Outcome::Converged);
    assert_eq!(world.containers().len(), 3);
}

#[test]
fn rotation_leaves_other_project_of_folder_unchanged() {
    let Some((one, two)) = World::new("folderone").zip(World::new("foldertwo")) else {
        return;
    };
    one.manifest(
        r#"
        secret "token" generate="hex"
        service "app" { use "doomed"; secret "token"; ready { log "at work"; }; }
        deploy stabilize="0s"
        "#,
    );
    let manifest = one.path("cimandat.kdl").display().to_string();
    let of_two = ["-f", &manifest, "-p", &two.project, "--progress", "json"];
    let run_two = |verb: &[&str]| two.run(&[verb, &of_two[..]].concat());
    one.up().with(0, Outcome::Converged);
    run_two(&["up"]).with(0, Outcome::Converged);
    let value_of_two = || {
        let place = format!(".cimandat/{}/secrets/token", two.project);
        fs::read_to_string(one.path(&place)).unwrap()
    };
    let (first, second) = (value(&one), value_of_two());
    assert_ne!(first, second);

    run_two(&["secret", "rotate", "token"]).with(0, Outcome::Converged);
    assert_ne!(value_of_two(), second);
    assert_eq!(value(&one), first);
    one.run(&["plan", "--exit-code"]).with_code(0);
    one.up().with(0, Outcome::Unchanged);
    run_two(&["up"]).with(0, Outcome::Unchanged);
}

#[test]
fn shared_store_is_migrated_by_each_project() {
    let Some((one, two)) = World::new("sharedone").zip(World::new("sharedtwo")) else {
        return;
    };
    one.manifest(
        r#"
        secret "token" generate="hex"
        service "app" { use "doomed"; secret "token"; ready { log "at work"; }; }
        deploy stabilize="0s"
        "#,
    );
    let manifest = one.path("cimandat.kdl").display().to_string();
    let of_two = ["-f", &manifest, "-p", &two.project, "--progress", "json"];
    let run_two = |verb: &[&str]| two.run(&[verb, &of_two[..]].concat());
    one.up().with(0, Outcome::Converged);
    // The layout of an earlier version: both projects share one value in a folder that belongs to
    // no project.
    let root = one.path(".cimandat");
    let shared = value(&one);
    for folder in ["secrets", "earlier"] {
        fs::rename(store(&one).join(folder), root.join(folder)).unwrap();
    }
    fs::remove_dir_all(store(&one)).unwrap();
    run_two(&["up"]).with(0, Outcome::Converged);
    one.up().with(0, Outcome::Unchanged);
    assert_eq!(value(&one), shared);
    run_two(&["secret", "rotate", "token"]).with(0, Outcome::Converged);
    one.up().with(0, Outcome::Unchanged);
    assert_eq!(value(&one), shared);
}

#[test]
fn rotation_of_unsupported_secret_is_refused() {
    let Some(world) = World::new("rotaterefuse") else {
        return;
    };
    fs::write(world.path("token"), "x").unwrap();
    world.manifest(
        r#"
        secret "file" file="token"
        secret "both" generate="hex"
        certificate "both" host="app"
        service "app" { use "doomed"; secret "file"; }
        "#,
    );
    let refused = |name: &str| world.run(&["secret", "rotate", name]).with_code(3).err;
    insta::assert_snapshot!(refused("file"), @"
    error: the value of secret `file` is not generated by cimandat
     help: change it at its source and run `cimandat up`
    ");
    insta::assert_snapshot!(refused("both"), @"
    error: `both` is a secret and a certificate
     help: say `secret:both` or `certificate:both`
    ");
    insta::assert_snapshot!(refused("secret:tokn"), @"
    error: there is no secret or certificate `secret:tokn`
     help: the manifest declares both, file, both
    ");
    assert!(!pending(&world));
    assert_eq!(world.things(), Vec::<String>::new());
}
