//! The arguments as they are typed, and their help.

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
    after_help = "exit codes: 0 as asked for · 1 usage or internal error · 2 `plan --exit-code`: there are \
                  changes · 3 refused, nothing touched · 4 a build, pull or preparation failed, \
                  nothing touched · 5 failed and rolled back, the old state is healthy · 6 failed, and \
                  the way back failed too · 7 somebody else changes the project · 8 interrupted and rolled back · \
                  9 interrupted while rolling back: run `recover` · 10 `down` could not remove everything · \
                  125 no engine answers"
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
    /// Manifest, `-` for standard input; may be given several times, later ones win [default:
    /// cimandat.kdl here or above]
    #[arg(short, long, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Name of the project, instead of the manifest's own
    #[arg(short, long, global = true, value_name = "NAME")]
    pub project_name: Option<String>,
    /// File with variables; may be given several times, later ones win
    #[arg(long, global = true, value_name = "PATH")]
    pub env_file: Vec<PathBuf>,
    /// Enable the services of a profile; may be given several times
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Vec<String>,
    /// How a run is told
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub progress: ProgressChoice,
}

/// The same before and after the command; after `logs`, `-f` means `--follow`, as people expect.
#[derive(Debug, Default, Args)]
pub(super) struct Files {
    /// Manifest, `-` for standard input; may be given several times, later ones win [default:
    /// cimandat.kdl here or above]
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
    /// One line an event
    Plain,
    /// One JSON object an event, on standard output
    Json,
    /// Failures and the verdict
    Quiet,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Deploy: build, pull, start in order, wait until all is ready; roll back if something fails
    Up(UpArguments),
    /// Stop and remove containers and networks; volumes are kept unless asked for
    Down(DownArguments),
    /// Deploy an earlier generation again, gated and rolled back like any other deploy
    Rollback {
        #[command(flatten)]
        files: Files,
        /// Which, as `history` numbers them [default: the one before the current one]
        generation: Option<u64>,
        #[command(flatten)]
        lock: LockWait,
    },
    /// End a deploy that was cut off, and start what should run
    Recover {
        #[command(flatten)]
        files: Files,
        /// Only show what would be done; ends with the code that doing it would have
        #[arg(long)]
        plan: bool,
        /// Discard the journal; the next deploy goes by what is there
        #[arg(long, conflicts_with = "plan")]
        forget: bool,
        #[command(flatten)]
        lock: LockWait,
    },
    /// Remove the lock of a command that has ended
    Unlock {
        #[command(flatten)]
        files: Files,
        /// Also when its holder seems to be at work
        #[arg(long)]
        force: bool,
    },
    /// List deploys: when, who, how each ended, and whether there is a way back to it
    History {
        #[command(flatten)]
        files: Files,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Show what `up` would do, and why
    Plan {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        choice: Choice,
        /// End with code 2 when there are changes
        #[arg(long)]
        exit_code: bool,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Carry out on a simulated engine what `up` would do, with faults, and show what would happen
    Rehearse(SimulateArguments),
    /// Read the manifest and tell every mistake in it; needs no engine
    Check {
        #[command(flatten)]
        files: Files,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Build the images whose inputs changed
    Build(BuildArguments),
    /// List the project's containers
    Ps {
        #[command(flatten)]
        files: Files,
        /// Only these services
        services: Vec<String>,
        /// List the containers that are kept of earlier generations, too
        #[arg(short, long)]
        all: bool,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Show the containers' logs, interleaved by time
    Logs(LogsArguments),
    /// Draw who waits for whom
    Graph {
        #[command(flatten)]
        files: Files,
        /// Language of the picture
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: GraphFormatArg,
    },
    /// List secrets and certificates, or give them new values
    Secret {
        #[command(subcommand)]
        verb: SecretVerb,
    },
    /// Print the project as it is understood, with everything filled in
    Config {
        #[command(flatten)]
        files: Files,
        /// Print the variables, and where each value comes from
        #[arg(long)]
        environment: bool,
        /// Print only the names of the services
        #[arg(long, conflicts_with = "environment")]
        services: bool,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Print the versions of this program and of the engine
    Version {
        #[command(flatten)]
        files: Files,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Print a completion script for a shell
    #[command(hide = true)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// What can be done with secrets and certificates.
#[derive(Debug, Subcommand)]
pub(super) enum SecretVerb {
    /// Show where each is from, its digest, its age and who uses it; never a value
    List {
        #[command(flatten)]
        files: Files,
        /// Form of the output
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: Format,
    },
    /// Make new values and deploy them; if that fails, the old ones stay in force
    #[command(
        after_help = "The whole manifest is deployed, as `up` does it, and everything goes back when something \
                      fails, whatever `deploy rollback=` says: half of the services with the old value \
                      and half with the new one would not understand each other. Whatever knows the old \
                      value by itself has to learn the new one: see \"Secrets\" in the README."
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
    /// The longest that any gate may take, instead of its own deadline (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_timeout: Option<Duration>,
    #[command(flatten)]
    pub lock: LockWait,
}

/// Of commands that change something.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct LockWait {
    /// How long to wait while somebody else changes the project (`15m`) [default: not at all]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub lock_wait: Option<Duration>,
}

/// What a deploy may be told.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Only these services, and what they depend on
    pub services: Vec<String>,
    /// Build all images, whether their inputs changed or not
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build no image; one that is missing is refused
    #[arg(long)]
    pub no_build: bool,
    /// When images are pulled, instead of what the manifest says
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pull: Option<PullChoice>,
    /// Replace containers that would be kept
    #[arg(long)]
    pub force_recreate: bool,
    /// Run another major version of a database on the data that is there
    #[arg(long)]
    pub allow_major: bool,
    /// Run jobs again that have done their work: these, or, without a name, all
    #[arg(long, value_name = "JOB", num_args = 0..)]
    pub rerun: Option<Vec<String>>,
    /// Do not run jobs again although a volume is new or their record is missing
    #[arg(long, conflicts_with = "rerun")]
    pub no_rerun: bool,
    /// Seconds that a container may take to end, instead of its own grace period
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// What is done about containers that were changed by hand
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub drift: DriftArg,
}

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub choice: Choice,
    /// The longest that any gate may take, instead of its own deadline (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_timeout: Option<Duration>,
    #[command(flatten)]
    pub lock: LockWait,
    /// Follow the logs when all is ready
    #[arg(long, action = ArgAction::SetTrue)]
    pub attach: bool,
    /// Keep new containers that failed, stopped, to look at them; the next `up` that succeeds
    /// removes them
    #[arg(long)]
    pub keep_failed: bool,
    /// Taken for granted: `up` always returns when the stack is ready
    #[arg(short, long, hide = true)]
    pub detach: bool,
    /// Taken for granted: `up` always waits
    #[arg(long, hide = true)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct DownArguments {
    #[command(flatten)]
    pub files: Files,
    /// Only these services' containers
    pub services: Vec<String>,
    /// Remove the project's volumes and what they hold, and the snapshots of them, too; of the
    /// services that are named, the volumes that no other service uses
    #[arg(short, long)]
    pub volumes: bool,
    /// Remove the images that were built for the project, too
    #[arg(long)]
    pub images: bool,
    #[command(flatten)]
    pub lock: LockWait,
    /// Seconds that a container may take to end, instead of its own grace period
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    #[command(flatten)]
    pub files: Files,
    /// Only these services
    pub services: Vec<String>,
    /// Use no cached layer
    #[arg(long)]
    pub no_cache: bool,
    /// Always ask the registry for the base images
    #[arg(long)]
    pub pull: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// Manifest, `-` for standard input; may be given several times, later ones win [default:
    /// cimandat.kdl here or above]
    #[arg(id = "manifest", long = "file", value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Only these services
    pub services: Vec<String>,
    /// Go on as lines come, over restarts and replacements of containers
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many lines of each container
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Only lines after: `10m`, `2026-01-02T03:04:05Z`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only lines before: `10m`, `2026-01-02T03:04:05Z`
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Leave out the service's name before each line
    #[arg(long)]
    pub no_prefix: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: Format,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    unit::parse_duration(text).map_err(|error| error.to_string())
}

impl Verb {
    /// The manifests named after the command.
    pub fn take_files(&mut self) -> Vec<PathBuf> {
        let files = match self {
            Self::Up(up) => &mut up.files.file,
            Self::Rehearse(rehearse) => &mut rehearse.files.file,
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
