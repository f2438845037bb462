//! Backoff between two attempts of a probe or action.
//!
//! A pure function of the number of attempts, without jitter, so that a run can be replayed.

use std::time::Duration;

/// Pause after the first attempt.
const FIRST: Duration = Duration::from_millis(5);
/// Longest pause. A probe that runs a process in a container costs the engine about 80 ms.
pub const LONGEST: Duration = Duration::from_millis(250);

/// Returns the pause after `attempts` attempts: 5, 10, 20, … up to 250 ms.
#[must_use]
pub fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (FIRST * (1 << doublings)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_250_ms() {
        let pauses: Vec<u128> = (1..=8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 250, 250]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
