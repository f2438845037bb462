//! Updates during which the engine itself ends and starts again.

use std::cell::Cell;

use cimandat::event::{Event, Outcome};

use super::{stack::Stack, tell};
use crate::support::Inner;

/// The number of steps that are tried for each kind of end.
const SAMPLE: usize = 3;

/// The engine's machine loses power, with everything that runs on it.
const POWER_CUT: &str = "--power-cut";

/// Ends the engine when this step, counted from 0, begins.
fn end_at(story: &str, inner: &Inner, how: &str, step: usize) -> Result<String, String> {
    let stack = Stack::new(story, Some(inner.clone())).ok_or("no engine")?;
    stack.manifest("one");
    stack.up(None).with(0, Outcome::Converged);
    stack.manifest("two");
    let mut running = stack.world.begin_up();
    let begun = Cell::new(0);
    running.until("a step", |event| {
        let is_step = matches!(event, Event::StepStarted { .. });
        begun.set(begun.get() + usize::from(is_step));
        is_step && begun.get() > step
    });
    if how == POWER_CUT {
        // The program ends with the machine on which it runs.
        running.signal("KILL");
    }
    Inner::end(how);
    let ended = running.end();
    let (text, code) = stack
        .recovered()
        .map_err(|why| format!("{why}\nbefore:\n{}{}", ended.out, ended.err))?;
    let left = ended.code.map_or("killed".to_owned(), |it| it.to_string());
    Ok(format!("{text:<6} up {left}, recover {code}"))
}

fn try_some(story: &str, how: &str) {
    let Some(inner) = Inner::named() else {
        tell(&format!("skipped `{story}`: it needs an engine of its own"));
        return;
    };
    let _alone = Inner::alone();
    let Some(stack) = Stack::new(story, Some(inner.clone())) else {
        return;
    };
    stack.manifest("one");
    stack.up(None).with(0, Outcome::Converged);
    stack.manifest("two");
    let steps = stack.up(None).with(0, Outcome::Converged).steps().len();
    drop(stack);
    let all = std::env::var("CIMANDAT_CRASH_POINTS").is_ok_and(|points| points == "all");
    let apart = if all { 1 } else { steps / SAMPLE };
    let mut failed = Vec::new();
    for step in (apart / 2..steps).step_by(apart) {
        match end_at(story, &inner, how, step) {
            Ok(row) => tell(&format!("{how:<12} at step {step:<3} {row}")),
            Err(why) => failed.push(format!("{how} at step {step}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn update_survives_engine_kill() {
    try_some("engine-killed", "--kill");
}

#[test]
fn update_survives_engine_restart() {
    try_some("engine-restarted", "--restart");
}

#[test]
fn update_survives_power_cut() {
    try_some("power-cut", POWER_CUT);
}
