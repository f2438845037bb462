//! One question of a gate: how it is asked, and what came back so far.

use std::time::Duration;

use crate::{event::excerpt, project::Probe, run::backoff};

/// The longest pause between two probes over a connection: one costs about a millisecond, and the
/// service is noticed at most so late.
const LONGEST_OF_PROBE: Duration = Duration::from_millis(100);
/// The longest that one probe may take, unless it is one that can be waited for.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
/// The longest that one check may take: it may go through name servers and proxies.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);
/// So long before the deadline a log is to have answered what it has seen, so that the report of
/// the gate has it.
const LOG_MARGIN: Duration = Duration::from_millis(250);
/// So many changes of an answer are all reported.
const ALL_REPORTED: u32 = 16;

#[derive(Debug)]
pub(super) struct ProbeState {
    pub text: String,
    pub manner: ProbeKind,
    pub attempts: u32,
    pub asked: bool,
    pub last: Option<String>,
    pub passed: bool,
    /// How often the answer was another than before.
    changes: u32,
}

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    /// Again and again, over a connection.
    Probe,
    /// Again and again, by a process in the container or another call of the engine.
    Call,
    /// Again and again, with more patience.
    Check,
    /// Once, of the log: the answer comes when there is one.
    Log,
    /// As [`Manner::Log`], for the engine's own health check.
    Health,
    /// As [`Manner::Log`], for the end of a job.
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

    /// What there is to say while no answer has come.
    pub fn unanswered(self) -> &'static str {
        match self {
            Self::Log => "no line has matched",
            Self::Exit => "it has not ended",
            Self::Probe | Self::Call | Self::Check | Self::Health => "no answer",
        }
    }
}

impl ProbeState {
    /// One that was not asked yet.
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

    /// Takes an answer; `true`: report it, as it differs from the last one. Answers that
    /// differ each time (with a time or a number of the request in them) are reported ever more
    /// rarely.
    pub fn note(&mut self, seen: &str) -> bool {
        let seen = excerpt(seen);
        if self.last.as_ref() == Some(&seen) {
            return false;
        }
        self.last = Some(seen);
        self.changes += 1;
        self.changes <= ALL_REPORTED || self.changes.is_power_of_two()
    }

    /// The pause before it is asked again.
    pub fn pause(&self) -> Duration {
        let longest = match self.manner {
            ProbeKind::Probe => LONGEST_OF_PROBE,
            _ => backoff::LONGEST,
        };
        backoff::pause(self.attempts).min(longest)
    }

    /// The most that an answer may take, with so much time left.
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
    fn log_answers_shortly_before_the_deadline() {
        let question = ProbeState::new(String::new(), ProbeKind::Log);
        let patience = |millis| question.patience(Duration::from_millis(millis)).as_millis();
        assert_eq!(patience(60_000), 59_750);
        // The second time until the end: the first answer says what the log has.
        assert_eq!(patience(245), 245);
    }

    #[test]
    fn answers_that_always_differ_are_reported_ever_more_rarely() {
        let mut question = ProbeState::new(String::new(), ProbeKind::Probe);
        let reported = (0..1000).filter(|number| question.note(&format!("503, request {number}")));
        assert_eq!(reported.count(), 16 + 5);
        assert_eq!(question.last.as_deref(), Some("503, request 999"));
        assert!(!question.note("503, request 999"));
    }
}
