//! `cimandat logs`: merges the logs of several containers, ordered by time.

mod follow;
mod print;

use std::pin::pin;

use futures::{
    StreamExt,
    future::{Either, select},
};
use jiff::{SignedDuration, Timestamp};

use self::{
    follow::Follow,
    print::{Closed, Printer},
};
use super::{CommandError, CommandOutcome, Console, DataFormat, ProjectSelector, load};
use crate::{
    engine::{
        Engine, EngineError, LogLine, LogOptions, Query,
        docker::{Docker, Settings},
    },
    name::{ContainerName, ProjectName, ServiceName},
    state::{Container, State},
    unit,
};

/// The `logs` command.
#[derive(Debug)]
pub struct Logs {
    /// Services to show; empty: all.
    pub services: Vec<ServiceName>,
    /// Continue with new lines.
    pub follow: bool,
    /// Maximum number of last lines of each container.
    pub tail: Option<usize>,
    /// Show only lines after this time; a duration before now, or a time.
    pub since: Option<String>,
    /// Show only lines before this time; a duration before now, or a time.
    pub until: Option<String>,
    /// Show the time of each line.
    pub timestamps: bool,
    /// Show the service before each line.
    pub prefix: bool,
    /// Output format.
    pub format: DataFormat,
}

impl Logs {
    /// Follows the logs, starting with the last 10 lines, as after `up --attach`.
    pub(super) fn following(services: Vec<ServiceName>) -> Self {
        Self {
            services,
            follow: true,
            tail: Some(10),
            since: None,
            until: None,
            timestamps: false,
            prefix: true,
            format: DataFormat::Text,
        }
    }

    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        if !self.services.is_empty() {
            let state = engine.observe(&Query::of(project.clone())).await?;
            load::refuse_strangers(scope, &state, &self.services)?;
        }
        self.show(&engine, &project, console).await
    }

    pub(super) async fn show(
        &self,
        engine: &impl Engine,
        project: &ProjectName,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let options = LogOptions {
            follow: self.follow,
            tail: self.tail,
            since: self.since.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
        };
        let mut printer = Printer::new(self, console);
        let shown = pin!(async {
            // With `until`, the output is finite, whatever is started later.
            if self.follow && options.until.is_none() {
                let follow = Follow::new(self, engine, project, options);
                follow.show(&mut printer).await
            } else {
                self.show_all(engine, project, &options, &mut printer).await
            }
        });
        match select(shown, pin!(print::nobody_reads())).await {
            Either::Left((Ok(()) | Err(Stop::Closed), _)) | Either::Right(_) => {
                Ok(CommandOutcome::Ok)
            }
            Either::Left((Err(Stop::Failed(error)), _)) => Err(error),
        }
    }

    /// Prints the existing lines, ordered by time. A log that cannot be read is reported after all
    /// others were printed.
    async fn show_all(
        &self,
        engine: &impl Engine,
        project: &ProjectName,
        options: &LogOptions,
        printer: &mut Printer<'_>,
    ) -> Result<(), Stop> {
        let state = engine.observe(&Query::of(project.clone())).await?;
        let mut failed = None;
        // Only one line of each log is kept in memory.
        let mut heads = Vec::new();
        for (name, container) in self.meant(&state) {
            let label = label(container);
            printer.make_room_for(&label);
            let mut lines = match engine.logs(&address(name, container), options).await {
                Ok(lines) => lines,
                Err(EngineError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            match next(&mut lines, &label, printer).await {
                Ok(Some(first)) => heads.push((first, label, lines)),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        while let Some(earliest) =
            (0..heads.len()).min_by(|a, b| heads[*a].0.time.cmp(&heads[*b].0.time))
        {
            let (head, label, lines) = &mut heads[earliest];
            printer.line(label, head)?;
            match next(lines, label, printer).await {
                Ok(Some(line)) => *head = line,
                Ok(None) => drop(heads.swap_remove(earliest)),
                Err(error) => {
                    failed = failed.or(Some(error));
                    drop(heads.swap_remove(earliest));
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Returns the containers whose logs were requested.
    fn meant<'s>(
        &self,
        state: &'s State,
    ) -> impl Iterator<Item = (&'s ContainerName, &'s Container)> {
        let containers = state.containers.iter();
        containers.filter(|(name, container)| {
            let meant = self.services.is_empty() || self.services.contains(&container.service);
            meant && !state.is_superseded(name)
        })
    }
}

/// Reason to stop printing.
enum Stop {
    /// Standard output was closed by its reader.
    Closed,
    /// An error occurred.
    Failed(CommandError),
}

impl From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads the next line of a log; `None`: it has ended, or its driver keeps none, which is reported
/// once.
async fn next(
    lines: &mut (impl StreamExt<Item = Result<LogLine, EngineError>> + Unpin),
    label: &str,
    printer: &mut Printer<'_>,
) -> Result<Option<LogLine>, EngineError> {
    match lines.next().await.transpose() {
        Err(EngineError::NoLog { driver, .. }) => {
            printer.report_no_log(label, &driver);
            Ok(None)
        }
        Err(EngineError::NotFound { .. }) => Ok(None),
        other => other,
    }
}

/// Returns the prefix of a container's lines.
fn label(container: &Container) -> String {
    match container.replica {
        1 => container.service.to_string(),
        replica => format!("{}-{replica}", container.service),
    }
}

/// Addresses a container by its id, because its name may move to another container at any time.
fn address(name: &ContainerName, container: &Container) -> ContainerName {
    ContainerName::new(container.id.as_str()).unwrap_or_else(|_| name.clone())
}

/// Parses `10m` (before now) or an RFC 3339 time into seconds since the epoch.
fn moment(text: &str) -> Result<i64, CommandError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let wrong = || {
        CommandError::Usage(format!(
            "`{text}` is neither a duration (`10m`) nor a time (`2026-01-02T03:04:05Z`)"
        ))
    };
    let before = unit::parse_duration(text).map_err(|_| wrong())?;
    let before = SignedDuration::try_from(before).map_err(|_| wrong())?;
    Ok((Timestamp::now() - before).as_second())
}
