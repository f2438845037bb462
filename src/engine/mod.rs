//! The container engine: the only access of `cimandat` to the outside world.
//!
//! [`Engine`] is a narrow interface: data in, data out. [`docker`] uses a real engine, [`probe`]
//! connects to the containers that run in it, and [`sim`] is an in-memory world with the same
//! semantics. Nothing without the project's label is ever changed.

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
    /// Returns all resources with the project's label, and what else the query names, as they are
    /// now.
    fn observe(&self, query: &Query) -> impl Future<Output = Result<State, EngineError>> + Send;

    /// Performs one action. The method is idempotent: performing an action twice has the same
    /// effect as performing it once.
    ///
    /// Progress is sent to `progress`. A closed receiver is ignored.
    fn perform(
        &self,
        action: &Action,
        progress: &UnboundedSender<Progress>,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Runs one probe against a container, with `patience` as the timeout.
    ///
    /// Probes that can wait (`log`, `exit`, the engine's health check) may use the whole timeout.
    /// The others return as soon as the result is known.
    fn probe(
        &self,
        container: &ContainerName,
        probe: &Probe,
        patience: Duration,
    ) -> impl Future<Output = ProbeResult> + Send;

    /// Runs one check of the whole deployment. `container` is the first replica of the checked
    /// service, if the check names a service.
    fn check(
        &self,
        container: Option<&ContainerName>,
        check: &Check,
        patience: Duration,
    ) -> impl Future<Output = ProbeResult> + Send;

    /// Returns the status of a container and the last `lines` lines of its log since its last
    /// start.
    fn inspect(
        &self,
        container: &ContainerName,
        lines: usize,
    ) -> impl Future<Output = Result<Inspection, EngineError>> + Send;

    /// Completes when no client is connected to a container. Connections that have been idle for
    /// `idle` do not count, where it is set. Never completes if the connections cannot be observed.
    fn clients_gone(
        &self,
        _container: &ContainerName,
        _idle: Option<Duration>,
    ) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Subscribes to the events of the project's containers. The stream ends only with an error.
    ///
    /// The subscription is active when this method returns: every later event is in the stream.
    fn watch(
        &self,
        project: &ProjectName,
    ) -> impl Future<
        Output = Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError>,
    > + Send;

    /// Streams the log lines of a container, which is given by its name or its id.
    ///
    /// With `follow`, the stream ends when the container ends, not before.
    fn logs(
        &self,
        container: &ContainerName,
        options: &LogOptions,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError>> + Send;
}

/// The scope of [`Engine::observe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The project to observe.
    pub project: ProjectName,
    /// Images to look up, for their presence and id.
    pub images: BTreeSet<ImageRef>,
    /// Networks to look up by their name on the engine, whatever their labels.
    pub networks: BTreeSet<String>,
    /// Volumes to look up by their name on the engine, whatever their labels.
    pub volumes: BTreeSet<String>,
    /// Whether to list the images that were built for the project.
    pub own_images: bool,
    /// Whether to list the names under which images are kept for generations.
    pub kept_images: bool,
    /// The project's containers with data directories to inspect.
    pub databases: BTreeSet<ContainerName>,
}

impl Query {
    /// Creates a query for only the resources with the project's label.
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

/// The result of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// The probe passed, with the observation (`200 in 4 ms`).
    Passed(String),
    /// The probe did not pass yet, with the observation (`connection refused`).
    Pending(String),
    /// The probe can never pass, however long the gate waits, with the observation.
    Impossible(String),
}

/// Diagnostic data about a container that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Current status.
    pub condition: ContainerStatus,
    /// The last lines of the log since the last start, each as an [`crate::event::excerpt`].
    pub log: Vec<String>,
    /// The reason why the log could not be read, as a sentence fragment; `None` if it was read.
    pub unread: Option<String>,
    /// The declared restart policy, if another one is active until the commit.
    pub restart_at_commit: Option<RestartPolicy>,
    /// Whether the engine's init is process 1, instead of the image's own program.
    pub init: bool,
}

/// One event of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The container that the event is about.
    pub container: ContainerName,
    /// The kind of the event.
    pub what: ContainerEventKind,
}

/// The kinds of container events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerEventKind {
    /// The container started.
    Started,
    /// The container ended.
    Died {
        /// Exit code; 128 + the signal number if it was killed.
        exit_code: i64,
    },
    /// The container was OOM-killed; a [`Self::Died`] event follows.
    OutOfMemory,
    /// The state of the engine's own health check changed.
    Health(Health),
}

/// Selects the lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether to wait for new lines.
    pub follow: bool,
    /// Number of lines from the end; `None` for all.
    pub tail: Option<usize>,
    /// Only lines after this time, in seconds since the Unix epoch.
    pub since: Option<i64>,
    /// Only lines before this time, in seconds since the Unix epoch.
    pub until: Option<i64>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339 with nanoseconds, as the engine reports it. Sorts as text within one engine.
    pub time: String,
    /// Whether the line was written to standard error.
    pub stderr: bool,
    /// Text without the line end. Invalid UTF-8 is replaced.
    pub text: String,
    /// The part of the line that this is.
    pub part: Part,
}

/// The part of a log line that a [`LogLine`] holds: the engine splits very long lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The whole line.
    #[default]
    Whole,
    /// The beginning of the line.
    First,
    /// Neither the beginning nor the end of the line.
    Middle,
    /// The end of the line.
    Last,
}

impl Part {
    /// Returns whether the line began in an earlier part.
    #[must_use]
    pub fn continues(self) -> bool {
        matches!(self, Self::Middle | Self::Last)
    }

    /// Returns whether the line continues in a later part.
    #[must_use]
    pub fn is_continued(self) -> bool {
        matches!(self, Self::First | Self::Middle)
    }
}

/// The error of a request to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// No engine answers at the address.
    #[error("no container engine answers at {address}: {cause}")]
    Unreachable {
        /// The address of the engine.
        address: String,
        /// What happened instead of an answer.
        cause: String,
        /// What the user can do.
        help: String,
    },
    /// The engine runs, but this user has no access to it.
    #[error("this user has no permission to use the container engine at {address}")]
    PermissionDenied {
        /// The address of the engine.
        address: String,
    },
    /// An image is neither on the engine nor available from a registry.
    #[error("image `{image}` is not available: {cause}")]
    NoImage {
        /// The image reference.
        image: String,
        /// The message of the registry or the engine.
        cause: String,
    },
    /// A build failed.
    #[error("the build of `{service}` failed at `{step}`: {cause}")]
    Build {
        /// The service that the image is built for.
        service: String,
        /// The step that failed; empty if no step was reached.
        step: String,
        /// The message of the builder.
        cause: String,
        /// The last lines of the step's output.
        output: Vec<String>,
    },
    /// A port of the host is already in use.
    #[error("port {port} of this host is already in use by {holder}")]
    PortTaken {
        /// The port.
        port: String,
        /// The container or process that holds the port, as far as it is known.
        holder: String,
    },
    /// The name is used by a resource that is not of this project.
    #[error("`{name}` already exists and does not belong to this project")]
    NotOwned {
        /// The name on the engine.
        name: String,
    },
    /// The source of a bind mount does not exist.
    #[error("bind source `{path}` does not exist on the engine's host")]
    BindSourceMissing {
        /// The path on the engine's host.
        path: String,
    },
    /// The engine's disk is full.
    #[error("the engine's disk is full: {cause}")]
    DiskFull {
        /// The message of the engine.
        cause: String,
    },
    /// The object does not exist, or no longer exists.
    #[error("{what} does not exist")]
    NotFound {
        /// The kind and name of the object.
        what: String,
    },
    /// The log cannot be read, because the logging driver of the container stores none.
    #[error("the logging driver `{driver}` of container `{container}` keeps no log")]
    NoLog {
        /// The container.
        container: String,
        /// The logging driver.
        driver: String,
    },
    /// A resource cannot be removed, because containers use it.
    #[error("{thing} is still in use by {users}")]
    InUse {
        /// The kind and name of the resource.
        thing: String,
        /// The containers that use the resource, with their projects.
        users: String,
        /// How to free the resource.
        help: String,
    },
    /// An image cannot be pulled, but an older one is on the engine.
    #[error("image `{image}` cannot be pulled: {cause}; it is on the engine already")]
    NotRefreshed {
        /// The image reference.
        image: String,
        /// The message of the registry or the engine.
        cause: String,
    },
    /// A hook's command ended with an exit code other than 0.
    #[error("`{command}` in `{container}` ended with code {code}")]
    Hook {
        /// The container.
        container: String,
        /// The command.
        command: String,
        /// Its exit code.
        code: i64,
        /// The last lines of the output.
        output: Vec<String>,
    },
    /// An action could not be written to the journal and was therefore not performed.
    #[error("the journal cannot be written: {cause}")]
    JournalUnavailable {
        /// The reason.
        cause: String,
    },
    /// The engine answered with an error.
    #[error("{verb} `{object}`: {message}")]
    Api {
        /// The operation, such as `creating container`.
        verb: String,
        /// The name or id on the engine.
        object: String,
        /// HTTP status; 0 if there was none.
        status: u16,
        /// The message of the engine, verbatim.
        message: String,
    },
    /// The connection broke, or its content was invalid.
    #[error("{verb} `{object}`: {cause}")]
    Transport {
        /// The operation, such as `creating container`.
        verb: String,
        /// The name or id on the engine.
        object: String,
        /// What broke.
        cause: String,
    },
}

impl EngineError {
    /// Returns what the user can do about the error, if it is known.
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

    /// Returns whether the engine was unreachable or the connection broke, so that the same request
    /// may succeed when the engine is available again.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Transport { .. })
    }

    /// Returns the last lines of output of the failed build or hook; empty for other errors.
    #[must_use]
    pub fn output(&self) -> &[String] {
        match self {
            Self::Build { output, .. } | Self::Hook { output, .. } => output,
            _ => &[],
        }
    }
}
