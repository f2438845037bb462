//! The guarantee of the transaction under crashes: wherever a command and the recoveries after it
//! are interrupted, the project ends in the old or the new state, and the program reports which.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generators;
mod invariants;
mod runner;

use proptest::prelude::*;

use self::{
    generators::{blows, cases, cuts, gates, troubles},
    runner::{Interruption, cut_off, uncut},
};
use crate::fixtures::profile;

proptest! {
    #![proptest_config(profile())]

    #[test]
    fn interrupted_deploy_ends_old_or_new(
        case in cases(),
        cuts in cuts(),
        blow in blows(),
    ) {
        cut_off(&case, Interruption::Up, &generators::Trouble::default(), &cuts, blow.as_ref())?;
    }

    #[test]
    fn interrupted_rollback_of_deploy_recovers(
        case in cases(),
        gate in gates(),
        cuts in cuts(),
        blow in blows(),
    ) {
        let trouble = generators::Trouble { gate: Some(gate), faults: Vec::new() };
        cut_off(&case, Interruption::Up, &trouble, &cuts, blow.as_ref())?;
    }

    #[test]
    fn interrupted_deploy_with_faults_recovers(
        case in cases(),
        trouble in troubles(),
        cuts in cuts(),
    ) {
        cut_off(&case, Interruption::Up, &trouble, &cuts, None)?;
    }

    #[test]
    fn exit_code_matches_final_state(case in cases(), trouble in troubles()) {
        uncut(&case, &trouble)?;
    }

    #[test]
    fn interrupted_rollback_command_ends_old_or_new(
        case in cases(),
        cuts in cuts(),
        blow in blows(),
    ) {
        cut_off(&case, Interruption::Rollback, &generators::Trouble::default(), &cuts, blow.as_ref())?;
    }

    #[test]
    fn interrupted_down_can_be_completed(
        case in cases(),
        cuts in cuts(),
        volumes in any::<bool>(),
    ) {
        runner::removed(&case, &cuts, volumes)?;
    }
}
