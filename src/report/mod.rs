//! Runs, told to people and machines: folds of one stream of events.
//!
//! [`Reporter`] is given each event in order. [`fold`] keeps what a run stands at; the forms
//! print it: `live` for a terminal, `plain` for pipes and CI, JSON for machines, `quiet`
//! for scripts. A reporter that cannot write never fails a run. Terminal and colours are not
//! looked up here, they come in as a [`Style`].

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

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// In which form.
    pub form: OutputMode,
    /// With colours.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: u16,
    /// Lines of the terminal.
    pub height: u16,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Lines that change in place, for a person at a terminal; on stderr.
    Live,
    /// A line for each event, for pipes and CI; on stderr.
    Plain,
    /// A JSON object for each event, one a line; on stdout, which gets nothing else.
    Json,
    /// Failures and the verdict; on stderr.
    Quiet,
}

/// Tells a run in the form that was asked for.
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
    /// A reporter that writes data to `out` and everything else to `err`.
    ///
    /// The live form draws on the process's stderr, which `err` has to be. Where that turns out
    /// to be no terminal, only the lines that stay are written: failures, warnings, the end.
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

    /// Tells of an event.
    pub fn event(&mut self, stamped: &EventEnvelope) {
        match &mut self.inner {
            Inner::Live(live) => live.event(stamped),
            Inner::Plain(plain, sink) => sink.lines(&plain.lines(stamped)),
            Inner::Quiet(quiet, sink) => sink.lines(&quiet.lines(stamped)),
            Inner::Json(sink) => {
                // Events hold nothing that JSON cannot say; a number that is not finite becomes
                // `null`. Should one fail all the same, the run matters more than its report.
                if let Ok(line) = serde_json::to_string(stamped) {
                    sink.lines(&[line]);
                }
            }
        }
    }

    /// Leaves a clean end behind, also when the last event never came.
    pub fn finish(&mut self) {
        match &mut self.inner {
            Inner::Live(live) => live.finish(),
            Inner::Plain(_, sink) | Inner::Quiet(_, sink) | Inner::Json(sink) => sink.flush(),
        }
    }
}

/// Where lines go. After the first that could not be written (a closed pipe) it keeps silent.
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
