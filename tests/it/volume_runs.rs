//! Runs that copy volumes before a switch: the order of the steps, and the data afterwards.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cimandat::{
    engine::{
        EngineError,
        sim::{Behavior, Fault, FaultTiming, FaultTrigger, Sim},
    },
    event::{Event, Outcome},
    plan::{self, Options, PlanView},
    state::State,
};

use crate::fixtures::{
    Told, Wish, in_virtual_time, interrupts, never, observe, project, service_name, up, wish, world,
};

/// A database whose volume is copied, and a service that depends on it.
fn shop(version: u32) -> Vec<Wish> {
    let database = Wish {
        volume: true,
        snapshot: true,
        version,
        ..wish("db", &[])
    };
    vec![
        database,
        Wish {
            version,
            ..wish("web", &["db"])
        },
    ]
}

/// Two services that write to one copied volume. The second depends on the first.
fn writers(first: u32, second: u32) -> Vec<Wish> {
    let writer = |name, needs: &[&str], version| Wish {
        snapshot: true,
        shared: Some("common"),
        version,
        ..wish(name, needs)
    };
    vec![writer("db", &[], first), writer("worker", &["db"], second)]
}

async fn running(wishes: &[Wish]) -> Sim {
    let sim = world(7);
    let first = up(&sim, &project(wishes), never()).await;
    assert_eq!(first.outcome.outcome, Outcome::Converged);
    sim
}

/// Applied changes from the first stop of a container to the commit, without image tags.
fn calls(told: &Told) -> String {
    let calls = told.events.iter().filter_map(|it| match &it.event {
        Event::StepStarted { verb, object, .. } => Some(format!("{verb} {object}")),
        Event::StepFailed { verb, object, .. } => Some(format!("failed: {verb} {object}")),
        Event::RollbackStarted { .. } => Some("back".to_owned()),
        Event::Committed => Some("committed".to_owned()),
        _ => None,
    });
    let calls: Vec<String> = calls
        .skip_while(|it| !it.starts_with("stopping"))
        .take_while(|it| it != "committed")
        .filter(|it| !it.contains(" image "))
        .collect();
    calls.join("\n")
}

fn held(sim: &Sim, volume: &str) -> Vec<String> {
    sim.data()[volume].iter().cloned().collect()
}

fn fail_each(sim: &Sim, verb: &str, object: &str, when: FaultTiming) {
    let at = FaultTrigger::Each {
        verb: verb.to_owned(),
        object: object.to_owned(),
    };
    let cause = "no space left on device".to_owned();
    let error = EngineError::DiskFull { cause };
    sim.fail(Fault { at, when, error });
}

#[test]
fn update_copies_volume_and_keeps_one_snapshot() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        let told = up(&sim, &project(&shop(2)), never()).await;
        insta::assert_snapshot!(calls(&told), @"
        stopping container shop-db-1
        copying volume shop_db
        starting container shop-db-1.g2
        starting container shop-web-1.g2
        switching traffic to container shop-web-1.g2
        stopping container shop-web-1
        ");
        assert_eq!(told.after.snapshots.len(), 1);
        let again = up(&sim, &project(&shop(3)), never()).await;
        assert_eq!(again.outcome.outcome, Outcome::Converged);
        let kept: Vec<&String> = again.after.snapshots.iter().collect();
        assert_eq!(kept, ["shop_db.before-g3"]);
        let unchanged = up(&sim, &project(&shop(3)), never()).await;
        assert_eq!(unchanged.outcome.outcome, Outcome::Unchanged);
    });
}

#[test]
fn failed_update_restores_data_before_old_container_starts() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        let before = (sim.snapshot(), sim.data());
        sim.script(&service_name("db"), Some(2), Behavior::never_ready());
        let told = up(&sim, &project(&shop(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        insta::assert_snapshot!(calls(&told), @"
        stopping container shop-db-1
        copying volume shop_db
        starting container shop-db-1.g2
        back
        stopping container shop-db-1.g2
        removing container shop-web-1.g2
        restoring volume shop_db
        removing container shop-db-1.g2
        starting container shop-db-1
        ");
        assert_eq!((sim.snapshot(), sim.data()), before);
        assert_eq!(told.outcome.restored_volumes, ["shop_db"]);
    });
}

#[test]
fn failed_snapshot_is_removed_without_restore() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        let before = (sim.snapshot(), sim.data());
        fail_each(&sim, "copying volume", "shop_db", FaultTiming::Midway);
        let told = up(&sim, &project(&shop(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        insta::assert_snapshot!(calls(&told), @"
        stopping container shop-db-1
        copying volume shop_db
        failed: copying volume shop_db
        back
        removing snapshot shop_db.before-g2
        starting container shop-db-1
        removing container shop-db-1.g2
        removing container shop-web-1.g2
        ");
        assert_eq!((sim.snapshot(), sim.data()), before);
    });
}

#[test]
fn failed_restore_leaves_old_container_stopped() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        sim.script(&service_name("db"), Some(2), Behavior::never_ready());
        fail_each(&sim, "restoring volume", "shop_db", FaultTiming::Midway);
        let told = up(&sim, &project(&shop(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RollbackFailed);
        insta::assert_snapshot!(told.outcome.unfinished.join("\n"), @"
        restoring volume `shop_db` failed: the engine's disk is full: no space left on device
        starting container `shop-db-1` was not tried; run manually: `docker start shop-db-1`
        waiting until ready `shop-db-1` was not tried; run manually: see `docker logs shop-db-1` why it is not ready
        ");
        // The copy is kept, so that it can still be restored.
        assert_eq!(told.after.snapshots.len(), 1);
        let standing = told
            .after
            .containers
            .iter()
            .find(|(name, _)| name.as_str() == "shop-db-1");
        assert!(!standing.unwrap().1.up);
    });
}

#[test]
fn interrupted_snapshot_leaves_nothing() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        let before = (sim.snapshot(), sim.data());
        for after in 0..150 {
            let interrupted = interrupts(vec![Duration::from_millis(after)]);
            let told = up(&sim, &project(&shop(2)), interrupted).await;
            if told.outcome.outcome == Outcome::Cancelled {
                assert_eq!((sim.snapshot(), sim.data()), before, "after {after} ms");
            }
            assert_eq!(sim.breaches(), Vec::<String>::new());
        }
    });
}

#[test]
fn snapshot_is_taken_between_all_writers() {
    in_virtual_time(async {
        let sim = running(&writers(1, 1)).await;
        let before = (sim.snapshot(), sim.data());
        sim.script(&service_name("worker"), Some(2), Behavior::never_ready());
        let told = up(&sim, &project(&writers(2, 2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        insta::assert_snapshot!(calls(&told), @"
        stopping container shop-db-1
        stopping container shop-worker-1
        copying volume shop_common
        starting container shop-db-1.g2
        starting container shop-worker-1.g2
        back
        stopping container shop-worker-1.g2
        stopping container shop-db-1.g2
        removing container shop-worker-1.g2
        restoring volume shop_common
        removing container shop-db-1.g2
        starting container shop-db-1
        starting container shop-worker-1
        ");
        assert_eq!((sim.snapshot(), sim.data()), before);
        assert_eq!(
            held(&sim, "shop_common"),
            ["db of generation 1", "worker of generation 1"]
        );
        assert_eq!(sim.breaches(), Vec::<String>::new());
    });
}

#[test]
fn snapshot_with_running_writer_is_refused() {
    in_virtual_time(async {
        let sim = running(&writers(1, 1)).await;
        let state = observe(&sim).await;
        let refused = plan::deploy(&project(&writers(2, 1)), &state, &Options::default());
        let text: Vec<String> = refused
            .unwrap_err()
            .iter()
            .map(|it| format!("{it}\n help: {}", it.help()))
            .collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        volume `shop_common` is to be copied before `db` is replaced, and `shop-worker-1`, which is not, writes to it
         help: mount the volume `read-only=#true` there, replace both (`--force-recreate`), or give up `snapshot="before-update"`
        "#);
    });
}

fn shown(project: &cimandat::project::Project, state: &State) -> String {
    let deploy = plan::deploy(project, state, &Options::default()).unwrap();
    PlanView::new(project, &plan::Plan::default(), &deploy).text()
}

#[test]
fn plan_lists_snapshots() {
    in_virtual_time(async {
        let sim = running(&shop(1)).await;
        insta::assert_snapshot!(shown(&project(&shop(2)), &observe(&sim).await), @r#"
        shop: 2 to replace
          + snapshot shop_db.before-g2 of volume shop_db
          ~ db   replaced (stop first, as both can write to `shop_db`): 1 field changed
              env.VERSION: 1 → 2
              does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
              to shorten it: declare `volume "db" shared=#true`, but only if two containers may write to it at a time, as those of a database must not
          ~ web  replaced (start first): 1 field changed
              env.VERSION: 1 → 2
              no interruption; open connections stay open until the old container stops
        "#);
    });
}

#[test]
fn enabling_snapshots_does_not_change_volume() {
    in_virtual_time(async {
        let mut plain = shop(1);
        plain[0].snapshot = false;
        let sim = running(&plain).await;
        let told = up(&sim, &project(&shop(1)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::Unchanged);
    });
}

/// The shop with an irreversible migration between its database and its service.
fn migration(version: u32) -> Vec<Wish> {
    let mut wishes = shop(version);
    let job = Wish {
        job: true,
        irreversible: true,
        version,
        ..wish("migrate", &["db"])
    };
    wishes.insert(1, job);
    wishes[2].needs = vec![("migrate".to_owned(), false)];
    wishes
}

#[test]
fn rollback_reports_irreversible_job_and_restores_volume() {
    in_virtual_time(async {
        let sim = running(&migration(1)).await;
        let before = (sim.snapshot(), sim.data());
        sim.script(&service_name("web"), Some(2), Behavior::never_ready());
        let told = up(&sim, &project(&migration(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(told.outcome.irreversible_jobs, [service_name("migrate")]);
        assert_eq!(told.outcome.restored_volumes, ["shop_db"]);
        assert_eq!((sim.snapshot(), sim.data()), before);
    });
}

#[test]
fn never_started_irreversible_job_is_not_reported() {
    in_virtual_time(async {
        let sim = running(&migration(1)).await;
        sim.script(&service_name("db"), Some(2), Behavior::never_ready());
        let told = up(&sim, &project(&migration(2)), never()).await;
        assert_eq!(told.outcome.outcome, Outcome::RolledBack);
        assert_eq!(told.outcome.irreversible_jobs, []);
    });
}

#[test]
fn plan_reports_point_of_no_return() {
    in_virtual_time(async {
        let sim = running(&migration(1)).await;
        let state = observe(&sim).await;
        insta::assert_snapshot!(shown(&project(&migration(2)), &state), @r#"
        shop: 3 to replace
          + snapshot shop_db.before-g2 of volume shop_db
          ~ db       replaced (stop first, as both can write to `shop_db`): 1 field changed
              env.VERSION: 1 → 2
              does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
              to shorten it: declare `volume "db" shared=#true`, but only if two containers may write to it at a time, as those of a database must not
          ~ migrate  replaced: 1 field changed
              env.VERSION: 1 → 2
          ~ web      replaced (start first): 1 field changed
              env.VERSION: 1 → 2
              no interruption; open connections stay open until the old container stops
        point of no return: what migrate does to data is not undone by a rollback
        "#);
        let again = shown(&project(&migration(1)), &state);
        assert!(!again.contains("no return"), "{again}");
    });
}
