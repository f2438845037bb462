//! Reports of runs for people and machines. Each report is a fold over one stream of events.
//!
//! [`Reporter`] receives each event in order. [`run_view`] keeps the current state of the run. The
//! output modes print it: `live` for a terminal, `plain` for pipes and CI, JSON for machines,
//! `quiet` for scripts. A write error of the reporter never fails a run. Terminal size and colours
//! are not detected here but passed as a [`Style`].

mod failure;
pub mod frame;
pub mod live;
pub mod phrases;
mod plain;
mod quiet;
mod row;
pub mod run_view;
pub mod service_status;
pub mod summary;
pub mod table;
pub mod text;

use std::{fmt, io::Write};

use self::{frame::Viewport, live::Live, plain::Plain, quiet::Quiet, text::Paint};
use crate::event::EventEnvelope;

/// How a run is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Output mode.
    pub form: OutputMode,
    /// Print colours.
    pub colour: bool,
    /// Width of the terminal in columns.
    pub width: u16,
    /// Height of the terminal in lines.
    pub height: u16,
}

/// Output mode of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Lines that change in place, for a terminal; on stderr.
    Live,
    /// One line for each event, for pipes and CI; on stderr.
    Plain,
    /// One JSON object per line for each event; on stdout, which gets nothing else.
    Json,
    /// Failures and the outcome; on stderr.
    Quiet,
}

/// Reports a run in the requested output mode.
#[derive(Debug)]
pub struct Reporter<'w> {
    inner: Inner<'w>,
}

#[derive(Debug)]
enum Inner<'w> {
    Live(Live<'w>),
    Plain(Plain, Sink<'w>),
    Quiet(Quiet, Sink<'w>),
    Json(Sink<'w>),
}

impl<'w> Reporter<'w> {
    /// Creates a reporter that writes data to `out` and everything else to `err`.
    ///
    /// The live mode draws on the process's stderr, and `err` has to write there as well. If stderr
    /// is not a terminal, only permanent lines are written: failures, warnings, the end.
    #[must_use]
    pub fn new(style: Style, out: impl Write + Send + 'w, err: impl Write + Send + 'w) -> Self {
        let paint = Paint {
            colour: style.colour,
        };
        let inner = match style.form {
            OutputMode::Live => Inner::Live(Live::on_stderr(Viewport::of(style), err)),
            OutputMode::Plain => Inner::Plain(Plain::new(paint), Sink::new(err)),
            OutputMode::Json => Inner::Json(Sink::new(out)),
            OutputMode::Quiet => Inner::Quiet(Quiet::new(paint), Sink::new(err)),
        };
        Self { inner }
    }

    /// Reports an event.
    pub fn event(&mut self, stamped: &EventEnvelope) {
        match &mut self.inner {
            Inner::Live(live) => live.event(stamped),
            Inner::Plain(plain, sink) => sink.lines(&plain.lines(stamped)),
            Inner::Quiet(quiet, sink) => sink.lines(&quiet.lines(stamped)),
            Inner::Json(sink) => {
                // JSON can represent everything in an event; a number that is not finite becomes
                // `null`. If serialization failed all the same, the run would matter more than its
                // report.
                if let Ok(line) = serde_json::to_string(stamped) {
                    sink.lines(&[line]);
                }
            }
        }
    }

    /// Leaves the terminal in order, even if the last event never arrived.
    pub fn finish(&mut self) {
        match &mut self.inner {
            Inner::Live(live) => live.finish(),
            Inner::Plain(_, sink) | Inner::Quiet(_, sink) | Inner::Json(sink) => sink.flush(),
        }
    }
}

/// Output for lines. After the first write error (a closed pipe), it drops all further lines.
struct Sink<'w> {
    to: Option<Box<dyn Write + Send + 'w>>,
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("open", &self.to.is_some())
            .finish()
    }
}

impl<'w> Sink<'w> {
    fn new(to: impl Write + Send + 'w) -> Self {
        Self {
            to: Some(Box::new(to)),
        }
    }

    fn lines(&mut self, lines: &[String]) {
        let Some(to) = self.to.as_mut().filter(|_| !lines.is_empty()) else {
            return;
        };
        let mut text = String::new();
        for line in lines {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if to
            .write_all(text.as_bytes())
            .and_then(|()| to.flush())
            .is_err()
        {
            self.to = None;
        }
    }

    fn flush(&mut self) {
        if self.to.as_mut().is_some_and(|to| to.flush().is_err()) {
            self.to = None;
        }
    }
}
