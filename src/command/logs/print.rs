//! Prints log lines with the label of their container until standard output is closed.

use std::{
    collections::BTreeSet,
    future,
    io::{self, Write},
};

use super::{Console, DataFormat, Logs};
use crate::{
    engine::{LogLine, Part},
    report::text::{Color, Paint, calm, pad, reset, width},
};

/// Standard output was closed by its reader.
pub(super) struct Closed;

pub(super) struct Printer<'a> {
    logs: &'a Logs,
    console: Console,
    /// Columns of the widest label so far.
    column: usize,
    /// Labels whose missing log was reported.
    without_log: BTreeSet<String>,
}

impl<'a> Printer<'a> {
    pub fn new(logs: &'a Logs, console: Console) -> Self {
        Self {
            logs,
            console,
            column: 0,
            without_log: BTreeSet::new(),
        }
    }

    /// Widens the label column for a container whose lines follow.
    pub fn make_room_for(&mut self, label: &str) {
        self.column = self.column.max(width(label));
    }

    /// Reports once that a container's logging driver keeps no log.
    pub fn report_no_log(&mut self, label: &str, driver: &str) {
        if self.without_log.insert(label.to_owned()) {
            self.console.eprint(&format!(
                "`{label}` has no log: its logging driver `{driver}` keeps none\n"
            ));
        }
    }

    /// Prints a note for the user to standard error.
    pub fn note(&self, text: &str) {
        self.console.eprint(&format!("{text}\n"));
    }

    pub fn line(&self, label: &str, line: &LogLine) -> Result<(), Closed> {
        let mut text = match self.logs.format {
            DataFormat::Json => json(label, line),
            DataFormat::Text => self.text(label, line),
        };
        text.push('\n');
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|_| Closed)
    }

    fn text(&self, label: &str, line: &LogLine) -> String {
        let mut text = String::new();
        if self.logs.prefix {
            let paint = Paint {
                colour: self.console.colour_out,
            };
            text += &paint.tone(Color::Busy, &pad(label, self.column));
            text += "  ";
        }
        if self.logs.timestamps {
            text += &line.time;
            text += "  ";
        }
        if line.part.continues() {
            text.push('…');
        }
        if self.console.terminal_out {
            text += &calm(&line.text);
        } else {
            text += &line.text;
        }
        if line.part.is_continued() {
            text.push('…');
        }
        text += reset(&line.text);
        text
    }
}

fn json(label: &str, line: &LogLine) -> String {
    let mut shown = serde_json::json!({
        "service": label, "time": line.time,
        "stream": if line.stderr { "stderr" } else { "stdout" },
        "line": line.text,
    });
    if line.part != Part::Whole {
        shown["part"] = serde_json::json!(line.part);
    }
    shown.to_string()
}

/// Completes when the pipe on standard output is closed by its reader, even if nothing is written.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) async fn nobody_reads() {
    use std::os::fd::AsFd;

    use tokio::{io::Interest, net::unix::pipe::Sender};

    let out = io::stdout().as_fd().try_clone_to_owned();
    // Nothing is written through this descriptor, so it may block and need not be a pipe. A regular
    // file cannot be watched, and never loses its reader.
    match out.and_then(Sender::from_owned_fd_unchecked) {
        Ok(watched) => drop(watched.ready(Interest::ERROR).await),
        Err(_) => future::pending().await,
    }
}

/// On this platform, a closed pipe is noticed only at the next write.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) async fn nobody_reads() {
    future::pending().await
}
