//! The live form: lines that change in place, for a person at a terminal.
//!
//! Binds [`super::frame`] to a terminal and to time as it goes by; decides nothing of what is
//! shown. All of it is drawn on one spot, so that nothing is left behind when it ends.

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

/// How often elapsed times are drawn anew; they show tenths of a second.
const TICK: Duration = Duration::from_millis(100);
/// The most often that changes are drawn, per second.
const DRAWS: u8 = 20;

/// Draws a run.
#[derive(Debug)]
pub struct Live<'w> {
    bar: ProgressBar,
    board: Arc<Mutex<RunView>>,
    view: Viewport,
    /// Lines that stay: failures, warnings, the end.
    sink: Sink<'w>,
}

/// Where elapsed times come from between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// They go on as time goes by.
    Running,
    /// They stand still at the last event's time.
    Still,
}

impl<'w> Live<'w> {
    /// Draws on stderr, of which `err` is the writer.
    #[must_use]
    pub fn on_stderr(view: Viewport, err: impl Write + Send + 'w) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS);
        Self::new(target, view, Clock::Running, err)
    }

    /// Draws on `target`; lines that stay are written to `err`, which is the same terminal.
    #[must_use]
    pub fn new(
        target: ProgressDrawTarget,
        view: Viewport,
        clock: Clock,
        err: impl Write + Send + 'w,
    ) -> Self {
        let board = Arc::new(Mutex::new(RunView::default()));
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is constant and good; were it not, nothing but the drawing would be lost.
        if let Ok(style) = ProgressStyle::with_template("{frame}") {
            let shown = Arc::clone(&board);
            let draw = move |state: &ProgressState, out: &mut dyn fmt::Write| {
                let board = lock(&shown);
                let now = match clock {
                    Clock::Running => board.at + state.elapsed(),
                    Clock::Still => board.at,
                };
                // Nobody hears of a failure: the buffer is memory.
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

    /// Takes an event in and shows what changed.
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
        // Time is counted from the last event on.
        self.bar.reset_elapsed();
        if lines.is_empty() {
            // Draws at once, which `tick` does not do beside a steady tick.
            self.bar.set_message("");
        } else {
            let sink = &mut self.sink;
            self.bar.suspend(|| sink.lines(&lines));
        }
    }

    /// Takes away what moves; what stays remains.
    pub fn finish(&mut self) {
        self.bar.disable_steady_tick();
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

/// The lines of an event that stay on the screen.
fn staying(event: &Event, board: &RunView, view: Viewport) -> Vec<String> {
    let odd = |text: &str| vec![view.paint.tone(Color::Odd, text)];
    match (event, &board.ending) {
        (Event::Warning { text }, _) => odd(&format!("warning: {}", text::clean(text))),
        (Event::Interrupted { response }, _) => odd(phrases::interrupted(*response)),
        // That has been told with what the run does about it.
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

/// The board is whole after each event, also if somebody panicked while holding it.
fn lock(board: &Mutex<RunView>) -> MutexGuard<'_, RunView> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
