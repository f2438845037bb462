//! The promise of the transaction, under crashes: whatever cuts a command off, and whatever cuts
//! off the recoveries that follow, the project ends in one of two worlds, and it is told in which.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generators;
mod invariants;
mod runner;

use proptest::prelude::*;

use self::{
    generators::{blows, cases, cuts, gates, troubles},
    runner::{Deed, cut_off, uncut},
};
use crate::fixtures::profile;

proptest! {
    #![proptest_config(profile())]

    #[test]
    fn a_deploy_that_is_cut_off_ends_in_one_of_two_worlds(
        case in cases(),
        cuts in cuts(),
        blow in blows(),
    ) {
        cut_off(&case, Deed::Up, &generators::Trouble::default(), &cuts, blow.as_ref())?;
    }

    #[test]
    fn a_deploy_that_goes_back_can_be_cut_off(
        case in cases(),
        gate in gates(),
        cuts in cuts(),
        blow in blows(),
    ) {
        let trouble = generators::Trouble { gate: Some(gate), faults: Vec::new() };
        cut_off(&case, Deed::Up, &trouble, &cuts, blow.as_ref())?;
    }

    #[test]
    fn a_deploy_with_faults_can_be_cut_off(
        case in cases(),
        trouble in troubles(),
        cuts in cuts(),
    ) {
        cut_off(&case, Deed::Up, &trouble, &cuts, None)?;
    }

    #[test]
    fn a_command_says_in_which_world_it_ended(case in cases(), trouble in troubles()) {
        uncut(&case, &trouble)?;
    }

    #[test]
    fn a_rollback_that_is_cut_off_ends_in_one_of_two_worlds(
        case in cases(),
        cuts in cuts(),
        blow in blows(),
    ) {
        cut_off(&case, Deed::Rollback, &generators::Trouble::default(), &cuts, blow.as_ref())?;
    }

    #[test]
    fn a_removal_that_is_cut_off_can_be_ended(
        case in cases(),
        cuts in cuts(),
        volumes in any::<bool>(),
    ) {
        runner::removed(&case, &cuts, volumes)?;
    }
}
