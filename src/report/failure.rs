//! What a person reads when something failed: all that is known, in one block of lines.
//!
//! The first line says what failed and why; the others are indented below it. Shared by all forms
//! for people.

use super::{
    fold::{Board, without_echo},
    text::{self, Paint, Tone},
    words,
};
use crate::event::{Event, Failure, GateReport, LastAnswer};

/// Indentation of what stands below a first line.
const INDENT: &str = "    ";
/// In front of lines that somebody else wrote.
const QUOTE: &str = "      │ ";

/// The block for an event that tells of a failure; nothing for any other.
#[must_use]
pub fn of(event: &Event, board: &Board, paint: Paint) -> Vec<String> {
    match event {
        Event::StepFailed {
            subject,
            verb,
            object,
            failure,
            optional,
            ..
        } => step(
            &board.label(subject),
            (verb, object),
            failure,
            *optional,
            paint,
        ),
        Event::GateFailed {
            subject,
            report,
            optional,
            ..
        } => gate(&board.label(subject), "not ready", report, *optional, paint),
        Event::Relapsed { subject, report } => gate(
            &board.label(subject),
            "was ready and failed",
            report,
            false,
            paint,
        ),
        _ => Vec::new(),
    }
}

/// The block for a step that failed.
fn step(
    who: &str,
    what: (&str, &str),
    failure: &Failure,
    optional: bool,
    paint: Paint,
) -> Vec<String> {
    let (verb, object) = what;
    let head = format!("{} {verb} `{object}`", headline(who, optional));
    let mut lines = vec![tone(&head, optional, paint)];
    let message = text::clean(
        without_echo(failure, verb, object)
            .lines()
            .next()
            .unwrap_or(""),
    );
    lines.push(format!("{INDENT}{message}"));
    let rest = without_echo(failure, verb, object).lines().skip(1);
    lines.extend(rest.map(|line| format!("{INDENT}{}", text::clean(line))));
    quote(&mut lines, "its last output:", &failure.output);
    if let Some(help) = &failure.help {
        lines.push(format!("{INDENT}help: {help}"));
    }
    lines
}

/// The block for a gate that failed, or for a container that failed after its gate had passed.
fn gate(who: &str, what: &str, report: &GateReport, optional: bool, paint: Paint) -> Vec<String> {
    let after = text::took(report.after);
    let head = format!(
        "{} {what} after {after}: {}",
        headline(who, optional),
        report.cause
    );
    let mut lines = vec![tone(&head, optional, paint)];
    let condition = report
        .condition
        .as_ref()
        .map_or_else(|| "its state is not known".to_owned(), words::condition);
    lines.push(format!(
        "{INDENT}container `{}`: {condition}",
        report.container
    ));
    lines.extend(report.answers.iter().map(answer));
    if report.log.is_empty() {
        lines.push(format!("{INDENT}its log is empty"));
    } else {
        let title = format!(
            "the last {} of its log:",
            text::count(report.log.len(), "line")
        );
        quote(&mut lines, &title, &report.log);
    }
    lines
}

fn headline(who: &str, optional: bool) -> String {
    if optional {
        format!("warning: `{who}` (not required) failed:")
    } else {
        format!("failed: `{who}`:")
    }
}

fn tone(head: &str, optional: bool, paint: Paint) -> String {
    paint.tone(if optional { Tone::Odd } else { Tone::Bad }, head)
}

fn answer(last: &LastAnswer) -> String {
    let passed = if last.passed { "passed: " } else { "" };
    let times = text::count(last.attempts as usize, "time");
    format!(
        "{INDENT}probe `{}`: {passed}{} (asked {times})",
        last.probe,
        text::clean(&last.answer)
    )
}

fn quote(lines: &mut Vec<String>, title: &str, quoted: &[String]) {
    if quoted.is_empty() {
        return;
    }
    lines.push(format!("{INDENT}{title}"));
    lines.extend(
        quoted
            .iter()
            .map(|line| format!("{QUOTE}{}", text::clean(line))),
    );
}
