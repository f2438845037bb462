//! A call to the simulated engine: which it is, how long it takes, and what goes wrong with it.

use std::time::Duration;

use super::{Fault, Inner, RecordedCall};
use crate::plan::Action;

/// A call that changes something.
pub(super) struct Call {
    /// Counted from 0.
    pub number: u64,
    /// How long it takes until its effect.
    pub before: Duration,
    /// And from there until its answer.
    pub after: Duration,
    /// What goes wrong with it.
    pub fault: Option<Fault>,
}

impl Inner {
    /// Counts a call that changes something.
    pub(super) fn begin_call(
        &mut self,
        action: Option<&Action>,
        (verb, object): (&str, &str),
    ) -> Call {
        let number = self.deeds.len() as u64;
        self.deeds.push(RecordedCall {
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
