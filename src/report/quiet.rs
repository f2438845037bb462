//! The quiet mode: failures and the outcome, nothing else.
//!
//! For cron and for scripts that only check the exit code.

use super::{failure, run_view::RunView, summary, text::Paint};
use crate::event::{Event, EventEnvelope};

/// Formats failures and the outcome.
#[derive(Debug)]
pub struct Quiet {
    board: RunView,
    paint: Paint,
}

impl Quiet {
    /// Creates the formatter, with or without colours.
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self {
            board: RunView::default(),
            paint,
        }
    }

    /// Returns the lines for an event; empty for most events.
    #[must_use]
    pub fn lines(&mut self, stamped: &EventEnvelope) -> Vec<String> {
        self.board.apply(stamped);
        match (&stamped.event, &self.board.ending) {
            (Event::RunFinished { .. }, Some(ending)) => {
                summary::verdict(&self.board, ending, self.paint)
            }
            (event, _) => failure::of(event, &self.board, self.paint),
        }
    }
}
