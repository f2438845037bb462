//! Networks whose definition changes under running containers, and unused networks.

use cimandat::event::{Event, Outcome};
use serde_json::Value;

use crate::support::World;

/// Writes a manifest in which the gate of `web` resolves `db` and `known`; `store` is an alias of
/// `db`.
fn shop(world: &World, network: &str, known: &str) {
    keeping(world, 1, network, known);
}

/// As [`shop`], with `keep` generations of history.
fn keeping(world: &World, keep: u32, network: &str, known: &str) {
    // A name that does not resolve gets a short timeout; the long one is for a busy machine.
    let within = if known == "unknown-host" { "3s" } else { "60s" };
    world.manifest(&format!(
        r#"
        deploy stabilize="0s" history={keep}
        network "back" {network}
        service "db" {{
            use "web"
            env TEXT="data"
            network "back" alias="store"
            ready timeout="10s" {{ http 8080 contains="data"; }}
        }}
        service "web" {{
            use "web"
            env TEXT="page"
            network "back"
            depends-on "db"
            ready timeout="{within}" {{ exec "sh" "-c" "getent hosts db && getent hosts {known}"; }}
        }}
        "#
    ));
}

/// Returns the only network of the project, as the engine reports it.
fn only_network(world: &World) -> Value {
    let names = world.api.networks(&world.project);
    assert_eq!(names.len(), 1, "{names:?}");
    world.api.get(&format!("/networks/{}", names[0]))
}

#[test]
fn changed_network_is_recreated_with_all_aliases() {
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

    // Changed back: the first name is free again.
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
fn failed_network_change_restores_the_old_network() {
    let Some(world) = World::new("network-back") else {
        return;
    };
    shop(&world, "", "store");
    world.up().with(0, Outcome::Converged);
    let before = (world.containers(), only_network(&world)["Id"].clone());
    // The new `web` resolves a name that does not exist.
    shop(&world, "internal=#true", "unknown-host");
    world.up().with(5, Outcome::RolledBack);
    assert_eq!(world.containers(), before.0);
    assert_eq!(only_network(&world)["Id"], before.1);
    // The gate resolves both names and passes on the old network.
    shop(&world, "", "store");
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn network_with_subnet_is_replaced_for_another_subnet() {
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
fn orphan_network_is_removed_orphan_volume_is_kept() {
    let Some(world) = World::new("left") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s" history=1
        network "front"
        network "back"
        volume "data"
        service "app" { use "doomed"; network "front"; network "back"; volume "data" "/data"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    world.manifest(
        r#"
        deploy stabilize="0s" history=1
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
fn rollback_restores_the_network_definition() {
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
