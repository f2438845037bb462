//! Failure messages: everything that is known, in one block of lines.
//!
//! The first line says what failed and why. The other lines are indented below it. All text modes
//! use this module.

use super::{
    phrases,
    run_view::{RunView, without_echo},
    text::{self, Color, Paint},
};
use crate::event::{Event, Failure, GateReport, LastAnswer, excerpt};

/// Indentation of the lines below the first one.
const INDENT: &str = "    ";
/// Prefix of quoted foreign output.
const QUOTE: &str = "      │ ";

/// Returns the block for a failure event; empty for any other event.
#[must_use]
pub fn of(event: &Event, board: &RunView, paint: Paint) -> Vec<String> {
    match event {
        Event::StepFailed {
            subject,
            verb,
            object,
            failure,
            non_fatal: optional,
            ..
        } => {
            let who = headline(*optional, &format!("`{}`", board.label(subject)));
            step(
                &format!("{who}: {verb} `{object}`"),
                failure,
                (verb, object),
                tone(*optional),
                paint,
            )
        }
        Event::ReadinessFailed {
            subject,
            report,
            non_fatal: optional,
            ..
        } => {
            let who = headline(*optional, &format!("gate of `{}`", board.label(subject)));
            let after = text::took(report.after);
            gate(
                &format!("{who} after {after}: {}", report.cause),
                report,
                tone(*optional),
                paint,
            )
        }
        Event::UnhealthyAfterReady { subject, report } => {
            let who = board.label(subject);
            let head = format!("failed: `{who}`, which had been ready: {}", report.cause);
            gate(&head, report, Color::Bad, paint)
        }
        _ => Vec::new(),
    }
}

fn headline(optional: bool, who: &str) -> String {
    if optional {
        format!("failed (ignored): {who}")
    } else {
        format!("failed: {who}")
    }
}

fn tone(optional: bool) -> Color {
    if optional { Color::Odd } else { Color::Bad }
}

/// Formats a failed step. The message does not repeat the verb and object of the first line.
fn step(
    head: &str,
    failure: &Failure,
    said: (&str, &str),
    tone: Color,
    paint: Paint,
) -> Vec<String> {
    let mut lines = vec![paint.tone(tone, head)];
    let message = without_echo(failure, said.0, said.1);
    lines.extend(
        message
            .lines()
            .map(|line| format!("{INDENT}{}", text::clean(line))),
    );
    quote(&mut lines, "its last output:", &failure.output);
    if let Some(help) = &failure.help {
        lines.push(format!("{INDENT}help: {help}"));
    }
    lines
}

/// Formats a failed gate, or a container that became unhealthy after it was ready.
fn gate(head: &str, report: &GateReport, tone: Color, paint: Paint) -> Vec<String> {
    let mut lines = vec![paint.tone(tone, head)];
    let container = format!("{INDENT}container `{}`", report.container);
    lines.push(match &report.condition {
        Some(condition) => format!("{container}: {}", phrases::condition(condition)),
        None => format!("{container}: the engine did not report a status"),
    });
    lines.extend(report.answers.iter().map(answer));
    match (report.log.len(), &report.condition) {
        (0, Some(_)) if report.unread.is_none() => lines.push(format!("{INDENT}its log is empty")),
        (0, _) => {}
        (1, _) => quote(&mut lines, "its log's last line:", &report.log),
        (many, _) => quote(
            &mut lines,
            &format!("its log's last {many} lines:"),
            &report.log,
        ),
    }
    lines.extend(
        report
            .unread
            .iter()
            .map(|why| format!("{INDENT}{}", foreign(why))),
    );
    lines.extend(
        report
            .help
            .iter()
            .map(|help| format!("{INDENT}help: {help}")),
    );
    lines
}

fn answer(last: &LastAnswer) -> String {
    let passed = if last.passed { "passed: " } else { "" };
    let times = match last.attempts {
        // The probe has not been answered yet. It is still waiting.
        0 => String::new(),
        times => format!(" ({})", text::count(times as usize, "attempt")),
    };
    format!(
        "{INDENT}probe `{}`: {passed}{}{times}",
        last.probe,
        foreign(&last.answer)
    )
}

/// Cleans and shortens a line of foreign output.
fn foreign(line: &str) -> String {
    excerpt(&text::clean(line))
}

fn quote(lines: &mut Vec<String>, title: &str, quoted: &[String]) {
    if quoted.is_empty() {
        return;
    }
    lines.push(format!("{INDENT}{title}"));
    lines.extend(
        quoted
            .iter()
            .map(|line| format!("{QUOTE}{}", foreign(line))),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        name::ContainerName,
        state::{ContainerStatus, Status},
    };

    fn drawn(report: &GateReport) -> String {
        let paint = Paint { colour: false };
        gate("failed", report, Color::Bad, paint).join("\n")
    }

    fn report() -> GateReport {
        GateReport {
            container: ContainerName::new("shop-web-1").unwrap(),
            cause: "exited with code 1".to_owned(),
            after: Duration::from_secs(1),
            answers: vec![LastAnswer {
                probe: "log /READY/".to_owned(),
                answer: "no line has matched".to_owned(),
                attempts: 0,
                passed: false,
            }],
            condition: Some(ContainerStatus {
                status: Status::Exited,
                exit_code: Some(1),
                ..ContainerStatus::default()
            }),
            log: Vec::new(),
            unread: None,
            help: Vec::new(),
        }
    }

    #[test]
    fn unreadable_log_is_not_reported_as_empty() {
        let mut report = report();
        assert!(drawn(&report).ends_with("its log is empty"));
        report.unread = Some("its logging driver `none` keeps no log".to_owned());
        report.help = vec!["`init #false` makes it so".to_owned()];
        insta::assert_snapshot!(drawn(&report), @r"
        failed
            container `shop-web-1`: exited with code 1
            probe `log /READY/`: no line has matched
            its logging driver `none` keeps no log
            help: `init #false` makes it so
        ");
    }

    #[test]
    fn long_foreign_lines_are_truncated() {
        let mut report = report();
        report.log = vec![format!("\u{1b}[31m{}", "x".repeat(313_000))];
        report.answers[0].answer = "y".repeat(2000);
        let text = drawn(&report);
        let longest = text.lines().map(str::len).max();
        assert!(longest.is_some_and(|length| length < 500), "{text}");
        assert!(text.contains("x… (313000 characters)"), "{text}");
        assert!(text.contains("y… (2000 characters)"), "{text}");
    }
}
