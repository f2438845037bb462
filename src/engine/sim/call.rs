//! One call to the simulated engine: its number, its latency and its fault.

use std::time::Duration;

use super::{Fault, Inner, RecordedCall};
use crate::plan::Action;

/// A call that changes something.
pub(super) struct Call {
    /// Number of the call, counted from 0.
    pub number: u64,
    /// Latency until the effect.
    pub before: Duration,
    /// Latency from the effect until the answer.
    pub after: Duration,
    /// The fault that occurs in this call.
    pub fault: Option<Fault>,
}

impl Inner {
    /// Counts and records a call that changes something.
    pub(super) fn begin_call(
        &mut self,
        action: Option<&Action>,
        (verb, object): (&str, &str),
    ) -> Call {
        let number = self.recorded_calls.len() as u64;
        self.recorded_calls.push(RecordedCall {
            verb: verb.to_owned(),
            object: object.to_owned(),
        });
        let mut faults = self.faults.iter();
        let place = faults.position(|fault| fault.at.meets(number, action));
        self.triggered.extend(place);
        let (before, after) = self.pace.of_call(action);
        Call {
            number,
            before,
            after,
            fault: place.map(|place| self.faults[place].clone()),
        }
    }
}
