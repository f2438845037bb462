//! Recorded runs in every output mode.
//!
//! The event streams are in [`recorded`]. No test reads a clock or a terminal.

#![cfg(test)]

mod recorded;

use std::io::{self, Write};

use cimandat::{
    event::EventEnvelope,
    report::{
        OutputMode, Reporter, Style,
        frame::Viewport,
        live::{Clock, Live},
        text::{Paint, clean, width},
    },
};
use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike};

use self::recorded::{
    down, failing_build, failing_job, failing_update, first_deploy, half_way_down, interrupted,
    interrupted_twice, recovered, replanned, scaled_down, stuck_update, unchanged,
    unhealthy_after_ready, without_a_network,
};

fn told(form: OutputMode, events: &[EventEnvelope]) -> (String, String) {
    let style = Style {
        form,
        colour: false,
        width: 80,
        height: 24,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut reporter = Reporter::new(style, &mut out, &mut err);
    for event in events {
        reporter.event(event);
    }
    reporter.finish();
    drop(reporter);
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn plain(events: &[EventEnvelope]) -> String {
    let (out, err) = told(OutputMode::Plain, events);
    assert_eq!(out, "");
    assert!(!err.contains('\u{1b}'));
    err
}

fn quiet(events: &[EventEnvelope]) -> String {
    let (out, err) = told(OutputMode::Quiet, events);
    assert_eq!(out, "");
    err
}

/// Line discipline of a terminal: a line feed also returns to the first column.
struct Lines(InMemoryTerm);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(&text.replace('\n', "\r\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The screen after these events.
fn screen(events: &[EventEnvelope], size: (u16, u16)) -> String {
    let (columns, rows) = size;
    let term = InMemoryTerm::new(rows, columns);
    let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
    let view = Viewport {
        width: usize::from(columns),
        height: usize::from(rows),
        paint: Paint { colour: false },
    };
    let mut live = Live::new(target, view, Clock::Still, Lines(term.clone()));
    for event in events {
        live.event(event);
        assert!(
            term.contents()
                .lines()
                .all(|line| width(line) <= view.width)
        );
    }
    term.contents()
}

/// The events up to this time.
fn before(events: &[EventEnvelope], milliseconds: u128) -> &[EventEnvelope] {
    let many = events
        .iter()
        .take_while(|event| event.at.as_millis() <= milliseconds)
        .count();
    &events[..many]
}

#[test]
fn plain_reports_first_deploy_line_by_line() {
    insta::assert_snapshot!(plain(&first_deploy()), @"
    +0.000s  shop      up: 3 to create
    +0.002s  default   creating network shop_default (new)
    +0.041s  default   created network shop_default in 39 ms
    +0.042s  postgres  pulling image postgres:17 (not on the engine)
    +0.043s  backend   building image shop/backend:1 (no image of these inputs yet)
    +0.120s  postgres  0 of 2 layers, 1.2 MB of 20.0 MB
    +0.140s  backend   [build 2/3] COPY . .  cached
    +0.150s  backend   [build 3/3] RUN npm ci
    +0.900s  backend   │ added 212 packages in 2s
    +1.000s  postgres  2 of 2 layers, 20.0 MB of 20.0 MB
    +1.010s  postgres  pulled image postgres:17 in 1.0 s
    +1.010s  postgres  creating container shop-postgres-1 (new)
    +1.060s  postgres  created container shop-postgres-1 in 50 ms
    +1.060s  postgres  starting container shop-postgres-1 (new)
    +1.400s  postgres  started container shop-postgres-1 in 0.3 s
    +1.400s  postgres  waiting until ready, 60 s at most: postgres 5432
    +1.405s  postgres  postgres 5432: connection refused
    +1.800s  postgres  postgres 5432: 57P03: the database system is starting up
    +2.150s  backend   [build 3/3] RUN npm ci  done in 2.0 s
    +2.400s  backend   built image shop/backend:1 in 2.4 s
    +2.900s  postgres  ready after 1.5 s
    +2.900s  migrate   starting container shop-migrate-1 (new)
    +3.200s  migrate   started container shop-migrate-1 in 0.3 s
    +3.200s  migrate   waiting until ready, 60 s at most: exit 0
    +3.900s  migrate   done after 0.7 s
    +3.900s  backend   starting container shop-backend-1 (new)
    +4.200s  backend   started container shop-backend-1 in 0.3 s
    +4.200s  backend   waiting until ready, 60 s at most: http 3001 /health
    +4.700s  backend   ready after 0.5 s
    +4.700s  shop      all ready, and must stay so for 1 s
    +5.700s  shop      committed
    +5.700s  shop      warning: volume `old` is no longer used
    +5.712s  shop      `shop` is running: 3 created in 5.7 s
                       critical path 4.6 s: postgres pull 1.0 s → postgres start 0.3 s → postgres ready 1.5 s → migrate start 0.3 s → migrate ready 0.7 s → backend start 0.3 s → backend ready 0.5 s (and 1 step under 1 %)
    ");
}

#[test]
fn plain_reports_why_update_was_rolled_back() {
    insta::assert_snapshot!(plain(&failing_update()), @"
    +0.000s  shop      up: 2 to replace, 1 unchanged
    +0.005s  backend   creating container shop-backend-1.next (changed: env.MODEL, image)
    +0.060s  backend   created container shop-backend-1.next in 55 ms
    +0.060s  backend   stopping container shop-backend-1 (replaced)
    +0.400s  backend   stopped container shop-backend-1 in 0.3 s
    +0.400s  backend   starting container shop-backend-1.next (replaced)
    +0.700s  backend   started container shop-backend-1.next in 0.3 s
    +0.700s  backend   waiting until ready, 60 s at most: http 3001 /health
    +0.705s  backend   http 3001 /health: connection refused
    +8.910s  backend   failed: gate of `backend` after 8.2 s: exited with code 137
                           container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM-killed, restarted 1 time
                           probe `http 3001 /health`: connection refused (37 attempts)
                           its log's last 2 lines:
                             │ loading the model
                             │ heap    out of memory
    +8.911s  shop      rolling back: `shop-backend-1.next` did not become ready: exited with code 137
    +8.911s  backend   removing container shop-backend-1.next (rollback)
    +9.000s  backend   removed container shop-backend-1.next in 89 ms
    +9.000s  backend   starting container shop-backend-1 (rollback)
    +9.400s  backend   started container shop-backend-1 in 0.4 s
    +9.400s  backend   waiting until ready, 60 s at most: http 3001 /health
    +9.900s  backend   ready after 0.5 s
    +9.910s  shop      `up` of `shop` failed and was rolled back, 9.9 s in all
                         because: `backend`: exited with code 137 (http 3001 /health: connection refused)
                         running now: the state before, healthy: `postgres`, `backend`, `frontend`
    ");
}

#[test]
fn plain_reports_failed_build() {
    insta::assert_snapshot!(plain(&failing_build()), @"
    +0.000s  shop  up: 1 to create
    +0.010s  web   building image shop/web:1 (no image of these inputs yet)
    +3.000s  web   failed: `web`: building image `shop/web:1`
                       the build of `web` failed at `RUN npm ci`: exit code 1
                       its last output:
                         │ npm error code E404
                         │ npm error 404 left-pad
    +3.010s  shop  `up` of `shop` failed after 3.0 s; no running container was changed
                     because: `web`: building image `shop/web:1`: the build of `web` failed at `RUN npm ci`: exit code 1
    ");
}

#[test]
fn plain_reports_removals() {
    insta::assert_snapshot!(plain(&down()), @"
    +0.000s  shop      down: 2 to remove
    +0.010s  backend   stopping container shop-backend-1 (down)
    +0.410s  backend   stopped container shop-backend-1 in 0.4 s
    +0.410s  backend   removing container shop-backend-1 (down)
    +0.460s  backend   removed container shop-backend-1 in 50 ms
    +0.510s  postgres  stopping container shop-postgres-1 (down)
    +0.910s  postgres  stopped container shop-postgres-1 in 0.4 s
    +0.910s  postgres  removing container shop-postgres-1 (down)
    +0.960s  postgres  removed container shop-postgres-1 in 50 ms
    +0.960s  default   removing network shop_default (down)
    +1.100s  default   removed network shop_default in 0.1 s
    +1.105s  shop      `shop` is down: 2 containers removed in 1.1 s
    ");
}

#[test]
fn quiet_prints_only_the_outcome() {
    insta::assert_snapshot!(quiet(&first_deploy()), @"`shop` is running: 3 created in 5.7 s");
    insta::assert_snapshot!(quiet(&down()), @"`shop` is down: 2 containers removed in 1.1 s");
}

#[test]
fn quiet_reports_failure_in_full() {
    insta::assert_snapshot!(quiet(&failing_update()), @"
    failed: gate of `backend` after 8.2 s: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM-killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    `up` of `shop` failed and was rolled back, 9.9 s in all
      because: `backend`: exited with code 137 (http 3001 /health: connection refused)
      running now: the state before, healthy: `postgres`, `backend`, `frontend`
    ");
}

#[test]
fn failed_rollback_prints_what_to_do() {
    insta::assert_snapshot!(quiet(&stuck_update()), @"
    failed: gate of `backend` after 8.2 s: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM-killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    failed: `backend`: starting container `shop-backend-1`
        port 3001 of this host is already in use by container `other`
        help: stop the program that uses the port, or publish another port of the host
    `up` of `shop` failed, and the rollback failed too: manual intervention is required (9.1 s)
      because: `backend`: exited with code 137 (http 3001 /health: connection refused)
      not rolled back: starting container `shop-backend-1` failed: port 3001 is already in use
      help: run the remaining commands in this order, or fix the cause above and run `cimandat -p shop recover`, which tries it again; `cimandat -p shop ps` shows what runs and what does not
      data: no named volume was removed or restored
    ");
}

#[test]
fn json_round_trips_event_stream() {
    let events = failing_update();
    let (out, err) = told(OutputMode::Json, &events);
    assert_eq!(err, "");
    let back: Vec<EventEnvelope> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(back, events);
    let some: Vec<&str> = out.lines().take(3).chain(out.lines().last()).collect();
    insta::assert_snapshot!(some.join("\n"), @r#"
    {"v":2,"at":0.0,"event":"run-started","project":"shop","verb":"up","services":[{"service":"postgres","job":false,"replicas":1,"change":"no-op","depends_on":[]},{"service":"backend","job":false,"replicas":1,"change":"replace","depends_on":["postgres"]},{"service":"frontend","job":false,"replicas":1,"change":"replace","depends_on":["backend"]}]}
    {"v":2,"at":0.005,"event":"step-started","step":0,"subject":{"kind":"service","name":"backend","replica":1},"verb":"creating container","object":"shop-backend-1.next","reason":{"kind":"changed","changes":[{"field":"env.MODEL","from":null,"to":"1"},{"field":"image","from":null,"to":"1"}]}}
    {"v":2,"at":0.06,"event":"step-finished","step":0,"subject":{"kind":"service","name":"backend","replica":1},"verb":"creating container","elapsed":0.055}
    {"v":2,"at":9.91,"event":"run-finished","outcome":"rolled-back","elapsed":9.91,"critical_path":[],"retained_volumes":[],"cause":"`shop-backend-1.next` did not become ready: exited with code 137"}
    "#);
}

#[test]
fn json_round_trips_every_kind_of_progress() {
    let events = first_deploy();
    let (out, _) = told(OutputMode::Json, &events);
    let back: Vec<EventEnvelope> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(back, events);
}

#[test]
fn live_shows_pulls_and_build_steps_under_their_services() {
    let events = first_deploy();
    insta::assert_snapshot!(screen(before(&events, 900), (72, 20)), @"
    up shop: 0 of 3 ready  0.9 s
    postgres  pulling image · 0 of 2 layers, 2.2 MB of 20.0 MB  0.8 s
    migrate   waiting for postgres  0.9 s
    backend   building image  0.8 s
        [build 3/3] RUN npm ci  0.7 s
    ");
}

#[test]
fn live_shows_pending_dependencies() {
    let events = first_deploy();
    insta::assert_snapshot!(screen(before(&events, 2400), (72, 20)), @"
    up shop: 0 of 3 ready  2.4 s
    postgres  starting · postgres 5432: 57P03: the database system i…  1.0 s
    migrate   waiting for postgres  2.4 s
    backend   waiting for migrate, postgres  0.0 s
    ");
    insta::assert_snapshot!(screen(before(&events, 2400), (40, 20)), @"
    up shop: 0 of 3 ready  2.4 s
    postgres  starting · postgres 54…  1.0 s
    migrate   waiting for postgres  2.4 s
    backend   waiting for migrate, p…  0.0 s
    ");
}

#[test]
fn live_counts_services_that_do_not_fit() {
    let events = first_deploy();
    insta::assert_snapshot!(screen(before(&events, 2400), (72, 4)), @"
    up shop: 0 of 3 ready  2.4 s
    postgres  starting · postgres 5432: 57P03: the database system i…  1.0 s
    and 2 more: 2 waiting
    ");
}

#[test]
fn live_marks_rollback() {
    let events = failing_update();
    insta::assert_snapshot!(screen(before(&events, 9300), (72, 30)), @"
    failed: gate of `backend` after 8.2 s: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM
    -killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    rolling back: `shop-backend-1.next` did not become ready: exited with co
    de 137
    rolling back `up` of `shop`: `shop-backend-1.next` did not becom…  9.0 s
    postgres  unchanged
    backend   rolling back · starting container  0.0 s
    frontend  unchanged
    ");
}

#[test]
fn live_leaves_clean_screen() {
    insta::assert_snapshot!(screen(&first_deploy(), (72, 30)), @"
    warning: volume `old` is no longer used
    postgres  ready  2.9 s
    migrate   done  3.9 s
    backend   ready  4.7 s
    `shop` is running: 3 created in 5.7 s
    critical path 4.6 s: postgres pull 1.0 s → postgres start 0.3 s →
      postgres ready 1.5 s → migrate start 0.3 s → migrate ready 0.7 s →
      backend start 0.3 s → backend ready 0.5 s (and 1 step under 1 %)
    ");
    insta::assert_snapshot!(screen(&failing_update(), (72, 30)), @"
    failed: gate of `backend` after 8.2 s: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM
    -killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    rolling back: `shop-backend-1.next` did not become ready: exited with co
    de 137
    postgres  unchanged
    backend   failed, rolled back: exited with code 137 (http 3001 /…  9.9 s
    frontend  unchanged
    `up` of `shop` failed and was rolled back, 9.9 s in all
      because: `backend`: exited with code 137 (http 3001 /health:
        connection refused)
      running now: the state before, healthy: `postgres`, `backend`,
        `frontend`
    ");
    insta::assert_snapshot!(screen(&stuck_update(), (100, 30)), @"
    failed: gate of `backend` after 8.2 s: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM-killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    rolling back: `shop-backend-1.next` did not become ready: exited with code 137
    failed: `backend`: starting container `shop-backend-1`
        port 3001 of this host is already in use by container `other`
        help: stop the program that uses the port, or publish another port of the host
    postgres  unchanged
    backend   failed: exited with code 137 (http 3001 /health: connection refused)  9.1 s
    frontend  unchanged
    `up` of `shop` failed, and the rollback failed too: manual intervention is required (9.1 s)
      because: `backend`: exited with code 137 (http 3001 /health: connection refused)
      not rolled back: starting container `shop-backend-1` failed: port 3001 is already in use
      help: run the remaining commands in this order, or fix the cause above and run `cimandat -p shop
        recover`, which tries it again; `cimandat -p shop ps` shows what runs and what does not
      data: no named volume was removed or restored
    ");
    insta::assert_snapshot!(screen(&down(), (72, 30)), @"
    postgres  removed container  0.9 s
    backend   removed container  0.4 s
    `shop` is down: 2 containers removed in 1.1 s
    ");
}

#[test]
fn live_prints_one_line_when_unchanged() {
    insta::assert_snapshot!(screen(&unchanged(), (72, 10)), @"`shop` is up to date: 1 service, nothing to do (0.1 s)");
}

#[test]
fn failed_first_deploy_lists_kept_volumes() {
    insta::assert_snapshot!(screen(&failing_job(), (80, 40)), @"
    failed (ignored): gate of `mail` after 60.0 s: not ready within 60 s
        container `shop-mail-1`: the engine did not report a status
    failed: gate of `migrate` after 80 ms: exited with code 1
        container `shop-migrate-1`: exited with code 1
        its log's last line:
          │ relation `users` exists already
    rolling back: `shop-migrate-1` did not become ready: exited with code 1
    postgres  rolled back: removed
    migrate   failed, rolled back: exited with code 1  61.3 s
    mail      failed, rolled back: not ready within 60 s  60.9 s
    `up` of `shop` failed; its changes were removed, 61.4 s in all
      because: `migrate`: exited with code 1
      kept volumes, with what the failed deploy wrote: `shop_data`
      help: `cimandat down --volumes` removes them and what they hold
    ");
}

#[test]
fn run_without_rollback_does_not_mention_rollback() {
    insta::assert_snapshot!(quiet(&half_way_down()), @"
    failed: `default`: removing network `shop_default`
        `shop_default` is still in use by container `stranger`
        help: detach it
    `down` of `shop` could not remove everything (0.3 s)
      not removed: network `shop_default`
      because: `default`: removing network `shop_default`: `shop_default` is still in use by container `stranger`
      help: run `cimandat down` again to remove the rest
    ");
    insta::assert_snapshot!(quiet(&interrupted()), @"`up` of `shop` was interrupted after 0.7 s; nothing was changed");
}

#[test]
fn unhealthy_after_ready_is_reported() {
    insta::assert_snapshot!(quiet(&unhealthy_after_ready()), @"
    failed: `backend`, which had been ready: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM-killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    ");
    insta::assert_snapshot!(screen(&unhealthy_after_ready(), (72, 20)), @"
    failed: `backend`, which had been ready: exited with code 137
        container `shop-backend-1.next`: exited with code 137 (SIGKILL), OOM
    -killed, restarted 1 time
        probe `http 3001 /health`: connection refused (37 attempts)
        its log's last 2 lines:
          │ loading the model
          │ heap    out of memory
    up shop: all ready, and must stay so for 5 s  0.9 s
    backend  failed: had been ready, then: exited with code 137  0.9 s
    ");
}

#[test]
fn summary_counts_containers_and_names_removed() {
    insta::assert_snapshot!(plain(&scaled_down()), @"
    +0.000s  shop      up: 1 to create, 5 to remove, 1 unchanged
    +0.005s  web       starting container shop-web-1 (new)
    +0.100s  web       started container shop-web-1 in 95 ms
    +0.100s  shop      committed
    +0.100s  worker-2  removing container shop-worker-2 (no longer part of the project)
    +0.200s  worker-2  removed container shop-worker-2 in 0.1 s
    +0.900s  shop      `shop` is running: 1 created, 5 removed (`api-1`, `api-2`, `worker-2`, `worker-3`, `worker-4`), 1 unchanged in 0.9 s
    ");
}

#[test]
fn summary_counts_removed_networks() {
    insta::assert_snapshot!(quiet(&without_a_network()), @"`shop` is running: 1 unchanged, 1 network removed in 0.1 s");
}

#[test]
fn replanning_and_checks_are_reported() {
    insta::assert_snapshot!(plain(&replanned()), @"
    +0.000s  shop  up: 1 unchanged
    +0.005s  web   pulling image web:1 (not on the engine)
    +0.100s  web   pulled image web:1 in 95 ms
    +0.110s  shop  with its images there: 1 to replace
    +0.300s  shop  verify: http http://localhost/
    +0.339s  shop  verified http http://localhost/ in 39 ms
    +0.400s  shop  `shop` is running: 1 replaced in 0.4 s
    ");
}

#[test]
fn recovery_reports_its_deploy_number() {
    insta::assert_snapshot!(plain(&recovered()), @"
    +0.000s  shop  recover: rolling back deploy 9; 2 services to check
    +0.001s  shop  rolling back: deploy 9 was interrupted
    +0.005s  db    starting container shop-db-1 (rollback)
    +0.100s  db    started container shop-db-1 in 95 ms
    +0.100s  db    waiting until ready, 60 s at most: started
    +0.200s  db    ready after 0.1 s
    +0.005s  web   starting container shop-web-1 (rollback)
    +0.100s  web   started container shop-web-1 in 95 ms
    +0.100s  web   waiting until ready, 60 s at most: started
    +0.200s  web   ready after 0.1 s
    +0.210s  shop  deploy 9 of `shop`, which was interrupted, is rolled back (0.2 s)
                     running now: the state before, healthy: `db`, `web`
    ");
    insta::assert_snapshot!(screen(&recovered(), (72, 30)), @"
    rolling back: deploy 9 was interrupted
    db   unchanged  0.2 s
    web  rolled back: as before  0.2 s
    deploy 9 of `shop`, which was interrupted, is rolled back (0.2 s)
      running now: the state before, healthy: `db`, `web`
    ");
}

#[test]
fn interrupted_rollback_suggests_recover() {
    insta::assert_snapshot!(screen(&interrupted_twice(), (100, 30)), @"
    interrupted: rolling back; press Ctrl-C again to leave it to `cimandat recover`
    interrupted again: left to `cimandat recover`
    web  not known to be as before
    `up` of `shop` was interrupted while rolling back: run `cimandat -p shop recover` (3.0 s)
      until then some of its services may not run: see `cimandat -p shop ps`
    ");
    insta::assert_snapshot!(plain(&interrupted_twice()), @"
    +0.000s  shop  up: 1 to replace
    +0.005s  web   stopping container shop-web-1 (replaced)
    +0.100s  web   stopped container shop-web-1 in 95 ms
    +0.700s  shop  interrupted: rolling back; press Ctrl-C again to leave it to `cimandat recover`
    +3.000s  shop  interrupted again: left to `cimandat recover`
    +3.001s  shop  `up` of `shop` was interrupted while rolling back: run `cimandat -p shop recover` (3.0 s)
                     until then some of its services may not run: see `cimandat -p shop ps`
    ");
}

#[test]
fn coloured_output_equals_plain_after_cleaning() {
    for events in [first_deploy(), failing_update(), failing_build()] {
        let style = Style {
            form: OutputMode::Plain,
            colour: true,
            width: 80,
            height: 24,
        };
        let mut err = Vec::new();
        let mut reporter = Reporter::new(style, io::sink(), &mut err);
        for event in &events {
            reporter.event(event);
        }
        drop(reporter);
        let coloured = String::from_utf8(err).unwrap();
        assert!(coloured.contains('\u{1b}'));
        let bare: Vec<String> = coloured.lines().map(clean).collect();
        assert_eq!(bare.join("\n") + "\n", plain(&events));
    }
}

#[test]
fn closed_pipe_stops_output() {
    struct Closed(usize);
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for form in [OutputMode::Plain, OutputMode::Json, OutputMode::Quiet] {
        let style = Style {
            form,
            colour: false,
            width: 80,
            height: 24,
        };
        let (mut out, mut err) = (Closed(0), Closed(0));
        let mut reporter = Reporter::new(style, &mut out, &mut err);
        for event in &first_deploy() {
            reporter.event(event);
        }
        reporter.finish();
        drop(reporter);
        assert_eq!(out.0 + err.0, 1, "{form:?} went on writing");
    }
}
