//! The summary at the end of a run: outcome, running services, and what took the time.
//!
//! Pure; prints the [`RunView`] and the last event.

use std::{collections::BTreeSet, time::Duration};

use super::{
    phrases,
    run_view::{Ending, Phase, RunView},
    service_status::ServiceStatus,
    text::{self, Color, Paint},
};
use crate::{
    event::{Change, Outcome, PathSegment, Purpose},
    name::{ContainerName, ServiceName},
    plan::Subject,
};

/// Maximum number of removed containers that are named.
const NAMES: usize = 6;

/// Segments of the critical path that are shorter than this fraction of it are only counted.
const WORTH_A_NAME: u32 = 100;

/// Returns the outcome, and what the user has to know or do about it.
#[must_use]
pub fn verdict(board: &RunView, ending: &Ending, paint: Paint) -> Vec<String> {
    let back = matches!(board.phase, Phase::Back(_));
    let (tone, mut head) = headline(board, ending, back);
    if board.simulated {
        head.insert_str(0, "in the simulation ");
    }
    let mut lines = vec![paint.tone(tone, &head)];
    match ending.verdict {
        Outcome::Converged | Outcome::Unchanged => ignored_failures(board, &mut lines),
        Outcome::Aborted => causes(board, ending, &mut lines),
        Outcome::Cancelled if !back => {}
        Outcome::RolledBack | Outcome::Cancelled => {
            causes(board, ending, &mut lines);
            match &board.split {
                Some((new, old)) => {
                    lines.push(format!("  new, and committed: {}", named(new)));
                    lines.push(format!("  as before: {}", named(old)));
                }
                None => lines.push(format!("  running now: {}", restored(board))),
            }
        }
        Outcome::RollbackFailed => stuck(board, ending, &mut lines),
        Outcome::RollbackInterrupted => {
            causes(board, ending, &mut lines);
            lines.push(format!(
                "  until then some of its services may not run: see `cimandat -p {} ps`",
                board.project
            ));
        }
        Outcome::RemovalIncomplete => incomplete(board, ending, &mut lines),
    }
    data(ending, &mut lines);
    if !ending.retained_volumes.is_empty() {
        lines.push(format!(
            "  kept volumes, with what the failed deploy wrote: {}",
            quoted(ending.retained_volumes.iter().map(String::as_str))
        ));
        lines.push(format!("  help: {}", removal(board, ending)));
    }
    kept_failed(ending, &mut lines);
    lines
}

/// Suggests how to remove the volumes that a failed deploy created. If services were running
/// before, the project's other volumes have to stay.
fn removal(board: &RunView, ending: &Ending) -> String {
    let mut services = board.services.iter();
    if services.all(|service| service.change == Change::Create) {
        return "`cimandat down --volumes` removes them and what they hold".to_owned();
    }
    let names = ending.retained_volumes.join(" ");
    format!(
        "the next `up` uses them as they are; `docker volume rm {names}` removes them and what they hold"
    )
}

/// Formats the outcome in one sentence.
fn headline(board: &RunView, ending: &Ending, back: bool) -> (Color, String) {
    let about = if board.simulated { "about " } else { "" };
    let time = format!("{about}{}", text::took(ending.elapsed));
    let what = format!("`{}` of `{}`", board.verb, board.project);
    if let Some(head) = recovered(board, ending, &time) {
        return head;
    }
    match ending.verdict {
        Outcome::Converged => (Color::Good, converged(board, &what, &time)),
        Outcome::Unchanged => {
            let services = text::count(board.services.len(), "service");
            let project = &board.project;
            (
                Color::Good,
                format!("`{project}` is up to date: {services}, nothing to do ({time})"),
            )
        }
        Outcome::Aborted if back => (
            Color::Bad,
            format!("{what} failed; its changes were removed, {time} in all"),
        ),
        Outcome::Aborted => (
            Color::Bad,
            format!("{what} failed after {time}; no running container was changed"),
        ),
        Outcome::RolledBack if board.split.is_some() => (
            Color::Bad,
            format!("{what} failed in part, and that part was rolled back, {time} in all"),
        ),
        Outcome::RolledBack => (
            Color::Bad,
            format!("{what} failed and was rolled back, {time} in all"),
        ),
        Outcome::Cancelled if back => (
            Color::Odd,
            format!("{what} was interrupted and rolled back, {time} in all"),
        ),
        Outcome::Cancelled => (
            Color::Odd,
            format!("{what} was interrupted after {time}; nothing was changed"),
        ),
        Outcome::RollbackFailed if back => (
            Color::Bad,
            format!(
                "{what} failed, and the rollback failed too: manual intervention is required ({time})"
            ),
        ),
        Outcome::RollbackFailed => (
            Color::Bad,
            format!("{what} failed part way: manual intervention is required ({time})"),
        ),
        Outcome::RollbackInterrupted | Outcome::RemovalIncomplete => {
            unfinished(board, ending, &time)
        }
    }
}

/// Formats the outcome of a run that did not complete its work.
fn unfinished(board: &RunView, ending: &Ending, time: &str) -> (Color, String) {
    let RunView { verb, project, .. } = board;
    let how = if ending.verdict == Outcome::RollbackInterrupted {
        format!("was interrupted while rolling back: run `cimandat -p {project} recover`")
    } else if board.interrupted {
        "was interrupted before everything was removed".to_owned()
    } else {
        "could not remove everything".to_owned()
    };
    (
        Color::Bad,
        format!("`{verb}` of `{project}` {how} ({time})"),
    )
}

/// Formats the outcome of a run that ended an interrupted deploy; `None`: any other run or outcome.
fn recovered(board: &RunView, ending: &Ending, time: &str) -> Option<(Color, String)> {
    let (deploy, is) = match (board.purpose, ending.verdict) {
        (Purpose::RollBack { deploy }, Outcome::RolledBack | Outcome::Aborted) => {
            (deploy, "is rolled back")
        }
        (Purpose::Finish { deploy }, Outcome::Converged | Outcome::Unchanged) => {
            (deploy, "is finished")
        }
        (Purpose::Finish { deploy }, Outcome::RolledBack) => (deploy, "is finished in part"),
        _ => return None,
    };
    let project = &board.project;
    let head = format!("deploy {deploy} of `{project}`, which was interrupted, {is} ({time})");
    Some((Color::Odd, head))
}

/// Formats the critical path: `critical path 6.1 s: postgres start 0.4 s → postgres ready 3.9 s`;
/// `None`: there is none.
#[must_use]
pub fn critical_path(board: &RunView, ending: &Ending) -> Option<String> {
    let path = &ending.critical_path;
    let total: Duration = path.iter().map(|segment| segment.elapsed).sum();
    let named: Vec<&PathSegment> = path
        .iter()
        .filter(|segment| segment.elapsed * WORTH_A_NAME >= total)
        .collect();
    let last = named.last()?;
    let mut parts: Vec<String> = Vec::new();
    for segment in &named {
        let who = board.label(&segment.subject);
        let what = phrases::short(&segment.verb);
        parts.push(format!("{who} {what} {}", text::took(segment.elapsed)));
    }
    let short = path.len() - named.len();
    let rest = if short > 0 && last.elapsed < total {
        format!(" (and {} under 1 %)", text::count(short, "step"))
    } else {
        String::new()
    };
    let about = if board.simulated { "about " } else { "" };
    Some(format!(
        "critical path {about}{}: {}{rest}",
        text::took(total),
        parts.join(" → ")
    ))
}

fn converged(board: &RunView, what: &str, time: &str) -> String {
    let project = &board.project;
    let counts = board.counts();
    let removed = counts.of(Change::Remove);
    if board.verb == "down" && removed > 0 {
        let removed = text::count(removed, "container");
        return match board.purpose {
            Purpose::Services => {
                let names = board.services.iter();
                let names = names.filter(|it| it.change == Change::Remove);
                let names = quoted(names.map(|it| it.name.as_str()));
                format!("{names} of `{project}`: {removed} removed in {time}")
            }
            _ => format!("`{project}` is down: {removed} removed in {time}"),
        };
    }
    let kept = counts.of(Change::NoOp) == counts.all();
    let others = if kept { others(board) } else { String::new() };
    if board.verb != "up" && kept {
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(": {others}")
        };
        return format!("{what} is done in {time}{others}");
    }
    let named = |change| match change {
        Change::Remove => format!(" ({})", gone(board)),
        _ => String::new(),
    };
    let parts = [counts.done(named), others];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let parts: Vec<&str> = parts.into_iter().filter(|it| !it.is_empty()).collect();
    format!("`{project}` is running: {} in {time}", parts.join(", "))
}

/// Counts the steps on images, networks and volumes: `2 images built, 1 network removed`.
fn others(board: &RunView) -> String {
    let parts = board.done.iter().map(|(verb, number)| {
        let past = phrases::past_tense(verb);
        match past.split_once(' ') {
            Some((done, noun)) => format!("{} {done}", text::count(*number, noun)),
            None => past,
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Lists the removed containers by service name.
fn gone(board: &RunView) -> String {
    let names: BTreeSet<(&ServiceName, u32)> = board
        .services
        .iter()
        .flat_map(|service| service.containers.iter().map(move |it| (service, it)))
        .filter(|(_, it)| it.change == Change::Remove)
        .map(|(service, it)| (&service.name, it.replica))
        .collect();
    let more = names.len().saturating_sub(NAMES);
    let labels = names.into_iter().take(NAMES).map(|(name, replica)| {
        let name = name.clone();
        format!("`{}`", board.label(&Subject::Service { name, replica }))
    });
    let labels = labels.collect::<Vec<_>>().join(", ");
    match more {
        0 => labels,
        more => format!("{labels} and {more} more"),
    }
}

/// Lists the failures that did not fail the run.
fn ignored_failures(board: &RunView, lines: &mut Vec<String>) {
    lines.extend(
        board
            .failures
            .iter()
            .filter(|fault| fault.non_fatal)
            .map(|fault| {
                format!(
                    "  failed (ignored): `{}`: {}",
                    fault.subject,
                    text::clean(&fault.text)
                )
            }),
    );
}

/// Lists the causes: failures before the rollback, or else the cause that the run itself reports.
fn causes(board: &RunView, ending: &Ending, lines: &mut Vec<String>) {
    let failed: Vec<String> = board
        .failures
        .iter()
        .filter(|fault| !fault.non_fatal && !fault.going_back)
        .map(|fault| {
            format!(
                "  because: `{}`: {}",
                fault.subject,
                text::clean(&fault.text)
            )
        })
        .collect();
    if let ([], Some(cause)) = (failed.as_slice(), &ending.cause)
        && !board.interrupted
    {
        lines.push(format!("  because: {}", text::clean(cause)));
    }
    lines.extend(failed);
}

/// Describes what runs after a successful rollback.
fn restored(board: &RunView) -> String {
    let before =
        |service: &&ServiceStatus| !matches!(service.change, Change::Create | Change::Start);
    let names = quoted(
        board
            .services
            .iter()
            .filter(before)
            .map(|service| service.name.as_str()),
    );
    if names.is_empty() {
        return "nothing, as before".to_owned();
    }
    format!("the state before, healthy: {names}")
}

/// Describes what the rollback did to data.
fn data(ending: &Ending, lines: &mut Vec<String>) {
    let restored = quoted(ending.restored_volumes.iter().map(String::as_str));
    let jobs = quoted(ending.irreversible_jobs.iter().map(ServiceName::as_str));
    if !restored.is_empty() {
        lines.push(format!("  data restored to its state before: {restored}"));
    }
    if !jobs.is_empty() {
        let but = if restored.is_empty() {
            String::new()
        } else {
            format!(", other than to {restored}")
        };
        lines.push(format!("  not undone: data changes by {jobs}{but}"));
    }
}

/// Lists failed containers that were kept for inspection.
fn kept_failed(ending: &Ending, lines: &mut Vec<String>) {
    let Some(first) = ending.retained_containers.first() else {
        return;
    };
    let names = ending.retained_containers.iter().map(ContainerName::as_str);
    lines.push(format!("  kept for inspection, stopped: {}", quoted(names)));
    lines.push(format!(
        "  help: `docker logs {first}`, `docker inspect {first}`; the next `up` that succeeds removes \
         it, and so does `down`"
    ));
}

fn named(services: &[ServiceName]) -> String {
    quoted(services.iter().map(ServiceName::as_str))
}

/// Lists the objects that could not be removed, with the causes and a remedy.
fn incomplete(board: &RunView, ending: &Ending, lines: &mut Vec<String>) {
    let left = ending.unfinished.iter();
    lines.extend(left.map(|left| format!("  not removed: {}", text::clean(left))));
    causes(board, ending, lines);
    lines.push("  help: run `cimandat down` again to remove the rest".to_owned());
}

/// Describes the state after a failed rollback, and the remedy for the operator.
fn stuck(board: &RunView, ending: &Ending, lines: &mut Vec<String>) {
    causes(board, ending, lines);
    lines.extend(
        ending
            .unfinished
            .iter()
            .map(|left| format!("  not rolled back: {}", text::clean(left))),
    );
    let (project, verb) = (&board.project, &board.verb);
    let again = if ending.recoverable {
        format!("`cimandat -p {project} recover`, which tries it again")
    } else {
        format!("`cimandat {verb}` again")
    };
    lines.push(format!(
        "  help: run the remaining commands in this order, or fix the cause above and run {again}; \
         `cimandat -p {project} ps` shows what runs and what does not"
    ));
    let or_put_back = if ending.restored_volumes.is_empty() {
        " or restored"
    } else {
        ""
    };
    lines.push(format!("  data: no named volume was removed{or_put_back}"));
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
