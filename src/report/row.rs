//! What a line of the live form says of one service: its state in words, and since when.
//!
//! Pure; knows nothing of widths and room.

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

/// Steps of one build that are shown at a time.
const BUILD_STEPS: usize = 3;

/// One service, or one thing that is no service.
pub struct Row {
    /// What it is called.
    pub name: String,
    /// What it is at, in a word or two.
    pub text: String,
    /// Colour of the text.
    pub tone: Color,
    /// Behind the text; `None`: time says nothing here.
    pub time: Option<Duration>,
    /// What it is counted as when there is no room for it.
    pub word: &'static str,
    /// How much it matters; 0 most.
    pub rank: u8,
    /// What stands below, with the time of each.
    pub details: Vec<(String, Duration)>,
}

/// The services, and behind them what is done for none of them just now.
pub fn rows(board: &RunView, now: Duration) -> Vec<Row> {
    let mut rows = services(board, now);
    rows.extend(board.others.values().map(|(label, running)| Row {
        name: label.clone(),
        text: format!("{} {}", running.verb, running.object),
        tone: Color::Busy,
        time: Some(now.saturating_sub(running.since)),
        word: "at work",
        rank: 0,
        details: Vec::new(),
    }));
    rows
}

/// The services, each with its line.
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
        State::Working(_) | State::Asked => (Some(going), "at work", 0),
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

/// What a service is at while the run goes on.
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

/// What became of a service when the run has ended.
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

/// The steps of a build that run: the oldest few.
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
