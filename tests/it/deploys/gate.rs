//! Gates of containers on several networks, log gates, and the report of a failed gate.

use cimandat::event::{Event, GateReport, Outcome};

use crate::support::{Ended, World, free_port};

fn report(ended: &Ended) -> GateReport {
    ended.told(|event| match event {
        Event::ReadinessFailed { report, .. } => Some((**report).clone()),
        _ => None,
    })
}

/// A program that listens on one address only, that of `NAME`.
const LISTENER: &str = r##"
template "listener" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
        my $$address = inet_aton($$ENV{NAME}) or die "no address of $$ENV{NAME}";
        bind(SERVER, sockaddr_in(8080, $$address)) or die "bind: $$!";
        listen(SERVER, 64) or die "listen";
        close CLIENT while accept(CLIENT, SERVER);
        """#
}
"##;

#[test]
fn gate_passes_for_listener_on_any_network() {
    let Some(world) = World::new("ways") else {
        return;
    };
    world.manifest(&format!(
        r#"
        {LISTENER}
        network "a"
        network "b"
        service "left" {{
            use "listener"
            env NAME="on-left"
            network "a" alias="on-left"
            network "b"
            ready timeout="20s" {{ tcp 8080 }}
        }}
        service "right" {{
            use "listener"
            env NAME="on-right"
            network "a"
            network "b" alias="on-right"
            ready timeout="20s" {{ tcp 8080 }}
        }}
        "#
    ));
    let ended = world.up().with(0, Outcome::Converged);
    for (service, network) in [("left", "a"), ("right", "b")] {
        let network = format!("{}_{network}", world.project);
        let settings = &world.inspect(service)["NetworkSettings"]["Networks"][&network];
        let address = settings["IPAddress"].as_str().unwrap_or_default();
        let passed = ended.told(|event| match event {
            Event::ProbeResult {
                subject, answer, ..
            } if subject.to_string() == service && answer.starts_with("connected") => {
                Some(answer.clone())
            }
            _ => None,
        });
        let place = format!(" ({address} in network `{network}`)");
        assert!(passed.ends_with(&place), "{passed}: {place}");
    }
}

#[test]
fn failed_gate_names_every_probed_address() {
    let Some(world) = World::new("addresses") else {
        return;
    };
    world.manifest(
        r#"
        network "a"
        network "b" internal=#true
        service "app" {
            use "doomed"
            network "a"
            network "b"
            ready timeout="1s" { tcp 9 }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = report(&ended);
    let answer = &report.answers[0].answer;
    assert!(answer.starts_with("connection refused ("), "{answer}");
    for network in ["a", "b"] {
        let network = format!(" in network `{}_{network}`", world.project);
        assert!(answer.contains(&network), "{answer}");
    }
}

#[test]
fn gate_passes_for_ipv6_only_listener() {
    let Some(world) = World::new("ipv6") else {
        return;
    };
    // Engines before 27 assign no IPv6 addresses.
    let [a, b] = [free_port(), free_port()];
    let manifest = r##"
        network "six" ipv6=#true subnet="SUBNET"
        service "app" {
            image "debian:trixie-slim"
            command "perl" "-MSocket=:all" "-e" #"""
                socket(SERVER, PF_INET6, SOCK_STREAM, 0) or die "socket";
                setsockopt(SERVER, IPPROTO_IPV6, IPV6_V6ONLY, 1) or die "IPV6_V6ONLY";
                bind(SERVER, pack_sockaddr_in6(8080, IN6ADDR_ANY)) or die "bind: $$!";
                listen(SERVER, 64) or die "listen";
                close CLIENT while accept(CLIENT, SERVER);
                """#
            network "six"
            ready timeout="20s" { tcp 8080 }
        }
        "##;
    world.manifest(&manifest.replace("SUBNET", &format!("fd5e:{a:x}:{b:x}::/64")));
    world.up().with(0, Outcome::Converged);
}

#[test]
fn failed_log_gate_reports_line_count() {
    let Some(world) = World::new("loggate") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            image "debian:trixie-slim"
            command "sh" "-c" "echo one; echo two; sleep 600"
            ready timeout="2s" { log "READY" }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = report(&ended);
    assert_eq!(report.answers[0].answer, "no line of 2 matches `/READY/`");
    assert_eq!(report.answers[0].attempts, 1);
    assert_eq!(report.log, ["one", "two"]);
}

#[test]
fn log_gate_without_kept_log_fails_immediately() {
    let Some(world) = World::new("unkept") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            use "doomed"
            logging "none"
            ready timeout="60s" { log "at work" }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let report = report(&ended);
    let why = "its logging driver `none` keeps no log";
    assert_eq!(report.answers[0].answer, why);
    assert!(report.after.as_secs() < 30, "{report:?}");
    assert_eq!(report.log, Vec::<String>::new());
    assert_eq!(report.unread.as_deref(), Some(why));
}

#[test]
fn exit_of_process_1_program_gets_init_hint() {
    let Some(world) = World::new("init") else {
        return;
    };
    let manifest = |init: &str| {
        world.manifest(&format!(
            r#"
            service "app" {{
                image "debian:trixie-slim"
                command "sh" "-c" "[ $$$$ = 1 ] || {{ echo fatal: can only run as pid 1; exit 100; }}; sleep 600"
                {init}
                stop-grace-period "1s"
            }}
            "#
        ));
    };
    manifest("");
    let ended = world.up().with(5, Outcome::RolledBack);
    let failed = report(&ended);
    assert_eq!(failed.help.len(), 1, "{failed:?}");
    assert!(failed.help[0].contains("`init #false`"), "{failed:?}");
    manifest("init #false");
    world.up().with(0, Outcome::Converged);
}

#[test]
fn exit_during_a_gate_reports_the_pending_restart_policy() {
    let Some(world) = World::new("policy") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            image "debian:trixie-slim"
            command "sh" "-c" "echo no database; exit 1"
            restart "on-failure"
            ready { tcp 80 }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let failed = report(&ended);
    assert_eq!(failed.help.len(), 1, "{failed:?}");
    let policy = "`restart \"on-failure\"` takes effect at the commit";
    assert!(failed.help[0].starts_with(policy), "{failed:?}");
}

#[test]
fn long_lines_are_truncated_in_gate_report() {
    let Some(world) = World::new("cut") else {
        return;
    };
    world.manifest(
        r#"
        service "app" {
            image "debian:trixie-slim"
            command "perl" "-e" "print 'x' x 313_000; exit 1"
            ready { tcp 80 }
        }
        "#,
    );
    let ended = world.up().with(5, Outcome::RolledBack);
    let failed = report(&ended);
    assert!(failed.log[0].len() < 500, "{}", failed.log[0].len());
    assert!(
        failed.log[0].ends_with("x… (313000 characters)"),
        "{}",
        failed.log[0]
    );
}
