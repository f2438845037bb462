//! One module for each command. Only these modules connect the stages of a deploy.
//!
//! The request arrives as an [`Invocation`]. Nothing here reads arguments, environment variables,
//! the current folder or the terminal size.

mod build;
mod check;
mod code;
mod config;
mod deployment;
mod down;
mod event_bridge;
mod failure;
mod graph;
mod history;
mod identity;
mod load;
mod logs;
mod plan;
mod ps;
mod recover;
mod rollback;
mod rotate;
mod running;
mod secrets;
mod session;
mod simulate;
mod unfinished;
mod unlock;
mod up;
mod version;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
};

pub use self::{
    build::Build,
    check::Check,
    code::{ExitCode, code},
    config::Config,
    down::Down,
    failure::CommandError,
    graph::{Graph, GraphFormat},
    history::History,
    logs::Logs,
    plan::Plan,
    ps::Ps,
    recover::Recover,
    rollback::Rollback,
    secrets::Secrets,
    simulate::{Fault, Simulate},
    unlock::Unlock,
    up::Up,
    version::Version,
};
use crate::{diagnostic, engine::docker, event::Outcome, name::ProjectName, report::Style};

pub use crate::report::OutputMode;

/// A command with everything that it needs to know about its environment.
#[derive(Debug)]
pub struct Invocation {
    /// Project to work on.
    pub scope: ProjectSelector,
    /// How to connect to the engine.
    pub engine: docker::Settings,
    /// Output settings.
    pub console: Console,
    /// Command to execute.
    pub command: Command,
}

/// Selects the project, its manifests and its variables.
#[derive(Debug, Clone)]
pub struct ProjectSelector {
    /// Manifests, absolute or [`crate::manifest::STANDARD_INPUT`]; empty: `cimandat.kdl` in the
    /// folder or above.
    pub files: Vec<PathBuf>,
    /// Content of standard input, if it is one of the manifests.
    pub standard_input: Option<String>,
    /// The current folder.
    pub directory: PathBuf,
    /// Project name in place of the manifest's own.
    pub project: Option<ProjectName>,
    /// Files with variables, absolute; later ones win.
    pub env_files: Vec<PathBuf>,
    /// Enabled profiles.
    pub profiles: BTreeSet<String>,
    /// Environment variables of the process.
    pub environment: BTreeMap<String, String>,
}

/// Output settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// How a run is reported.
    pub progress: OutputMode,
    /// Print colours on standard error.
    pub colour: bool,
    /// Print colours on standard output.
    pub colour_out: bool,
    /// Standard output is a terminal.
    pub terminal_out: bool,
    /// Width of the terminal in columns.
    pub width: u16,
    /// Height of the terminal in lines.
    pub height: u16,
    /// Engine that the output is about.
    pub stage: ExecutionMode,
}

/// Engine that the output is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionMode {
    /// The real engine.
    Real,
    /// A simulated engine. Messages are marked, so that they are not confused with those of a real
    /// run.
    Simulated,
    /// A simulated engine of which only the final state matters. Nothing is printed.
    Silent,
}

/// Format of data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFormat {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// Commands of `cimandat`.
#[derive(Debug)]
pub enum Command {
    /// Deploys the project.
    Up(Up),
    /// Removes the project's objects.
    Down(Down),
    /// Deploys an earlier generation.
    Rollback(Rollback),
    /// Ends an interrupted deploy.
    Recover(Recover),
    /// Breaks a lock.
    Unlock(Unlock),
    /// Lists deploys.
    History(History),
    /// Shows what `up` would do.
    Plan(Plan),
    /// Runs `up` on a simulated engine.
    Simulate(Box<Simulate>),
    /// Validates the manifest.
    Check(Check),
    /// Builds images.
    Build(Build),
    /// Lists containers.
    Ps(Ps),
    /// Shows logs.
    Logs(Logs),
    /// Draws the dependency graph.
    Graph(Graph),
    /// Lists secrets and certificates.
    Secrets(Secrets),
    /// Prints the resolved project.
    Config(Config),
    /// Prints versions.
    Version(Version),
}

/// Outcome of a command that returned no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOutcome {
    /// The command succeeded.
    Ok,
    /// `plan --exit-code`: there are changes.
    ChangesPending,
    /// A run ended with this outcome, which has already been reported.
    Run(Outcome),
    /// An image could not be built or pulled. The failure has already been reported.
    ImageFailure,
}

impl Invocation {
    /// Executes the command.
    ///
    /// # Errors
    /// Returns the errors that have not been reported yet.
    pub async fn run(self) -> Result<CommandOutcome, CommandError> {
        let Self {
            scope,
            engine,
            console,
            command,
        } = self;
        match command {
            Command::Up(up) => Box::pin(up.run(&scope, &engine, console)).await,
            Command::Down(down) => down.run(&scope, &engine, console).await,
            Command::Rollback(rollback) => rollback.run(&scope, &engine, console).await,
            Command::Recover(recover) => recover.run(&scope, &engine, console).await,
            Command::Unlock(unlock) => unlock.run(&scope, &engine).await,
            Command::History(history) => history.run(&scope, &engine, console).await,
            Command::Plan(plan) => plan.run(&scope, &engine, console).await,
            Command::Simulate(it) => Box::pin(it.run(&scope, &engine, console)).await,
            Command::Check(check) => check.run(&scope, &engine),
            Command::Build(build) => Box::pin(build.run(&scope, &engine, console)).await,
            Command::Ps(ps) => Box::pin(ps.run(&scope, &engine, console)).await,
            Command::Logs(logs) => logs.run(&scope, &engine, console).await,
            Command::Graph(graph) => graph.run(&scope, &engine),
            Command::Secrets(secrets) => secrets.run(&scope, &engine, console),
            Command::Config(config) => config.run(&scope, &engine),
            Command::Version(version) => version.run(&engine).await,
        }
    }
}

impl Console {
    fn style(self) -> Style {
        let form = match self.progress {
            _ if self.stage == ExecutionMode::Silent => OutputMode::Quiet,
            progress => progress,
        };
        Style {
            form,
            colour: self.colour,
            width: self.width,
            height: self.height,
        }
    }

    /// Prints a message to standard error. In a simulation the message is marked as such.
    fn eprint(self, text: &str) {
        match self.stage {
            ExecutionMode::Real => eprint(text),
            ExecutionMode::Simulated => eprint(&format!("in the simulation: {text}")),
            ExecutionMode::Silent => {}
        }
    }

    /// Returns the style for error reports on standard error.
    #[must_use]
    pub fn mistakes(self) -> diagnostic::Style {
        diagnostic::Style {
            width: usize::from(self.width).clamp(40, 120),
            colour: self.colour,
        }
    }
}

/// Writes data to standard output. A closed pipe is not an error.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a message to standard error. A failure is ignored because it cannot be reported.
fn eprint(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Writes a value as one line of JSON to standard output.
fn print_json(value: &impl serde::Serialize) {
    // The values consist of text and numbers, which JSON can always represent.
    print(&format!(
        "{}\n",
        serde_json::to_string(value).unwrap_or_default()
    ));
}
