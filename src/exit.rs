//! The exit code of a command, and its error message on standard error.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

pub use crate::command::{ExitCode, code};
use crate::{
    command::{CommandError, Console},
    event::excerpt,
};

/// Prints the error of a failed command on standard error.
pub fn render_error(error: &CommandError, console: Console) {
    let mut text = String::new();
    match error {
        CommandError::Manifest(report) => text = report.render(console.mistakes()),
        CommandError::Refused(refusals) => {
            for refusal in refusals {
                text += &fragment(&refusal.to_string(), Some(&refusal.help()));
            }
            text += "nothing was changed\n";
        }
        CommandError::Engine(error) => {
            text = fragment(&error.to_string(), error.help().as_deref());
            for line in error.output() {
                let _ = writeln!(text, "  | {}", excerpt(line));
            }
        }
        CommandError::Store(_)
        | CommandError::Rotation { .. }
        | CommandError::Locked(_)
        | CommandError::LockLost
        | CommandError::Journal(_)
        | CommandError::Inputs { .. }
        | CommandError::Signals(_)
        | CommandError::Runtime(_)
        | CommandError::Usage(_) => {
            text = fragment(&error.to_string(), error.help().as_deref());
        }
    }
    eprint(&text);
}

/// Writes to standard error. Ignores write errors, which could not be reported anyway.
pub fn eprint(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn fragment(message: &str, help: Option<&str>) -> String {
    match help {
        Some(help) => format!("error: {message}\n help: {help}\n"),
        None => format!("error: {message}\n"),
    }
}
