//! The container engine: the only way in which `cimandat` touches the world.
//!
//! [`Engine`] is narrow: data in, data out. [`docker`] talks to the real thing, [`dial`] to what
//! runs in it, [`sim`] is a world of pure memory with the same semantics. Nothing without the
//! project's label is ever touched.

pub mod docker;
pub mod probe;
mod process_identity;
pub mod sim;
mod state_store;

use std::{collections::BTreeSet, future::Future, time::Duration};

use futures::stream::BoxStream;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

pub use self::{
    process_identity::ProcessIdentity,
    state_store::{Lock, LockId, LockOutcome, StateStore},
};
use crate::{
    event::Progress,
    name::{ContainerName, ImageRef, ProjectName},
    plan::Action,
    project::{Check, Probe, RestartPolicy},
    state::{ContainerStatus, Health, State},
};

/// The container engine.
pub trait Engine: Send + Sync + 'static {
    /// All that bears the project's label, and what else the query asks for, as it is now.
    fn observe(&self, query: &Query) -> impl Future<Output = Result<State, EngineError>> + Send;

    /// Performs one action. Performing it twice has the effect of performing it once.
    /// What it is at goes into `progress`, as far as somebody listens.
    fn perform(
        &self,
        action: &Action,
        progress: &UnboundedSender<Progress>,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Asks a container one question, and waits no longer than `patience` for the answer.
    ///
    /// Questions that can be waited for (`log`, `exit`, the engine's health) may use all of it;
    /// the others answer as soon as they know.
    fn probe(
        &self,
        container: &ContainerName,
        probe: &Probe,
        patience: Duration,
    ) -> impl Future<Output = ProbeResult> + Send;

    /// Makes one check of the whole; the container is the service's first, where one is meant.
    fn check(
        &self,
        container: Option<&ContainerName>,
        check: &Check,
        patience: Duration,
    ) -> impl Future<Output = ProbeResult> + Send;

    /// How a container does, and the last `lines` lines of its log of this start.
    fn inspect(
        &self,
        container: &ContainerName,
        lines: usize,
    ) -> impl Future<Output = Result<Inspection, EngineError>> + Send;

    /// Ends when no client is connected to a container, apart from those whose connections have been
    /// idle for so long; never where that cannot be known.
    fn clients_gone(
        &self,
        _container: &ContainerName,
        _idle: Duration,
    ) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// What happens to the project's containers from now on; ends only with an error.
    ///
    /// When this returns, the subscription holds: what happens afterwards is in the stream.
    fn watch(
        &self,
        project: &ProjectName,
    ) -> impl Future<
        Output = Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError>,
    > + Send;

    /// Lines of the log of a container, which is given by its name or its id.
    ///
    /// With `follow` they end when the container does, not before.
    fn logs(
        &self,
        container: &ContainerName,
        options: &LogOptions,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError>> + Send;
}

/// What [`Engine::observe`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose things.
    pub project: ProjectName,
    /// Images whose presence and id matter.
    pub images: BTreeSet<ImageRef>,
    /// Networks that matter though they may bear another label or none, by name on the engine.
    pub networks: BTreeSet<String>,
    /// Volumes that matter though they may bear another label or none, by name on the engine.
    pub volumes: BTreeSet<String>,
    /// Whether the images that were built for the project are listed too.
    pub own_images: bool,
    /// Whether the names under which images are kept for generations are listed too.
    pub kept_images: bool,
    /// The project's containers whose data directories are looked at.
    pub databases: BTreeSet<ContainerName>,
}

impl Query {
    /// Only what bears the project's label.
    #[must_use]
    pub fn of(project: ProjectName) -> Self {
        Self {
            project,
            images: BTreeSet::new(),
            networks: BTreeSet::new(),
            volumes: BTreeSet::new(),
            own_images: false,
            kept_images: false,
            databases: BTreeSet::new(),
        }
    }
}

/// What a probe brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// It passed; what was seen (`200 in 4 ms`).
    Passed(String),
    /// Not yet; what was seen (`connection refused`).
    Pending(String),
    /// It never will, however long one waits; what was seen.
    Impossible(String),
}

/// What is known about a container that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// How it does.
    pub condition: ContainerStatus,
    /// The last lines of its log of this start, each as an [`crate::event::excerpt`].
    pub log: Vec<String>,
    /// Why its log could not be read, in a fragment; `None`: it could.
    pub unread: Option<String>,
    /// The declared restart policy, where another one is in force until the commit.
    pub restart_at_commit: Option<RestartPolicy>,
    /// The engine's init is process 1, and the image's own program is not.
    pub init: bool,
}

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Which.
    pub container: ContainerName,
    /// What.
    pub what: ContainerEventKind,
}

/// What can happen to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerEventKind {
    /// It runs.
    Started,
    /// It ended.
    Died {
        /// With this code; 128 + the signal's number when killed.
        exit_code: i64,
    },
    /// It was killed for want of memory; an end follows.
    OutOfMemory,
    /// The engine's own health check changed its mind.
    Health(Health),
}

/// Which lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as lines come.
    pub follow: bool,
    /// Only the last so many; `None`: all.
    pub tail: Option<usize>,
    /// Only those after, in seconds since the epoch.
    pub since: Option<i64>,
    /// Only those before, in seconds since the epoch.
    pub until: Option<i64>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339 with nanoseconds, as the engine gives it; sorts as text within one engine.
    pub time: String,
    /// It came from standard error.
    pub stderr: bool,
    /// Without its line end; what is not UTF-8 in it is replaced.
    pub text: String,
    /// Whether this is all of the line.
    pub part: Part,
}

/// How much of a line a [`LogLine`] is: a very long line comes in parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// Its beginning.
    First,
    /// Neither its beginning nor its end.
    Middle,
    /// Its end.
    Last,
}

impl Part {
    /// Whether the line began in an earlier part.
    #[must_use]
    pub fn continues(self) -> bool {
        matches!(self, Self::Middle | Self::Last)
    }

    /// Whether the line goes on in a later part.
    #[must_use]
    pub fn is_continued(self) -> bool {
        matches!(self, Self::First | Self::Middle)
    }
}

/// Why the engine did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// Nothing answers.
    #[error("no container engine answers at {address}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What came instead of an answer.
        cause: String,
        /// What to do.
        help: String,
    },
    /// It is there, but not for this user.
    #[error("this user has no permission to use the container engine at {address}")]
    PermissionDenied {
        /// Where.
        address: String,
    },
    /// An image is neither on the engine nor to be had.
    #[error("image `{image}` is not available: {cause}")]
    NoImage {
        /// Which.
        image: String,
        /// What the registry or the engine says.
        cause: String,
    },
    /// A build failed.
    #[error("the build of `{service}` failed at `{step}`: {cause}")]
    Build {
        /// Whose image.
        service: String,
        /// The step that failed; empty when it did not come to a step.
        step: String,
        /// What the builder says.
        cause: String,
        /// The last lines of the step's output.
        output: Vec<String>,
    },
    /// A port of the host is taken.
    #[error("port {port} of this host is already in use by {holder}")]
    PortTaken {
        /// Which.
        port: String,
        /// A container or process, as far as it can be told.
        holder: String,
    },
    /// The name belongs to somebody else's thing.
    #[error("`{name}` exists already and is not of this project")]
    NotOwned {
        /// The name.
        name: String,
    },
    /// The source of a bind mount is not there.
    #[error("bind source `{path}` does not exist on the engine's host")]
    BindSourceMissing {
        /// Which.
        path: String,
    },
    /// The engine's disk is full.
    #[error("the engine's disk is full: {cause}")]
    DiskFull {
        /// What it says.
        cause: String,
    },
    /// The thing is not there (any more).
    #[error("{what} does not exist")]
    NotFound {
        /// Which.
        what: String,
    },
    /// The container's log cannot be read, as it is not kept.
    #[error("the logging driver `{driver}` of container `{container}` keeps no log")]
    NoLog {
        /// The container.
        container: String,
        /// The driver.
        driver: String,
    },
    /// Something cannot be removed, as containers use it.
    #[error("{thing} is still in use by {users}")]
    InUse {
        /// Its kind and its name.
        thing: String,
        /// Which containers, and whose they are.
        users: String,
        /// What frees it.
        help: String,
    },
    /// An image cannot be pulled, and is on the engine already.
    #[error("image `{image}` cannot be pulled: {cause}; it is on the engine already")]
    NotRefreshed {
        /// Which.
        image: String,
        /// What the registry or the engine says.
        cause: String,
    },
    /// A hook's command ended with another code than 0.
    #[error("`{command}` in `{container}` ended with code {code}")]
    Hook {
        /// The container.
        container: String,
        /// The command.
        command: String,
        /// Its exit code.
        code: i64,
        /// The last lines that it printed.
        output: Vec<String>,
    },
    /// What was to be done was not written down, and so not done.
    #[error("the journal cannot be written: {cause}")]
    JournalUnavailable {
        /// Why.
        cause: String,
    },
    /// The engine answered with an error of its own.
    #[error("{verb} `{object}`: {message}")]
    Api {
        /// `creating container`.
        verb: String,
        /// On the engine.
        object: String,
        /// HTTP status; 0 when there was none.
        status: u16,
        /// In the engine's words.
        message: String,
    },
    /// The connection broke or its content made no sense.
    #[error("{verb} `{object}`: {cause}")]
    Transport {
        /// `creating container`.
        verb: String,
        /// On the engine.
        object: String,
        /// What broke.
        cause: String,
    },
}

impl EngineError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { help, .. } | Self::InUse { help, .. } => help.clone(),
            Self::PermissionDenied { .. } => "run as root, or add this user to the group that owns the \
                                    socket (usually `docker`) and log in again"
                .to_owned(),
            Self::NoImage { .. } => {
                "check its spelling and tag, log in to its registry (`docker login`), or build it"
                    .to_owned()
            }
            Self::PortTaken { .. } => {
                "stop the program that uses the port, or publish another port of the host".to_owned()
            }
            Self::NotOwned { .. } => "remove or rename it, or give this project another name \
                                     (`-p NAME`)"
                .to_owned(),
            Self::BindSourceMissing { .. } => {
                "create the folder, or set `create=#true` so that the engine creates it".to_owned()
            }
            Self::NotRefreshed { .. } => {
                "`pull \"missing\"` in the manifest, or `--pull missing` once, takes the image that is \
                 there"
                    .to_owned()
            }
            Self::DiskFull { .. } => "free space on the engine's host (`docker system df` shows \
                                      what takes it), then run the command again"
                .to_owned(),
            Self::JournalUnavailable { .. } => {
                "make sure that the engine is running and has free disk space, then run the \
                 command again"
                    .to_owned()
            }
            Self::Build { .. }
            | Self::NotFound { .. }
            | Self::NoLog { .. }
            | Self::Hook { .. }
            | Self::Api { .. }
            | Self::Transport { .. } => return None,
        })
    }

    /// Whether the engine itself was not there, or left in the middle, so that the same may succeed
    /// when it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Transport { .. })
    }

    /// The last lines of what was going on when it failed.
    #[must_use]
    pub fn output(&self) -> &[String] {
        match self {
            Self::Build { output, .. } | Self::Hook { output, .. } => output,
            _ => &[],
        }
    }
}
