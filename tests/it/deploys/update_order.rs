//! Updates from their consumers' point of view: requests to a service are answered while it is
//! replaced.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, time::Duration};

use cimandat::event::{Event, Outcome};

use crate::support::{Ended, World};

/// `server` answers each request in a separate process, `/slow` after 0.7 s, and exits at once on
/// `SIGTERM`. `poller` requests `web` in a loop, each time by its name and over a new connection;
/// it prints failures, and its tally on `SIGUSR1`.
const PROGRAMS: &str = r##"
template "server" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        $$SIG{TERM} = sub { exit 0 };
        $$SIG{CHLD} = 'IGNORE';
        select(undef, undef, undef, $$ENV{DELAY} || 0);
        socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
        setsockopt(SERVER, SOL_SOCKET, SO_REUSEADDR, 1);
        bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
        listen(SERVER, 64) or die "listen";
        while (1) {
            accept(CLIENT, SERVER) or next;
            if (fork) { close CLIENT; next }
            my $$asked = <CLIENT>;
            while (<CLIENT>) { last unless /\S/ }
            select(undef, undef, undef, 0.7) if $$asked =~ /slow/;
            print CLIENT "HTTP/1.0 200 OK\r\n\r\n$$ENV{TEXT}\n";
            exit 0;
        }
        """#
    ready { http 8080; }
}
template "poller" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        $$| = 1;
        my ($$ok, $$failed, $$told, %by) = (0, 0, 0);
        $$SIG{USR1} = sub {
            $$told++;
            print "tally $$told ok=$$ok failed=$$failed ", join(" ", map { "$$_=$$by{$$_}" } sort keys %by), "\n";
        };
        while (1) {
            my $$page = eval {
                my $$at = "nowhere";
                local $$SIG{ALRM} = sub { die "too late from $$at\n" };
                alarm 5;
                my $$address = gethostbyname("web") or die "no such name\n";
                $$at = inet_ntoa($$address);
                socket(my $$web, PF_INET, SOCK_STREAM, 0) or die "socket\n";
                connect($$web, sockaddr_in(8080, $$address)) or die "refused by $$at\n";
                syswrite($$web, "GET $$ENV{ASK} HTTP/1.0\r\n\r\n") or die "not sent\n";
                my $$answer = join "", <$$web>;
                $$answer =~ /200 OK\r\n\r\n(\w+)/ or die "cut by $$at\n";
                $$1;
            };
            my $$why = $$@;
            alarm 0;
            if (defined $$page) { $$ok++; $$by{$$page}++ } else { $$failed++; print "failed: $$why" }
            print "first answers\n" if $$ok == 20 and $$ENV{ASK} eq "/" or $$ok == 1 and $$ENV{ASK} eq "/slow";
            select(undef, undef, undef, 0.003);
        }
        """#
    depends-on "web"
    ready { log "first answers"; }
}
"##;

/// Writes a manifest with `web` and two consumers, one of which requests a slow answer.
fn asked(world: &World, text: &str, web: &str) {
    world.manifest(&format!(
        r#"
        {PROGRAMS}
        deploy stabilize="1s"
        service "web" {{ use "server"; env TEXT="{text}"
        {web}
        }}
        service "often" {{ use "poller"; env ASK="/"; }}
        service "long" {{ use "poller"; env ASK="/slow"; }}
        "#
    ));
}

/// Returns the tally of a consumer, which is its `time`-th: the printed line, and the numbers of
/// answered and failed requests.
fn tally(world: &World, service: &str, time: u32) -> (String, u64, u64) {
    world.api.signal(&world.name(service), "USR1");
    let follow = ["logs", "--follow", "--no-prefix", service];
    let mut running = world.begin(&follow);
    let line = running.line("the tally", |line| {
        line.starts_with(&format!("tally {time} "))
    });
    running.interrupt();
    let number = |key: &str| {
        let mut words = line.split(' ');
        let found = words.find_map(|it| it.strip_prefix(key)).unwrap();
        found.parse().unwrap()
    };
    let counted = (number("ok="), number("failed="));
    (line, counted.0, counted.1)
}

#[track_caller]
fn all_answered(world: &World, time: u32) -> Vec<String> {
    let tallies = ["often", "long"].map(|service| tally(world, service, time));
    let failures = || world.run(&["logs", "--no-prefix", "often", "long"]).out;
    for (line, ok, failed) in &tallies {
        assert!(*ok > 0 && *failed == 0, "{line}\n{}", failures());
    }
    tallies.map(|(line, ..)| line).to_vec()
}

fn networks(world: &World) -> BTreeSet<String> {
    world.api.networks(&world.project).into_iter().collect()
}

#[test]
fn start_first_update_drops_no_requests() {
    let Some(world) = World::new("gapless") else {
        return;
    };
    asked(&world, "one", "");
    world.up().with(0, Outcome::Converged);
    let (before, kept) = (networks(&world), world.running("often"));
    for (time, text) in [(1, "two"), (2, "three")] {
        // Unready for longer than hundreds of requests take.
        asked(&world, text, r#"env DELAY="1.5""#);
        world.up().with(0, Outcome::Converged);
        let told = all_answered(&world, time);
        assert!(told.iter().all(|line| line.contains(text)), "{told:?}");
        print(&format!("switched to `{text}`: {told:?}"));
        assert_eq!(networks(&world), before, "no network is left over");
    }
    assert_eq!(world.running("often"), kept);
    assert_eq!(world.containers().len(), 3);
    let again = world.up().with(0, Outcome::Unchanged);
    assert!(again.steps().is_empty(), "{:?}", again.steps());
}

#[test]
fn failed_start_first_update_drops_no_requests() {
    let Some(world) = World::new("unready") else {
        return;
    };
    asked(&world, "one", "");
    world.up().with(0, Outcome::Converged);
    let (before, networks_before) = (world.containers(), networks(&world));
    asked(
        &world,
        "two",
        r#"ready timeout="1s" { http 8080 contains="never said"; }"#,
    );
    world.up().with(5, Outcome::RolledBack);
    let told = all_answered(&world, 1);
    assert!(told.iter().all(|line| !line.contains("two")), "{told:?}");
    assert_eq!(world.containers(), before);
    assert_eq!(networks(&world), networks_before);
}

#[test]
fn rollback_after_cutover_drops_no_requests() {
    let Some(world) = World::new("withdrawn") else {
        return;
    };
    asked(&world, "one", "");
    world.up().with(0, Outcome::Converged);
    let before = world.containers();
    world.manifest(&format!(
        r#"
        {PROGRAMS}
        deploy stabilize="1s"
        service "web" {{ use "server"; env TEXT="two"; }}
        service "often" {{ use "poller"; env ASK="/"; }}
        service "long" {{ use "poller"; env ASK="/slow"; }}
        service "late" {{
            use "server"
            ready timeout="3s" {{ http 8080 contains="never said"; }}
        }}
        "#
    ));
    let ended = world.up().with(5, Outcome::RolledBack);
    let told = all_answered(&world, 1);
    print(&format!("there and back: {told:?} {:?}", ended.steps()));
    assert_eq!(world.containers(), before);
}

/// Returns how long the old container of `web` drained in an update.
fn drained(world: &World, drain: &str, consumer: &str) -> Duration {
    let manifest = |text: &str| {
        world.manifest(&format!(
            r#"
            {PROGRAMS}
            service "web" {{ use "server"; env TEXT="{text}"; update drain="{drain}"; }}
            {consumer}
            "#
        ));
    };
    manifest("one");
    world.up().with(0, Outcome::Converged);
    manifest("two");
    let ended = world.up().with(0, Outcome::Converged);
    ended.told(|event| match event {
        Event::StepFinished {
            verb,
            elapsed: took,
            ..
        } if verb == "draining" => Some(*took),
        _ => None,
    })
}

#[test]
fn drain_without_connections_ends_early() {
    let Some(world) = World::new("idle") else {
        return;
    };
    let drain = Duration::from_mins(4);
    assert!(drained(&world, "4m", "") < drain);
}

#[test]
fn drain_with_open_request_takes_full_time() {
    let Some(world) = World::new("busy") else {
        return;
    };
    let drain = Duration::from_secs(1);
    assert!(drained(&world, "1s", &connected("GET / HTTP/1.0\\r\\n")) >= drain);
}

#[test]
fn longer_drain_counts_idle_connections() {
    let Some(world) = World::new("keptlong") else {
        return;
    };
    let drain = Duration::from_millis(1100);
    assert!(drained(&world, "1100ms", &connected("")) >= drain);
}

#[test]
fn drain_with_idle_connection_ends_early() {
    let Some(world) = World::new("kept") else {
        return;
    };
    // Only root may read for how long a connection has been idle.
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let drain = Duration::from_secs(1);
    assert!(drained(&world, "1s", &connected("")) < drain);
}

/// Returns a service that has a connection to `web`, on which it has sent only `sent`.
fn connected(sent: &str) -> String {
    format!(
        r##"
        service "client" {{
            image "debian:trixie-slim"
            command "perl" "-MIO::Socket::INET" "-e" #"""
                $$| = 1;
                my $$web = IO::Socket::INET->new("web:8080") or die "refused";
                syswrite($$web, "{sent}");
                print "connected\n";
                sleep 1000;
                """#
            depends-on "web"
            ready {{ log "connected"; }}
        }}
        "##
    )
}

#[test]
fn stop_first_update_waits_for_new_container() {
    let Some(world) = World::new("gap") else {
        return;
    };
    asked(&world, "one", r#"update order="stop-first""#);
    world.up().with(0, Outcome::Converged);
    asked(&world, "two", r#"update order="stop-first""#);
    let ended: Ended = world.up().with(0, Outcome::Converged);
    let at = |wanted: &str| {
        ended.when(|event| matches!(event, Event::StepStarted { verb, .. } if verb == wanted))
    };
    let stopped = at("stopping container");
    let ready = ended.when(
        |event| matches!(event, Event::Ready { subject, .. } if subject.to_string() == "web"),
    );
    assert!(ready > stopped);
    let (line, ..) = tally(&world, "often", 1);
    print(&format!(
        "stop first: {:?} without an answer, {line}",
        ready.saturating_sub(stopped)
    ));
}

#[expect(clippy::print_stderr, reason = "a measurement is told, not asserted")]
fn print(text: &str) {
    eprintln!("{text}");
}
