//! `cimandat logs`: the logs of several containers as one, in the order of time.

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

/// Show logs.
#[derive(Debug)]
pub struct Logs {
    /// Only these services; empty: all.
    pub services: Vec<ServiceName>,
    /// Go on as lines come.
    pub follow: bool,
    /// Only the last so many lines of each container.
    pub tail: Option<usize>,
    /// Only lines after; a duration before now, or a time.
    pub since: Option<String>,
    /// Only lines before; a duration before now, or a time.
    pub until: Option<String>,
    /// Show the time of each line.
    pub timestamps: bool,
    /// Show the service before each line.
    pub prefix: bool,
    /// In which form.
    pub format: DataFormat,
}

impl Logs {
    /// From now on, as after an `up`.
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
            // Lines up to a moment have an end, whatever is started after it.
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

    /// The lines that are there, in the order of time. A log that cannot be read is reported when
    /// all others were shown.
    async fn show_all(
        &self,
        engine: &impl Engine,
        project: &ProjectName,
        options: &LogOptions,
        printer: &mut Printer<'_>,
    ) -> Result<(), Stop> {
        let state = engine.observe(&Query::of(project.clone())).await?;
        let mut failed = None;
        // One line of each log is in memory.
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

    /// The containers whose logs are asked for.
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

/// Why no more lines are shown.
enum Stop {
    /// Nobody reads them.
    Closed,
    /// Something failed.
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

/// The next line of a log; `None`: it has ended, or its driver keeps none, which is reported once.
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

/// The prefix of a container's lines.
fn label(container: &Container) -> String {
    match container.replica {
        1 => container.service.to_string(),
        replica => format!("{}-{replica}", container.service),
    }
}

/// A container by its id: its name may go to another one at any time.
fn address(name: &ContainerName, container: &Container) -> ContainerName {
    ContainerName::new(container.id.as_str()).unwrap_or_else(|_| name.clone())
}

/// A moment in seconds since the epoch, from `10m` (before now) or an RFC 3339 time.
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
