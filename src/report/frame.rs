//! What a terminal shows of a run at one moment: a heading, and a line for each service.
//!
//! Pure: board and time in, lines out, none wider than the terminal and together no higher.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Style,
    fold::{Board, Phase},
    standing::{Detail, Running, Standing, State},
    text::{self, Paint, Tone},
    words,
};
use crate::{
    event::{Change, Verdict},
    name::ServiceName,
};

/// Steps of one build that are shown at a time.
const BUILD_STEPS: usize = 3;
/// The column of names is at most so wide.
const WIDEST: usize = 24;
/// Blanks between columns.
const GAP: usize = 2;

/// What there is to draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Whether with colours.
    pub paint: Paint,
}

impl View {
    /// The terminal and the colours of a style.
    #[must_use]
    pub fn of(style: Style) -> Self {
        Self {
            width: usize::from(style.width),
            height: usize::from(style.height),
            paint: Paint {
                colour: style.colour,
            },
        }
    }
}

/// One service, or one thing that is no service.
struct Row {
    name: String,
    text: String,
    tone: Tone,
    /// Behind the text; `None`: time says nothing here.
    time: Option<Duration>,
    /// What it is counted as when there is no room for it.
    word: &'static str,
    /// How much it matters; 0 most.
    rank: u8,
    details: Vec<(String, Duration)>,
}

/// The lines to show now.
#[must_use]
pub fn frame(board: &Board, now: Duration, view: View) -> Vec<String> {
    if board.project.is_empty() {
        return Vec::new();
    }
    let mut rows: Vec<Row> = board
        .services
        .iter()
        .map(|service| row(board, service, now))
        .collect();
    rows.extend(board.others.values().map(|(label, running)| Row {
        name: label.clone(),
        text: running.verb.clone(),
        tone: Tone::Busy,
        time: Some(now.saturating_sub(running.since)),
        word: "at work",
        rank: 0,
        details: Vec::new(),
    }));
    // The cursor stands below the last line.
    let room = view.height.saturating_sub(2).max(1);
    let column = column(&rows);
    let rest = fit(&mut rows, room);
    let mut lines = vec![heading(board, now, view)];
    lines.extend(rows.iter().flat_map(|row| print(row, column, view)));
    lines.extend(rest.map(|rest| view.paint.tone(Tone::Dim, &text::cut(&rest, view.width))));
    lines
}

/// The lines that stay behind when a run has ended.
#[must_use]
pub fn last_frame(board: &Board, view: View) -> Vec<String> {
    let rows: Vec<Row> = board
        .services
        .iter()
        .map(|service| row(board, service, board.at))
        .collect();
    let column = column(&rows);
    rows.iter()
        .flat_map(|row| print(row, column, view))
        .collect()
}

fn heading(board: &Board, now: Duration, view: View) -> String {
    let at_goal =
        |service: &&Standing| service.state.is_settled() && service.state != State::Failed;
    let done = board.services.iter().filter(at_goal).count();
    let all = board.services.len();
    let goes = board
        .services
        .iter()
        .all(|service| service.change == Change::Remove);
    let count = format!("{done} of {all} {}", if goes { "gone" } else { "ready" });
    let Board { verb, project, .. } = board;
    let (tone, text) = match &board.phase {
        Phase::Forward => (Tone::Plain, format!("{verb} {project}: {count}")),
        Phase::Settling(time) => {
            let limit = text::limit(*time);
            (
                Tone::Plain,
                format!("{verb} {project}: all ready, and must stay so for {limit}"),
            )
        }
        Phase::Committed => (Tone::Plain, format!("{verb} {project}: {count}, committed")),
        Phase::Back(cause) => (
            Tone::Odd,
            format!(
                "rolling back `{verb}` of `{project}`: {}",
                text::clean(cause)
            ),
        ),
    };
    timed(&text, tone, Some(now), view.width, view.paint)
}

/// A text, cut where needed, with a time behind it that is always seen.
fn timed(text: &str, tone: Tone, time: Option<Duration>, width: usize, paint: Paint) -> String {
    let Some(time) = time else {
        return paint.tone(tone, &text::cut(text, width));
    };
    let time = text::elapsed(time);
    let room = width.saturating_sub(text::width(&time) + GAP);
    let text = paint.tone(tone, &text::cut(text, room));
    format!("{text}{}{}", " ".repeat(GAP), paint.tone(Tone::Dim, &time))
}

fn column(rows: &[Row]) -> usize {
    rows.iter()
        .map(|row| text::width(&row.name))
        .max()
        .unwrap_or(0)
        .min(WIDEST)
}

fn print(row: &Row, column: usize, view: View) -> Vec<String> {
    let name = text::pad(&text::cut(&row.name, column), column + GAP);
    let room = view.width.saturating_sub(column + GAP);
    let mut lines = vec![format!(
        "{name}{}",
        timed(&row.text, row.tone, row.time, room, view.paint)
    )];
    for (detail, time) in &row.details {
        let room = view.width.saturating_sub(2 * GAP);
        let detail = timed(detail, Tone::Plain, Some(*time), room, view.paint);
        lines.push(format!("{}{detail}", " ".repeat(2 * GAP)));
    }
    lines
}

/// Takes away what matters least until the rest fits into `room` lines, and says what is gone.
fn fit(rows: &mut Vec<Row>, room: usize) -> Option<String> {
    let height = |rows: &[Row]| rows.iter().map(|row| 1 + row.details.len()).sum::<usize>();
    while height(rows) > room && rows.iter().any(|row| !row.details.is_empty()) {
        if let Some(longest) = rows.iter_mut().max_by_key(|row| row.details.len()) {
            longest.details.pop();
        }
    }
    if rows.len() <= room {
        return None;
    }
    let mut ranks: Vec<u8> = rows.iter().map(|row| row.rank).collect();
    ranks.sort_unstable();
    let kept = room.saturating_sub(1);
    let limit = ranks.get(kept).copied().unwrap_or(u8::MAX);
    let mut left = kept - ranks.iter().filter(|rank| **rank < limit).count();
    let mut gone: BTreeMap<&'static str, usize> = BTreeMap::new();
    rows.retain(|row| {
        let stays = row.rank < limit || (row.rank == limit && left > 0);
        if row.rank == limit {
            left = left.saturating_sub(1);
        }
        if !stays {
            *gone.entry(row.word).or_default() += 1;
        }
        stays
    });
    let parts: Vec<String> = gone
        .iter()
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    Some(format!(
        "and {} more: {}",
        gone.values().sum::<usize>(),
        parts.join(", ")
    ))
}

fn row(board: &Board, service: &Standing, now: Duration) -> Row {
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
            (None, "untouched", 3)
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
fn underway(board: &Board, service: &Standing) -> (String, Tone) {
    let (text, tone) = match &service.state {
        State::Unchanged => ("unchanged".to_owned(), Tone::Dim),
        State::Waiting => {
            let awaited: Vec<&str> = board.awaited(service).map(ServiceName::as_str).collect();
            match (&board.phase, awaited.as_slice()) {
                (Phase::Back(_), _) if !service.touched => ("untouched".to_owned(), Tone::Dim),
                (Phase::Back(_), _) | (_, []) => ("waiting".to_owned(), Tone::Dim),
                (_, names) => (format!("waiting for {}", names.join(", ")), Tone::Dim),
            }
        }
        State::Working(verb) => (working(verb, service), Tone::Busy),
        State::Asked => (asked(service), Tone::Busy),
        State::Ready => ("ready".to_owned(), Tone::Good),
        State::Done => ("done".to_owned(), Tone::Good),
        State::Did(last) => (last.clone(), Tone::Good),
        State::Failed => (failed(service, "failed"), Tone::Bad),
    };
    match board.phase {
        Phase::Back(_) if service.touched && tone != Tone::Good => (
            format!("rolling back · {text}"),
            if tone == Tone::Bad { tone } else { Tone::Odd },
        ),
        Phase::Back(_) if service.touched => ("as before".to_owned(), tone),
        _ => (text, tone),
    }
}

/// What became of a service when the run has ended.
fn outcome(service: &Standing, verdict: Verdict) -> (String, Tone) {
    let forward = matches!(verdict, Verdict::Converged | Verdict::Unchanged);
    let stuck = verdict == Verdict::Stuck;
    let (text, tone) = match (&service.state, &service.failed) {
        (State::Ready, _) if forward => ("ready", Tone::Good),
        (State::Done, _) if forward => ("done", Tone::Good),
        (State::Did(last), _) if forward => (last.as_str(), Tone::Good),
        (_, Some(_)) if forward || stuck || !service.touched => {
            return (failed(service, "failed"), Tone::Bad);
        }
        (_, Some(_)) => return (failed(service, "failed, rolled back"), Tone::Bad),
        _ if service.change == Change::Keep && !service.touched => ("unchanged", Tone::Dim),
        _ if !service.touched || verdict == Verdict::Untouched => ("untouched", Tone::Dim),
        (State::Ready | State::Done, _) => ("rolled back: as before", Tone::Odd),
        _ if stuck => ("not known to be as before", Tone::Bad),
        _ if forward => ("done", Tone::Good),
        _ if service.change == Change::Create => ("rolled back: removed", Tone::Odd),
        _ => ("rolled back: as before", Tone::Odd),
    };
    (text.to_owned(), tone)
}

fn failed(service: &Standing, word: &str) -> String {
    let cause = service.failed.as_deref().unwrap_or("");
    format!(
        "{word}: {}",
        text::clean(cause.lines().next().unwrap_or(""))
    )
}

fn asked(service: &Standing) -> String {
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

fn working(verb: &str, service: &Standing) -> String {
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
            let pull = words::pull((*done, *total), (*layers_done, *layers));
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
