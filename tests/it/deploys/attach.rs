//! Endpoints that are repaired, or moved between containers, on a real engine.

use std::{
    thread,
    time::{Duration, Instant},
};

use cimandat::event::Outcome;
use serde_json::{Value, json};

use crate::support::World;

fn state(world: &World, service: &str) -> Value {
    world.inspect(service)["State"]["Status"].clone()
}

/// Returns the endpoints of a service's first container, by network name.
fn endpoints(world: &World, service: &str) -> Value {
    world.inspect(service)["NetworkSettings"]["Networks"].clone()
}

#[test]
fn crash_looping_container_hands_alias_to_successor() {
    let Some(world) = World::new("looping") else {
        return;
    };
    let shop = |text: &str, command: &str| {
        world.manifest(&format!(
            r#"
            deploy stabilize="0s"
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
    world.up().with(0, Outcome::Converged);
    let until = Instant::now() + Duration::from_secs(30);
    // After some restarts the pauses are long enough for an observation within one.
    while state(&world, "app") != "restarting"
        || world.inspect("app")["RestartCount"].as_u64() < Some(5)
    {
        assert!(Instant::now() < until, "{}", state(&world, "app"));
        thread::sleep(Duration::from_millis(20));
    }
    shop("two", "exec sleep 600");
    world.up().with(0, Outcome::Converged);
    assert_eq!(state(&world, "app"), "running");
    let endpoint = &endpoints(&world, "app")[format!("{}_default", world.project)];
    let aliases = endpoint["Aliases"].as_array().unwrap();
    assert!(aliases.contains(&"app".into()), "{endpoint}");
    world.up().with(0, Outcome::Unchanged);
}

/// Detaches `app` from a network, and reattaches it with `endpoint`.
fn attach_by_hand(world: &World, network: &str, endpoint: &Value) {
    let network = format!("/networks/{}_{network}", world.project);
    let container = world.name("app");
    let out = json!({ "Container": container, "Force": true });
    let back = json!({ "Container": container, "EndpointConfig": endpoint });
    for (verb, body) in [("disconnect", out), ("connect", back)] {
        let path = format!("{network}/{verb}");
        let reply = world.api.ask("POST", &path, Some(&body));
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 200, "{path}: {said}");
    }
}

/// Writes a manifest with `app` on `six`, with this IPv4 range and these endpoint properties, and
/// on `own`.
fn addressed(world: &World, (range, more): (&str, &str)) {
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        network "six" ipv6=#true {{
            subnet "10.234.{range}.0/24" range="10.234.{range}.128/25"
            subnet "fd00:234:{range}::/64"
        }}
        network "own"
        service "app" {{
            use "talker"
            stop-grace-period "0s"
            network "six" {more}
            network "own"
        }}
        "#
    ));
}

/// Checks that a manually changed endpoint is drift of this field, and that `up` repairs it.
#[track_caller]
fn is_put_right(world: &World, (network, field): (&str, &str), endpoint: &Value) {
    attach_by_hand(world, network, endpoint);
    let planned = world.run(&["plan", "--exit-code"]).with_code(2).out;
    let drifted = format!("drifted network.{network}.{field}:");
    assert!(planned.contains(&drifted), "{drifted}\n{planned}");
    world.up().with(0, Outcome::Converged);
    let planned = world.run(&["plan", "--exit-code"]);
    assert_eq!(planned.code, Some(0), "{drifted}\n{}", planned.out);
}

#[test]
fn endpoint_with_wrong_addresses_is_repaired() {
    let Some(world) = World::new("addresses") else {
        return;
    };
    let (ipv4, ipv6) = ("10.234.7.9", "fd00:234:7:0::9");
    addressed(&world, ("7", &format!(r#"ipv4="{ipv4}" ipv6="{ipv6}""#)));
    world.up().with(0, Outcome::Converged);
    let app = world.running("app");
    world.up().with(0, Outcome::Unchanged);
    let names = json!(["app"]);
    let own = endpoints(&world, "app")[format!("{}_own", world.project)]["IPAddress"].clone();
    // Each endpoint lacks one value of the container record, or has one that the record does not
    // have.
    let six = |ipv4: &str, ipv6: &str| {
        let fixed = json!({ "IPv4Address": ipv4, "IPv6Address": ipv6 });
        json!({ "Aliases": names, "IPAMConfig": fixed })
    };
    is_put_right(&world, ("six", "ipv4"), &six("", ipv6));
    is_put_right(&world, ("six", "ipv6"), &six(ipv4, ""));
    is_put_right(&world, ("six", "ipv6"), &six(ipv4, "fd00:234:7::a"));
    is_put_right(&world, ("own", "ipv4"), &json!({ "Aliases": names }));
    assert_eq!(world.running("app"), app);
    let found = endpoints(&world, "app");
    let six = &found[format!("{}_six", world.project)];
    assert_eq!(six["IPAddress"], ipv4);
    assert_eq!(six["GlobalIPv6Address"], "fd00:234:7::9");
    assert_eq!(found[format!("{}_own", world.project)]["IPAddress"], own);
}

#[test]
fn endpoint_without_hardware_address_replaces_container() {
    let Some(world) = World::new("hardware") else {
        return;
    };
    // An older engine accepts no hardware address for an endpoint.
    if !world.api.speaks(44) {
        return;
    }
    addressed(&world, ("8", r#"mac="02:00:00:00:2A:01""#));
    world.up().with(0, Outcome::Converged);
    world.up().with(0, Outcome::Unchanged);
    // This engine does not accept one when it attaches a running container, either.
    let endpoint = json!({ "Aliases": ["app"], "MacAddress": "02:00:00:00:2a:01" });
    is_put_right(&world, ("six", "mac"), &endpoint);
    let six = &endpoints(&world, "app")[format!("{}_six", world.project)];
    assert_eq!(six["MacAddress"], "02:00:00:00:2a:01");
}

#[test]
fn paused_detached_container_is_reattached_and_resumed() {
    let Some(world) = World::new("cut-off") else {
        return;
    };
    world.manifest(
        r#"
        deploy stabilize="0s"
        service "app" { use "talker"; stop-grace-period "0s"; }
        "#,
    );
    world.up().with(0, Outcome::Converged);
    let before = endpoints(&world, "app");
    let container = world.name("app");
    let pause = format!("/containers/{container}/pause");
    assert_eq!(world.api.ask("POST", &pause, None).status, 204);
    let network = format!("{}_default", world.project);
    let out = json!({ "Container": container, "Force": true });
    let path = format!("/networks/{network}/disconnect");
    assert_eq!(world.api.ask("POST", &path, Some(&out)).status, 200);
    let app = world.inspect("app")["Id"].clone();
    world.up().with(0, Outcome::Converged);
    assert_eq!(state(&world, "app"), "running");
    assert_eq!(world.inspect("app")["Id"], app);
    let address = |found: &Value| found[&network]["IPAddress"].clone();
    assert_eq!(address(&endpoints(&world, "app")), address(&before));
    world.up().with(0, Outcome::Unchanged);
}
