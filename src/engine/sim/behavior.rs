//! What a simulated container does, and what goes wrong. Data only.

use std::time::Duration;

use crate::{engine::EngineError, plan::Action};

/// What a container does once it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behavior {
    /// Every probe passes so long after the start; `None`: none ever does.
    pub ready_after: Option<Duration>,
    /// It ends by itself.
    pub ends: Option<Exit>,
    /// How long it takes to end when it is asked to.
    pub stop_takes: Duration,
    /// The exit code of every hook and command run in it.
    pub hooks: i64,
}

/// An end that a container comes to by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// After the start.
    pub after: Duration,
    /// With this code.
    pub exit_code: i64,
    /// Killed for want of memory.
    pub out_of_memory: bool,
}

impl Default for Behavior {
    /// Ready after 10 ms, and runs until it is stopped.
    fn default() -> Self {
        Self::ready_after(Duration::from_millis(10))
    }
}

impl Behavior {
    /// Ready so long after its start.
    #[must_use]
    pub fn ready_after(after: Duration) -> Self {
        Self {
            ready_after: Some(after),
            ends: None,
            stop_takes: Duration::from_millis(5),
            hooks: 0,
        }
    }

    /// Runs, and is never ready.
    #[must_use]
    pub fn never_ready() -> Self {
        Self {
            ready_after: None,
            ..Self::default()
        }
    }

    /// Ends with this code so long after its start; ready, if ever, when it is told so besides.
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

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// At which action.
    pub at: FaultTrigger,
    /// Before or after the effect.
    pub when: FaultTiming,
    /// What the engine says.
    pub error: EngineError,
}

/// At which action something goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultTrigger {
    /// The so manieth, counted from 0.
    Call(u64),
    /// Each of this kind that is done to this object (`stopping container`, `shop-web-1`).
    Each {
        /// [`Action::verb`].
        verb: String,
        /// [`Action::object`].
        object: String,
    },
}

impl FaultTrigger {
    /// Whether it is about the `call`-th call, which is this action, or none of the project's.
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

/// Before, amid or after the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTiming {
    /// The world was not changed.
    Before,
    /// It was begun and broke off: what is done at once was not done, a copy is there in part.
    Midway,
    /// The world was changed; only the answer was lost.
    After,
}
