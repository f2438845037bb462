//! One file for each verb: the only place where the stages are strung together.
//!
//! What is meant comes in as an [`Invocation`]; nothing here reads arguments, the environment, the
//! current folder or the terminal.

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

/// A command with all that it needs to know of the world.
#[derive(Debug)]
pub struct Invocation {
    /// Which project.
    pub scope: ProjectSelector,
    /// Where the engine is looked for.
    pub engine: docker::Settings,
    /// How things are told.
    pub console: Console,
    /// What to do.
    pub command: Command,
}

/// Which project, and with what variables.
#[derive(Debug, Clone)]
pub struct ProjectSelector {
    /// Manifests, absolute or [`crate::manifest::STANDARD_INPUT`]; empty: `cimandat.kdl` in the folder or above.
    pub files: Vec<PathBuf>,
    /// What came in by standard input, where that is one of the manifests.
    pub standard_input: Option<String>,
    /// The current folder.
    pub directory: PathBuf,
    /// Instead of the manifest's own name.
    pub project: Option<ProjectName>,
    /// Files with variables, absolute; later ones win.
    pub env_files: Vec<PathBuf>,
    /// Enabled profiles.
    pub profiles: BTreeSet<String>,
    /// The environment of the process.
    pub environment: BTreeMap<String, String>,
}

/// How things are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// How a run is told.
    pub progress: OutputMode,
    /// Colours on standard error.
    pub colour: bool,
    /// Colours on standard output.
    pub colour_out: bool,
    /// Standard output is a terminal.
    pub terminal_out: bool,
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// What is told of.
    pub stage: ExecutionMode,
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionMode {
    /// The engine.
    Real,
    /// A simulated one, so that nobody takes it for the engine.
    Simulated,
    /// A simulated one, of which only the end counts: nothing is told.
    Silent,
}

/// The form of data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Deploy.
    Up(Up),
    /// Take down.
    Down(Down),
    /// Deploy an earlier generation.
    Rollback(Rollback),
    /// End a deploy that was cut off.
    Recover(Recover),
    /// Take a lock away.
    Unlock(Unlock),
    /// List deploys.
    History(History),
    /// Show what `up` would do.
    Plan(Plan),
    /// Carry out on a simulated engine what `up` would do.
    Rehearse(Box<Simulate>),
    /// Read the manifest only.
    Check(Check),
    /// Build images.
    Build(Build),
    /// List containers.
    Ps(Ps),
    /// Show logs.
    Logs(Logs),
    /// Draw the graph.
    Graph(Graph),
    /// List secrets and certificates.
    Secrets(Secrets),
    /// Print the resolved project.
    Config(Config),
    /// Print versions.
    Version(Version),
}

/// How a command ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOutcome {
    /// As asked for.
    Ok,
    /// `plan --exit-code`: there are changes.
    ChangesPending,
    /// A run came to its end; how, it has told already.
    Run(Outcome),
    /// An image could not be built or pulled; that has been told already.
    ImageFailure,
}

impl Invocation {
    /// Carries the command out.
    ///
    /// # Errors
    /// With what has not been told yet.
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
            Command::Rehearse(it) => Box::pin(it.run(&scope, &engine, console)).await,
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

    /// Tells a person something beside the data, as something that was rehearsed if it was.
    fn eprint(self, text: &str) {
        match self.stage {
            ExecutionMode::Real => eprint(text),
            ExecutionMode::Simulated => eprint(&format!("in the rehearsal: {text}")),
            ExecutionMode::Silent => {}
        }
    }

    /// How mistakes are drawn on standard error.
    #[must_use]
    pub fn mistakes(self) -> diagnostic::Style {
        diagnostic::Style {
            width: usize::from(self.width).clamp(40, 120),
            colour: self.colour,
        }
    }
}

/// Writes data on standard output. A reader that has gone away is no failure of ours.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Tells a person something beside the data. Nobody can be told when that fails.
fn eprint(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Writes a value as JSON on standard output, in one line.
fn print_json(value: &impl serde::Serialize) {
    // What is printed is made of texts and numbers, which JSON can always say.
    print(&format!(
        "{}\n",
        serde_json::to_string(value).unwrap_or_default()
    ));
}
