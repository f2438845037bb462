//! Probes a container once.
//!
//! The gate decides when to probe again.

use std::{collections::BTreeMap, time::Duration};

use bollard::{
    errors::Error as Wire,
    models::{ContainerInspectResponse, HealthConfig},
    query_parameters::{ContainerArchiveInfoOptionsBuilder, WaitContainerOptions},
};
use futures::{StreamExt, stream::FuturesUnordered};
use regex::Regex;
use tokio::time::timeout;

use super::{
    Docker,
    address::{self, Way},
    container, container_status,
    error::present,
    exec, logs,
};
use crate::{
    engine::{EngineError, LogOptions, ProbeResult, probe},
    name::ContainerName,
    project::Probe,
    state::{Health, Status},
};

/// Probes a container for at most `patience`.
pub(super) async fn probe(
    docker: &Docker,
    name: &ContainerName,
    probe: &Probe,
    patience: Duration,
) -> ProbeResult {
    // An inspect takes 0.6 ms. It shows whether the probe makes sense at all, and where to send it.
    let inspected = match container::inspect(docker, "asking container", name).await {
        Ok(Some(inspected)) => inspected,
        Ok(None) => return ProbeResult::Impossible("the container does not exist".to_owned()),
        Err(error) => return ProbeResult::Pending(error.to_string()),
    };
    match probe {
        Probe::Exit => return exit(docker, name, &inspected, patience).await,
        Probe::Started => return started(&inspected),
        // The log of a container that has ended still exists.
        Probe::Log { pattern, times } => {
            return log(docker, name, &inspected, (pattern, *times), patience).await;
        }
        _ => {}
    }
    if let Some(answer) = not_running(&inspected) {
        return answer;
    }
    match probe {
        Probe::Tcp { .. }
        | Probe::Http { .. }
        | Probe::Postgres { .. }
        | Probe::Redis { .. }
        | Probe::Grpc { .. } => dialled(docker, &inspected, probe, patience).await,
        Probe::Exec { command } => command_passes(docker, name, command, patience).await,
        Probe::File { path } => file(docker, name, path).await,
        Probe::Healthcheck => healthcheck(docker, name, &inspected, patience).await,
        Probe::Exit | Probe::Started | Probe::Log { .. } => started(&inspected),
    }
}

/// Returns the result for a container that is not running. `None`: the container is running.
fn not_running(inspected: &ContainerInspectResponse) -> Option<ProbeResult> {
    let now = container_status::condition(inspected, None);
    let code = now.exit_code.unwrap_or_default();
    match now.status {
        Status::Running => None,
        Status::Created => Some(ProbeResult::Pending("not started".to_owned())),
        Status::Paused => Some(ProbeResult::Pending("paused".to_owned())),
        Status::Restarting => Some(ProbeResult::Pending(format!(
            "restarting after it ended with code {code}"
        ))),
        Status::Exited | Status::Removing | Status::Dead => {
            Some(ProbeResult::Pending(format!("ended with code {code}")))
        }
    }
}

fn started(inspected: &ContainerInspectResponse) -> ProbeResult {
    not_running(inspected).unwrap_or_else(|| ProbeResult::Passed("running".to_owned()))
}

/// Probes every address of the container concurrently. One success is enough, because a program
/// need not listen on all addresses.
async fn dialled(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
    probe: &Probe,
    patience: Duration,
) -> ProbeResult {
    let ways = match address::reach(docker, inspected, probe).await {
        Ok(ways) => ways,
        Err(answer) => return answer,
    };
    let mut asked: FuturesUnordered<_> = ways
        .iter()
        .enumerate()
        .map(|(index, way)| async move { (index, ask(way, patience).await) })
        .collect();
    let mut answers = BTreeMap::new();
    while let Some((index, answer)) = asked.next().await {
        if let ProbeResult::Passed(said) = answer {
            let place = ways.get(index).and_then(|way| way.place.as_deref());
            return ProbeResult::Passed(with_places(said, place.as_slice()));
        }
        answers.insert(index, answer);
    }
    let places = ways.iter().map(|way| way.place.as_deref());
    none_passed(places.zip(answers.into_values()))
}

async fn ask(way: &Way, patience: Duration) -> ProbeResult {
    let Some((address, probe)) = &way.to else {
        return ProbeResult::Pending("this machine has no route to it".to_owned());
    };
    probe::ask(*address, probe, patience)
        .await
        .unwrap_or_else(|| ProbeResult::Impossible(format!("`{probe}` cannot be dialled")))
}

/// Returns the result when no address passed: each answer, with the addresses that gave it. The
/// result is `Impossible` only if all answers are.
fn none_passed<'a>(answers: impl Iterator<Item = (Option<&'a str>, ProbeResult)>) -> ProbeResult {
    let mut never = true;
    let mut heard: Vec<(String, Vec<&str>)> = Vec::new();
    for (place, answer) in answers {
        never &= matches!(answer, ProbeResult::Impossible(_));
        let (ProbeResult::Passed(said)
        | ProbeResult::Pending(said)
        | ProbeResult::Impossible(said)) = answer;
        match heard.iter_mut().find(|(other, _)| *other == said) {
            Some((_, places)) => places.extend(place),
            None => heard.push((said, Vec::from_iter(place))),
        }
    }
    let said: Vec<String> = heard
        .into_iter()
        .map(|(said, places)| with_places(said, &places))
        .collect();
    let said = said.join("; ");
    if never {
        ProbeResult::Impossible(said)
    } else {
        ProbeResult::Pending(said)
    }
}

fn with_places(said: String, places: &[&str]) -> String {
    if places.is_empty() {
        return said;
    }
    format!("{said} ({})", places.join(", "))
}

async fn command_passes(
    docker: &Docker,
    name: &ContainerName,
    command: &[String],
    patience: Duration,
) -> ProbeResult {
    match exec::within(docker, name.as_str(), command, patience).await {
        Ok(Some(outcome)) => {
            let said = match outcome.last_line() {
                "" => String::new(),
                line => format!(": {line}"),
            };
            match outcome.code {
                0 => ProbeResult::Passed(format!("exit code 0{said}")),
                code => ProbeResult::Pending(format!("exit code {code}{said}")),
            }
        }
        Ok(None) => {
            ProbeResult::Pending(format!("did not exit within {} ms", patience.as_millis()))
        }
        Err(error) => ProbeResult::Pending(error.to_string()),
    }
}

async fn file(docker: &Docker, name: &ContainerName, path: &str) -> ProbeResult {
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    let found = docker
        .client
        .get_container_archive_info(name.as_str(), Some(options))
        .await;
    match present(found) {
        Ok(Some(_)) => ProbeResult::Passed("the file exists".to_owned()),
        Ok(None) => ProbeResult::Pending("the file does not exist".to_owned()),
        Err(wire) => {
            let doing = docker.doing("looking for a file in container", name.as_str());
            ProbeResult::Pending(doing.failed(wire).to_string())
        }
    }
}

/// Returns the engine's health status. While the engine reports `starting`, runs the same test
/// directly.
async fn healthcheck(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    patience: Duration,
) -> ProbeResult {
    let health = container_status::condition(inspected, None).health;
    let config = inspected.config.as_ref();
    let test = config.and_then(|config| config.healthcheck.as_ref());
    match health {
        Some(Health::Healthy) => ProbeResult::Passed("the engine says healthy".to_owned()),
        Some(Health::Starting) => match test.and_then(|test| command_of(inspected, test)) {
            Some(command) => command_passes(docker, name, &command, patience).await,
            None => ProbeResult::Pending("the engine says starting".to_owned()),
        },
        Some(Health::Unhealthy) => {
            let state = inspected.state.as_ref();
            let checks = state.and_then(|state| state.health.as_ref()?.log.as_ref());
            let last = checks
                .and_then(|checks| checks.last()?.output.as_deref())
                .and_then(|output| output.lines().rfind(|line| !line.trim().is_empty()));
            ProbeResult::Pending(last.map_or_else(
                || "the engine says unhealthy".to_owned(),
                |line| format!("the engine says unhealthy: {}", line.trim()),
            ))
        }
        None => ProbeResult::Impossible("the container has no health check".to_owned()),
    }
}

/// Returns the command of a health check, as the engine would run it.
fn command_of(inspected: &ContainerInspectResponse, test: &HealthConfig) -> Option<Vec<String>> {
    let (kind, words) = test.test.as_ref()?.split_first()?;
    match kind.as_str() {
        "CMD" => Some(words.to_vec()),
        "CMD-SHELL" => {
            let config = inspected.config.as_ref();
            let shell = config.and_then(|config| config.shell.clone());
            let mut command = shell
                .filter(|shell| !shell.is_empty())
                .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            command.extend(words.first().cloned());
            Some(command)
        }
        _ => None,
    }
}

async fn exit(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    patience: Duration,
) -> ProbeResult {
    let ended = |code| match code {
        0 => ProbeResult::Passed("ended with code 0".to_owned()),
        code => ProbeResult::Impossible(format!("ended with code {code}")),
    };
    let now = container_status::condition(inspected, None);
    match now.status {
        // The engine would report at once that the container is not running.
        Status::Created => return ProbeResult::Pending("not started".to_owned()),
        Status::Exited | Status::Dead => return ended(now.exit_code.unwrap_or_default()),
        _ => {}
    }
    let mut waiting = docker
        .client
        .wait_container(name.as_str(), None::<WaitContainerOptions>)
        .boxed();
    match timeout(patience, waiting.next()).await {
        Ok(Some(Ok(response))) => ended(response.status_code),
        Ok(Some(Err(Wire::DockerContainerWaitError { code, .. }))) => ended(code),
        Ok(Some(Err(wire))) => {
            let doing = docker.doing("waiting for the end of container", name.as_str());
            ProbeResult::Pending(doing.failed(wire).to_string())
        }
        Ok(None) | Err(_) => ProbeResult::Pending("still running".to_owned()),
    }
}

/// Follows the log of the last start until enough lines have matched.
async fn log(
    docker: &Docker,
    name: &ContainerName,
    inspected: &ContainerInspectResponse,
    (pattern, times): (&str, u32),
    patience: Duration,
) -> ProbeResult {
    let pattern = match Regex::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => return ProbeResult::Impossible(error.to_string()),
    };
    if container_status::condition(inspected, None).status == Status::Created {
        return ProbeResult::Pending("not started".to_owned());
    }
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut lines = logs::of_this_start(docker, name, inspected, &options);
    let (mut seen, mut matched) = (0, 0);
    let search = async {
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) => line,
                Err(EngineError::NoLog { driver, .. }) => {
                    return Some(ProbeResult::Impossible(logs::keeps_none(&driver)));
                }
                Err(error) => return Some(ProbeResult::Pending(error.to_string())),
            };
            seen += 1;
            if pattern.is_match(&line.text) {
                matched += 1;
                if matched >= times {
                    return Some(ProbeResult::Passed(line.text));
                }
            }
        }
        None
    };
    match timeout(patience, search).await {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(_) => ProbeResult::Pending(no_match(&pattern, (matched, times), seen)),
    }
}

/// Returns the message for a log that does not have enough matching lines yet.
fn no_match(pattern: &Regex, (matched, times): (u32, u32), seen: usize) -> String {
    match (seen, matched) {
        (0, _) => "its log has no line yet".to_owned(),
        (1, 0) => format!("its only line does not match `/{pattern}/`"),
        (seen, 0) => format!("no line of {seen} matches `/{pattern}/`"),
        (seen, 1) => format!("1 line of {seen} matches `/{pattern}/`, {times} are needed"),
        (seen, matched) => {
            format!("{matched} lines of {seen} match `/{pattern}/`, {times} are needed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_yet(said: &str) -> ProbeResult {
        ProbeResult::Pending(said.to_owned())
    }

    #[test]
    fn failed_probe_names_every_address_with_its_answer() {
        let refused = || not_yet("connection refused");
        let never = || ProbeResult::Impossible("no such role".to_owned());
        let check = |answers: &[(Option<&str>, ProbeResult)], expected: ProbeResult| {
            assert_eq!(none_passed(answers.iter().cloned()), expected);
        };
        let (a, b) = ("10.1.0.2 in network `a`", "10.2.0.2 in network `b`");
        check(
            &[(Some(a), refused()), (Some(b), never())],
            not_yet(&format!("connection refused ({a}); no such role ({b})")),
        );
        check(
            &[(Some(a), refused()), (Some(b), refused())],
            not_yet(&format!("connection refused ({a}, {b})")),
        );
        check(&[(None, refused())], refused());
        check(&[(None, never())], never());
    }

    #[test]
    fn log_without_match_reports_line_count() {
        let pattern = Regex::new("READY").unwrap();
        let said = |matched, seen| no_match(&pattern, (matched, 3), seen);
        assert_eq!(said(0, 0), "its log has no line yet");
        assert_eq!(said(0, 1), "its only line does not match `/READY/`");
        assert_eq!(said(0, 2), "no line of 2 matches `/READY/`");
        assert_eq!(said(1, 5), "1 line of 5 matches `/READY/`, 3 are needed");
        assert_eq!(said(2, 5), "2 lines of 5 match `/READY/`, 3 are needed");
    }
}
