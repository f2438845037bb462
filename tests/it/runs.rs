//! Complete runs in a simulated world: their steps, the order of the steps, and the outcome.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use cimandat::{
    engine::{
        EngineError, ProbeResult,
        sim::{Behavior, Exit, Fault, FaultTiming, FaultTrigger, Sim},
    },
    event::{Event, EventEnvelope, GateReport, Outcome},
    name::{ContainerName, ServiceName},
    plan::{self, Change, Options, Subject},
    project::{Check, Project, RollbackScope, StatusSet},
    run::{Cause, FailurePolicy, Run, drive},
    state::{PublishedPort, Status, UnmanagedContainer},
    unit::Protocol,
};

use crate::fixtures::{
    Told, Wish, in_virtual_time, interrupts, never, observe, project, service_name, settings, up,
    wish, world,
};

fn container(name: &str) -> ContainerName {
    ContainerName::new(name).unwrap()
}

fn who(subject: &Subject) -> String {
    match subject {
        Subject::Service { name, replica: 1 } => name.to_string(),
        Subject::Service { name, replica } => format!("{name} {replica}"),
        Subject::Image { name } => format!("image of {name}"),
        Subject::Network { name } => format!("network {name}"),
        Subject::Volume { name } => format!("volume {name}"),
        Subject::Project => "project".to_owned(),
    }
}

/// The events of a run as text, one per line.
fn story(events: &[EventEnvelope]) -> String {
    let line = |stamped: &EventEnvelope| match &stamped.event {
        Event::StepStarted { verb, object, .. } => Some(format!("{verb} {object}")),
        Event::StepFailed { verb, object, .. } => Some(format!("{verb} {object}: failed")),
        Event::Ready { subject, .. } => Some(format!("{} is ready", who(subject))),
        Event::ReadinessFailed {
            subject, report, ..
        } => Some(format!("{} failed: {}", who(subject), report.cause)),
        Event::UnhealthyAfterReady { subject, report } => {
            Some(format!("{} unhealthy: {}", who(subject), report.cause))
        }
        Event::Interrupted { response } => Some(format!("interrupted: {response:?}")),
        Event::RollbackStarted { cause } => Some(format!("back: {cause}")),
        Event::Committed => Some("committed".to_owned()),
        Event::PartiallyCommitted {
            committed: new,
            rolled_back: old,
        } => Some(format!("committed {new:?}, not {old:?}")),
        Event::Stabilizing { .. } => Some("stabilizing".to_owned()),
        Event::Warning { text } => Some(format!("warning: {text}")),
        Event::RunFinished {
            outcome: verdict, ..
        } => Some(format!("{verdict:?}")),
        Event::RunStarted { .. }
        | Event::Replanned { .. }
        | Event::StepFinished { .. }
        | Event::Progress { .. }
        | Event::ReadinessStarted { .. }
        | Event::ProbeResult { .. } => None,
    };
    events
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A database and a service that depends on it.
fn shop(version: u32) -> Vec<Wish> {
    let database = Wish {
        volume: true,
        version,
        ..wish("db", &[])
    };
    let web = Wish {
        port: Some(8080),
        version,
        ..wish("web", &["db"])
    };
    vec![database, web]
}

/// A world in which the shop runs.
async fn running_shop() -> Sim {
    let sim = world(7);
    let first = up(&sim, &project(&shop(1)), never()).await;
    assert_eq!(first.outcome.outcome, Outcome::Converged);
    sim
}

fn report(told: &Told) -> &GateReport {
    let found = told.events.iter().find_map(|it| match &it.event {
        Event::ReadinessFailed { report, .. } | Event::UnhealthyAfterReady { report, .. } => {
            Some(report)
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn first_deploy_runs_in_dependency_order() {
    in_virtual_time(async {
        let sim = world(7);
        let told = up(&sim, &project(&shop(1)), never()).await;
        insta::assert_snapshot!(story(&told.events), @"
        creating network shop_default
        creating volume shop_db
        tagging image shop-db:g1
        tagging image shop-web:g1
        creating container shop-db-1
        creating container shop-web-1
        starting container shop-db-1
        db is ready
        starting container shop-web-1
        web is ready
        stabilizing
        committed
        setting the restart policy of container shop-db-1
        setting the restart policy of container shop-web-1
        Converged
        ");
    });
}

#[test]
fn update_replaces_services_in_dependency_order() {
    in_virtual_time(async {
        let sim = running_shop().await;
        let told = up(&sim, &project(&shop(2)), never()).await;
        insta::assert_snapshot!(story(&told.events), @"
        creating container shop-db-1.g2
        tagging image shop-db:g2
        creating container shop-web-1.g2
        tagging image shop-web:g2
        stopping container shop-db-1
        starting container shop-db-1.g2
        db is ready
        stopping container shop-web-1
        starting container shop-web-1.g2
        web is ready
        stabilizing
        committed
        setting the restart policy of container shop-db-1.g2
        setting the restart policy of container shop-db-1
        setting the restart policy of container shop-web-1.g2
        setting the restart policy of container shop-web-1
        renaming container shop-db-1
        renaming container shop-web-1
        renaming container shop-db-1.g2
        renaming container shop-web-1.g2
        Converged
        ");
        let names: Vec<&str> = told
            .after
            .containers
            .keys()
            .map(ContainerName::as_str)
            .collect();
        // Replaced containers are kept.
        let kept = ["shop-db-1", "shop-db-1.g1", "shop-web-1", "shop-web-1.g1"];
        assert_eq!(names, kept);
    });
}

#[test]
fn unchanged_deploy_makes_no_changing_call() {
    in_virtual_time(async {
        let sim = running_shop().await;
        let calls = sim.calls();
        let told = up(&sim, &project(&shop(1)), never()).await;
        assert_eq!(sim.calls(), calls);
        assert!(matches!(
            told.outcome.outcome,
            Outcome::Converged | Outcome::Unchanged
        ));
    });
}

#[test]
fn never_ready_service_is_rolled_back() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let before = sim.snapshot();
        let told = up(&sim, &project(&shop(2)), never()).await;
        insta::assert_snapshot!(story(&told.events), @"
        creating container shop-db-1.g2
        tagging image shop-db:g2
        creating container shop-web-1.g2
        tagging image shop-web:g2
        stopping container shop-db-1
        starting container shop-db-1.g2
        db is ready
        stopping container shop-web-1
        starting container shop-web-1.g2
        web failed: not ready within 5 s
        back: `shop-web-1.g2` did not become ready: not ready within 5 s
        stopping container shop-web-1.g2
        stopping container shop-db-1.g2
        removing container shop-web-1.g2
        starting container shop-db-1
        removing container shop-db-1.g2
        removing image shop-db:g2
        removing image shop-web:g2
        db is ready
        starting container shop-web-1
        web is ready
        RolledBack
        ");
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(told.after, before);
        let report = report(&told);
        assert_eq!(report.after, Duration::from_secs(5));
        assert_eq!(report.condition.as_ref().unwrap().status, Status::Running);
        assert_eq!(report.log, ["web of generation 2 started"]);
        let last = &report.answers[0];
        assert_eq!(
            (last.probe.as_str(), last.answer.as_str()),
            ("tcp 80", "connection refused")
        );
        assert!(last.attempts > 15, "asked again and again");
    });
}

#[test]
fn container_exit_fails_gate_at_once() {
    in_virtual_time(async {
        let sim = running_shop().await;
        let script = Behavior::exits(Duration::from_millis(300), 3);
        sim.script(&service_name("db"), Some(2), script);
        let told = up(&sim, &project(&shop(2)), never()).await;
        let report = report(&told);
        assert_eq!(report.cause, "exited with code 3");
        assert!(report.after < Duration::from_secs(1), "{:?}", report.after);
        assert_eq!(report.log.last().unwrap(), "exiting with code 3");
    });
}

#[test]
fn oom_kill_is_reported_as_cause() {
    in_virtual_time(async {
        let sim = world(3);
        let end = Exit {
            after: Duration::from_millis(40),
            exit_code: 137,
            out_of_memory: true,
        };
        let script = Behavior {
            ends: Some(end),
            ..Behavior::never_ready()
        };
        sim.script(&service_name("web"), None, script);
        let told = up(&sim, &project(&[wish("web", &[])]), never()).await;
        assert_eq!(report(&told).cause, "OOM-killed (exit code 137)");
        assert!(told.after.containers.is_empty() && told.after.networks.is_empty());
    });
}

#[test]
fn container_exit_after_gate_fails_run() {
    in_virtual_time(async {
        let sim = running_shop().await;
        let end = Exit {
            after: Duration::from_millis(80),
            exit_code: 1,
            out_of_memory: false,
        };
        let script = Behavior {
            ends: Some(end),
            ..Behavior::default()
        };
        sim.script(&service_name("web"), Some(2), script);
        let before = sim.snapshot();
        let told = up(&sim, &project(&shop(2)), never()).await;
        let why = "exited with code 1".to_owned();
        let cause = Cause::UnhealthyAfterReady {
            container: container("shop-web-1.g2"),
            why,
        };
        assert_eq!(told.outcome.cause, Some(cause));
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(told.after, before);
    });
}

#[test]
fn lost_exit_event_still_fails_gate() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let other = sim.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            other.break_off();
            other.kill(&container("shop-web-1.g2"), 9);
        });
        let told = up(&sim, &project(&shop(2)), never()).await;
        let report = report(&told);
        assert_eq!(report.cause, "exited with code 9");
        assert!(report.after < Duration::from_secs(3));
    });
}

#[test]
fn job_exit_code_decides_its_gate() {
    in_virtual_time(async {
        let job = Wish {
            job: true,
            ..wish("migrate", &[])
        };
        let wishes = [job, wish("web", &["migrate"])];
        let told = up(&world(1), &project(&wishes), never()).await;
        insta::assert_snapshot!(story(&told.events), @"
        creating network shop_default
        tagging image shop-migrate:g1
        tagging image shop-web:g1
        creating container shop-migrate-1
        creating container shop-web-1
        starting container shop-migrate-1
        migrate is ready
        starting container shop-web-1
        web is ready
        stabilizing
        committed
        setting the restart policy of container shop-web-1
        Converged
        ");

        let sim = world(1);
        let script = Behavior::exits(Duration::from_millis(20), 4);
        sim.script(&service_name("migrate"), None, script);
        let told = up(&sim, &project(&wishes), never()).await;
        assert!(
            report(&told).cause.contains("code 4"),
            "{}",
            report(&told).cause
        );
        assert!(!story(&told.events).contains("starting container shop-web-1"));
    });
}

#[test]
fn restarted_dependent_rolls_back_with_its_dependency() {
    in_virtual_time(async {
        let dependent = |version| {
            let mut wishes = [("db", [].as_slice()), ("web", &["db"]), ("last", &["web"])]
                .map(|(name, needs)| wish(name, needs));
            [wishes[0].version, wishes[2].version] = [version; 2];
            wishes[1].needs[0].1 = true;
            wishes
        };
        let sim = world(5);
        up(&sim, &project(&dependent(1)), never()).await;
        sim.script(&service_name("last"), Some(2), Behavior::never_ready());
        let before = sim.snapshot();
        let told = up(&sim, &project(&dependent(2)), never()).await;
        insta::assert_snapshot!(story(&told.events), @"
        creating container shop-db-1.g2
        tagging image shop-db:g2
        creating container shop-last-1.g2
        tagging image shop-last:g2
        starting container shop-db-1.g2
        db is ready
        switching traffic to container shop-db-1.g2
        stopping container shop-db-1
        stopping container shop-web-1
        starting container shop-web-1
        web is ready
        starting container shop-last-1.g2
        last failed: not ready within 5 s
        back: `shop-last-1.g2` did not become ready: not ready within 5 s
        stopping container shop-last-1.g2
        starting container shop-db-1
        stopping container shop-web-1
        removing container shop-last-1.g2
        db is ready
        switching traffic to container shop-db-1
        stopping container shop-db-1.g2
        starting container shop-web-1
        removing container shop-db-1.g2
        removing image shop-db:g2
        removing image shop-last:g2
        web is ready
        RolledBack
        ");
        assert_eq!(told.after, before);
    });
}

#[test]
fn taken_port_rolls_back_deploy() {
    in_virtual_time(async {
        let sim = world(2);
        let port = PublishedPort {
            host_ip: String::new(),
            published: 8080,
            target: 80,
            protocol: Protocol::Tcp,
        };
        let state = observe(&sim).await;
        let wanted = project(&shop(1));
        let deploy = plan::deploy(&wanted, &state, &Options::default()).unwrap();
        // The container appears after planning, so that the plan cannot refuse it.
        let foreign = UnmanagedContainer {
            project: None,
            running: true,
            ports: vec![port],
        };
        sim.add_foreign(container("proxy"), foreign);
        let run = Run::new(deploy.plan, settings(state));
        let outcome = drive(Arc::new(sim.clone()), run, |_| {}, never()).await;
        assert_eq!(outcome.outcome, Outcome::RolledBack);
        let Some(Cause::Step {
            error: EngineError::PortTaken { holder, .. },
            ..
        }) = outcome.cause
        else {
            panic!("{:?}", outcome.cause);
        };
        assert_eq!(holder, "container `proxy`");
        assert_eq!(outcome.retained_volumes, ["shop_db"]);
        assert!(sim.snapshot().containers.is_empty());
    });
}

#[test]
fn failed_rollback_step_does_not_block_others() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        sim.fail(Fault {
            at: FaultTrigger::Each {
                verb: "removing container".to_owned(),
                object: "shop-db-1.g2".to_owned(),
            },
            when: FaultTiming::Before,
            error: EngineError::DiskFull {
                cause: "no space".to_owned(),
            },
        });
        let told = up(&sim, &project(&shop(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RollbackFailed);
        assert_eq!(
            told.outcome.unfinished,
            [
                "removing container `shop-db-1.g2` failed: the engine's disk is full: no space; run \
                 manually: `docker rm -v shop-db-1.g2`"
            ]
        );
        let up: Vec<&str> = told
            .after
            .containers
            .iter()
            .filter(|it| it.1.up)
            .map(|it| it.0.as_str())
            .collect();
        assert_eq!(up, ["shop-db-1", "shop-web-1"]);
    });
}

#[test]
fn interrupts_within_two_seconds_count_once() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let before = sim.snapshot();
        let told = up(
            &sim,
            &project(&shop(2)),
            interrupts(vec![Duration::from_secs(1)]),
        )
        .await;
        assert_eq!(told.outcome.outcome, Outcome::Cancelled);
        assert_eq!(told.outcome.cause, Some(Cause::Interrupted));
        assert_eq!(told.after, before);

        let twice = vec![Duration::from_secs(1), Duration::from_millis(10)];
        let told = up(&sim, &project(&shop(2)), interrupts(twice)).await;
        assert_eq!(told.outcome.outcome, Outcome::Cancelled);
        assert_eq!(told.after, before);
        let asked = story(&told.events);
        let asked: Vec<&str> = asked.lines().filter(|it| it.contains("interr")).collect();
        assert_eq!(asked, ["interrupted: RollBack", "back: interrupted"]);
    });
}

#[test]
fn failed_verify_check_rolls_back() {
    in_virtual_time(async {
        let check = Check::Http {
            url: "http://localhost:8080/".to_owned(),
            status: StatusSet::default(),
            contains: None,
        };
        let sim = running_shop().await;
        sim.answer(&check.to_string(), ProbeResult::Pending("502".to_owned()));
        let before = sim.snapshot();
        let wanted = Project {
            verify: vec![check],
            ..project(&shop(2))
        };
        let told = up(&sim, &wanted, never()).await;
        let cause = told.outcome.cause.unwrap().to_string();
        assert_eq!(
            cause,
            "the check `http http://localhost:8080/` failed: not ready within 30 s: 502"
        );
        assert_eq!(told.after, before);
    });
}

#[test]
fn exceeded_deadline_rolls_back() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let state = observe(&sim).await;
        let deploy = plan::deploy(&project(&shop(2)), &state, &Options::default()).unwrap();
        let deadline = Duration::from_secs(2);
        let settings = cimandat::run::Settings {
            deadline: Some(deadline),
            ..settings(state)
        };
        let run = Run::new(deploy.plan, settings);
        let outcome = drive(Arc::new(sim.clone()), run, |_| {}, never()).await;
        assert_eq!(outcome.cause, Some(Cause::Deadline(deadline)));
        assert_eq!(outcome.outcome, Outcome::RolledBack);
    });
}

#[test]
fn leave_policy_reports_unfinished_steps() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.fail(Fault {
            at: FaultTrigger::Each {
                verb: "stopping container".to_owned(),
                object: "shop-db-1".to_owned(),
            },
            when: FaultTiming::Before,
            error: EngineError::DiskFull {
                cause: "no space".to_owned(),
            },
        });
        let state = observe(&sim).await;
        let plan = plan::down("shop", &state, &plan::DownOptions::default());
        let settings = cimandat::run::Settings {
            on_failure: FailurePolicy::Leave,
            ..settings(state)
        };
        let run = Run::new(plan, settings);
        let outcome = drive(Arc::new(sim.clone()), run, |_| {}, never()).await;
        assert_eq!(outcome.outcome, Outcome::RollbackFailed);
        assert!(
            outcome.unfinished.contains(
                &"removing container `shop-db-1` was not done; run manually: `docker rm -v shop-db-1`"
                    .to_owned()
            )
        );
    });
}

/// Two independent chains of services.
fn two_chains(version: u32) -> Project {
    let wish = |name: &str, needs: &[&str]| Wish {
        version,
        ..wish(name, needs)
    };
    let mut project = project(&[
        wish("api", &["db"]),
        wish("db", &[]),
        wish("queue", &[]),
        wish("worker", &["queue"]),
    ]);
    project.deploy.rollback = RollbackScope::Subtree;
    project
}

#[test]
fn subtree_rollback_spares_independent_services() {
    in_virtual_time(async {
        let sim = world(7);
        let first = up(&sim, &two_chains(1), never()).await;
        assert_eq!(first.outcome.outcome, Outcome::Converged);
        sim.script(&service_name("queue"), Some(2), Behavior::never_ready());
        let told = up(&sim, &two_chains(2), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert!(told.outcome.unfinished.is_empty());
        let current = told.after.current();
        let generations: Vec<String> = current
            .iter()
            .map(|(name, it)| format!("{name} of {} up {}", it.generation, it.up))
            .collect();
        assert_eq!(
            generations,
            [
                "shop-api-1 of 2 up true",
                "shop-db-1 of 2 up true",
                "shop-queue-1 of 1 up true",
                "shop-worker-1 of 1 up true",
            ]
        );
        let end: Vec<String> = story(&told.events)
            .lines()
            .skip_while(|line| !line.starts_with("back:"))
            .map(str::to_owned)
            .collect();
        insta::assert_snapshot!(end.join("\n"), @"
        back: `shop-queue-1.g2` did not become ready: not ready within 5 s
        stopping container shop-queue-1.g2
        removing container shop-worker-1.g2
        removing container shop-queue-1.g2
        removing image shop-queue:g2
        removing image shop-worker:g2
        stabilizing
        committed [`api`, `db`], not [`queue`, `worker`]
        setting the restart policy of container shop-db-1.g2
        setting the restart policy of container shop-db-1
        setting the restart policy of container shop-api-1.g2
        setting the restart policy of container shop-api-1
        renaming container shop-api-1
        renaming container shop-db-1
        renaming container shop-db-1.g2
        renaming container shop-api-1.g2
        RolledBack
        ");
        // The next deploy replaces what was rolled back.
        let state = observe(&sim).await;
        let deploy = plan::deploy(&two_chains(2), &state, &Options::default()).unwrap();
        let replaced = deploy
            .decisions
            .iter()
            .filter(|it| it.change == Change::Replace);
        let replaced: Vec<&str> = replaced.map(|it| it.service.as_str()).collect();
        assert_eq!(replaced, ["queue", "worker"]);
    });
}

#[test]
fn failure_during_stabilization_rolls_back_alone() {
    in_virtual_time(async {
        let sim = world(7);
        up(&sim, &two_chains(1), never()).await;
        let dies = Behavior::exits(Duration::from_millis(380), 3);
        sim.script(&service_name("worker"), Some(2), dies);
        let told = up(&sim, &two_chains(2), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        let split = told.outcome.split.unwrap();
        let old: Vec<&str> = split.rolled_back.iter().map(ServiceName::as_str).collect();
        assert_eq!(old, ["worker"]);
        let current = told.after.current();
        assert_eq!(current.len(), 4);
        assert!(current.values().all(|it| it.up));
    });
}

#[test]
fn keep_failed_retains_failed_container() {
    in_virtual_time(async {
        let sim = running_shop().await;
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let state = observe(&sim).await;
        let wanted = project(&shop(2));
        let deploy = plan::deploy(&wanted, &state, &Options::default()).unwrap();
        let settings = cimandat::run::Settings {
            keep_failed: true,
            ..settings(state)
        };
        let run = Run::new(deploy.plan, settings);
        let outcome = drive(Arc::new(sim.clone()), run, |_| {}, never()).await;
        assert_eq!(outcome.outcome, Outcome::RolledBack);
        let kept: Vec<&str> = outcome
            .retained_containers
            .iter()
            .map(ContainerName::as_str)
            .collect();
        assert_eq!(kept, ["shop-web-1.g2.failed"]);
        let names = |sim: &Sim| -> Vec<String> {
            let there = sim.snapshot();
            let current = there.current();
            current
                .iter()
                .map(|(name, it)| format!("{name} {}", if it.up { "up" } else { "down" }))
                .collect()
        };
        assert_eq!(
            names(&sim),
            ["shop-db-1 up", "shop-web-1 up", "shop-web-1.g2.failed down"]
        );
        // The failed container never counts as a replica of its service, even if there is no other.
        // The next successful deploy removes it.
        let told = up(&sim, &wanted, never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        assert_eq!(names(&sim), ["shop-db-1 up", "shop-web-1 up"]);
    });
}

#[test]
fn critical_path_covers_whole_run() {
    in_virtual_time(async {
        let sim = running_shop().await;
        let told = up(&sim, &project(&shop(2)), never()).await;
        let path = &told.outcome.critical_path;
        let sum: Duration = path.iter().map(|segment| segment.elapsed).sum();
        let gap = told.outcome.elapsed.abs_diff(sum);
        assert!(
            gap < Duration::from_millis(2),
            "{gap:?} of {:?}",
            told.outcome.elapsed
        );
        assert!(path.iter().any(|segment| segment.verb == "stabilizing"));
    });
}

#[test]
fn start_is_retried_while_port_is_taken() {
    in_virtual_time(async {
        let sim = world(3);
        let page = |version| {
            [Wish {
                port: Some(8080),
                version,
                ..wish("web", &[])
            }]
        };
        let taken = |at| Fault {
            at,
            when: FaultTiming::Before,
            error: EngineError::PortTaken {
                port: "8080".to_owned(),
                holder: "an unknown owner".to_owned(),
            },
        };
        up(&sim, &project(&page(1)), never()).await;
        // The calls before are create, tag and stop. The fourth one is the first start of the new
        // container.
        sim.fail(taken(FaultTrigger::Call(sim.calls() + 3)));
        let told = up(&sim, &project(&page(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Converged);
        assert!(
            !told
                .events
                .iter()
                .any(|it| matches!(it.event, Event::StepFailed { .. }))
        );
        sim.fail(taken(FaultTrigger::Each {
            verb: "starting container".to_owned(),
            object: "shop-web-1.g3".to_owned(),
        }));
        let (before, calls) = (sim.snapshot(), sim.calls());
        let told = up(&sim, &project(&page(3)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(told.after, before);
        assert!(sim.calls() > calls + 10, "it was tried more than once");
        assert!(told.outcome.elapsed < Duration::from_secs(4));
    });
}
