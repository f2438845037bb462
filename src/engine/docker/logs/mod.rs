//! Logs of containers: lines with their time, and the evidence about a failed container.

mod splitter;

use std::collections::VecDeque;

use async_stream::stream;
use bollard::{models::ContainerInspectResponse, query_parameters::LogsOptionsBuilder};
use futures::{
    StreamExt,
    stream::{BoxStream, Stream},
};
use jiff::{SignedDuration, Timestamp};

use self::splitter::Splitter;
use super::{Docker, container, container_status, error::status, observe};
use crate::{
    engine::{EngineError, Inspection, LogLine, LogOptions},
    event::excerpt,
    name::ContainerName,
    project::RestartPolicy,
    state::Status,
};

const VERB: &str = "reading the log of container";

/// Tolerance for the time of a start. An engine before 25 records that time only after the process
/// runs, so the first lines would appear to be older than the start.
const START_SLACK: SignedDuration = SignedDuration::from_millis(100);
/// The same tolerance on a busy machine, for an ended container that has no lines otherwise.
const LONG_START_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// HTTP status of the engine's answer when a logging driver keeps no readable log.
const NOT_READABLE: u16 = 501;

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;

/// Returns the lines of a container's log.
pub(super) async fn logs(
    docker: &Docker,
    name: &ContainerName,
    options: &LogOptions,
) -> Result<Lines, EngineError> {
    let inspected = container::inspect(docker, VERB, name)
        .await?
        .ok_or_else(|| EngineError::NotFound {
            what: format!("container `{name}`"),
        })?;
    Ok(read(docker, name, &inspected, options).boxed())
}

/// Returns the lines of the log of a container's last start.
pub(super) fn of_this_start(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    options: &LogOptions,
) -> Lines {
    lines_from(docker, name, inspected, options, START_SLACK)
}

fn lines_from(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    options: &LogOptions,
    slack: SignedDuration,
) -> Lines {
    let from = log_start(inspected, slack);
    let options = LogOptions {
        // The engine filters by whole seconds; the remainder is filtered here.
        since: from.map(Timestamp::as_second),
        ..options.clone()
    };
    read(docker, name, inspected, &options)
        .filter(move |line| {
            let before = matches!((line, from), (Ok(line), Some(from))
                if line.time.parse::<Timestamp>().is_ok_and(|time| time < from));
            std::future::ready(!before)
        })
        .boxed()
}

/// Returns when the log of the last start begins. While the container runs, that is the end of the
/// previous start; otherwise it is the container's own start.
///
/// The choice depends on whether the container runs, not on which time is later. An engine before
/// 25 may record the end of a short run before its start.
fn log_start(inspected: &ContainerInspectResponse, slack: SignedDuration) -> Option<Timestamp> {
    let state = inspected.state.as_ref()?;
    let started = container_status::time(state.started_at.as_deref())?;
    let previous_end = container_status::time(state.finished_at.as_deref())
        .filter(|_| state.running == Some(true) && state.restarting != Some(true));
    previous_end.or_else(|| started.checked_sub(slack).ok())
}

/// Returns the status of a container and the last lines of the log of its last start.
pub(super) async fn examine(
    docker: &Docker,
    name: &ContainerName,
    lines: usize,
) -> Result<Inspection, EngineError> {
    let inspected = container::inspect(docker, "looking at container", name)
        .await?
        .ok_or_else(|| EngineError::NotFound {
            what: format!("container `{name}`"),
        })?;
    let read = |slack| last_lines(docker, name, &inspected, lines, slack);
    let (mut last, mut unread) = read(START_SLACK).await;
    let condition = container_status::condition(&inspected, None);
    if last.is_empty() && unread.is_none() && condition.status == Status::Exited {
        (last, unread) = read(LONG_START_SLACK).await;
    }
    let host = inspected.host_config.as_ref();
    Ok(Inspection {
        condition,
        log: last.into(),
        unread,
        restart_at_commit: restart_at_commit(&inspected),
        init: host.and_then(|host| host.init).unwrap_or(false),
    })
}

/// Returns the last lines of the log of the last start, and the reason if the log cannot be read.
async fn last_lines(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    lines: usize,
    slack: SignedDuration,
) -> (VecDeque<String>, Option<String>) {
    let options = LogOptions {
        tail: Some(lines),
        ..LogOptions::default()
    };
    let mut last = VecDeque::new();
    let mut unread = None;
    let mut log = lines_from(docker, name, inspected, &options, slack);
    // A logging driver that cannot be read does not affect the other evidence.
    while let Some(line) = log.next().await {
        match line {
            Ok(line) => {
                if last.len() == lines {
                    last.pop_front();
                }
                last.push_back(excerpt(&line.text));
            }
            Err(EngineError::NoLog { driver, .. }) => unread = Some(keeps_none(&driver)),
            Err(error) => unread = Some(format!("its log cannot be read: {error}")),
        }
    }
    (last, unread)
}

/// Returns the reason for a missing log, as a sentence fragment about a container.
pub(super) fn keeps_none(driver: &str) -> String {
    format!("its logging driver `{driver}` keeps no log")
}

/// Returns the declared restart policy of a container whose restarts are disabled until the commit.
fn restart_at_commit(inspected: &ContainerInspectResponse) -> Option<RestartPolicy> {
    let declared = container::record(inspected)?.spec.get("restart")?.clone();
    let declared: RestartPolicy = serde_json::from_value(declared).ok()?;
    let waits = observe::restart(inspected) == Some(RestartPolicy::No);
    (waits && declared != RestartPolicy::No).then_some(declared)
}

fn read(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
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
    let driver = driver(inspected);
    stream! {
        let mut splitter = Splitter::default();
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => {
                    for line in splitter.take(frame) {
                        yield Ok(line);
                    }
                }
                Err(wire) if status(&wire) == Some(NOT_READABLE) => {
                    let container = name.to_string();
                    yield Err(EngineError::NoLog { container, driver });
                    return;
                }
                Err(wire) => {
                    let doing = super::Operation { place: &place, verb: VERB, object: name.as_str() };
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

/// Returns the logging driver of a container.
fn driver(inspected: &ContainerInspectResponse) -> String {
    let host = inspected.host_config.as_ref();
    let config = host.and_then(|host| host.log_config.as_ref());
    config
        .and_then(|config| config.typ.clone())
        .unwrap_or_default()
}
