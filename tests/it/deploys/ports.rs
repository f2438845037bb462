//! Host ports of a range, distributed among replicas.

use cimandat::event::Outcome;

use crate::support::{Client, World, free_ports};

/// Writes a manifest in which `web` answers with the start of its container's ID, and with `TEXT`.
fn web(world: &World, replicas: u32, ports: &str, text: &str) {
    world.manifest(&format!(
        r##"
        deploy stabilize="0s"
        service "web" {{
            image "debian:trixie-slim"
            command "perl" "-MSocket" "-e" #"""
                socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
                bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
                listen(SERVER, 64) or die "listen";
                while (accept(CLIENT, SERVER)) {{
                    while (<CLIENT>) {{ last unless /\S/ }}
                    print CLIENT "HTTP/1.0 200 OK\r\n\r\n$$ENV{{HOSTNAME}} $$ENV{{TEXT}}\n";
                    close CLIENT;
                }}
                """#
            env TEXT="{text}"
            replicas {replicas}
            port "{ports}:8080"
            ready {{ http 8080; }}
            stop-grace-period "1s"
        }}
        "##
    ));
}

/// Checks that each replica answers on its own port.
#[track_caller]
fn check_answers(world: &World, replicas: u16, first: u16, text: &str) {
    let containers = world.containers();
    assert_eq!(containers.len(), usize::from(replicas), "{containers:?}");
    for further in 0..replicas {
        let name = format!("{}-web-{}", world.project, further + 1);
        let id = containers[&name].0.get(..12);
        let expected = id.map(|id| format!("{id} {text}"));
        assert_eq!(Client::ask(first + further), expected, "{name}");
    }
}

#[test]
fn replicas_with_a_range_publish_one_port_each() {
    let Some(world) = World::new("ranges") else {
        return;
    };
    let first = free_ports(3);
    let range = |ports: u16| format!("{first}-{}", first + ports - 1);
    web(&world, 2, &range(2), "one");
    world.up().with(0, Outcome::Converged);
    check_answers(&world, 2, first, "one");
    let two = world.containers();
    world.up().with(0, Outcome::Unchanged);
    assert_eq!(world.containers(), two);
    // A longer range and one more replica: only that replica is new.
    web(&world, 3, &range(3), "one");
    world.up().with(0, Outcome::Converged);
    check_answers(&world, 3, first, "one");
    let three = world.containers();
    assert!(two.iter().all(|(name, it)| three[name] == *it), "{three:?}");
    web(&world, 3, &range(3), "two");
    world.up().with(0, Outcome::Converged);
    check_answers(&world, 3, first, "two");
    assert!(
        world
            .containers()
            .iter()
            .all(|(name, it)| three[name] != *it)
    );
    world
        .run(&["rollback", "--progress", "json"])
        .with(0, Outcome::Converged);
    check_answers(&world, 3, first, "one");
    let listed = world.run(&["ps"]).with_code(0).out;
    for port in first..first + 3 {
        assert!(listed.contains(&format!("{port}→8080/tcp")), "{listed}");
    }
}
