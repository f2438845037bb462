//! The program, or the engine, is killed in the middle of an update, and `recover` clears up.
//!
//! `CIMANDAT_CRASH_POINTS=all` tries every changing request of the update, before it was sent and
//! after it was answered, a list like `before:3,after:37` those; otherwise a few are tried. What
//! came of each is told on standard error.

mod engine;
mod stack;

use std::{env, fmt::Write as _};

use cimandat::event::Verdict;

use self::stack::Stack;
use crate::support::World;

/// So many points are tried where not all are asked for.
const SAMPLE: usize = 3;

/// What came of one crash.
struct Row {
    at: String,
    /// The generation that the project has in the end.
    text: String,
    told: String,
}

/// Kills an update at a request and recovers; `during`: the recovery is killed too, once.
fn crash(story: &str, at: &str, during: Option<&str>) -> Result<Row, String> {
    let stack = Stack::new(story, None).ok_or("no engine")?;
    stack.manifest("one");
    stack.up(None).with(0, Verdict::Converged);
    stack.manifest("two");
    let killed = stack.up(Some(at));
    if killed.code.is_some() {
        return Err(format!("not killed: {killed:?}"));
    }
    let mut told = String::new();
    if let Some(during) = during {
        let code = stack.run(&["recover"], Some(during)).code;
        let _ = write!(told, "{during} {code:?}, ");
    }
    let (text, code) = stack.recovered()?;
    let _ = write!(told, "{code}");
    Ok(Row {
        at: at.to_owned(),
        text,
        told,
    })
}

/// All points, or a few of them evenly.
fn points(requests: u64) -> Vec<String> {
    let all: Vec<String> = (1..=requests)
        .flat_map(|number| [format!("before:{number}"), format!("after:{number}")])
        .collect();
    if let Ok(points) = env::var("CIMANDAT_CRASH_POINTS") {
        return match points.as_str() {
            "all" => all,
            some => some.split(',').map(str::to_owned).collect(),
        };
    }
    let step = all.len() / SAMPLE;
    all.into_iter().skip(step / 2).step_by(step).collect()
}

fn try_all(story: &str, during: Option<&str>) {
    let Some(stack) = Stack::new(story, None) else {
        return;
    };
    let requests = stack.requests();
    drop(stack);
    let mut failed = Vec::new();
    for at in points(requests) {
        match crash(story, &at, during) {
            Ok(row) => tell(&format!("{:<12} {:<6} {}", row.at, row.text, row.told)),
            Err(why) => failed.push(format!("{at}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[expect(clippy::print_stderr, reason = "a table for the one who asked for it")]
fn tell(line: &str) {
    eprintln!("{line}");
}

#[test]
fn a_killed_update_is_recovered() {
    try_all("crash", None);
}

#[test]
fn a_killed_recovery_is_recovered() {
    try_all("crash-twice", Some("after:2"));
}

#[test]
fn a_place_to_crash_is_read_or_refused() {
    let Some(world) = World::new("crash-word") else {
        return;
    };
    let mut command = world.command(&["ps"]);
    command.env("CIMANDAT_CRASH", "sometimes");
    let output = command
        .output()
        .map(|it| String::from_utf8_lossy(&it.stderr).into_owned());
    assert_eq!(
        output.as_deref().unwrap_or_default(),
        "error: `CIMANDAT_CRASH` is neither `before:K`, `after:K` with K from 1, nor `count`\n"
    );
}
