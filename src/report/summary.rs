//! The end of a run for people: its verdict, what runs now, and what took the time.
//!
//! Pure; prints what stands on the board and in the last event.

use std::time::Duration;

use super::{
    fold::{Board, Ending, Phase},
    standing::Standing,
    text::{self, Paint, Tone},
    words,
};
use crate::{
    event::{Change, Segment, Verdict},
    name::{ContainerName, ServiceName},
};

/// Segments of the critical path that are shorter than this part of it are only counted.
const WORTH_A_NAME: u32 = 100;

/// The verdict, and what a person has to know or do because of it.
#[must_use]
pub fn verdict(board: &Board, ending: &Ending, paint: Paint) -> Vec<String> {
    let back = matches!(board.phase, Phase::Back(_));
    let (tone, mut head) = headline(board, ending, back);
    if board.rehearsal {
        head.insert_str(0, "in the rehearsal ");
    }
    let mut lines = vec![paint.tone(tone, &head)];
    match ending.verdict {
        Verdict::Converged | Verdict::Unchanged => passed_over(board, &mut lines),
        Verdict::Untouched => causes(board, ending, &mut lines),
        Verdict::Interrupted if !back => {}
        Verdict::RolledBack | Verdict::Interrupted => {
            causes(board, ending, &mut lines);
            match &board.split {
                Some((new, old)) => {
                    lines.push(format!("  new, and committed: {}", named(new)));
                    lines.push(format!("  as before: {}", named(old)));
                }
                None => lines.push(format!("  running now: {}", restored(board))),
            }
        }
        Verdict::Stuck => stuck(board, ending, &mut lines),
    }
    data(ending, &mut lines);
    if !ending.kept_volumes.is_empty() {
        lines.push(format!(
            "  kept volumes, with what the failed deploy wrote: {}",
            quoted(ending.kept_volumes.iter().map(String::as_str))
        ));
        lines.push(format!("  help: {}", removal(board, ending)));
    }
    kept_failed(ending, &mut lines);
    lines
}

/// What removes the volumes that a failed deploy made. Where something runs, the project's other
/// volumes have to stay.
fn removal(board: &Board, ending: &Ending) -> String {
    let mut services = board.services.iter();
    if services.all(|service| service.change == Change::Create) {
        return "`cimandat down --volumes` removes them and what they hold".to_owned();
    }
    let names = ending.kept_volumes.join(" ");
    format!(
        "the next `up` uses them as they are; `docker volume rm {names}` removes them and what they hold"
    )
}

/// The verdict in a sentence.
fn headline(board: &Board, ending: &Ending, back: bool) -> (Tone, String) {
    let about = if board.rehearsal { "about " } else { "" };
    let time = format!("{about}{}", text::took(ending.took));
    let what = format!("`{}` of `{}`", board.verb, board.project);
    match ending.verdict {
        Verdict::Converged => (Tone::Good, converged(board, &what, &time)),
        Verdict::Unchanged => {
            let services = text::count(board.services.len(), "service");
            let project = &board.project;
            (
                Tone::Good,
                format!("`{project}` is as asked for: {services}, nothing to do ({time})"),
            )
        }
        Verdict::Untouched if back => (
            Tone::Bad,
            format!("{what} failed; what it had made is removed again, {time} in all"),
        ),
        Verdict::Untouched => (
            Tone::Bad,
            format!("{what} failed after {time}; nothing that runs was touched"),
        ),
        Verdict::RolledBack if board.verb == "recover" => (
            Tone::Odd,
            format!(
                "the deploy of `{}` that was cut off has come to its end, {time} in all",
                board.project
            ),
        ),
        Verdict::RolledBack if board.split.is_some() => (
            Tone::Bad,
            format!("{what} failed in part, and that part was rolled back, {time} in all"),
        ),
        Verdict::RolledBack => (
            Tone::Bad,
            format!("{what} failed and was rolled back, {time} in all"),
        ),
        Verdict::Interrupted if back => (
            Tone::Odd,
            format!("{what} was interrupted and rolled back, {time} in all"),
        ),
        Verdict::Interrupted => (
            Tone::Odd,
            format!("{what} was interrupted after {time}; nothing was touched"),
        ),
        Verdict::Stuck if back => (
            Tone::Bad,
            format!("{what} failed, and so did the way back: an operator is needed ({time})"),
        ),
        Verdict::Stuck => (
            Tone::Bad,
            format!("{what} failed and stands half-way: an operator is needed ({time})"),
        ),
    }
}

/// `critical path 6.1 s: postgres start 0.4 s → postgres ready 3.9 s`; `None`: there is none.
#[must_use]
pub fn critical_path(board: &Board, ending: &Ending) -> Option<String> {
    let path = &ending.critical_path;
    let total: Duration = path.iter().map(|segment| segment.took).sum();
    let named: Vec<&Segment> = path
        .iter()
        .filter(|segment| segment.took * WORTH_A_NAME >= total)
        .collect();
    let last = named.last()?;
    let mut parts: Vec<String> = Vec::new();
    for segment in &named {
        let who = board.label(&segment.subject);
        let what = words::short(&segment.verb);
        parts.push(format!("{who} {what} {}", text::took(segment.took)));
    }
    let short = path.len() - named.len();
    let rest = if short > 0 && last.took < total {
        format!(" (and {} under 1 %)", text::count(short, "step"))
    } else {
        String::new()
    };
    let about = if board.rehearsal { "about " } else { "" };
    Some(format!(
        "critical path {about}{}: {}{rest}",
        text::took(total),
        parts.join(" → ")
    ))
}

fn converged(board: &Board, what: &str, time: &str) -> String {
    let changed = |change| {
        board
            .services
            .iter()
            .filter(move |s| s.change == change)
            .count()
    };
    let all = board.services.len();
    let removed = changed(Change::Remove);
    if board.verb == "down" && all > 0 && removed == all {
        return format!(
            "`{}` is down: {} removed in {time}",
            board.project,
            text::count(all, "service")
        );
    }
    let parts: Vec<String> = [
        (Change::Repair, "repaired"),
        (Change::Create, "created"),
        (Change::Replace, "replaced"),
        (Change::Start, "started"),
        (Change::Restart, "restarted"),
        (Change::Remove, "removed"),
        (Change::Keep, "unchanged"),
    ]
    .into_iter()
    .map(|(change, word)| (changed(change), word))
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    if changed(Change::Keep) == all {
        return format!("{what} is done in {time}");
    }
    format!(
        "`{}` is running: {} in {time}",
        board.project,
        parts.join(", ")
    )
}

/// Failures that did not fail the run.
fn passed_over(board: &Board, lines: &mut Vec<String>) {
    lines.extend(
        board
            .failures
            .iter()
            .filter(|fault| fault.optional)
            .map(|fault| {
                format!(
                    "  failed, and passed over: `{}`: {}",
                    fault.subject,
                    text::clean(&fault.text)
                )
            }),
    );
}

/// Why: what failed on the way forward, or else what the run itself says.
fn causes(board: &Board, ending: &Ending, lines: &mut Vec<String>) {
    let failed: Vec<String> = board
        .failures
        .iter()
        .filter(|fault| !fault.optional && !fault.going_back)
        .map(|fault| {
            format!(
                "  because: `{}`: {}",
                fault.subject,
                text::clean(&fault.text)
            )
        })
        .collect();
    if let ([], Some(cause)) = (failed.as_slice(), &ending.cause)
        && ending.verdict != Verdict::Interrupted
    {
        lines.push(format!("  because: {}", text::clean(cause)));
    }
    lines.extend(failed);
}

/// What runs after a successful way back.
fn restored(board: &Board) -> String {
    let before = |service: &&Standing| !matches!(service.change, Change::Create | Change::Start);
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

/// What became of data on the way back.
fn data(ending: &Ending, lines: &mut Vec<String>) {
    let restored = quoted(ending.restored_volumes.iter().map(String::as_str));
    let jobs = quoted(ending.irreversible_jobs.iter().map(ServiceName::as_str));
    if !restored.is_empty() {
        lines.push(format!("  data put back as it was before: {restored}"));
    }
    if !jobs.is_empty() {
        let but = if restored.is_empty() {
            String::new()
        } else {
            format!(", other than to {restored}")
        };
        lines.push(format!("  not undone: what {jobs} did to data{but}"));
    }
}

/// Containers that failed and that somebody wanted to look at.
fn kept_failed(ending: &Ending, lines: &mut Vec<String>) {
    let Some(first) = ending.kept_containers.first() else {
        return;
    };
    let names = ending.kept_containers.iter().map(ContainerName::as_str);
    lines.push(format!("  kept to look at, stopped: {}", quoted(names)));
    lines.push(format!(
        "  help: `docker logs {first}`, `docker inspect {first}`; the next `up` that succeeds removes \
         it, and so does `down`"
    ));
}

fn named(services: &[ServiceName]) -> String {
    quoted(services.iter().map(ServiceName::as_str))
}

/// What an operator finds, and what to do.
fn stuck(board: &Board, ending: &Ending, lines: &mut Vec<String>) {
    causes(board, ending, lines);
    lines.extend(
        ending
            .left
            .iter()
            .map(|left| format!("  left undone: {}", text::clean(left))),
    );
    let (project, verb) = (&board.project, &board.verb);
    let again = if ending.recoverable {
        format!("`cimandat -p {project} recover`, which tries it again")
    } else {
        format!("`cimandat {verb}` again")
    };
    lines.push(format!(
        "  help: do what is left in this order, or remedy what stands above and run {again}; \
         `cimandat -p {project} ps` shows what runs and what does not"
    ));
    if ending.verdict == Verdict::Stuck && verb != "down" {
        let or_put_back = if ending.restored_volumes.is_empty() {
            " or put back"
        } else {
            ""
        };
        lines.push(format!("  data: no named volume was removed{or_put_back}"));
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
