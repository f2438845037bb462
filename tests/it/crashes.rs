//! Updates during which the program or the engine is killed, and their recovery by `recover`.
//!
//! `CIMANDAT_CRASH_POINTS=all` tries every changing request of the update, before it was sent and
//! after it was answered; a list like `before:3,after:37` selects points; otherwise a few are
//! tried. Each result is printed on standard error.

mod engine;
mod stack;

use std::{env, fmt::Write as _};

use cimandat::event::Outcome;

use self::stack::Stack;
use crate::support::World;

/// The number of crash points without a selection.
const SAMPLE: usize = 3;

/// The number of crash points at the end of an update that another run of it may not reach.
const NOT_REACHED: usize = 6;

/// The result of one crash.
struct Row {
    at: String,
    /// The generation of the project in the end.
    text: String,
    told: String,
}

/// Kills an update at a request and recovers it; `during` also kills the recovery once. `None`: the
/// update ended before that request.
fn crash(story: &str, at: &str, during: Option<&str>) -> Result<Option<Row>, String> {
    let stack = Stack::new(story, None).ok_or("no engine")?;
    stack.manifest("one");
    stack.up(None).with(0, Outcome::Converged);
    stack.manifest("two");
    let killed = stack.up(Some(at));
    match killed.code {
        None => {}
        Some(0) => return Ok(None),
        Some(_) => return Err(format!("not killed: {}{}", killed.out, killed.err)),
    }
    let mut told = String::new();
    if let Some(during) = during {
        let code = stack.run(&["recover"], Some(during)).code;
        let _ = write!(told, "{during} {code:?}, ");
    }
    let (text, code) = stack.recovered()?;
    let _ = write!(told, "{code}");
    let at = at.to_owned();
    Ok(Some(Row { at, text, told }))
}

/// Returns all crash points, the selected ones, or a few at equal distances.
pub fn points(requests: u64) -> Vec<String> {
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
    let (mut failed, mut not_reached) = (Vec::new(), Vec::new());
    for at in points(requests) {
        match crash(story, &at, during) {
            Ok(Some(row)) => tell(&format!("{:<12} {:<6} {}", row.at, row.text, row.told)),
            // The number of repeated requests differs between runs.
            Ok(None) => not_reached.push(at),
            Err(why) => failed.push(format!("{at}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(not_reached.len() <= NOT_REACHED, "{not_reached:?}");
}

#[expect(clippy::print_stderr, reason = "a table for the one who asked for it")]
pub fn tell(line: &str) {
    eprintln!("{line}");
}

#[test]
fn killed_update_is_recovered() {
    try_all("crash", None);
}

#[test]
fn killed_recovery_is_recovered() {
    try_all("crash-twice", Some("after:2"));
}

#[test]
fn invalid_crash_point_is_refused() {
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
