//! Secrets: they arrive where they are wanted, and nowhere else.

use std::fs;

use cimandat::{event::Verdict, secret::digest};

use crate::support::World;

#[test]
fn a_generated_secret_is_a_file_and_nothing_more() {
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
    // Before there is one, nothing makes it but a deploy.
    world.run(&["plan"]).with_code(0);
    let path = world.path(".cimandat/secrets/token");
    assert!(!path.exists());

    world.up().with(0, Verdict::Converged);
    let value = fs::read_to_string(&path).unwrap();
    assert_eq!(value.len(), 48);
    let log = world.run(&["logs", "--no-prefix"]).with_code(0).out;
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.contains(&"1234 5678 400"), "{log}");
    assert!(lines.contains(&digest(value.as_bytes()).as_str()), "{log}");

    // It stays the same as long as nobody changes it.
    world.up().with(0, Verdict::Unchanged);
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

    // A new value is a change of the service, though the manifest is the same.
    fs::write(&path, "0".repeat(48)).unwrap();
    let changed = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(
        changed.contains("token") && !changed.contains("0000000"),
        "{changed}"
    );
}
