//! The state of one probe of a gate: how it runs, and its results so far.

use std::time::Duration;

use crate::{event::excerpt, project::Probe, run::backoff};

/// Longest pause between two probes over a connection. A probe costs about a millisecond, and the
/// pause is the longest delay until a ready service is noticed.
const LONGEST_OF_PROBE: Duration = Duration::from_millis(100);
/// Timeout of a probe that is retried.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
/// Timeout of a check, which may pass through name servers and proxies.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);
/// A log probe returns this long before the deadline, so that the report of the gate contains the
/// lines it has seen.
const LOG_MARGIN: Duration = Duration::from_millis(250);
/// Number of changed results that are all reported.
const ALL_REPORTED: u32 = 16;

#[derive(Debug)]
pub(super) struct ProbeState {
    pub text: String,
    pub manner: ProbeKind,
    pub attempts: u32,
    pub asked: bool,
    pub last: Option<String>,
    pub passed: bool,
    /// How often the result differed from the previous one.
    changes: u32,
}

/// How a probe runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    /// Retried, over a connection.
    Probe,
    /// Retried, by a process in the container or another call to the engine.
    Call,
    /// Retried, with the longer timeout of a check.
    Check,
    /// Runs once and follows the log until a line matches.
    Log,
    /// Runs once, as [`ProbeKind::Log`], and waits for the engine's own health check.
    Health,
    /// Runs once, as [`ProbeKind::Log`], and waits for a job to exit.
    Exit,
}

impl ProbeKind {
    pub fn of(probe: &Probe) -> Self {
        match probe {
            Probe::Log { .. } => Self::Log,
            Probe::Healthcheck => Self::Health,
            Probe::Exit => Self::Exit,
            Probe::Tcp { .. }
            | Probe::Http { .. }
            | Probe::Postgres { .. }
            | Probe::Redis { .. }
            | Probe::Grpc { .. } => Self::Probe,
            Probe::Exec { .. } | Probe::File { .. } | Probe::Started => Self::Call,
        }
    }

    /// Text for a probe that has no result yet.
    pub fn unanswered(self) -> &'static str {
        match self {
            Self::Log => "no line has matched",
            Self::Exit => "it has not exited",
            Self::Probe | Self::Call | Self::Check | Self::Health => "no answer",
        }
    }
}

impl ProbeState {
    /// Creates a probe that has not run yet.
    pub fn new(text: String, manner: ProbeKind) -> Self {
        Self {
            text,
            manner,
            attempts: 0,
            asked: false,
            last: None,
            passed: false,
            changes: 0,
        }
    }

    /// Stores a result. Returns `true` if it has to be reported because it differs from the last
    /// one. Results that differ every time (for example because they contain a time or a request
    /// number) are reported less and less often.
    pub fn note(&mut self, seen: &str) -> bool {
        let seen = excerpt(seen);
        if self.last.as_ref() == Some(&seen) {
            return false;
        }
        self.last = Some(seen);
        self.changes += 1;
        self.changes <= ALL_REPORTED || self.changes.is_power_of_two()
    }

    /// Returns the pause before the next attempt.
    pub fn pause(&self) -> Duration {
        let longest = match self.manner {
            ProbeKind::Probe => LONGEST_OF_PROBE,
            _ => backoff::LONGEST,
        };
        backoff::pause(self.attempts).min(longest)
    }

    /// Returns the timeout of the next attempt, with `rest` left until the deadline.
    pub fn patience(&self, rest: Duration) -> Duration {
        match self.manner {
            ProbeKind::Probe | ProbeKind::Call => PROBE_PATIENCE.min(rest),
            ProbeKind::Check => CHECK_PATIENCE.min(rest),
            ProbeKind::Log if rest > 2 * LOG_MARGIN => rest.saturating_sub(LOG_MARGIN),
            ProbeKind::Log | ProbeKind::Health | ProbeKind::Exit => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probe_ends_before_gate_deadline() {
        let question = ProbeState::new(String::new(), ProbeKind::Log);
        let patience = |millis| question.patience(Duration::from_millis(millis)).as_millis();
        assert_eq!(patience(60_000), 59_750);
        // The second attempt runs until the deadline: the first result already reports the log.
        assert_eq!(patience(245), 245);
    }

    #[test]
    fn varying_results_are_reported_less_often() {
        let mut question = ProbeState::new(String::new(), ProbeKind::Probe);
        let reported = (0..1000).filter(|number| question.note(&format!("503, request {number}")));
        assert_eq!(reported.count(), 16 + 5);
        assert_eq!(question.last.as_deref(), Some("503, request 999"));
        assert!(!question.note("503, request 999"));
    }
}
