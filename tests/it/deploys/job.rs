//! Jobs: they run once per change, they gate their dependents, and a failed job's log is reported.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use cimandat::event::{Event, Outcome};
use serde_json::Value;

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
fn job_runs_once_per_change() {
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
    let ended = world.up().with(0, Outcome::Converged);
    let ready = |name: &'static str| move |event: &Event| matches!(event, Event::Ready { subject, .. } if subject.to_string() == name);
    assert!(ended.when(ready("migrate")) <= ended.when(ready("app")));
    let before = world.containers();
    assert!(!before[&world.name("migrate")].1, "it has ended");
    assert_eq!(lines(), 1);

    world.up().with(0, Outcome::Unchanged);
    assert_eq!(world.containers(), before);
    assert_eq!(lines(), 1);

    migrated(
        &world,
        "echo x >> /data/runs; echo migrated again $$(wc -l < /data/runs)",
    );
    world.up().with(0, Outcome::Converged);
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
fn job_reruns_on_request() {
    let Some(world) = World::new("rerun") else {
        return;
    };
    migrated(
        &world,
        "echo x >> /data/runs; echo migrated $$(wc -l < /data/runs)",
    );
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    let log = || {
        let path = format!("/containers/{}/logs?stdout=1", world.name("migrate"));
        String::from_utf8_lossy(&world.api.ask("GET", &path, None).body).into_owned()
    };
    let plan = world.run(&["plan", "--rerun", "--exit-code"]).with_code(2);
    assert!(plan.out.contains("requested"), "{}", plan.out);
    let again = world.run(&["up", "--progress", "json", "--rerun", "migrate"]);
    again.with(0, Outcome::Converged);
    assert!(log().contains("migrated 2"), "{}", log());
    let after = world.containers();
    assert_eq!(after[&world.name("app")], before[&world.name("app")]);
    let refused = world.run(&["up", "--rerun", "app"]).with_code(3);
    assert!(refused.err.contains("no job `app`"), "{}", refused.err);
    world.up().with(0, Outcome::Unchanged);
    assert!(log().contains("migrated 2"), "{}", log());
}

#[test]
fn failed_job_reports_its_log() {
    let Some(world) = World::new("jobfail") else {
        return;
    };
    migrated(&world, "echo no such table; exit 7");
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = ended.told(|event| match event {
        Event::ReadinessFailed { report, .. } => Some((**report).clone()),
        _ => None,
    });
    assert_eq!(report.log, ["no such table"]);
    assert!(report.cause.contains('7'), "{report:?}");
    assert_eq!(world.things(), Vec::<String>::new());

    // The plain output contains the log without a request.
    let plain = world.run(&["up", "--progress", "plain"]).with_code(5);
    assert!(plain.err.contains("no such table"), "{}", plain.err);
    assert_eq!(plain.out, "");

    // A failed job is tried again.
    migrated(&world, "echo migrated");
    world.up().with(0, Outcome::Converged);
}

/// Reads a file of a volume through a service that mounts it at `/data`.
fn read(world: &World, service: &str, file: &str) -> String {
    let output = Command::new("docker")
        .args([
            "exec",
            &world.name(service),
            "cat",
            &format!("/data/{file}"),
        ])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn history(world: &World) -> Value {
    let told = world.run(&["history", "--format", "json"]).with_code(0);
    serde_json::from_str(&told.out).unwrap()
}

/// Writes a manifest with an irreversible job that counts its runs, and a service of some version.
fn counted(world: &World, version: &str) {
    world.manifest(&format!(
        r#"
        volume "data"
        deploy stabilize="0s" history=2
        job "migrate" irreversible=#true {{
            image "debian:trixie-slim"
            command "sh" "-c" "echo x >> /data/runs"
            volume "data" "/data"
        }}
        service "app" {{
            use "doomed"
            env VERSION="{version}"
            volume "data" "/data"
            depends-on "migrate"
            ready {{ log "at work"; }}
        }}
        "#
    ));
}

#[test]
fn job_is_not_rerun_after_container_prune() {
    let Some(world) = World::new("jobprune") else {
        return;
    };
    for version in ["one", "two", "three"] {
        counted(&world, version);
        world.up().with(0, Outcome::Converged);
    }
    assert_eq!(read(&world, "app", "runs"), "x\n");
    world.api.prune(&world.project);
    assert_eq!(world.containers().len(), 1);
    world.run(&["plan", "--exit-code"]).with_code(0);
    world.up().with(0, Outcome::Unchanged);
    // Also after an update that did not include the job.
    counted(&world, "four");
    let update = ["up", "app", "--no-build", "--progress", "json"];
    world.run(&update).with(0, Outcome::Converged);
    world.api.prune(&world.project);
    world.up().with(0, Outcome::Unchanged);
    assert_eq!(read(&world, "app", "runs"), "x\n");

    let deploys = history(&world);
    assert_eq!(deploys["current"], 4);
    assert_eq!(deploys["deploys"].as_array().unwrap().len(), 4);
    assert_eq!(deploys["removed"], Value::Null);

    // The kept containers were pruned, so their removal can no longer remove their image names.
    counted(&world, "five");
    world.up().with(0, Outcome::Converged);
    let mut tags = world.api.generations(&world.project);
    tags.sort();
    let tag = |service: &str, generation: u64| format!("{}-{service}:g{generation}", world.project);
    assert_eq!(tags, [tag("app", 4), tag("app", 5), tag("migrate", 1)]);
}

#[test]
fn job_of_project_without_services_is_not_rerun_after_prune() {
    let Some(world) = World::new("jobonly") else {
        return;
    };
    world.manifest(
        r#"
        volume "data"
        job "migrate" irreversible=#true {
            image "debian:trixie-slim"
            command "true"
            volume "data" "/data"
        }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    world.api.prune(&world.project);
    assert!(world.containers().is_empty());
    world.up().with(0, Outcome::Unchanged);
    assert!(world.containers().is_empty());
}

#[test]
fn irreversible_job_without_run_record_needs_confirmation() {
    let Some(world) = World::new("joblost") else {
        return;
    };
    counted(&world, "one");
    world.up().with(0, Outcome::Converged);
    counted(&world, "two");
    world.up().with(0, Outcome::Converged);
    let forget = || {
        world.api.prune(&world.project);
        let volume = format!("/volumes/cimandat.state.{}", world.project);
        assert_eq!(world.api.ask("DELETE", &volume, None).status, 204);
    };
    forget();
    let refused = world.run(&["up"]).with_code(3).err;
    insta::assert_snapshot!(refused, @"
    error: `migrate` is irreversible and would run again, as the record of whether it has run was removed
     help: `--rerun migrate` runs it again; `--no-rerun` assumes that it is done
    nothing was changed
    ");
    world.run(&["plan"]).with_code(3);
    let told = history(&world);
    assert_eq!(told["removed"], serde_json::json!([1, 2]));
    let told = world.run(&["history"]).with_code(0);
    assert!(
        told.err
            .contains("no record of deploys 1 to 2 is left on the engine"),
        "{}",
        told.err
    );

    // Generation numbers continue, and the answer given once is recorded.
    counted(&world, "three");
    let up = ["up", "--no-rerun", "--progress", "json"];
    world.run(&up).with(0, Outcome::Converged);
    assert_eq!(history(&world)["current"], 3);
    assert_eq!(history(&world)["removed"], serde_json::json!([1, 2]));
    world.up().with(0, Outcome::Unchanged);
    assert_eq!(read(&world, "app", "runs"), "x\n");

    forget();
    let up = ["up", "--rerun", "migrate", "--progress", "json"];
    world.run(&up).with(0, Outcome::Converged);
    assert_eq!(read(&world, "app", "runs"), "x\nx\n");
    world.up().with(0, Outcome::Unchanged);

    // Image names are removed, although only the manifest still knows their service.
    forget();
    assert!(!world.api.generations(&world.project).is_empty());
    world.run(&["down", "--volumes"]).with_code(0);
    assert_eq!(world.api.generations(&world.project), Vec::<String>::new());
}

/// Writes a manifest with a database in a volume, a job that sets it up, and a dependent service.
fn moved(world: &World, volume: &str, job: &str, version: &str) {
    world.manifest(&format!(
        r#"
        volume "one"
        volume "two"
        deploy stabilize="0s"
        service "db" {{
            use "doomed"
            volume "{volume}" "/data"
            ready {{ log "at work"; }}
        }}
        job "migrate" {job} {{
            image "debian:trixie-slim"
            command "sh" "-c" "echo x >> /data/runs"
            volumes-from "db"
            depends-on "db"
        }}
        service "app" {{
            image "debian:trixie-slim"
            command "sh" "-c" "test -e /data/runs && exec sleep 600"
            env VERSION="{version}"
            volumes-from "db"
            depends-on "migrate"
            ready timeout="20s" {{ file "/{version}"; }}
        }}
        "#
    ));
}

const WELL: &str = "etc";

#[test]
fn job_reruns_when_dependency_gets_new_volume() {
    let Some(world) = World::new("jobfresh") else {
        return;
    };
    moved(&world, "one", "", WELL);
    world.up().with(0, Outcome::Converged);
    assert_eq!(read(&world, "db", "runs"), "x\n");
    moved(&world, "two", "", WELL);
    let plan = world.run(&["plan", "--exit-code"]).with_code(2).out;
    assert!(
        plan.contains("migrate") && plan.contains("volume `two` of `db` is new and empty"),
        "{plan}"
    );
    world.up().with(0, Outcome::Converged);
    assert_eq!(read(&world, "db", "runs"), "x\n");
    world.up().with(0, Outcome::Unchanged);

    // The job has run with both volumes now.
    moved(&world, "one", "", WELL);
    world.up().with(0, Outcome::Converged);
    assert_eq!(read(&world, "db", "runs"), "x\n");
}

#[test]
fn new_volume_of_failed_deploy_still_counts_as_new() {
    let Some(world) = World::new("jobretry") else {
        return;
    };
    let migrated = |world: &World| read(world, "db", "runs");
    moved(&world, "one", "", WELL);
    world.up().with(0, Outcome::Converged);
    moved(&world, "two", "", "never");
    let two = format!("{}_two", world.project);
    let failed = world.up().with(5, Outcome::RolledBack);
    let kept = failed.told(|event| match event {
        Event::RunFinished {
            retained_volumes: kept_volumes,
            ..
        } => Some(kept_volumes.clone()),
        _ => None,
    });
    assert_eq!(kept, [two.as_str()]);
    assert_eq!(migrated(&world), "x\n");
    let plain = world.run(&["up", "--progress", "plain"]).with_code(5).err;
    // The volume exists already, but no deploy was committed with it.
    assert!(plain.contains("is new and empty"), "{plain}");
    moved(&world, "two", "", WELL);
    world.up().with(0, Outcome::Converged);
    assert_eq!(migrated(&world), "x\nx\nx\n", "once in each deploy");
}

#[test]
fn irreversible_job_with_new_volume_needs_confirmation() {
    let Some(world) = World::new("jobask") else {
        return;
    };
    let irreversible = "irreversible=#true";
    moved(&world, "one", irreversible, WELL);
    world.up().with(0, Outcome::Converged);
    moved(&world, "two", irreversible, WELL);
    let refused = world.run(&["up"]).with_code(3).err;
    assert!(
        refused.contains("as volume `two` of `db` is new and empty")
            && refused.contains("--rerun migrate"),
        "{refused}"
    );
    assert_eq!(world.volumes(), [format!("{}_one", world.project)]);
    let up = ["up", "--rerun", "migrate", "--progress", "json"];
    world.run(&up).with(0, Outcome::Converged);
    assert_eq!(read(&world, "db", "runs"), "x\n");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn job_reruns_after_down_with_database_volume() {
    let Some(world) = World::new("downvolume") else {
        return;
    };
    moved(&world, "one", "", WELL);
    world.up().with(0, Outcome::Converged);
    let one = format!("{}_one", world.project);
    // Other services mount the volume through the service.
    let told = world.run(&["down", "db", "--volumes", "--progress", "json"]);
    let told = told.with(0, Outcome::Converged).told(|event| match event {
        Event::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert_eq!(
        told,
        format!("volume `{one}` is kept, as `app`, `migrate` use it too")
    );
    assert_eq!(world.volumes(), [one.as_str()]);
    let all = [
        "down",
        "db",
        "migrate",
        "app",
        "--volumes",
        "--progress",
        "json",
    ];
    world.run(&all).with(0, Outcome::Converged);
    assert_eq!(world.volumes(), Vec::<String>::new());
    world.up().with(0, Outcome::Converged);
    assert_eq!(read(&world, "db", "runs"), "x\n");
}

#[test]
fn down_of_service_removes_only_unshared_volumes() {
    let Some(world) = World::new("downone") else {
        return;
    };
    let stack = |job: &str| {
        world.manifest(&format!(
            r#"
            volume "own"
            volume "shared"
            deploy stabilize="0s"
            service "db" {{
                use "doomed"
                volume "own" "/data"
                volume "shared" "/shared"
                ready {{ log "at work"; }}
            }}
            job "migrate" {job} {{
                image "debian:trixie-slim"
                command "true"
                depends-on "db"
            }}
            service "web" {{ use "doomed"; volume "shared" "/shared"; ready {{ log "at work"; }}; }}
            "#
        ));
    };
    stack("");
    world.up().with(0, Outcome::Converged);
    let volume = |name: &str| format!("{}_{name}", world.project);
    let web = world.running("web");
    let job = world.containers()[&world.name("migrate")].clone();
    let down = ["down", "db", "--volumes", "--progress", "json"];
    let ended = world.run(&down).with(0, Outcome::Converged);
    let told = ended.told(|event| match event {
        Event::Warning { text } => Some(text.clone()),
        _ => None,
    });
    let shared = volume("shared");
    assert_eq!(
        told,
        format!("volume `{shared}` is kept, as `web` uses it too")
    );
    assert_eq!(world.volumes(), [shared]);
    // The job is done, but in a database that was removed.
    let up = world.up().with(0, Outcome::Converged).steps();
    assert!(
        up.iter()
            .any(|it| it.starts_with("starting container") && it.contains("migrate")),
        "{up:?}"
    );
    assert_ne!(world.containers()[&world.name("migrate")], job);
    assert_eq!(world.running("web"), web);

    // The volumes of a service that is already down are removed all the same.
    world
        .run(&["down", "db", "--progress", "json"])
        .with(0, Outcome::Converged);
    assert_eq!(world.volumes(), [volume("own"), volume("shared")]);
    world.run(&down).with_code(0);
    assert_eq!(world.volumes(), [volume("shared")]);
}
