//! The clients themselves: they count each failure, and nothing else as a failure.
//!
//! Server and client are processes on this machine; no engine is needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    process::{Child, Command},
    thread,
    time::Duration,
};

use super::client::{Here, Report, end, is_missing, signal};
use crate::support::free_port;

const SERVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/cutover/programs/server.js"
);

/// A server on this machine.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn begin(port: u16) -> Self {
        let mut command = Command::new("node");
        command.arg(SERVER).env("PORT", port.to_string());
        let child = command.spawn().unwrap();
        Self { child, port }
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    fn ends_well(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Runs a client against a server while `act` changes that server.
fn counted(path: &str, env: &[(&str, &str)], act: impl FnOnce(&mut Server)) -> Report {
    let mut server = Server::begin(free_port());
    let url = format!("http://127.0.0.1:{}{path}", server.port);
    let mut client = Here::begin(&url, env);
    // Failures before the server listened do not count.
    client.report();
    act(&mut server);
    client.report()
}

fn go_on() {
    thread::sleep(Duration::from_millis(500));
}

#[test]
fn good_answers_are_counted_by_version() {
    if is_missing("good_answers_are_counted_by_version") {
        return;
    }
    for env in [
        &[][..],
        &[("AGENT", "kept"), ("WORKERS", "4")],
        &[("MODE", "upgrade")],
        &[("RESOLVE", "once")],
    ] {
        let report = counted("/", env, |_| go_on()).all_answered();
        let by_version = BTreeMap::from([("text".to_owned(), report.total)]);
        assert_eq!(report.versions, by_version, "{env:?}");
    }
    let long = [("NOMINAL_MS", "200"), ("FIRST", "1")];
    let report = counted("/slow?ms=200", &long, |_| go_on()).all_answered();
    assert!(report.longest_ms >= 200.0, "{report}");
    counted("/stream?ms=200", &[("FIRST", "1")], |_| go_on()).all_answered();
}

#[test]
fn request_without_an_answer_is_counted_as_hanging() {
    if is_missing("request_without_an_answer_is_counted_as_hanging") {
        return;
    }
    for env in [&[][..], &[("AGENT", "kept")], &[("MODE", "upgrade")]] {
        let report = counted("/", env, |server| {
            server.signal("STOP");
            go_on();
        });
        assert_eq!((report.hanging, report.failed), (1, 0), "{report}");
        assert!(report.longest_gap_ms >= 5000.0, "{report}");
    }
}

#[test]
fn late_answer_is_counted_as_slow() {
    if is_missing("late_answer_is_counted_as_slow") {
        return;
    }
    let report = counted("/", &[("AGENT", "kept")], |server| {
        server.signal("STOP");
        thread::sleep(Duration::from_millis(1200));
        server.signal("CONT");
        go_on();
    });
    let report = report.all_answered();
    assert!(report.slow >= 1, "{report}");
    assert!(report.longest_ms > 500.0, "{report}");
}

#[test]
fn cut_request_is_counted_as_failed() {
    if is_missing("cut_request_is_counted_as_failed") {
        return;
    }
    let long = [("AGENT", "kept"), ("NOMINAL_MS", "500"), ("FIRST", "1")];
    let stream = [("AGENT", "kept"), ("FIRST", "1")];
    for (path, env, error) in [
        ("/slow?ms=1000", &long[..], "ECONNRESET"),
        ("/stream?ms=1000", &stream[..], "ECONNRESET"),
        ("/", &[("MODE", "upgrade")], "ended"),
    ] {
        let report = counted(path, env, |server| {
            // In the middle of a request, which is the second one of its connection.
            go_on();
            server.signal("KILL");
            server.ends_well();
            go_on();
        });
        assert!(report.failed > 0 && report.hanging == 0, "{report}");
        // A message just before the end may have been answered.
        let cut = report.errors.contains_key(error) || path == "/";
        assert!(cut, "{report}");
        assert!(report.errors.contains_key("ECONNREFUSED"), "{report}");
    }
}

#[test]
fn server_that_takes_leave_fails_no_request_under_way() {
    if is_missing("server_that_takes_leave_fails_no_request_under_way") {
        return;
    }
    let pool = [("AGENT", "kept"), ("WORKERS", "4")];
    let long = [("NOMINAL_MS", "300"), ("FIRST", "1")];
    for (path, env) in [
        ("/", &pool[..]),
        ("/", &[("MODE", "upgrade")]),
        ("/slow?ms=300", &long),
        ("/stream?ms=300", &[("FIRST", "1")]),
    ] {
        let report = counted(path, env, |server| {
            go_on();
            server.signal("TERM");
            assert!(server.ends_well());
        });
        assert!(report.total > report.failed, "{report}");
        // Later requests find no listener. Node.js closes idle connections just before it stops
        // listening, so that a connection of the pool may be opened in between, and reset.
        let of = |error| report.errors.get(error).copied().unwrap_or_default();
        let (refused, reset) = (of("ECONNREFUSED"), of("ECONNRESET"));
        assert!(reset <= if env == pool { 4 } else { 0 }, "{report}");
        assert_eq!(report.failed, refused + reset, "{report}");
        assert_eq!(report.hanging, 0, "{report}");
    }
}
