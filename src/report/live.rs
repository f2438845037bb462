//! The live mode: lines that change in place, for a terminal.
//!
//! Connects [`super::frame`] to a terminal and to real time, and makes no decision about the
//! content. The frame is drawn in one place, so that nothing is left behind at the end.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{
    Sink, failure,
    frame::{self, Viewport},
    phrases,
    run_view::RunView,
    summary,
    text::{self, Color},
};
use crate::event::{Event, EventEnvelope, Outcome};

/// Interval for redrawing elapsed times, which show tenths of a second.
const TICK: Duration = Duration::from_millis(100);
/// Maximum number of redraws per second.
const DRAWS: u8 = 20;

/// Draws a run on a terminal.
#[derive(Debug)]
pub struct Live<'w> {
    bar: ProgressBar,
    board: Arc<Mutex<RunView>>,
    view: Viewport,
    /// Permanent lines: failures, warnings, the end.
    sink: Sink<'w>,
}

/// How elapsed times advance between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Elapsed times advance in real time.
    Running,
    /// Elapsed times stay at the time of the last event.
    Still,
}

impl<'w> Live<'w> {
    /// Draws on stderr. `err` has to write to stderr as well.
    #[must_use]
    pub fn on_stderr(view: Viewport, err: impl Write + Send + 'w) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS);
        Self::new(target, view, Clock::Running, err)
    }

    /// Draws on `target`. Permanent lines are written to `err`, which has to be the same terminal.
    #[must_use]
    pub fn new(
        target: ProgressDrawTarget,
        view: Viewport,
        clock: Clock,
        err: impl Write + Send + 'w,
    ) -> Self {
        let board = Arc::new(Mutex::new(RunView::default()));
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is constant and valid. An invalid one would only disable the drawing.
        if let Ok(style) = ProgressStyle::with_template("{frame}") {
            let shown = Arc::clone(&board);
            let draw = move |state: &ProgressState, out: &mut dyn fmt::Write| {
                let board = lock(&shown);
                let now = match clock {
                    Clock::Running => board.at + state.elapsed(),
                    Clock::Still => board.at,
                };
                // The buffer is in memory, so writing does not fail.
                let _ = out.write_str(&frame::frame(&board, now, view).join("\n"));
            };
            bar.set_style(style.with_key("frame", draw));
        }
        if clock == Clock::Running {
            bar.enable_steady_tick(TICK);
        }
        Self {
            bar,
            board,
            view,
            sink: Sink::new(err),
        }
    }

    /// Applies an event and draws the change.
    pub fn event(&mut self, stamped: &EventEnvelope) {
        let (lines, ended) = {
            let mut board = lock(&self.board);
            board.apply(stamped);
            (
                staying(&stamped.event, &board, self.view),
                board.ending.is_some(),
            )
        };
        if ended {
            self.finish();
            self.sink.lines(&lines);
            return;
        }
        // Elapsed time counts from the last event.
        self.bar.reset_elapsed();
        if lines.is_empty() {
            // Draws immediately. `tick` does not draw while a steady tick is enabled.
            self.bar.set_message("");
        } else {
            let sink = &mut self.sink;
            self.bar.suspend(|| sink.lines(&lines));
        }
    }

    /// Removes the changing lines. Permanent lines remain.
    pub fn finish(&mut self) {
        self.bar.disable_steady_tick();
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

/// Returns the permanent lines of an event.
fn staying(event: &Event, board: &RunView, view: Viewport) -> Vec<String> {
    let odd = |text: &str| vec![view.paint.tone(Color::Odd, text)];
    match (event, &board.ending) {
        (Event::Warning { text }, _) => odd(&format!("warning: {}", text::clean(text))),
        (Event::Interrupted { response }, _) => odd(phrases::interrupted(*response)),
        // The interrupt message already says that the run rolls back.
        (Event::RollbackStarted { .. }, _) if board.interrupted => Vec::new(),
        (Event::RollbackStarted { cause }, _) => {
            odd(&format!("rolling back: {}", text::clean(cause)))
        }
        (
            Event::RunFinished {
                outcome: verdict, ..
            },
            Some(ending),
        ) => {
            let mut lines = match verdict {
                Outcome::Unchanged => Vec::new(),
                _ => frame::last_frame(board, view),
            };
            let mut end = summary::verdict(board, ending, view.paint);
            end.extend(summary::critical_path(board, ending));
            lines.extend(end.iter().flat_map(|line| text::wrap(line, view.width)));
            lines
        }
        (event, _) => failure::of(event, board, view.paint),
    }
}

/// The view is consistent after each event, even if a thread panicked while holding the lock.
fn lock(board: &Mutex<RunView>) -> MutexGuard<'_, RunView> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
