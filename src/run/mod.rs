//! Carries out a plan: deploys the new generation, or rolls back to the old one.
//!
//! [`Run`] decides and performs nothing: it receives [`Input`]s and returns [`Effect`]s.
//! [`drive()`] performs the effects and decides nothing. [`gate`] is the state machine of one gate
//! within a run.

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
