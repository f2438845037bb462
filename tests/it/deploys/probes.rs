//! Read-only commands: `plan`, `ps`, `logs`; and commands without an engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use cimandat::event::Outcome;
use serde_json::Value;

use crate::support::{World, free_port};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns each container of a JSON plan as `service change reason`.
fn changes(world: &World, code: i32) -> Vec<String> {
    let plan = world
        .run(&["plan", "--exit-code", "--format", "json"])
        .with_code(code);
    let plan = json(&plan.out);
    assert_eq!(plan["changes"], code == 2);
    let containers = plan["containers"].as_array().unwrap();
    let name = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let shown = containers.iter().map(|it| {
        let why = name(&it["reason"]["kind"]);
        format!("{} {} {why}", name(&it["service"]), name(&it["change"]))
    });
    shown.collect()
}

#[test]
fn plan_reports_changes_with_reasons() {
    let Some(world) = World::new("plan") else {
        return;
    };
    let manifest = |level: &str, other: &str| {
        world.manifest(&format!(
            r#"
            service "app" {{ use "doomed"; env LEVEL="{level}"; }}
            service "{other}" {{ use "doomed"; }}
            "#
        ));
    };
    manifest("low", "left");
    assert_eq!(
        changes(&world, 2),
        ["app create not-found", "left create not-found"]
    );
    assert_eq!(world.things(), Vec::<String>::new());
    world.up().with(0, Outcome::Converged);
    assert_eq!(changes(&world, 0), ["app no-op -", "left no-op -"]);

    let path = format!("/containers/{}/kill", world.name("left"));
    assert_eq!(world.api.ask("POST", &path, None).status, 204);
    assert_eq!(changes(&world, 2), ["app no-op -", "left start stopped"]);

    manifest("high", "right");
    assert_eq!(
        changes(&world, 2),
        [
            "app replace changed",
            "right create not-found",
            "left remove orphan"
        ]
    );
    let text = world.run(&["plan"]).with_code(0).out;
    assert!(text.contains("env.LEVEL: low → high"), "{text}");
    world.run(&["plan", "--exit-code"]).with_code(2);
}

#[test]
fn ps_json_lists_containers_ports_and_jobs() {
    let Some(world) = World::new("ps") else {
        return;
    };
    let port = free_port();
    world.manifest(&format!(
        r#"
        service "page" {{ use "web"; port "127.0.0.1:{port}:8080"; ready {{ http 8080; }}; }}
        service "worker" {{ use "doomed"; replicas 2; }}
        job "seed" {{ image "debian:trixie-slim"; command "true"; }}
        "#
    ));
    let listed = || json(&world.run(&["ps", "--format", "json"]).with_code(0).out);
    assert_eq!(listed()["containers"], Value::Array(Vec::new()));
    world.up().with(0, Outcome::Converged);
    let listed = listed();
    assert_eq!(listed["project"], *world.project);
    let containers = listed["containers"].as_array().unwrap();
    let shown: Vec<String> = containers
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {}",
                it["service"], it["replica"], it["status"], it["job"]
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#""page" 1 "running" false"#,
            r#""seed" 1 "exited" true"#,
            r#""worker" 1 "running" false"#,
            r#""worker" 2 "running" false"#,
        ]
    );
    assert_eq!(containers[0]["id"], world.running("page"));
    assert_eq!(containers[0]["ports"][0]["published"], port);
    assert_eq!(containers[0]["ports"][0]["host_ip"], "127.0.0.1");
    assert_eq!(containers[1]["exit_code"], 0);
}

#[test]
fn logs_are_interleaved_by_time() {
    let Some(world) = World::new("logs") else {
        return;
    };
    world.manifest(
        r#"
        service "a" { use "talker"; ready { log "at work"; }; }
        service "b" { use "talker"; ready { log "at work"; }; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let mut followed = world.begin(&["logs", "--follow", "--format", "json"]);
    for line in 1..=3 {
        for service in ["a", "b"] {
            world.api.signal(&world.name(service), "USR1");
            let text = format!("line {line}");
            followed.line(&format!("{text} of {service}"), |told| {
                let told = json(told);
                told["service"] == service && told["line"] == *text
            });
        }
    }
    followed.interrupt();
    followed.end();

    let all = world.run(&["logs"]).with_code(0).out;
    let wanted = [
        "a  line 1",
        "b  line 1",
        "a  line 2",
        "b  line 2",
        "a  line 3",
        "b  line 3",
    ];
    assert!(all.ends_with(&format!("{}\n", wanted.join("\n"))), "{all}");
    assert_eq!(all.lines().count(), 8, "{all}");

    let last = world
        .run(&["logs", "--tail", "2", "--timestamps"])
        .with_code(0)
        .out;
    assert_eq!(last.lines().count(), 4, "{last}");
    let times: Vec<&str> = last
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert!(times.is_sorted(), "{last}");
    assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), 4, "{last}");

    let one = world
        .run(&["logs", "--tail", "1", "--no-prefix", "b"])
        .with_code(0)
        .out;
    assert_eq!(one, "line 3\n");
}

#[test]
fn missing_engine_exits_125_and_names_address() {
    let Some(world) = World::new("none") else {
        return;
    };
    world.manifest(
        r#"
        secret "token" generate="hex" bytes=8
        service "app" { use "doomed"; secret "token"; }
        "#,
    );
    for verb in ["up", "down", "plan", "ps", "logs", "build"] {
        let mut command = world.command(&[verb]);
        let output = command
            .env("DOCKER_HOST", "unix:///nonexistent")
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{verb}: {err}");
        assert!(
            err.contains("unix:///nonexistent") && err.contains("help:"),
            "{verb}: {err}"
        );
        assert!(output.stdout.is_empty(), "{verb}");
    }
    assert!(!world.path(".cimandat").exists());
}
