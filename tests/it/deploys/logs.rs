//! `logs`: services without a log, restarts and replacements, a reader that closes the pipe, and
//! lines that are not plain text.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use cimandat::event::Outcome;
use serde_json::Value;

use crate::support::{Running, World};

/// Longer than a program takes to exit, even on a busy machine; much shorter than the wait for a
/// line that never appears.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns whether a line of `logs --format json` is from this service, with this text.
fn is_line(printed: &str, service: &str, text: &str) -> bool {
    let printed: Value = serde_json::from_str(printed).unwrap();
    printed["service"] == service && printed["line"] == text
}

#[test]
fn logs_show_other_services_when_one_has_none() {
    let Some(world) = World::new("nolog") else {
        return;
    };
    world.manifest(
        r#"
        service "a" { use "talker"; ready { log "at work"; }; }
        service "quiet" { use "doomed"; logging "none"; replicas 2; }
        service "z" { use "talker"; ready { log "at work"; }; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let remark =
        |label: &str| format!("`{label}` has no log: its logging driver `none` keeps none\n");
    let remarks = remark("quiet") + &remark("quiet-2");
    let shown = world.run(&["logs"]).with_code(0);
    let mut lines: Vec<&str> = shown.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a        at work", "z        at work"]);
    assert_eq!(shown.err, remarks);
    let alone = world.run(&["logs", "quiet"]).with_code(0);
    assert_eq!((alone.out.as_str(), alone.err), ("", remarks.clone()));

    let mut followed = world.begin(&["logs", "--follow", "--format", "json"]);
    world.api.signal(&world.name("z"), "USR1");
    followed.line("a line of z", |line| is_line(line, "z", "line 1"));
    // A log that is not kept is not requested again in a loop.
    world.api.signal(&world.name("a"), "USR1");
    followed.line("a line of a", |line| is_line(line, "a", "line 1"));
    followed.interrupt();
    let err = followed.end().err;
    let mut lines: Vec<&str> = err.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<&str> = remarks.lines().collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

fn until(followed: &mut Running<'_>, service: &str, text: &str) {
    followed.line(&format!("{text} of {service}"), |line| {
        is_line(line, service, text)
    });
}

fn restart(world: &World, service: &str) {
    let path = format!("/containers/{}/restart?t=1", world.name(service));
    assert_eq!(world.api.ask("POST", &path, None).status, 204);
}

#[test]
fn follow_shows_each_line_once_over_restarts_and_replacements() {
    let Some(world) = World::new("follow") else {
        return;
    };
    // Each start prints its container and its number.
    let manifest = |name: &str| {
        world.manifest(&format!(
            r##"
            service "app" {{
                image "debian:trixie-slim"
                command "perl" "-e" #"""
                    $$| = 1;
                    open COUNT, '>>', '/count'; print COUNT 'x'; close COUNT;
                    my $$start = -s '/count';
                    print "$$ENV{{NAME}} $$start begins\n";
                    print STDERR "$$ENV{{NAME}} $$start speaks\n" for 1 .. 3;
                    $$SIG{{TERM}} = sub {{ print "$$ENV{{NAME}} $$start ends"; exit 0 }};
                    print "$$ENV{{NAME}} $$start waits\n";
                    sleep 600 while 1;
                    """#
                env NAME="{name}"
                update order="stop-first"
                ready {{ log "waits" }}
            }}
            "##
        ));
    };
    manifest("one");
    let mut followed = world.begin(&["logs", "--follow", "--format", "json", "app"]);
    world.up().with(0, Outcome::Converged);
    until(&mut followed, "app", "one 1 waits");
    restart(&world, "app");
    until(&mut followed, "app", "one 2 waits");
    restart(&world, "app");
    until(&mut followed, "app", "one 3 waits");
    manifest("two");
    world.up().with(0, Outcome::Converged);
    until(&mut followed, "app", "two 1 waits");
    followed.interrupt();
    let ended = followed.end();
    let lines: Vec<String> = ended
        .out
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["line"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut expected = Vec::new();
    for start in ["one 1", "one 2", "one 3", "two 1"] {
        expected.push(format!("{start} begins"));
        expected.extend((1..=3).map(|_| format!("{start} speaks")));
        expected.push(format!("{start} waits"));
        expected.push(format!("{start} ends"));
    }
    expected.pop();
    // The order of the two streams is not defined.
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(lines), sorted(expected));
}

#[test]
fn follow_with_tail_0_shows_lines_after_restart() {
    let Some(world) = World::new("tail") else {
        return;
    };
    world.manifest(r#"service "app" { use "talker"; ready { log "at work"; }; }"#);
    world.up().with(0, Outcome::Converged);
    let mut followed = world.begin(&["logs", "--follow", "--tail", "0", "--no-prefix"]);
    // A line is shown only if the log is already followed; so lines are written until one is shown.
    let heard = AtomicBool::new(false);
    let (api, name) = (&world.api, world.name("app"));
    let first = thread::scope(|scope| {
        scope.spawn(|| {
            while !heard.load(Ordering::Relaxed) {
                api.signal(&name, "USR1");
                thread::sleep(Duration::from_millis(50));
            }
        });
        let first = followed.line("a line", |line| line.starts_with("line "));
        heard.store(true, Ordering::Relaxed);
        first
    });
    restart(&world, "app");
    followed.line("a new start", |line| line == "at work");
    followed.interrupt();
    let shown = followed.end().out;
    assert!(shown.starts_with(&first), "{shown}");
    assert_eq!(shown.matches("at work").count(), 1, "{shown}");
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.dedup();
    assert_eq!(lines.len(), shown.lines().count(), "{shown}");
}

fn wait(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn closed_pipe_ends_follow_at_once() {
    let Some(world) = World::new("pipe") else {
        return;
    };
    world.manifest(r#"service "app" { use "talker"; ready { log "at work"; }; }"#);
    world.up().with(0, Outcome::Converged);
    for arguments in [
        &["logs", "--follow"][..],
        &["logs", "--follow", "--format", "json"],
        &["up", "--attach", "--progress", "quiet"],
    ] {
        let mut command = world.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("at work"), "{line}");
        // No other line follows.
        drop(reader);
        assert_eq!(wait(&mut child), Some(0), "{arguments:?}");
        let mut said = String::new();
        let mut err = child.stderr.take().unwrap();
        err.read_to_string(&mut said).unwrap();
        assert!(
            !said.contains("rror") && !said.contains("panicked"),
            "{said}"
        );
    }
}

#[test]
fn long_and_binary_lines_stay_whole() {
    let Some(world) = World::new("bytes") else {
        return;
    };
    let program = r##"#"""
        $$| = 1;
        print 'x' x (16384 - 1), "\xc3\xa4", "\n";
        print 'y' x (16384 - 2), "\xf0\x9f\xa6\x80", "\n";
        print "\xff\x00\n";
        print "\x1b[31mred\n";
        print 'z' x 3_000_000, "\n";
        print "no end";
        """#"##;
    let service = |name: &str, more: &str| {
        format!(
            r#"job "{name}" {{
                image "debian:trixie-slim"
                command "perl" "-e" {program}
                logging "local"
                {more}
            }}"#
        )
    };
    let manifest = service("plain", "") + "\n" + &service("terminal", "tty #true");
    world.manifest(&manifest);
    world.up().with(0, Outcome::Converged);
    // Engines before 25 lose the ends of long lines in this log; in a terminal's log, the ends of
    // lines are then unknown.
    let services = ["plain", "terminal"];
    let shown = if world.api.speaks(44) { 2 } else { 1 };
    for service in services.into_iter().take(shown) {
        let shown = world
            .run(&["logs", "--no-prefix", service])
            .with_code(0)
            .out;
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "x".repeat(16384 - 1) + "ä", "{service}");
        assert_eq!(lines[1], "y".repeat(16384 - 2) + "🦀", "{service}");
        assert_eq!(lines[2], "\u{fffd}\0", "{service}");
        assert_eq!(lines[3], "\u{1b}[31mred\u{1b}[0m", "{service}");
        let parts = &lines[4..lines.len() - 1];
        assert_eq!(parts.len(), 3, "{service}");
        assert!(parts[0].starts_with("zz") && parts[0].ends_with("z…"));
        assert!(parts[1].starts_with("…z") && parts[1].ends_with("z…"));
        assert!(parts[2].starts_with("…z") && parts[2].ends_with('z'));
        assert_eq!(parts.concat().matches('z').count(), 3_000_000, "{service}");
        assert_eq!(lines[lines.len() - 1], "no end", "{service}");
    }
    let printed = world
        .run(&["logs", "--format", "json", "plain"])
        .with_code(0);
    let parts: Vec<Value> = printed
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["part"].take())
        .filter(|part| !part.is_null())
        .collect();
    assert_eq!(parts, ["first", "middle", "last"]);
}

#[test]
fn prefix_column_fits_widest_shown_name() {
    let Some(world) = World::new("column") else {
        return;
    };
    world.manifest(
        r#"
        service "a" { use "talker"; replicas 2; ready { log "at work"; }; }
        service "much-longer-name" { use "talker"; ready { log "at work"; }; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let sorted = |arguments: &[&str]| {
        let shown = world.run(arguments).with_code(0).out;
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&["logs", "a"]), ["a    at work", "a-2  at work"]);
    assert_eq!(
        sorted(&["logs"]),
        [
            "a                 at work",
            "a-2               at work",
            "much-longer-name  at work",
        ]
    );
}
