//! One question of a gate: how it is asked, and what came back so far.

use std::time::Duration;

use crate::project::Probe;

/// The longest that one probe may take, unless it is one that can be waited for.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
/// The longest that one check may take: it may go through name servers and proxies.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);
#[derive(Debug)]
pub(super) struct Question {
    pub text: String,
    pub manner: Manner,
    pub attempts: u32,
    pub asked: bool,
    pub last: Option<String>,
    pub passed: bool,
}

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Again and again.
    Probe,
    /// Again and again, with more patience.
    Check,
    /// Once: the answer comes when there is one.
    Long,
    /// As [`Manner::Long`], for the engine's own health check.
    Health,
    /// As [`Manner::Long`], for the end of a job.
    Exit,
}

impl Manner {
    pub fn of(probe: &Probe) -> Self {
        match probe {
            Probe::Log { .. } => Self::Long,
            Probe::Healthcheck => Self::Health,
            Probe::Exit => Self::Exit,
            Probe::Tcp { .. }
            | Probe::Http { .. }
            | Probe::Postgres { .. }
            | Probe::Redis { .. }
            | Probe::Grpc { .. }
            | Probe::Exec { .. }
            | Probe::File { .. }
            | Probe::Started => Self::Probe,
        }
    }
}

impl Question {
    /// One that was not asked yet.
    pub fn new(text: String, manner: Manner) -> Self {
        Self {
            text,
            manner,
            attempts: 0,
            asked: false,
            last: None,
            passed: false,
        }
    }

    /// The most that an answer may take, with so much time left.
    pub fn patience(&self, rest: Duration) -> Duration {
        match self.manner {
            Manner::Probe => PROBE_PATIENCE.min(rest),
            Manner::Check => CHECK_PATIENCE.min(rest),
            Manner::Long | Manner::Health | Manner::Exit => rest,
        }
    }
}
