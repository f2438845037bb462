//! A line of the live mode for one service: its state as text, and the time in that state.
//!
//! Pure; independent of the terminal's size.

use std::time::Duration;

use super::{
    phrases,
    run_view::{Phase, RunView},
    service_status::{Detail, Running, ServiceStatus, State},
    text::{self, Color},
};
use crate::{
    event::{Change, Outcome},
    name::ServiceName,
};

/// Maximum number of steps shown for one build.
const BUILD_STEPS: usize = 3;

/// A line for one service, or for another object.
pub struct Row {
    /// Name in the first column.
    pub name: String,
    /// Current activity, in a few words.
    pub text: String,
    /// Colour of the text.
    pub tone: Color,
    /// Time after the text; `None`: a time is meaningless here.
    pub time: Option<Duration>,
    /// Category in the summary of rows that do not fit.
    pub word: &'static str,
    /// Importance; 0 is the highest.
    pub rank: u8,
    /// Lines below the row, each with its elapsed time.
    pub details: Vec<(String, Duration)>,
}

/// Returns the rows of all services, followed by running steps that belong to no service.
pub fn rows(board: &RunView, now: Duration) -> Vec<Row> {
    let mut rows = services(board, now);
    rows.extend(board.others.values().map(|(label, running)| Row {
        name: label.clone(),
        text: format!("{} {}", running.verb, running.object),
        tone: Color::Busy,
        time: Some(now.saturating_sub(running.since)),
        word: "running",
        rank: 0,
        details: Vec::new(),
    }));
    rows
}

/// Returns a row for each service.
pub fn services(board: &RunView, now: Duration) -> Vec<Row> {
    board
        .services
        .iter()
        .map(|standing| service(board, standing, now))
        .collect()
}

fn service(board: &RunView, service: &ServiceStatus, now: Duration) -> Row {
    let (text, tone) = match &board.ending {
        Some(ending) => outcome(service, ending.verdict),
        None => underway(board, service),
    };
    let back = matches!(board.phase, Phase::Back(_));
    let going = now.saturating_sub(service.since);
    let (time, word, rank) = match &service.state {
        State::Failed => (Some(service.since), "failed", 0),
        State::Working(_) | State::Asked => (Some(going), "running", 0),
        State::Waiting if board.ending.is_some() || (back && !service.touched) => {
            (None, "unchanged", 3)
        }
        State::Waiting => (Some(going), "waiting", 1),
        State::Ready | State::Done => (Some(service.since), "ready", 2),
        State::Did(_) => (Some(service.since), "done", 2),
        State::Unchanged => (None, "unchanged", 3),
    };
    let details = match (&service.state, service.running.values().next_back()) {
        (State::Working(_), Some(running)) => build_steps(running, now),
        _ => Vec::new(),
    };
    Row {
        name: service.name.to_string(),
        text,
        tone,
        time,
        word,
        rank,
        details,
    }
}

/// Describes the activity of a service while the run continues.
fn underway(board: &RunView, service: &ServiceStatus) -> (String, Color) {
    let (text, tone) = match &service.state {
        State::Unchanged => ("unchanged".to_owned(), Color::Dim),
        State::Waiting => {
            let awaited: Vec<&str> = board.awaited(service).map(ServiceName::as_str).collect();
            match (&board.phase, awaited.as_slice()) {
                (Phase::Back(_), _) if !service.touched => ("unchanged".to_owned(), Color::Dim),
                (Phase::Back(_), _) | (_, []) => ("waiting".to_owned(), Color::Dim),
                (_, names) => (format!("waiting for {}", names.join(", ")), Color::Dim),
            }
        }
        State::Working(verb) => (working(verb, service), Color::Busy),
        State::Asked => (asked(service), Color::Busy),
        State::Ready => ("ready".to_owned(), Color::Good),
        State::Done => ("done".to_owned(), Color::Good),
        State::Did(last) => (last.clone(), Color::Good),
        State::Failed => (failed(service, "failed"), Color::Bad),
    };
    match board.phase {
        Phase::Back(_) if service.touched && tone != Color::Good => (
            format!("rolling back · {text}"),
            if tone == Color::Bad { tone } else { Color::Odd },
        ),
        Phase::Back(_) if service.touched => ("as before".to_owned(), tone),
        _ => (text, tone),
    }
}

/// Describes the result for a service after the run.
fn outcome(service: &ServiceStatus, verdict: Outcome) -> (String, Color) {
    let forward = matches!(
        verdict,
        Outcome::Converged | Outcome::Unchanged | Outcome::RemovalIncomplete
    );
    let stuck = matches!(
        verdict,
        Outcome::RollbackFailed | Outcome::RollbackInterrupted
    );
    let (text, tone) = match (&service.state, &service.failed) {
        (State::Ready, _) if forward => ("ready", Color::Good),
        (State::Done, _) if forward => ("done", Color::Good),
        (State::Did(last), _) if forward => (last.as_str(), Color::Good),
        (_, Some(_)) if forward || stuck || !service.touched => {
            return (failed(service, "failed"), Color::Bad);
        }
        (_, Some(_)) => return (failed(service, "failed, rolled back"), Color::Bad),
        _ if !service.touched => ("unchanged", Color::Dim),
        (State::Ready | State::Done, _) => ("rolled back: as before", Color::Odd),
        _ if stuck => ("not known to be as before", Color::Bad),
        _ if forward => ("done", Color::Good),
        _ if service.change == Change::Create => ("rolled back: removed", Color::Odd),
        _ => ("rolled back: as before", Color::Odd),
    };
    (text.to_owned(), tone)
}

fn failed(service: &ServiceStatus, word: &str) -> String {
    let cause = service.failed.as_deref().unwrap_or("");
    format!(
        "{word}: {}",
        text::clean(cause.lines().next().unwrap_or(""))
    )
}

fn asked(service: &ServiceStatus) -> String {
    let word = if service.job { "running" } else { "starting" };
    let replicas = if service.replicas > 1 {
        format!(" {} of {} ready", service.passed.len(), service.replicas)
    } else {
        String::new()
    };
    let answer = service
        .running
        .values()
        .rev()
        .find_map(|running| match &running.detail {
            Detail::Gate(Some((probe, answer))) => {
                Some(format!(" · {probe}: {}", text::clean(answer)))
            }
            _ => None,
        });
    format!("{word}{replicas}{}", answer.unwrap_or_default())
}

fn working(verb: &str, service: &ServiceStatus) -> String {
    match service
        .running
        .values()
        .next_back()
        .map(|running| &running.detail)
    {
        Some(Detail::Pull {
            done,
            total,
            layers_done,
            layers,
        }) => {
            let pull = phrases::pull((*done, *total), (*layers_done, *layers));
            format!("{verb} · {pull}")
        }
        Some(Detail::Context(sent)) => format!("{verb} · {} of its context", text::bytes(*sent)),
        _ => verb.to_owned(),
    }
}

/// Returns the oldest running steps of a build.
fn build_steps(running: &Running, now: Duration) -> Vec<(String, Duration)> {
    let Detail::Build(steps) = &running.detail else {
        return Vec::new();
    };
    steps
        .iter()
        .take(BUILD_STEPS)
        .map(|step| (text::clean(&step.name), now.saturating_sub(step.since)))
        .collect()
}
