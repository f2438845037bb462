//! What runs in a container: commands, environment, health checks, hooks, log.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Template;
use crate::span::{Span, Spanned};

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Program and arguments; empty (`command` without arguments) takes the image's away.
    Exec(Vec<String>),
    /// A line for the container's shell (`shell=`).
    Shell(String),
}

/// A variable of a container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Given here; may hold secrets.
    Value(Template),
    /// Taken from the environment of the one who deploys, if it is there (`env "NAME"`).
    PassThrough,
}

/// A file of variables (`env-file`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Absolute.
    pub path: Spanned<PathBuf>,
    /// It may be missing.
    pub optional: bool,
    /// Lines are taken as they stand: no quotes, no interpolation.
    pub raw: bool,
}

/// The engine's own health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// Where it is declared.
    pub span: Span,
    /// What is run.
    pub test: HealthTest,
    /// Between two checks.
    pub interval: Option<Duration>,
    /// Of one check.
    pub timeout: Option<Duration>,
    /// Failures in a row until `unhealthy`.
    pub retries: Option<u32>,
    /// Failures in this time do not count.
    pub start_period: Option<Duration>,
    /// Between two checks in the start period.
    pub start_interval: Option<Duration>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// The image's own check is switched off (`disable=#true`).
    Disabled,
    /// The image's own test, with other timings.
    Image,
    /// What is given.
    Command(Command),
}

/// A command at a turn of a container's life (`post-start`, `pre-stop`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it is declared.
    pub span: Span,
    /// What is run.
    pub command: Command,
    /// Run as this user instead of the container's.
    pub user: Option<String>,
    /// Run in this folder instead of the container's.
    pub working_dir: Option<String>,
    /// Run with all capabilities.
    pub privileged: bool,
    /// More environment.
    pub env: BTreeMap<String, Spanned<EnvValue>>,
}

/// Where a log goes (`logging DRIVER option=…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Of the engine.
    pub driver: Spanned<String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

/// What a development session does when a file changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Absolute.
    pub path: Spanned<PathBuf>,
    /// `sync`, `rebuild`, `restart` or `sync+restart`.
    pub action: String,
    /// Inside the container.
    pub target: Option<String>,
    /// Patterns that are passed over.
    pub ignore: Vec<String>,
}
