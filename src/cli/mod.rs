//! Reads the command line and its environment: arguments, variables, current folder, terminal.
//!
//! No other module reads them. The result is an [`Invocation`].

mod arguments;
mod process_env;
mod simulate;
mod value_enums;

use std::{collections::BTreeSet, io::IsTerminal};

use clap::{CommandFactory, Parser};
use thiserror::Error;

use self::arguments::{
    Arguments, BuildArguments, DownArguments, LogsArguments, ProgressChoice, SecretVerb,
    UpArguments, Verb,
};
pub use self::process_env::ProcessEnv;
use self::simulate::SimulateArguments;
use crate::{
    command::{self, Command, Console, DataFormat, Invocation, OutputMode, ProjectSelector},
    engine::docker,
    name::{NameError, ProjectName, ServiceName},
    plan::{BuildPolicy, DownOptions, Options, RerunJobs},
};

/// Result of parsing the arguments.
#[derive(Debug)]
pub enum Parsed {
    /// Execute this invocation.
    Run(Box<Invocation>),
    /// Print this text to standard output and exit: help, version, completions, manual.
    Print(String),
    /// The arguments are invalid. Print this text to standard error.
    UsageError(String),
}

/// Reads the arguments of the process.
#[must_use]
pub fn parse(surroundings: &ProcessEnv) -> Parsed {
    let arguments = match Arguments::try_parse_from(&surroundings.arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let text = error.render();
            let colour = std::io::stderr().is_terminal() && !surroundings.no_colour();
            return Parsed::UsageError(if colour {
                text.ansi().to_string()
            } else {
                text.to_string()
            });
        }
        Err(text) => return Parsed::Print(text.render().to_string()),
    };
    match &arguments.verb {
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "cimandat", &mut script);
            Parsed::Print(String::from_utf8_lossy(&script).into_owned())
        }
        Verb::Man => {
            let mut page = Vec::new();
            match clap_mangen::Man::new(Arguments::command()).render(&mut page) {
                Ok(()) => Parsed::Print(String::from_utf8_lossy(&page).into_owned()),
                Err(error) => Parsed::UsageError(format!("error: {error}\n")),
            }
        }
        _ => match invocation(arguments, surroundings) {
            Ok(invocation) => Parsed::Run(Box::new(invocation)),
            Err(error) => Parsed::UsageError(format!("error: {error}\n")),
        },
    }
}

/// Usage errors that clap does not detect itself.
#[derive(Debug, Error)]
enum UsageError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("reading the manifest from standard input: {0}")]
    Input(#[from] std::io::Error),
    #[error("`CIMANDAT_CRASH` is {0}")]
    Crash(docker::Unreadable),
}

fn invocation(arguments: Arguments, surroundings: &ProcessEnv) -> Result<Invocation, UsageError> {
    let (mut shared, mut verb) = (arguments.shared, arguments.verb);
    shared.file.extend(verb.take_files());
    let project = shared
        .project_name
        .or_else(|| surroundings.variable("CIMANDAT_PROJECT"))
        .map(ProjectName::new)
        .transpose()?;
    let scope = ProjectSelector {
        standard_input: ProcessEnv::standard_input(&shared.file)?,
        files: surroundings.manifests(shared.file),
        directory: surroundings.directory.clone(),
        project,
        env_files: shared
            .env_file
            .into_iter()
            .map(|file| surroundings.directory.join(file))
            .collect(),
        profiles: shared.profile.into_iter().collect(),
        environment: surroundings.environment.clone(),
    };
    // A simulation ends immediately, so a live display would be of no use.
    let progress = match (&verb, shared.progress) {
        (Verb::Simulate(_), ProgressChoice::Auto) => ProgressChoice::Plain,
        (_, progress) => progress,
    };
    Ok(Invocation {
        console: console(progress, surroundings),
        engine: surroundings.engine().map_err(UsageError::Crash)?,
        command: command(verb)?,
        scope,
    })
}

fn console(progress: ProgressChoice, surroundings: &ProcessEnv) -> Console {
    let terminal = std::io::stderr().is_terminal() && !surroundings.dumb();
    let progress = match progress {
        ProgressChoice::Auto if terminal => OutputMode::Live,
        ProgressChoice::Auto | ProgressChoice::Plain => OutputMode::Plain,
        ProgressChoice::Live => OutputMode::Live,
        ProgressChoice::Json => OutputMode::Json,
        ProgressChoice::Quiet => OutputMode::Quiet,
    };
    let size = surroundings.size;
    Console {
        progress,
        colour: terminal && !surroundings.no_colour(),
        colour_out: std::io::stdout().is_terminal() && !surroundings.no_colour(),
        terminal_out: std::io::stdout().is_terminal(),
        width: size.map_or(80, |(width, _)| width),
        height: size.map_or(24, |(_, height)| height),
        stage: command::ExecutionMode::Real,
    }
}

fn command(verb: Verb) -> Result<Command, NameError> {
    Ok(match verb {
        Verb::Up(up) => Command::Up(self::up(up)?),
        Verb::Down(down) => Command::Down(self::down(down)?),
        Verb::Rollback { .. }
        | Verb::Recover { .. }
        | Verb::Unlock { .. }
        | Verb::History { .. } => transaction(&verb),
        Verb::Plan {
            choice,
            exit_code,
            format,
            ..
        } => {
            let (options, format) = (options(choice)?, format.into());
            Command::Plan(command::Plan {
                options,
                exit_code,
                format,
            })
        }
        Verb::Simulate(simulate) => Command::Simulate(Box::new(self::simulate(simulate)?)),
        Verb::Build(build) => Command::Build(self::build(build)?),
        Verb::Logs(logs) => Command::Logs(self::logs(logs)?),
        Verb::Ps {
            services,
            all,
            format,
            ..
        } => Command::Ps(command::Ps {
            services: names(services)?,
            all,
            format: format.into(),
        }),
        Verb::Secret { verb } => secret(verb),
        Verb::Check { format, .. } => Command::Check(command::Check {
            format: format.into(),
        }),
        Verb::Graph { format, .. } => Command::Graph(command::Graph {
            picture: format.into(),
        }),
        Verb::Config {
            environment,
            services,
            format,
            ..
        } => Command::Config(command::Config {
            environment,
            services,
            format: format.into(),
        }),
        Verb::Version { format, .. } => Command::Version(command::Version {
            format: format.into(),
        }),
        // `parse` has already handled both.
        Verb::Completions { .. } | Verb::Man => Command::Version(command::Version {
            format: DataFormat::Text,
        }),
    })
}

/// Builds the commands that concern earlier deploys.
fn transaction(verb: &Verb) -> Command {
    match *verb {
        Verb::Rollback {
            generation, lock, ..
        } => Command::Rollback(command::Rollback {
            generation,
            lock_timeout: lock.lock_timeout.unwrap_or_default(),
        }),
        Verb::Recover {
            plan,
            discard_journal,
            lock,
            ..
        } => Command::Recover(command::Recover {
            plan,
            discard_journal,
            lock_timeout: lock.lock_timeout.unwrap_or_default(),
        }),
        Verb::Unlock { force, .. } => Command::Unlock(command::Unlock { force }),
        Verb::History { format, .. } => Command::History(command::History {
            format: format.into(),
        }),
        // The caller passes only the variants above.
        _ => Command::Version(command::Version {
            format: DataFormat::Text,
        }),
    }
}

fn logs(logs: LogsArguments) -> Result<command::Logs, NameError> {
    Ok(command::Logs {
        services: names(logs.services)?,
        follow: logs.follow,
        tail: logs.tail,
        since: logs.since,
        until: logs.until,
        timestamps: logs.timestamps,
        prefix: !logs.no_prefix,
        format: logs.format.into(),
    })
}

fn names(services: Vec<String>) -> Result<Vec<ServiceName>, NameError> {
    services.into_iter().map(ServiceName::new).collect()
}

fn options(choice: arguments::Choice) -> Result<Options, NameError> {
    let build = match (choice.build, choice.no_build) {
        (true, _) => BuildPolicy::Always,
        (_, true) => BuildPolicy::Never,
        _ => BuildPolicy::Missing,
    };
    let rerun = match choice.rerun.map(names).transpose()? {
        None if choice.no_rerun => RerunJobs::Never,
        None => RerunJobs::None,
        Some(jobs) if jobs.is_empty() => RerunJobs::All,
        Some(jobs) => RerunJobs::Jobs(jobs.into_iter().collect()),
    };
    Ok(Options {
        services: names(choice.services)?.into_iter().collect(),
        force_recreate: choice.force_recreate,
        allow_major_upgrade: choice.allow_major_upgrade,
        rerun,
        build,
        pull: choice.pull.map(Into::into),
        stop_timeout: choice.timeout,
        drift: choice.drift.into(),
        ..Options::default()
    })
}

fn up(up: UpArguments) -> Result<command::Up, NameError> {
    Ok(command::Up {
        options: options(up.choice)?,
        ready_timeout: up.ready_timeout,
        lock_timeout: up.lock.lock_timeout.unwrap_or_default(),
        attach: up.attach,
        keep_failed: up.keep_failed,
        rotate: BTreeSet::new(),
    })
}

fn simulate(simulate: SimulateArguments) -> Result<command::Simulate, NameError> {
    Ok(command::Simulate {
        options: options(simulate.choice)?,
        ready_timeout: simulate.ready_timeout,
        keep_failed: simulate.keep_failed,
        faults: simulate.faults,
        empty: simulate.empty,
        list_calls: simulate.list_calls,
        crash_matrix: simulate.crash_matrix,
    })
}

fn secret(verb: SecretVerb) -> Command {
    match verb {
        SecretVerb::List { format, .. } => Command::Secrets(command::Secrets {
            format: format.into(),
        }),
        SecretVerb::Rotate(rotate) => Command::Up(command::Up {
            options: Options::default(),
            ready_timeout: rotate.ready_timeout,
            lock_timeout: rotate.lock.lock_timeout.unwrap_or_default(),
            attach: false,
            keep_failed: false,
            rotate: rotate.names.into_iter().collect(),
        }),
    }
}

fn build(build: BuildArguments) -> Result<command::Build, NameError> {
    Ok(command::Build {
        services: names(build.services)?,
        no_cache: build.no_cache,
        pull: build.pull,
    })
}

fn down(down: DownArguments) -> Result<command::Down, NameError> {
    Ok(command::Down {
        removal: DownOptions {
            services: names(down.services)?.into_iter().collect(),
            volumes: down.volumes,
            images: down.images,
            timeout: down.timeout.map(std::time::Duration::from_secs),
            ..DownOptions::default()
        },
        lock_timeout: down.lock.lock_timeout.unwrap_or_default(),
    })
}
