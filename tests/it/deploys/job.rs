//! Jobs: they run once per change, gate what waits for them, and are listened to when they fail.

use cimandat::event::{Event, Verdict};

use crate::support::World;

fn migrated(world: &World, line: &str) {
    world.manifest(&format!(
        r#"
        volume "data"
        job "migrate" {{
            image "debian:trixie-slim"
            command "sh" "-c" "{line}"
            volume "data" "/data"
        }}
        service "app" {{
            use "doomed"
            volume "data" "/data"
            depends-on "migrate"
            ready {{ log "at work"; }}
        }}
        "#
    ));
}

#[test]
fn a_job_runs_once_per_change() {
    let Some(world) = World::new("job") else {
        return;
    };
    let lines = || {
        let path = format!("/containers/{}/logs?stdout=1", world.name("migrate"));
        let log = String::from_utf8_lossy(&world.api.ask("GET", &path, None).body).into_owned();
        log.matches("migrated ").count()
    };
    migrated(
        &world,
        "echo x >> /data/runs; echo migrated $$(wc -l < /data/runs)",
    );
    let ended = world.up().with(0, Verdict::Converged);
    let ready = |name: &'static str| move |event: &Event| matches!(event, Event::GatePassed { subject, .. } if subject.to_string() == name);
    assert!(ended.when(ready("migrate")) <= ended.when(ready("app")));
    let before = world.containers();
    assert!(!before[&world.name("migrate")].1, "it has ended");
    assert_eq!(lines(), 1);

    world.up().with(0, Verdict::Unchanged);
    assert_eq!(world.containers(), before);
    assert_eq!(lines(), 1);

    migrated(
        &world,
        "echo x >> /data/runs; echo migrated again $$(wc -l < /data/runs)",
    );
    world.up().with(0, Verdict::Converged);
    let after = world.containers();
    assert_eq!(after[&world.name("app")], before[&world.name("app")]);
    assert_ne!(
        after[&world.name("migrate")],
        before[&world.name("migrate")]
    );
    let path = format!("/containers/{}/logs?stdout=1", world.name("migrate"));
    let log = world.api.ask("GET", &path, None).body;
    assert!(String::from_utf8_lossy(&log).contains("migrated again 2"));
}

#[test]
fn a_job_runs_again_when_it_is_asked_for() {
    let Some(world) = World::new("rerun") else {
        return;
    };
    migrated(
        &world,
        "echo x >> /data/runs; echo migrated $$(wc -l < /data/runs)",
    );
    world.up().with(0, Verdict::Converged);
    let before = world.containers();
    let log = || {
        let path = format!("/containers/{}/logs?stdout=1", world.name("migrate"));
        String::from_utf8_lossy(&world.api.ask("GET", &path, None).body).into_owned()
    };
    let plan = world.run(&["plan", "--rerun", "--exit-code"]).with_code(2);
    assert!(plan.out.contains("asked for"), "{}", plan.out);
    let again = world.run(&["up", "--progress", "json", "--rerun", "migrate"]);
    again.with(0, Verdict::Converged);
    assert!(log().contains("migrated 2"), "{}", log());
    let after = world.containers();
    assert_eq!(after[&world.name("app")], before[&world.name("app")]);
    let refused = world.run(&["up", "--rerun", "app"]).with_code(3);
    assert!(refused.err.contains("no job `app`"), "{}", refused.err);
    world.up().with(0, Verdict::Unchanged);
    assert!(log().contains("migrated 2"), "{}", log());
}

#[test]
fn a_job_that_fails_is_heard() {
    let Some(world) = World::new("jobfail") else {
        return;
    };
    migrated(&world, "echo no such table; exit 7");
    let ended = world.up().with(5, Verdict::RolledBack);
    let report = ended.told(|event| match event {
        Event::GateFailed { report, .. } => Some((**report).clone()),
        _ => None,
    });
    assert_eq!(report.log, ["no such table"]);
    assert!(report.cause.contains('7'), "{report:?}");
    assert_eq!(world.things(), Vec::<String>::new());

    // For people, the same without being asked for.
    let plain = world.run(&["up", "--progress", "plain"]).with_code(5);
    assert!(plain.err.contains("no such table"), "{}", plain.err);
    assert_eq!(plain.out, "");

    // A job that failed is tried again.
    migrated(&world, "echo migrated");
    world.up().with(0, Verdict::Converged);
}
