//! Carries a plan out: forward to the new generation, or back to the old one.
//!
//! [`Run`] decides and does nothing: it is told [`Input`]s and answers with [`Effect`]s. [`drive()`]
//! does and decides nothing. [`gate`] is the small machine of one gate inside of a run.

pub mod backoff;
mod confirm;
pub mod driver;
pub mod gate;
mod gate_steps;
pub mod lock;
pub mod machine;
mod manual_command;
pub mod message;
mod monitor;
mod partial;
mod phase;
mod recover;
mod retry;
mod rollback;
mod schedule;
pub mod settings;
pub mod signal;
mod steps;
pub mod summary;
mod wal;

pub use self::{
    driver::drive,
    machine::Run,
    message::{Effect, Input, TimerId},
    recover::{recover, remaining},
    settings::{FailurePolicy, Settings, Stabilization},
    summary::{Cause, RunSummary},
};
