//! The status of a container, from the engine's inspect response.

use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HealthStatusEnum,
};
use jiff::Timestamp;

use crate::state::{ContainerStatus, Health, Status};

/// Converts an inspected container. `now` is the engine's clock, if it was requested.
pub(super) fn condition(
    inspected: &ContainerInspectResponse,
    now: Option<Timestamp>,
) -> ContainerStatus {
    let Some(state) = &inspected.state else {
        return ContainerStatus::default();
    };
    let status = status(state);
    let ended = time(state.finished_at.as_deref()).is_some();
    ContainerStatus {
        status,
        health: health(state, retries(inspected)),
        exit_code: state.exit_code.filter(|_| ended),
        oom_killed: state.oom_killed.unwrap_or_default(),
        restarts: inspected
            .restart_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        error: state.error.clone().filter(|error| !error.is_empty()),
        running_for: now
            .filter(|_| status == Status::Running)
            .zip(time(state.started_at.as_deref()))
            .map(|(now, started)| {
                Duration::try_from(now.duration_since(started)).unwrap_or_default()
            }),
    }
}

/// Parses a time of a container's state. The engine writes year 1 for a missing time.
pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(|text| text.parse::<Timestamp>().ok())
        .filter(|time| *time > Timestamp::UNIX_EPOCH)
}

fn status(state: &ContainerState) -> Status {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            Status::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => Status::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => Status::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => Status::Removing,
        Some(ContainerStateStatusEnum::EXITED) => Status::Exited,
        Some(ContainerStateStatusEnum::DEAD) => Status::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => {
            Status::Created
        }
    }
}

/// Returns how many consecutive failed checks make a container unhealthy; 3 by default.
fn retries(inspected: &ContainerInspectResponse) -> i64 {
    let config = inspected.config.as_ref();
    let check = config.and_then(|config| config.healthcheck.as_ref());
    let retries = check.and_then(|check| check.retries);
    retries.filter(|retries| *retries > 0).unwrap_or(3)
}

/// Returns the result of the engine's own health check. `None`: there is no health check.
fn health(state: &ContainerState, retries: i64) -> Option<Health> {
    let health = state.health.as_ref()?;
    match health.status? {
        // An engine that pauses a container reports it as unhealthy until the next check, which may
        // run long after the container is unpaused. In that case no check has found it unhealthy.
        HealthStatusEnum::UNHEALTHY if health.failing_streak.is_some_and(|it| it < retries) => {
            Some(Health::Starting)
        }
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(state: &str) -> ContainerInspectResponse {
        serde_json::from_str(&format!(r#"{{"State":{state},"RestartCount":2}}"#)).unwrap()
    }

    #[test]
    fn running_container_has_no_exit_code() {
        let condition = condition(
            &inspected(
                r#"{"Status":"running","ExitCode":0,"OOMKilled":false,"Error":"",
                    "StartedAt":"2026-01-02T03:04:05.5Z","FinishedAt":"0001-01-01T00:00:00Z",
                    "Health":{"Status":"starting","FailingStreak":0,"Log":[]}}"#,
            ),
            "2026-01-02T03:04:07Z".parse().ok(),
        );
        assert_eq!(condition.status, Status::Running);
        assert_eq!(condition.exit_code, None);
        assert_eq!(condition.error, None);
        assert_eq!(condition.restarts, 2);
        assert_eq!(condition.health, Some(Health::Starting));
        assert_eq!(condition.running_for, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn container_is_unhealthy_after_enough_failed_checks() {
        let health = |streak: &str, config: &str| {
            let inspected = format!(
                r#"{{"State":{{"Status":"running","Health":{{"Status":"unhealthy"{streak}}}}}{config}}}"#
            );
            condition(&serde_json::from_str(&inspected).unwrap(), None).health
        };
        let of = |streak: u32| format!(r#","FailingStreak":{streak}"#);
        let five = r#","Config":{"Healthcheck":{"Test":["CMD","true"],"Retries":5}}"#;
        assert_eq!(health(&of(0), ""), Some(Health::Starting));
        assert_eq!(health(&of(2), ""), Some(Health::Starting));
        assert_eq!(health(&of(3), ""), Some(Health::Unhealthy));
        assert_eq!(health(&of(4), five), Some(Health::Starting));
        assert_eq!(health(&of(5), five), Some(Health::Unhealthy));
        assert_eq!(health("", ""), Some(Health::Unhealthy));
    }

    #[test]
    fn exited_container_reports_code_and_oom_kill() {
        let condition = condition(
            &inspected(
                r#"{"Status":"exited","ExitCode":137,"OOMKilled":true,"Error":"",
                    "StartedAt":"2026-01-02T03:04:05Z","FinishedAt":"2026-01-02T03:04:06Z"}"#,
            ),
            "2026-01-02T03:04:07Z".parse().ok(),
        );
        assert_eq!(condition.status, Status::Exited);
        assert_eq!(condition.exit_code, Some(137));
        assert!(condition.oom_killed);
        assert_eq!(condition.running_for, None);
    }
}
