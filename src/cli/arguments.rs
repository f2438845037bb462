//! The command-line arguments and their help texts.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    simulate::SimulateArguments,
    value_enums::{DriftArg, Format, GraphFormatArg, PullChoice},
};
use crate::unit;

/// Deploys containers from a KDL manifest: health-gated, and rolled back when a gate fails.
#[derive(Debug, Parser)]
#[command(
    name = "cimandat",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "exit codes: 0 success · 1 usage or internal error · 2 `plan --exit-code`: there are \
                  changes · 3 manifest or preflight error, nothing was changed · 4 a build, pull or \
                  preparation failed, nothing was changed · 5 failed and rolled back, the old state is \
                  healthy · 6 failed, and the rollback failed too · 7 the project is locked by another \
                  command · 8 interrupted and rolled back · 9 interrupted during the rollback: run \
                  `recover` · 10 `down` could not remove everything · 125 the engine is unreachable"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub shared: Shared,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Shared {
    /// Manifest, `-` for standard input; can be repeated, later files override earlier ones [default:
    /// cimandat.kdl in this or a parent folder]
    #[arg(short, long, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Project name, instead of the one in the manifest
    #[arg(short, long, global = true, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Environment file; can be repeated, later files override earlier ones
    #[arg(long, global = true, value_name = "PATH")]
    pub env_file: Vec<PathBuf>,
    /// Profile to enable; can be repeated
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Progress output format
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub progress: ProgressChoice,
}

/// The same before and after the command; after `logs`, `-f` means `--follow`, as people expect.
#[derive(Debug, Default, Args)]
pub(super) struct Files {
    /// Manifest, `-` for standard input; can be repeated, later files override earlier ones [default:
    /// cimandat.kdl in this or a parent folder]
    #[arg(id = "manifest", short = 'f', long = "file", value_name = "PATH")]
    pub file: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ProgressChoice {
    /// `live` at a terminal, else `plain`
    #[default]
    Auto,
    /// Lines that change in place
    Live,
    /// One line per event
    Plain,
    /// One JSON object per event, on standard output
    Json,
    /// Failures and the outcome only
    Quiet,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Deploy: build, pull, start in order, wait until ready; roll back on failure
    Up(UpArguments),
    /// Stop and remove containers and networks; keep volumes unless `--volumes` is given
    Down(DownArguments),
    /// Deploy an earlier generation, with gates and rollback like any deploy
    Rollback {
        #[command(flatten)]
        files: Files,
        /// Generation number from `history` [default: the previous one]
        generation: Option<u64>,
        #[command(flatten)]
        lock: LockWait,
    },
    /// Finish or roll back an interrupted deploy, and start stopped containers
    Recover {
        #[command(flatten)]
        files: Files,
        /// Only print what would be done; exit with the code that the recovery would return
        #[arg(long)]
        plan: bool,
        /// Discard the journal; the next deploy starts from the observed state
        #[arg(long, conflicts_with = "plan")]
        discard_journal: bool,
        #[command(flatten)]
        lock: LockWait,
    },
    /// Release a stale lock
    Unlock {
        #[command(flatten)]
        files: Files,
        /// Release the lock even if its holder appears to be running
        #[arg(long)]
        force: bool,
    },
    /// List deploys with time, author, outcome and rollback source
    History {
        #[command(flatten)]
        files: Files,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Show what `up` would do, and why
    Plan {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        choice: Choice,
        /// Exit with code 2 if there are changes
        #[arg(long)]
        exit_code: bool,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Run `up` on a simulated engine, with injected faults, and report the result
    Simulate(SimulateArguments),
    /// Validate the manifest and report all errors; needs no engine
    Check {
        #[command(flatten)]
        files: Files,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Build images whose inputs changed
    Build(BuildArguments),
    /// List the project's containers
    Ps {
        #[command(flatten)]
        files: Files,
        /// Only these services
        services: Vec<String>,
        /// Include containers kept from earlier generations
        #[arg(short, long)]
        all: bool,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Show container logs, interleaved by time
    Logs(LogsArguments),
    /// Draw the dependency graph
    Graph {
        #[command(flatten)]
        files: Files,
        /// Graph format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: GraphFormatArg,
    },
    /// List or rotate secrets and certificates
    Secret {
        #[command(subcommand)]
        verb: SecretVerb,
    },
    /// Print the resolved project
    Config {
        #[command(flatten)]
        files: Files,
        /// Print the variables and the source of each value
        #[arg(long)]
        environment: bool,
        /// Print service names only
        #[arg(long, conflicts_with = "environment")]
        services: bool,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Print the versions of cimandat and the engine
    Version {
        #[command(flatten)]
        files: Files,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Print a completion script for a shell
    #[command(hide = true)]
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Subcommands of `secret`.
#[derive(Debug, Subcommand)]
pub(super) enum SecretVerb {
    /// List source, digest, age and users of each; never a value
    List {
        #[command(flatten)]
        files: Files,
        /// Output format
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
    /// Generate new values and deploy them; keep the old values if the deploy fails
    #[command(
        after_help = "Deploys the whole manifest like `up`. A failure rolls everything back, regardless of \
                      `deploy rollback=`: services with the old and the new value could not talk to each \
                      other. A program that stores the old value itself (a database) must be updated \
                      separately: see docs/src/secrets.md."
    )]
    Rotate(RotateArguments),
}

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    #[command(flatten)]
    pub files: Files,
    /// Secrets with `generate=`, and certificates (`secret:NAME`, `certificate:NAME` where both exist)
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Maximum time for each gate, instead of its own timeout (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ready_timeout: Option<Duration>,
    #[command(flatten)]
    pub lock: LockWait,
}

/// Lock options of commands that change the project.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct LockWait {
    /// Maximum time to wait for the project lock (`15m`) [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub lock_timeout: Option<Duration>,
}

/// Options of a deploy.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Only these services and their dependencies
    pub services: Vec<String>,
    /// Build all images, even if their inputs are unchanged
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build no images; a missing image is an error
    #[arg(long)]
    pub no_build: bool,
    /// Pull policy, instead of the one in the manifest
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pull: Option<PullChoice>,
    /// Replace containers even if unchanged
    #[arg(long)]
    pub force_recreate: bool,
    /// Allow a new major version of a database on existing data
    #[arg(long)]
    pub allow_major_upgrade: bool,
    /// Rerun completed jobs (all of them if no name is given)
    #[arg(long, value_name = "JOB", num_args = 0..)]
    pub rerun: Option<Vec<String>>,
    /// Do not rerun jobs because a volume is new or their record is missing
    #[arg(long, conflicts_with = "rerun")]
    pub no_rerun: bool,
    /// Stop timeout in seconds, instead of each container's grace period
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Handling of containers that were changed manually
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub drift: DriftArg,
}

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub choice: Choice,
    /// Maximum time for each gate, instead of its own timeout (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ready_timeout: Option<Duration>,
    #[command(flatten)]
    pub lock: LockWait,
    /// Follow the logs after the deploy
    #[arg(long, action = ArgAction::SetTrue)]
    pub attach: bool,
    /// Keep failed new containers, stopped, for inspection; the next successful `up` removes them
    #[arg(long)]
    pub keep_failed: bool,
    /// No effect: `up` always returns when the stack is ready
    #[arg(short, long, hide = true)]
    pub detach: bool,
    /// No effect: `up` always waits
    #[arg(long, hide = true)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct DownArguments {
    #[command(flatten)]
    pub files: Files,
    /// Only the containers of these services
    pub services: Vec<String>,
    /// Also remove the project's volumes with their data and snapshots; with services, the volumes that
    /// no other service uses
    #[arg(short, long)]
    pub volumes: bool,
    /// Also remove images built for the project
    #[arg(long)]
    pub images: bool,
    #[command(flatten)]
    pub lock: LockWait,
    /// Stop timeout in seconds, instead of each container's grace period
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    #[command(flatten)]
    pub files: Files,
    /// Only these services
    pub services: Vec<String>,
    /// Do not use the build cache
    #[arg(long)]
    pub no_cache: bool,
    /// Always pull base images
    #[arg(long)]
    pub pull: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// Manifest, `-` for standard input; can be repeated, later files override earlier ones [default:
    /// cimandat.kdl in this or a parent folder]
    #[arg(id = "manifest", long = "file", value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Only these services
    pub services: Vec<String>,
    /// Follow new output across restarts and replacements
    #[arg(short, long)]
    pub follow: bool,
    /// Number of lines to show from the end of each log
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Show lines since a time (`10m`, `2026-01-02T03:04:05Z`)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show lines until a time (`10m`, `2026-01-02T03:04:05Z`)
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show timestamps
    #[arg(short, long)]
    pub timestamps: bool,
    /// Omit the service name prefix
    #[arg(long)]
    pub no_prefix: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    unit::parse_duration(text).map_err(|error| error.to_string())
}

impl Verb {
    /// Takes the manifests that were given after the command.
    pub fn take_files(&mut self) -> Vec<PathBuf> {
        let files = match self {
            Self::Up(up) => &mut up.files.file,
            Self::Simulate(simulate) => &mut simulate.files.file,
            Self::Down(down) => &mut down.files.file,
            Self::Build(build) => &mut build.files.file,
            Self::Logs(logs) => &mut logs.file,
            Self::Secret {
                verb: SecretVerb::Rotate(rotate),
            } => &mut rotate.files.file,
            Self::Plan { files, .. }
            | Self::Secret {
                verb: SecretVerb::List { files, .. },
            }
            | Self::Rollback { files, .. }
            | Self::Recover { files, .. }
            | Self::Unlock { files, .. }
            | Self::History { files, .. }
            | Self::Check { files, .. }
            | Self::Ps { files, .. }
            | Self::Graph { files, .. }
            | Self::Config { files, .. }
            | Self::Version { files, .. } => &mut files.file,
            Self::Completions { .. } | Self::Man => return Vec::new(),
        };
        std::mem::take(files)
    }
}
