//! Plays a scenario in the simulated engine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use cimandat::{
    engine::{
        Engine,
        sim::{Latency, Sim},
    },
    name::ImageRef,
};
use tokio::{sync::mpsc::unbounded_channel, time::sleep};

use super::{
    scenario::{Call, IMAGE, Scenario, word},
    seen::{Seen, Shown, mounted, query},
};
use crate::fixtures::in_virtual_time;

/// The time after which automatic restarts are over.
const A_WHILE: Duration = Duration::from_secs(2);

/// Plays a scenario, checks its expectations, and returns the result of each turn.
pub fn play(scenario: &Scenario) -> Vec<Shown> {
    in_virtual_time(async {
        let sim = Sim::new(scenario.project.clone(), Latency::instant());
        sim.add_image(ImageRef::new(IMAGE).unwrap(), "sha256:image");
        let mut known = BTreeSet::new();
        let mut shown = Vec::new();
        for turn in &scenario.turns {
            let result = match &turn.call {
                Call::Act(action) => sim.perform(action, &unbounded_channel().0).await,
                Call::Hand(hand) => {
                    sim.external(hand);
                    Ok(())
                }
            };
            sleep(A_WHILE).await;
            let state = sim.observe(&query(scenario, &known)).await.unwrap();
            known.extend(mounted(&state));
            let state = sim.observe(&query(scenario, &known)).await.unwrap();
            let seen = Seen::of(scenario, &state);
            let now = (word(&result), seen.line());
            let wanted = (turn.brings.to_owned(), turn.then.to_owned());
            assert_eq!(now, wanted, "simulated: {:?}", turn.call);
            let brings = now.0;
            shown.push(Shown { brings, seen });
        }
        shown
    })
}
