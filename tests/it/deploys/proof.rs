//! Proof of an update: it is committed when the new generation serves without the old one and all
//! services are ready at the same time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use cimandat::event::Outcome;

use crate::support::{World, free_port};

/// `proxy` resolves `app` once, at its start, and forwards each request to that address. `brief`
/// answers, and exits with 7 a moment after its first answer.
const PROGRAMS: &str = r##"
template "proxy" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        my $$address = gethostbyname("app") or die "no app";
        socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
        setsockopt(SERVER, SOL_SOCKET, SO_REUSEADDR, 1);
        bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
        listen(SERVER, 64) or die "listen";
        while (accept(CLIENT, SERVER)) {
            while (<CLIENT>) { last unless /\S/ }
            my $$answer = eval {
                local $$SIG{ALRM} = sub { die "too late" };
                alarm 1;
                socket(my $$app, PF_INET, SOCK_STREAM, 0) or die "socket";
                connect($$app, sockaddr_in(8080, $$address)) or die "refused";
                syswrite($$app, "GET / HTTP/1.0\r\n\r\n");
                my $$text = join "", <$$app>;
                alarm 0;
                $$text;
            };
            alarm 0;
            print CLIENT $$answer || "HTTP/1.0 502 Bad Gateway\r\n\r\n";
            close CLIENT;
        }
        """#
}
template "brief" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        $$SIG{ALRM} = sub { exit 7 };
        socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
        setsockopt(SERVER, SOL_SOCKET, SO_REUSEADDR, 1);
        bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
        listen(SERVER, 64) or die "listen";
        my $$asked = 0;
        while (1) {
            accept(CLIENT, SERVER) or next;
            while (<CLIENT>) { last unless /\S/ }
            print CLIENT "HTTP/1.0 200 OK\r\n\r\nbrief\n";
            close CLIENT;
            use Time::HiRes qw(ualarm);
            ualarm(150_000) unless $$asked++;
        }
        """#
}
"##;

fn proxied(world: &World, text: &str, port: u16, restart: bool) {
    world.manifest(&format!(
        r#"
        {PROGRAMS}
        service "app" {{
            use "web"
            env TEXT="{text}"
            ready timeout="20s" {{ http 8080 contains="{text}"; }}
        }}
        service "proxy" {{
            use "proxy"
            port "127.0.0.1:{port}:8080"
            depends-on "app" restart=#{restart}
            ready timeout="5s" {{ http 8080; }}
        }}
        verify {{ http "http://127.0.0.1:{port}/"; }}
        "#
    ));
}

fn page(port: u16) -> String {
    use std::io::{Read, Write};
    let mut page = String::new();
    let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    server.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn update_that_only_the_old_container_answers_is_rolled_back() {
    let Some(world) = World::new("proof") else {
        return;
    };
    let port = free_port();
    proxied(&world, "one", port, false);
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    proxied(&world, "two", port, false);
    let ended = world.up().with(5, Outcome::RolledBack);
    let told = format!("{}{}", ended.out, ended.err);
    assert!(told.contains("restart=#true"), "{told}");
    assert_eq!(world.containers(), before);
    assert!(page(port).contains("one"), "{}", page(port));

    proxied(&world, "two", port, true);
    world.up().with(0, Outcome::Converged);
    assert!(page(port).contains("two"), "{}", page(port));
    world.up().with(0, Outcome::Unchanged);
}

#[test]
fn service_that_exits_after_its_gate_fails_the_deploy() {
    let Some(world) = World::new("brief") else {
        return;
    };
    world.manifest(&format!(
        r#"
        {PROGRAMS}
        service "app" {{
            use "brief"
            ready timeout="20s" {{ http 8080; }}
        }}
        service "page" {{
            use "web"
            env TEXT="page"
            depends-on "app"
            ready timeout="20s" {{ http 8080; }}
        }}
        "#
    ));
    for _ in 0..3 {
        world.up().with(5, Outcome::RolledBack);
        assert!(world.containers().is_empty());
    }
}

#[test]
fn service_names_are_not_published_on_external_networks() {
    let Some(world) = World::new("shared") else {
        return;
    };
    let network = format!("{}-corp", world.project);
    let body = serde_json::json!({ "Name": network, "Labels": { "it": "shared" } });
    let made = world.api.ask("POST", "/networks/create", Some(&body));
    assert_eq!(made.status, 201);
    let manifest = |names: &str, found: &str| {
        world.manifest(&format!(
            r#"
            network "corp" external=#true name="{network}" {names}
            service "db" {{ use "talker"; network "corp" alias="one-db"; }}
            service "client" {{
                use "talker"
                network "corp"
                depends-on "db"
                ready timeout="5s" {{ exec "sh" "-c" "{found}"; }}
            }}
            "#
        ));
    };
    manifest("", "getent hosts one-db && ! getent hosts db");
    let alone = world.up();
    manifest(
        "service-names=#true",
        "getent hosts one-db && getent hosts db",
    );
    let named = world.run(&["up", "--force-recreate", "--progress", "json"]);
    let plan = world.run(&["plan", "--exit-code"]);
    world.run(&["down", "--progress", "json"]);
    let removed = world
        .api
        .ask("DELETE", &format!("/networks/{network}"), None);
    alone.with(0, Outcome::Converged);
    named.with(0, Outcome::Converged);
    plan.with_code(0);
    assert_eq!(removed.status, 204);
}

#[test]
fn range_of_a_foreign_network_is_refused_with_its_holder() {
    let Some(world) = World::new("range") else {
        return;
    };
    let network = format!("{}-corp", world.project);
    let index = u8::try_from(free_port() % 250).unwrap();
    let range = format!("10.201.{index}.0/24");
    let body = serde_json::json!({
        "Name": network, "IPAM": { "Config": [{ "Subnet": range }] },
    });
    let made = world.api.ask("POST", "/networks/create", Some(&body));
    assert_eq!(made.status, 201, "{range}");
    world.manifest(&format!(
        r#"
        network "own" subnet="10.201.{index}.128/25"
        service "app" {{ use "talker"; network "own"; }}
        "#
    ));
    let refused = world.run(&["up"]);
    let removed = world
        .api
        .ask("DELETE", &format!("/networks/{network}"), None);
    assert_eq!(removed.status, 204);
    let told = refused.with_code(3).err;
    assert!(told.contains(&range) && told.contains(&network), "{told}");
    world.up().with(0, Outcome::Converged);
}
