//! Follows logs across restarts and replacements of containers.
//!
//! The engine ends a log when its container ends. On each start of a container in the project, this
//! module observes the project and resumes every log that is not being read. Containers are
//! identified by their ids, because names change.

use std::collections::BTreeMap;

use futures::{
    StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use jiff::Timestamp;

use super::{Logs, Printer, Stop, address, label};
use crate::{
    engine::{ContainerEvent, ContainerEventKind, Engine, EngineError, LogLine, LogOptions, Query},
    name::{ContainerName, ProjectName},
    state::Container,
};

/// Input of the follow loop.
enum Heard {
    Notice(Result<ContainerEvent, EngineError>),
    Line(String, Result<LogLine, EngineError>),
    /// The log of the container with this id has ended.
    End(String),
}

/// Follows the logs of a project.
pub(super) struct Follow<'a, E> {
    logs: &'a Logs,
    engine: &'a E,
    project: &'a ProjectName,
    options: LogOptions,
    followed: BTreeMap<String, Followed>,
    heard: SelectAll<BoxStream<'static, Heard>>,
}

/// A container whose log is followed.
struct Followed {
    label: String,
    /// The log is being read.
    open: bool,
    /// A container was started after the log was opened. It may have been this one.
    again: bool,
    position: Position,
}

impl<'a, E: Engine> Follow<'a, E> {
    pub fn new(
        logs: &'a Logs,
        engine: &'a E,
        project: &'a ProjectName,
        options: LogOptions,
    ) -> Self {
        Self {
            logs,
            engine,
            project,
            options,
            followed: BTreeMap::new(),
            heard: SelectAll::new(),
        }
    }

    /// Prints lines until standard output is closed or the engine's event stream ends.
    pub async fn show(mut self, printer: &mut Printer<'_>) -> Result<(), Stop> {
        // Subscribe before observing, so that no start is missed.
        let notices = self.engine.watch(self.project).await?;
        self.heard.push(notices.map(Heard::Notice).boxed());
        let tail = self.options.tail;
        self.look(tail, printer).await?;
        if self.followed.is_empty() {
            printer.note("no container exists yet; output is shown when one starts");
        }
        while let Some(heard) = self.heard.next().await {
            match heard {
                Heard::Notice(notice) => {
                    if notice?.what == ContainerEventKind::Started {
                        // A new container is shown from its first line on.
                        self.look(None, printer).await?;
                    }
                }
                Heard::Line(id, line) => self.line(&id, line, printer)?,
                Heard::End(id) => self.ended(&id).await?,
            }
        }
        Ok(())
    }

    /// Opens the log of each container whose log is not open.
    async fn look(&mut self, tail: Option<usize>, printer: &mut Printer<'_>) -> Result<(), Stop> {
        let state = self
            .engine
            .observe(&Query::of(self.project.clone()))
            .await?;
        let logs = self.logs;
        for (name, container) in logs.meant(&state) {
            match self.followed.get_mut(&container.id) {
                Some(followed) if followed.open => followed.again = true,
                Some(_) => self.open(&container.id).await?,
                None => {
                    let label = label(container);
                    printer.make_room_for(&label);
                    self.begin(name, container, label, tail).await?;
                }
            }
        }
        Ok(())
    }

    /// Starts to follow a container, beginning with its last `tail` lines.
    async fn begin(
        &mut self,
        name: &ContainerName,
        container: &Container,
        label: String,
        tail: Option<usize>,
    ) -> Result<(), Stop> {
        let mut position = Position::default();
        let mut options = LogOptions {
            tail,
            ..self.options.clone()
        };
        if tail == Some(0) {
            // Reading starts at the last line, which is not shown, so that no later line is lost.
            position = self.end_of(&address(name, container)).await?;
            options = position.options(&self.options);
        }
        let id = container.id.clone();
        let followed = Followed {
            label,
            open: false,
            again: false,
            position,
        };
        self.followed.insert(id.clone(), followed);
        self.read(&id, &options).await
    }

    /// Resumes reading after the last line that was shown.
    async fn open(&mut self, id: &str) -> Result<(), Stop> {
        let Some(followed) = self.followed.get_mut(id) else {
            return Ok(());
        };
        followed.position.begin();
        let options = followed.position.options(&self.options);
        self.read(id, &options).await
    }

    async fn read(&mut self, id: &str, options: &LogOptions) -> Result<(), Stop> {
        let Ok(name) = ContainerName::new(id) else {
            return Ok(());
        };
        let lines = match self.engine.logs(&name, options).await {
            Ok(lines) => lines,
            // The container was removed after it was observed.
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(followed) = self.followed.get_mut(id) {
            followed.open = true;
            followed.again = false;
        }
        let (of_line, of_end) = (id.to_owned(), id.to_owned());
        let lines = lines.map(move |line| Heard::Line(of_line.clone(), line));
        let end = stream::iter([Heard::End(of_end)]);
        self.heard.push(lines.chain(end).boxed());
        Ok(())
    }

    /// Returns the position after the last line of a container.
    async fn end_of(&self, container: &ContainerName) -> Result<Position, Stop> {
        let options = LogOptions {
            follow: false,
            tail: Some(1),
            ..self.options.clone()
        };
        let mut position = Position::default();
        let mut lines = match self.engine.logs(container, &options).await {
            Ok(lines) => lines,
            Err(EngineError::NotFound { .. }) => return Ok(position),
            Err(error) => return Err(error.into()),
        };
        while let Some(Ok(line)) = lines.next().await {
            position.skip_to(&line);
        }
        Ok(position)
    }

    fn line(
        &mut self,
        id: &str,
        line: Result<LogLine, EngineError>,
        printer: &mut Printer<'_>,
    ) -> Result<(), Stop> {
        let Some(followed) = self.followed.get_mut(id) else {
            return Ok(());
        };
        match line {
            Ok(line) => {
                if followed.position.pass(&line) {
                    printer.line(&followed.label, &line)?;
                }
            }
            Err(EngineError::NoLog { driver, .. }) => {
                printer.report_no_log(&followed.label, &driver);
            }
            Err(EngineError::NotFound { .. }) => {}
            Err(error) if error.is_away() => return Err(error.into()),
            // The other logs are still followed.
            Err(error) => printer.note(&format!("`{}`: {error}", followed.label)),
        }
        Ok(())
    }

    async fn ended(&mut self, id: &str) -> Result<(), Stop> {
        let Some(followed) = self.followed.get_mut(id) else {
            return Ok(());
        };
        followed.open = false;
        if followed.again {
            self.open(id).await?;
        }
        Ok(())
    }
}

/// How far the log of a container was shown. The two streams are tracked separately, because lines
/// are ordered by time only within one stream.
#[derive(Debug, Default)]
struct Position {
    /// Time of the first line that was shown. Earlier lines of the other stream were not requested.
    first: String,
    streams: [Mark; 2],
}

#[derive(Debug, Default)]
struct Mark {
    /// Time of the last line.
    time: String,
    /// Number of lines with that time.
    lines: usize,
    /// Number of lines of that time to skip, besides all earlier lines, which the engine repeats;
    /// `None`: no more lines are repeated.
    repeated: Option<usize>,
}

impl Position {
    /// Prepares for a resumed log. The engine filters by seconds, so it repeats the lines of the
    /// last second.
    fn begin(&mut self) {
        for mark in &mut self.streams {
            mark.repeated = Some(mark.lines);
        }
    }

    /// Returns the options for resuming the log.
    fn options(&self, asked: &LogOptions) -> LogOptions {
        let last = self.streams.iter().map(|mark| mark.time.as_str()).max();
        let last = last.and_then(|time| time.parse::<Timestamp>().ok());
        LogOptions {
            tail: None,
            // A line of the other stream may be slightly earlier.
            since: last.map_or(asked.since, |last| Some(last.as_second() - 1)),
            ..asked.clone()
        }
    }

    /// Marks all lines up to this one as shown.
    fn skip_to(&mut self, line: &LogLine) {
        self.first.clone_from(&line.time);
        self.streams = [(); 2].map(|()| Mark {
            time: line.time.clone(),
            lines: usize::MAX,
            repeated: Some(usize::MAX),
        });
    }

    /// Whether to show a line. The line then counts as shown.
    fn pass(&mut self, line: &LogLine) -> bool {
        let mark = &mut self.streams[usize::from(line.stderr)];
        if let Some(repeated) = &mut mark.repeated {
            let from = if mark.time.is_empty() {
                &self.first
            } else {
                &mark.time
            };
            if line.time < *from {
                return false;
            }
            if line.time == mark.time && *repeated > 0 {
                *repeated -= 1;
                return false;
            }
            mark.repeated = None;
        }
        if self.first.is_empty() {
            self.first.clone_from(&line.time);
        }
        if mark.time != line.time {
            mark.time.clone_from(&line.time);
            mark.lines = 0;
        }
        mark.lines = mark.lines.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Part;

    /// Returns the lines that are shown of `second.nanosecond text` lines; `!` marks standard
    /// error.
    fn shown(position: &mut Position, lines: &[&str]) -> Vec<String> {
        let lines = lines.iter().filter_map(|line| {
            let (time, text) = line.split_once(' ').unwrap();
            let line = LogLine {
                time: format!("2026-01-02T03:04:{time}Z"),
                stderr: text.starts_with('!'),
                text: text.to_owned(),
                part: Part::Whole,
            };
            position.pass(&line).then_some(line.text)
        });
        lines.collect()
    }

    #[test]
    fn repeated_line_is_shown_once() {
        let mut position = Position::default();
        let first = ["05.100000000 a", "05.200000000 b", "05.200000000 b2"];
        assert_eq!(shown(&mut position, &first), ["a", "b", "b2"]);
        position.begin();
        let again = [&first[..], &["05.200000000 b3", "05.300000000 c"]].concat();
        assert_eq!(shown(&mut position, &again), ["b3", "c"]);
        position.begin();
        let again = [&again[..], &["07.000000000 d"]].concat();
        assert_eq!(shown(&mut position, &again), ["d"]);
    }

    #[test]
    fn streams_are_tracked_separately() {
        let mut position = Position::default();
        // Written in this order, although the time of the second line is earlier.
        let lines = ["05.200000000 a", "05.100000000 !b"];
        assert_eq!(shown(&mut position, &lines[..1]), ["a"]);
        assert_eq!(
            position.options(&LogOptions::default()).since,
            Some(1_767_323_044)
        );
        assert_eq!(shown(&mut position, &lines[1..]), ["!b"]);
        position.begin();
        let again = [&lines[..], &["05.150000000 !c"]].concat();
        assert_eq!(shown(&mut position, &again), ["!c"]);
    }

    #[test]
    fn line_before_first_is_skipped() {
        let mut position = Position::default();
        let lines = ["05.100000000 !a", "05.200000000 b"];
        // The log was read with `--tail 1`.
        assert_eq!(shown(&mut position, &lines[1..]), ["b"]);
        position.begin();
        let again = [&lines[..], &["05.300000000 !c"]].concat();
        assert_eq!(shown(&mut position, &again), ["!c"]);
    }

    #[test]
    fn clock_set_back_loses_no_line() {
        let mut position = Position::default();
        assert_eq!(shown(&mut position, &["05.000000000 a"]), ["a"]);
        assert_eq!(shown(&mut position, &["04.000000000 b"]), ["b"]);
    }

    #[test]
    fn skip_to_shows_only_new_lines() {
        let mut position = Position::default();
        let old = LogLine {
            time: "2026-01-02T03:04:05.100000000Z".to_owned(),
            stderr: false,
            text: "a".to_owned(),
            part: Part::Whole,
        };
        position.skip_to(&old);
        let lines = ["05.100000000 a", "05.000000000 !b", "05.200000000 !c"];
        assert_eq!(shown(&mut position, &lines), ["!c"]);
        position.begin();
        assert_eq!(shown(&mut position, &lines), Vec::<String>::new());
    }
}
