//! Carries a plan out: forward to the new generation, or back to the old one.
//!
//! [`Run`] decides and does nothing: it is told [`Input`]s and answers with [`Effect`]s. [`drive()`]
//! does and decides nothing. [`gate`] is the small machine of one gate inside of a run.

mod confirm;
pub mod drive;
pub mod gate;
mod gates;
pub mod lock;
pub mod machine;
pub mod message;
mod notices;
pub mod outcome;
mod part;
mod phase;
mod records;
mod recover;
mod remedy;
mod retreat;
pub mod retry;
mod schedule;
pub mod settings;
pub mod signal;
mod steps;
mod time;

pub use self::{
    drive::drive,
    machine::Run,
    message::{Effect, Input, TimerId},
    outcome::{Cause, Outcome},
    recover::{recover, remaining},
    settings::{OnFailure, Settings, Settle},
};
