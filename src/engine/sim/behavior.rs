//! The behavior of simulated containers, and injected faults. Data only.

use std::time::Duration;

use crate::{engine::EngineError, plan::Action};

/// The behavior of a container after its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behavior {
    /// Time from the start until every probe passes; `None` if no probe ever passes.
    pub ready_after: Option<Duration>,
    /// An exit of the container by itself.
    pub ends: Option<Exit>,
    /// Time that the container takes to stop.
    pub stop_takes: Duration,
    /// Exit code of every hook and command in the container.
    pub hooks: i64,
}

/// An exit of a container by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Time from the start.
    pub after: Duration,
    /// Exit code of the container.
    pub exit_code: i64,
    /// Whether the container is OOM-killed.
    pub out_of_memory: bool,
}

impl Default for Behavior {
    /// Becomes ready after 10 ms, and runs until it is stopped.
    fn default() -> Self {
        Self::ready_after(Duration::from_millis(10))
    }
}

impl Behavior {
    /// Becomes ready `after` its start, and runs until it is stopped.
    #[must_use]
    pub fn ready_after(after: Duration) -> Self {
        Self {
            ready_after: Some(after),
            ends: None,
            stop_takes: Duration::from_millis(5),
            hooks: 0,
        }
    }

    /// Runs, but never becomes ready.
    #[must_use]
    pub fn never_ready() -> Self {
        Self {
            ready_after: None,
            ..Self::default()
        }
    }

    /// Exits with this code `after` its start. Never ready, unless `ready_after` is set.
    #[must_use]
    pub fn exits(after: Duration, exit_code: i64) -> Self {
        let ends = Some(Exit {
            after,
            exit_code,
            out_of_memory: false,
        });
        Self {
            ends,
            ..Self::never_ready()
        }
    }
}

/// An injected fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The call at which the fault occurs.
    pub at: FaultTrigger,
    /// The point of the fault relative to the effect.
    pub when: FaultTiming,
    /// The error that the engine reports.
    pub error: EngineError,
}

/// Selects the calls at which a fault occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultTrigger {
    /// The call with this number, counted from 0.
    Call(u64),
    /// Each call of this kind on this object (`stopping container`, `shop-web-1`).
    Each {
        /// [`Action::verb`].
        verb: String,
        /// [`Action::object`].
        object: String,
    },
}

impl FaultTrigger {
    /// Returns whether the trigger matches the `call`-th call. `action` is `None` for calls to the
    /// journal or the lock.
    #[must_use]
    pub fn meets(&self, call: u64, action: Option<&Action>) -> bool {
        match self {
            Self::Call(which) => *which == call,
            Self::Each { verb, object } => {
                action.is_some_and(|it| it.verb() == verb && it.object() == object)
            }
        }
    }
}

/// The point of a fault or an event relative to the effect of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTiming {
    /// Before the effect: the world is unchanged.
    Before,
    /// During the effect: an atomic change does not happen, a copy is partial.
    Midway,
    /// After the effect: the world is changed, and only the answer is lost.
    After,
}
