//! What containers print: lines with their time, and what is known about one that failed.

use std::collections::VecDeque;

use async_stream::stream;
use bollard::{
    container::LogOutput, models::ContainerInspectResponse, query_parameters::LogsOptionsBuilder,
};
use futures::{
    StreamExt,
    stream::{BoxStream, Stream},
};
use jiff::{SignedDuration, Timestamp};

use super::{Docker, condition, container};
use crate::{
    engine::{EngineError, Evidence, LogLine, LogOptions},
    name::ContainerName,
};

const VERB: &str = "reading the log of container";

/// A line that is longer than this many bytes is given in parts.
const LONGEST: usize = 1 << 20;

/// An engine before 25 takes the time of a start only after the process runs: what it prints at
/// once would be from before.
const START_SLACK: SignedDuration = SignedDuration::from_millis(100);

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;

/// Lines of a container's log.
pub(super) async fn logs(
    docker: &Docker,
    name: &ContainerName,
    options: &LogOptions,
) -> Result<Lines, EngineError> {
    container::inspect(docker, VERB, name)
        .await?
        .ok_or_else(|| EngineError::Gone {
            what: format!("container `{name}`"),
        })?;
    Ok(read(docker, name, options).boxed())
}

/// Lines of the log of a container's last start.
pub(super) fn of_this_start(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    options: &LogOptions,
) -> Lines {
    let from = log_start(inspected);
    let options = LogOptions {
        // The engine is asked in whole seconds; the rest is told apart here.
        since: from.map(Timestamp::as_second),
        ..options.clone()
    };
    read(docker, name, &options)
        .filter(move |line| {
            let before = matches!((line, from), (Ok(line), Some(from))
                if line.time.parse::<Timestamp>().is_ok_and(|time| time < from));
            std::future::ready(!before)
        })
        .boxed()
}

/// From when on a log is that of the last start: from the last end, or when it has ended again,
/// from the start.
fn log_start(inspected: &ContainerInspectResponse) -> Option<Timestamp> {
    let state = inspected.state.as_ref()?;
    let started = condition::time(state.started_at.as_deref())?;
    match condition::time(state.finished_at.as_deref()) {
        Some(ended) if ended <= started => Some(ended),
        _ => started.checked_sub(START_SLACK).ok(),
    }
}

/// How a container does, and the last lines of the log of its last start.
pub(super) async fn examine(
    docker: &Docker,
    name: &ContainerName,
    lines: usize,
) -> Result<Evidence, EngineError> {
    let inspected = container::inspect(docker, "looking at container", name)
        .await?
        .ok_or_else(|| EngineError::Gone {
            what: format!("container `{name}`"),
        })?;
    let options = LogOptions {
        tail: Some(lines),
        ..LogOptions::default()
    };
    let mut last = VecDeque::new();
    let mut log = of_this_start(docker, name, &inspected, &options);
    // A log driver that cannot be read takes nothing from what is known otherwise.
    while let Some(Ok(line)) = log.next().await {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line.text);
    }
    Ok(Evidence {
        condition: condition::condition(&inspected, None),
        log: last.into(),
    })
}

fn read(
    docker: &Docker,
    name: &ContainerName,
    options: &LogOptions,
) -> impl Stream<Item = Result<LogLine, EngineError>> + Send + 'static {
    let second = |time: i64| i32::try_from(time.max(0)).unwrap_or(i32::MAX);
    let mut query = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(options.follow);
    if let Some(tail) = options.tail {
        query = query.tail(&tail.to_string());
    }
    if let Some(since) = options.since {
        query = query.since(second(since));
    }
    if let Some(until) = options.until {
        query = query.until(second(until));
    }
    let mut frames = docker.client.logs(name.as_str(), Some(query.build()));
    let place = docker.place.clone();
    let name = name.clone();
    stream! {
        let mut splitter = Splitter::default();
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => {
                    for line in splitter.take(frame) {
                        yield Ok(line);
                    }
                }
                Err(wire) => {
                    let doing = super::Doing { place: &place, verb: VERB, object: name.as_str() };
                    yield Err(doing.failed(wire));
                    return;
                }
            }
        }
        for line in splitter.rest() {
            yield Ok(line);
        }
    }
}

/// Puts the engine's frames together to lines, each stream for itself.
///
/// A frame is a line with its time in front; a line of more than 16 KiB comes as several frames,
/// of which only the last has the line's end, and each has the time in front again.
#[derive(Default)]
struct Splitter {
    open: [Option<LogLine>; 2],
}

impl Splitter {
    fn take(&mut self, frame: LogOutput) -> Vec<LogLine> {
        let stderr = matches!(frame, LogOutput::StdErr { .. });
        let open = &mut self.open[usize::from(stderr)];
        let bytes = frame.into_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = Vec::new();
        for part in text.split_inclusive('\n') {
            let (time, part) = split_time(part);
            let ended = part.ends_with('\n');
            let part = part.trim_end_matches(['\n', '\r']);
            let line = open.get_or_insert_with(|| LogLine {
                time: time.to_owned(),
                stderr,
                text: String::new(),
            });
            line.text.push_str(part);
            if ended || line.text.len() > LONGEST {
                lines.extend(open.take());
            }
        }
        lines
    }

    fn rest(&mut self) -> Vec<LogLine> {
        self.open.iter_mut().filter_map(Option::take).collect()
    }
}

/// Splits the time off that the engine puts in front, if it is one.
fn split_time(part: &str) -> (&str, &str) {
    match part.split_once(' ') {
        Some((time, rest)) if time.len() >= 20 && time.as_bytes()[10] == b'T' => (time, rest),
        _ => ("", part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut {
            message: text.to_owned().into(),
        }
    }

    #[test]
    fn frames_become_lines() {
        let mut splitter = Splitter::default();
        let lines = splitter.take(out("2026-01-02T03:04:05.000000001Z one two\n"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].time, "2026-01-02T03:04:05.000000001Z");
        assert_eq!(lines[0].text, "one two");
        assert!(!lines[0].stderr);
    }

    #[test]
    fn a_long_line_in_two_frames_is_one_line() {
        let mut splitter = Splitter::default();
        assert_eq!(
            splitter.take(out("2026-01-02T03:04:05.000000001Z long")),
            []
        );
        let err = LogOutput::StdErr {
            message: "2026-01-02T03:04:05.000000002Z other\n".into(),
        };
        assert_eq!(splitter.take(err)[0].text, "other");
        let lines = splitter.take(out("2026-01-02T03:04:05.000000003Z er\n"));
        assert_eq!(lines[0].text, "longer");
        assert_eq!(splitter.rest(), []);
    }

    #[test]
    fn a_last_line_without_end_is_a_line() {
        let mut splitter = Splitter::default();
        splitter.take(out("2026-01-02T03:04:05.000000001Z $ "));
        assert_eq!(splitter.rest()[0].text, "$ ");
    }
}
