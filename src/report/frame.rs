//! The frame that a terminal shows of a run: a heading, and a line for each service.
//!
//! Pure function from view and time to lines. No line is wider than the terminal, and the frame is
//! not higher than the terminal.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Style,
    row::{self, Row},
    run_view::{Phase, RunView},
    service_status::{ServiceStatus, State},
    text::{self, Color, Paint},
};
use crate::event::Change;

/// Maximum width of the name column, which is also limited to half of the terminal.
const MAX_WIDTH: usize = 24;
/// Number of blanks between columns.
const GAP: usize = 2;

/// Size and colours of the drawing area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// Width in columns.
    pub width: usize,
    /// Height in lines.
    pub height: usize,
    /// Whether to print colours.
    pub paint: Paint,
}

impl Viewport {
    /// Takes the terminal size and the colours from a style.
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

/// Returns the lines to show at `now`.
#[must_use]
pub fn frame(board: &RunView, now: Duration, view: Viewport) -> Vec<String> {
    if board.project.is_empty() {
        return Vec::new();
    }
    let mut rows = row::rows(board, now);
    // The cursor is below the last line.
    let room = view.height.saturating_sub(2).max(1);
    let column = column(&rows, view);
    let rest = fit(&mut rows, room);
    let mut lines = vec![heading(board, now, view)];
    lines.extend(rows.iter().flat_map(|row| print(row, column, view)));
    lines.extend(rest.map(|rest| view.paint.tone(Color::Dim, &text::cut(&rest, view.width))));
    lines
}

/// Returns the lines that remain on the screen after the run.
#[must_use]
pub fn last_frame(board: &RunView, view: Viewport) -> Vec<String> {
    let rows = row::services(board, board.at);
    let column = column(&rows, view);
    rows.iter()
        .flat_map(|row| print(row, column, view))
        .collect()
}

fn heading(board: &RunView, now: Duration, view: Viewport) -> String {
    let at_goal =
        |service: &&ServiceStatus| service.state.is_settled() && service.state != State::Failed;
    let done = board.services.iter().filter(at_goal).count();
    let all = board.services.len();
    let removes = board
        .services
        .iter()
        .all(|service| service.change == Change::Remove);
    let count = format!("{done} of {all} {}", if removes { "gone" } else { "ready" });
    let RunView { verb, project, .. } = board;
    let (tone, text) = match &board.phase {
        Phase::Forward => (Color::Plain, format!("{verb} {project}: {count}")),
        Phase::Settling(time) => {
            let limit = text::limit(*time);
            (
                Color::Plain,
                format!("{verb} {project}: all ready, and must stay so for {limit}"),
            )
        }
        Phase::Committed => (
            Color::Plain,
            format!("{verb} {project}: {count}, committed"),
        ),
        Phase::Back(cause) => (
            Color::Odd,
            format!(
                "rolling back `{verb}` of `{project}`: {}",
                text::clean(cause)
            ),
        ),
    };
    let of = if board.simulated { "simulation: " } else { "" };
    timed(
        &format!("{of}{text}"),
        tone,
        Some(now),
        view.width,
        view.paint,
    )
}

/// Formats a text followed by a time. The text is cut if needed, the time is always visible.
fn timed(text: &str, tone: Color, time: Option<Duration>, width: usize, paint: Paint) -> String {
    let Some(time) = time else {
        return paint.tone(tone, &text::cut(text, width));
    };
    let time = text::elapsed(time);
    let room = width.saturating_sub(text::width(&time) + GAP);
    if room == 0 {
        return paint.tone(tone, &text::cut(text, width));
    }
    let text = paint.tone(tone, &text::cut(text, room));
    format!("{text}{}{}", " ".repeat(GAP), paint.tone(Color::Dim, &time))
}

fn column(rows: &[Row], view: Viewport) -> usize {
    rows.iter()
        .map(|row| text::width(&row.name))
        .max()
        .unwrap_or(0)
        .min(MAX_WIDTH)
        .min(view.width.saturating_sub(GAP) / 2)
}

fn print(row: &Row, column: usize, view: Viewport) -> Vec<String> {
    let name = text::pad(&text::cut(&row.name, column), column + GAP);
    let room = view.width.saturating_sub(column + GAP);
    let mut lines = vec![format!(
        "{name}{}",
        timed(&row.text, row.tone, row.time, room, view.paint)
    )];
    for (detail, time) in &row.details {
        let room = view.width.saturating_sub(2 * GAP);
        let detail = timed(detail, Color::Plain, Some(*time), room, view.paint);
        lines.push(format!("{}{detail}", " ".repeat(2 * GAP)));
    }
    lines
}

/// Removes the least important rows until the rest fits into `room` lines. Returns a summary of the
/// removed rows.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, EventEnvelope, Purpose, ServiceSummary},
        name::{ProjectName, ServiceName},
        plan::{Reason, StepId, Subject},
    };

    /// A view with `many` services. The last one has been starting since 500 ms; every third is
    /// unchanged.
    fn board(many: usize) -> RunView {
        let name = |index: usize| ServiceName::new(format!("s{index}")).unwrap();
        let services = (0..many).map(|index| ServiceSummary {
            service: name(index),
            job: false,
            replicas: 1,
            change: if index.is_multiple_of(3) {
                Change::NoOp
            } else {
                Change::Create
            },
            depends_on: if index == 1 {
                vec![name(many - 1)]
            } else {
                Vec::new()
            },
            containers: Vec::new(),
        });
        let started = Event::RunStarted {
            project: ProjectName::new("shop").unwrap(),
            verb: "up".to_owned(),
            services: services.collect(),
            purpose: Purpose::Project,
        };
        let step = Event::StepStarted {
            step: StepId(0),
            subject: Subject::Service {
                name: name(many - 1),
                replica: 1,
            },
            verb: "starting container".to_owned(),
            object: format!("shop-s{}-1", many - 1),
            reason: Reason::NotFound,
        };
        let mut board = RunView::default();
        for (at, event) in [(0, started), (500, step)] {
            board.apply(&EventEnvelope {
                v: crate::event::VERSION,
                at: Duration::from_millis(at),
                simulated: false,
                event,
            });
        }
        board
    }

    fn view(width: usize, height: usize) -> Viewport {
        Viewport {
            width,
            height,
            paint: Paint { colour: false },
        }
    }

    #[test]
    fn elapsed_time_advances_between_events() {
        let board = board(2);
        let shown = frame(&board, Duration::from_millis(1700), view(60, 10)).join("\n");
        insta::assert_snapshot!(shown, @"
        up shop: 1 of 2 ready  1.7 s
        s0  unchanged
        s1  starting container  1.2 s
        ");
    }

    #[test]
    fn working_services_keep_their_rows() {
        let shown = frame(&board(30), Duration::from_secs(1), view(60, 7));
        insta::assert_snapshot!(shown.join("\n"), @"
        up shop: 10 of 30 ready  1.0 s
        s1   waiting for s29  1.0 s
        s2   waiting  1.0 s
        s4   waiting  1.0 s
        s29  starting container  0.5 s
        and 26 more: 10 unchanged, 16 waiting
        ");
    }

    #[test]
    fn frame_fits_any_terminal() {
        for many in [1, 2, 5, 40] {
            for (width, height) in [(10, 3), (20, 4), (33, 5), (200, 50)] {
                let lines = frame(&board(many), Duration::from_secs(1), view(width, height));
                assert!(
                    lines.len() < height.max(3),
                    "{many} services, {height} lines: {lines:?}"
                );
                let widest = lines.iter().map(|line| text::width(line)).max();
                assert!(
                    widest <= Some(width),
                    "{many} services, {width} columns: {lines:?}"
                );
            }
        }
    }
}
