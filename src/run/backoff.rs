//! How long to wait before the same question is asked again.
//!
//! A plain function of the number of attempts: no jitter, so that a run can be replayed.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(5);
/// The longest pause: a process in a container costs the engine about 80 ms.
pub const LONGEST: Duration = Duration::from_millis(250);

/// The pause after so many questions: 5, 10, 20, … up to 250 ms.
#[must_use]
pub fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (FIRST * (1 << doublings)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_quarter_of_a_second() {
        let pauses: Vec<u128> = (1..=8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 250, 250]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
