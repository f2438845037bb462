//! Secrets are delivered to their consumers and appear nowhere else.

use std::fs;

use cimandat::{event::Outcome, secret::digest};

use crate::support::World;

#[test]
fn generated_secret_appears_only_as_a_file() {
    let Some(world) = World::new("secret") else {
        return;
    };
    world.manifest(
        r##"
        secret "token" generate="hex" bytes=24
        service "app" {
            image "debian:trixie-slim"
            command "sh" "-c" #"""
                stat -c '%u %g %a' /run/secrets/token
                sha256sum < /run/secrets/token | cut -c -16
                touch /run/secrets/other || echo read-only
                exec sleep 600
                """#
            user "1234"
            read-only #true
            cap-drop "ALL"
            secret "token" uid=1234 gid=5678 mode=0o400
            ready { log "read-only|Permission" ; }
        }
        "##,
    );
    // Only a deploy generates a missing value.
    world.run(&["plan"]).with_code(0);
    let path = world.path(&format!(".cimandat/{}/secrets/token", world.project));
    assert!(!path.exists());

    world.up().with(0, Outcome::Converged);
    let value = fs::read_to_string(&path).unwrap();
    assert_eq!(value.len(), 48);
    let log = world.run(&["logs", "--no-prefix"]).with_code(0).out;
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.contains(&"1234 5678 400"), "{log}");
    assert!(lines.contains(&digest(value.as_bytes()).as_str()), "{log}");

    // The value stays the same until a user changes it.
    world.up().with(0, Outcome::Unchanged);
    for arguments in [
        &["plan"][..],
        &["plan", "--format", "json", "--force-recreate"],
        &["config"],
        &["config", "--format", "json"],
        &["config", "--environment"],
        &["ps", "--format", "json"],
        &["graph", "--format", "json"],
        &["check"],
        &["up", "--progress", "plain", "--force-recreate"],
        &["logs"],
    ] {
        world.run(arguments).with_code(0);
    }
    let inspected = world.inspect("app").to_string();
    assert!(inspected.contains("io.cimandat.record"), "{inspected}");
    assert!(!inspected.contains(&value), "{inspected}");
    assert!(!world.told().contains(&value));

    // A new value changes the service, although the manifest is the same.
    fs::write(&path, "0".repeat(48)).unwrap();
    let changed = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(
        changed.contains("token") && !changed.contains("0000000"),
        "{changed}"
    );
}

/// A manifest with one input of each kind.
const INPUTS: &str = r#"
    secret "s-file" file="secret.txt"
    secret "s-env" env="KEY"
    config "c-file" file="config.txt"
    config "c-env" env="LEVEL"
    config "c-content" content="text of ${WORD}"
    service "app" {
        use "doomed"
        secret "s-file"
        secret "s-env"
        config "c-file" target="/etc/app/file"
        config "c-env" target="/etc/app/env"
        config "c-content" target="/etc/app/content"
        ready { log "at work"; }
    }
    service "aside" { use "doomed"; ready { log "at work"; }; }
    deploy stabilize="0s"
"#;

#[test]
fn changed_input_content_replaces_service_and_is_named() {
    let Some(world) = World::new("inputs") else {
        return;
    };
    let write = |text: &str| {
        fs::write(world.path("secret.txt"), format!("secret {text}")).unwrap();
        fs::write(world.path("config.txt"), format!("config {text}")).unwrap();
        let variables = format!("KEY=key-{text}\nLEVEL=level-{text}\nWORD=word-{text}\n");
        fs::write(world.path(".env"), variables).unwrap();
    };
    write("one");
    world.manifest(INPUTS);
    world.up().with(0, Outcome::Converged);
    world.run(&["plan", "--exit-code"]).with_code(0);
    write("two");
    let plan = world.run(&["plan", "--exit-code"]).with_code(2).out;
    let changed: Vec<String> = plan
        .lines()
        .filter(|line| line.starts_with("      ") && line.contains('→'))
        .map(|line| line.trim().to_owned())
        .collect();
    let change = |file: &str, from: &str, to: &str| {
        let digests = [from, to].map(|it| digest(it.as_bytes()));
        format!("{file}.digest: {} → {}", digests[0], digests[1])
    };
    let expected = [
        change(
            "files[/etc/app].files[content]",
            "text of word-one",
            "text of word-two",
        ),
        change("files[/etc/app].files[env]", "level-one", "level-two"),
        change("files[/etc/app].files[file]", "config one", "config two"),
        change("files[/run/secrets].files[s-env]", "key-one", "key-two"),
        change(
            "files[/run/secrets].files[s-file]",
            "secret one",
            "secret two",
        ),
    ];
    assert_eq!(changed, expected);
    let before = world.containers();
    let ended = world.up().with(0, Outcome::Converged);
    assert!(!ended.out.contains("key-two") && !ended.out.contains("secret two"));
    let after = world.containers();
    assert_ne!(after[&world.name("app")], before[&world.name("app")]);
    assert_eq!(after[&world.name("aside")], before[&world.name("aside")]);
}
