//! How a command ended, as an exit code; and its failure, told once on standard error.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

pub use crate::command::{ExitCode, code};
use crate::{
    command::{CommandError, Console},
    event::excerpt,
};

/// Tells on standard error why a command failed.
pub fn render_error(error: &CommandError, console: Console) {
    let mut text = String::new();
    match error {
        CommandError::Manifest(report) => text = report.render(console.mistakes()),
        CommandError::Refused(refusals) => {
            for refusal in refusals {
                text += &fragment(&refusal.to_string(), Some(&refusal.help()));
            }
            text += "nothing was touched\n";
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

/// Writes on standard error; nobody can be told when that fails.
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
