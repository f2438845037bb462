//! Networks whose definition changes under containers that run, and those that nobody uses.

use cimandat::event::{Event, Outcome};
use serde_json::Value;

use crate::support::World;

/// `web` asks for `db` by both of its names; `known` is the name that it has to find.
fn shop(world: &World, network: &str, known: &str) {
    keeping(world, 1, network, known);
}

/// The same, with so many generations to be kept.
fn keeping(world: &World, keep: u32, network: &str, known: &str) {
    // What cannot be found is not waited for as long as a busy machine may take.
    let within = if known == "nobody" { "3s" } else { "60s" };
    world.manifest(&format!(
        r#"
        deploy settle="0s" keep={keep}
        network "back" {network}
        service "db" {{
            use "web"
            env TEXT="data"
            network "back" alias="store"
            ready within="10s" {{ http 8080 contains="data"; }}
        }}
        service "web" {{
            use "web"
            env TEXT="page"
            network "back"
            depends-on "db"
            ready within="{within}" {{ exec "sh" "-c" "getent hosts db && getent hosts {known}"; }}
        }}
        "#
    ));
}

/// A network of the project, in the engine's words.
fn only_network(world: &World) -> Value {
    let names = world.api.networks(&world.project);
    assert_eq!(names.len(), 1, "{names:?}");
    world.api.get(&format!("/networks/{}", names[0]))
}

#[test]
fn a_changed_network_is_made_anew_with_all_names_and_back() {
    let Some(world) = World::new("network") else {
        return;
    };
    shop(&world, "", "store");
    world.up().with(0, Outcome::Converged);
    let first = only_network(&world);
    let plain = format!("{}_back", world.project);
    assert_eq!(first["Name"], plain);

    shop(&world, "internal=#true", "store");
    let shown = world.run(&["plan"]).with_code(0).out;
    assert!(shown.contains("internal: false → true"), "{shown}");
    let ended = world.up().with(0, Outcome::Converged);
    let second = only_network(&world);
    assert_eq!(second["Internal"], true);
    assert_ne!(second["Id"], first["Id"]);
    let committed = ended.when(|event| matches!(event, Event::Committed));
    let removed = ended.when(|event| {
        matches!(event, Event::StepStarted { verb, object, .. }
            if verb == "removing network" && *object == plain)
    });
    assert!(removed >= committed);
    world.up().with(0, Outcome::Unchanged);

    // Back again: the first name is free.
    shop(&world, "", "store");
    world.up().with(0, Outcome::Converged);
    let third = only_network(&world);
    assert_eq!(
        (&third["Name"], &third["Internal"]),
        (&plain.into(), &false.into())
    );
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn on_failure_the_old_containers_run_on_the_old_network() {
    let Some(world) = World::new("network-back") else {
        return;
    };
    shop(&world, "", "store");
    world.up().with(0, Outcome::Converged);
    let before = (world.containers(), only_network(&world)["Id"].clone());
    // The new `web` looks for a name that nobody has.
    shop(&world, "internal=#true", "nobody");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before.0);
    assert_eq!(only_network(&world)["Id"], before.1);
    // Its gate, which asks for both names, passes on the old network.
    shop(&world, "", "store");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn a_network_with_fixed_addresses_changes_when_it_gets_others() {
    let Some(world) = World::new("subnets") else {
        return;
    };
    let subnet = |third: u8, internal: &str| {
        let network = format!("internal={internal} {{ subnet \"10.213.{third}.0/24\"; }}");
        shop(&world, &network, "store");
    };
    subnet(1, "#false");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    subnet(1, "#true");
    let told = world.up().with_code(3).err;
    assert!(told.contains("the same subnet"), "{told}");
    assert!(told.contains("cimandat down"), "{told}");
    assert_eq!(world.containers(), before);
    subnet(2, "#true");
    world.up().with(0, Outcome::Converged);
    let config = only_network(&world)["IPAM"]["Config"][0]["Subnet"].clone();
    assert_eq!(config, "10.213.2.0/24");
}

#[test]
fn a_network_that_left_the_manifest_goes_and_a_volume_stays() {
    let Some(world) = World::new("left") else {
        return;
    };
    world.manifest(
        r#"
        deploy settle="0s" keep=1
        network "front"
        network "back"
        volume "data"
        service "app" { use "doomed"; network "front"; network "back"; volume "data" "/data"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    world.manifest(
        r#"
        deploy settle="0s" keep=1
        network "front"
        service "app" { use "doomed"; network "front"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    assert_eq!(
        world.api.networks(&world.project),
        [format!("{}_front", world.project)]
    );
    let volume = format!("{}_data", world.project);
    assert_eq!(world.volumes(), [volume.as_str()]);
    let shown = world.run(&["plan"]).with_code(0).out;
    assert!(shown.contains(&format!("volume {volume}")), "{shown}");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn a_rollback_goes_back_to_a_network_as_it_was() {
    let Some(world) = World::new("network-rollback") else {
        return;
    };
    keeping(&world, 2, "", "store");
    world.up().with(0, Outcome::Converged);
    keeping(&world, 2, "internal=#true", "store");
    world.up().with(0, Outcome::Converged);
    assert_eq!(only_network(&world)["Internal"], true);
    world.up().with(0, Outcome::Unchanged);
    world
        .run(&["rollback", "--progress", "json"])
        .with(0, Outcome::Converged);
    assert_eq!(only_network(&world)["Internal"], false);
    world.running("db");
    world.running("web");
}
