//! `cimandat logs`: the logs of several containers as one, in the order of time.

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{CommandError, Console, DataFormat, Done, Scope, load, say, say_json};
use crate::{
    engine::{
        Engine, LogLine, LogOptions, Query,
        docker::{Docker, Settings},
    },
    name::{ProjectName, ServiceName},
    report::text::{Paint, Tone, pad, width},
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

/// A line with whom it is from.
struct Told {
    label: String,
    line: LogLine,
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
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        self.show(&engine, &project, console).await
    }

    pub(super) async fn show(
        &self,
        engine: &impl Engine,
        project: &ProjectName,
        console: Console,
    ) -> Result<Done, CommandError> {
        let options = LogOptions {
            follow: self.follow,
            tail: self.tail,
            since: self.since.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
        };
        let state = engine.observe(&Query::of(project.clone())).await?;
        let mut sources = Vec::new();
        for (name, container) in &state.containers {
            let meant = self.services.is_empty() || self.services.contains(&container.service);
            if !meant || state.is_retired(name) {
                continue;
            }
            let label = match container.replica {
                1 => container.service.to_string(),
                replica => format!("{}-{replica}", container.service),
            };
            let lines = engine.logs(name, &options).await?;
            sources.push(lines.map(move |line| {
                line.map(|line| Told {
                    label: label.clone(),
                    line,
                })
            }));
        }
        let column = state
            .containers
            .values()
            .map(|it| width(it.service.as_str()))
            .max();
        let print = Print {
            logs: self,
            column: column.unwrap_or(0),
            console,
        };
        if self.follow {
            // As they come: what is still to come cannot be sorted.
            let mut lines = stream::select_all(sources);
            while let Some(told) = lines.next().await {
                print.line(&told?);
            }
        } else {
            merge(sources, |told| print.line(told)).await?;
        }
        Ok(Done::Well)
    }
}

/// Tells the lines of several logs in the order of time, with one line of each in memory.
async fn merge<S>(sources: Vec<S>, tell: impl Fn(&Told)) -> Result<(), CommandError>
where
    S: futures::Stream<Item = Result<Told, crate::engine::EngineError>> + Unpin,
{
    let mut heads = Vec::with_capacity(sources.len());
    for mut source in sources {
        if let Some(first) = source.next().await {
            heads.push((first?, source));
        }
    }
    while let Some(next) =
        (0..heads.len()).min_by(|a, b| heads[*a].0.line.time.cmp(&heads[*b].0.line.time))
    {
        let (head, source) = &mut heads[next];
        tell(head);
        match source.next().await {
            Some(line) => *head = line?,
            None => drop(heads.swap_remove(next)),
        }
    }
    Ok(())
}

struct Print<'a> {
    logs: &'a Logs,
    column: usize,
    console: Console,
}

impl Print<'_> {
    fn line(&self, told: &Told) {
        if self.logs.format == DataFormat::Json {
            say_json(&serde_json::json!({
                "service": told.label, "time": told.line.time,
                "stream": if told.line.stderr { "stderr" } else { "stdout" },
                "line": told.line.text,
            }));
            return;
        }
        let mut text = String::new();
        if self.logs.prefix {
            let paint = Paint {
                colour: self.console.colour_out,
            };
            text += &paint.tone(Tone::Busy, &pad(&told.label, self.column));
            text += "  ";
        }
        if self.logs.timestamps {
            text += &told.line.time;
            text += "  ";
        }
        text += &told.line.text;
        text.push('\n');
        say(&text);
    }
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
