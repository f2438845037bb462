//! The quiet form: failures and the verdict, nothing else.
//!
//! For cron and for scripts that only look at the exit code.

use super::{failure, run_view::RunView, summary, text::Paint};
use crate::event::{Event, EventEnvelope};

/// Prints failures and the verdict.
#[derive(Debug)]
pub struct Quiet {
    board: RunView,
    paint: Paint,
}

impl Quiet {
    /// The form, with colours or without.
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self {
            board: RunView::default(),
            paint,
        }
    }

    /// The lines for an event; mostly none.
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
