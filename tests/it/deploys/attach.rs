//! Endpoints that are put right, or moved from one container to another, on an engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    thread,
    time::{Duration, Instant},
};

use cimandat::event::Verdict;
use serde_json::Value;

use crate::support::World;

fn state(world: &World, service: &str) -> Value {
    world.inspect(service)["State"]["Status"].clone()
}

/// The endpoints of a service's first container, by the network's name.
fn endpoints(world: &World, service: &str) -> Value {
    world.inspect(service)["NetworkSettings"]["Networks"].clone()
}

#[test]
fn container_in_a_crash_loop_gives_its_name_to_the_new_one() {
    let Some(world) = World::new("looping") else {
        return;
    };
    let shop = |text: &str, command: &str| {
        world.manifest(&format!(
            r#"
            deploy settle="0s"
            service "app" {{
                image "debian:trixie-slim"
                command "sh" "-c" "{command}"
                env TEXT="{text}"
                restart "always"
                stop-grace-period "0s"
                update order="start-first" drain="0s"
                ready {{ exec "true"; }}
            }}
            "#
        ));
    };
    shop(
        "one",
        "[ -e /begun ] && exit 1; touch /begun; sleep 4; exit 1",
    );
    world.up().with(0, Verdict::Converged);
    let until = Instant::now() + Duration::from_secs(30);
    // After some attempts the pauses are long enough for the engine to be asked in one.
    while state(&world, "app") != "restarting"
        || world.inspect("app")["RestartCount"].as_u64() < Some(5)
    {
        assert!(Instant::now() < until, "{}", state(&world, "app"));
        thread::sleep(Duration::from_millis(20));
    }
    shop("two", "exec sleep 600");
    world.up().with(0, Verdict::Converged);
    assert_eq!(state(&world, "app"), "running");
    let endpoint = &endpoints(&world, "app")[format!("{}_default", world.project)];
    let aliases = endpoint["Aliases"].as_array().unwrap();
    assert!(aliases.contains(&"app".into()), "{endpoint}");
    world.up().with(0, Verdict::Unchanged);
}
