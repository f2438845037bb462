//! Conformance of the simulated engine to the real one: the same turns, the same answers, the same
//! state.
//!
//! Scenarios are data. Each is played in the simulated engine first, and compared with its own
//! expectations; then on the real engine, and compared with the simulated results. Scenarios that
//! end an engine, or prune all of it, use a separate engine: `scripts/old-engine` with
//! `ENGINE_SUITE=forky`, named by `CIMANDAT_TEST_INNER_ENGINE`.

mod real;
mod scenario;
mod scenarios;
mod seen;
mod simulated;

use self::scenario::Scenario;

fn check(scenario: &Scenario) {
    let shown = simulated::play(scenario);
    real::play(scenario, &shown);
}

/// One test for each scenario, so that each fails under its own name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(&scenarios::$name());
        }
    )*};
}

tests![
    a_name_has_one_holder,
    a_port_is_bound_at_the_start,
    again_is_the_same,
    an_anonymous_volume_is_removed_with_its_last_container,
    a_mounted_volume_is_not_removed,
    a_network_in_use_is_not_removed,
    a_frozen_container_can_only_be_stopped,
    policies_decide_what_comes_back,
    what_is_stopped_by_hand_stays_stopped,
    what_is_removed_by_hand_is_gone,
    pruning_takes_what_nobody_uses,
    an_engine_that_ended_well_brings_back_what_ran,
    an_engine_that_was_killed_stops_what_ran,
    a_power_cut_brings_back_all_that_may,
    an_image_in_use_stays,
    a_fixed_address_has_one_holder,
    cutover_moves_names_and_ports,
];
