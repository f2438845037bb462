//! Network probes against real servers: the server of each protocol, or a listener of the test.

mod grpc;
mod http;
mod postgres;
mod redis;
mod servers;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use cimandat::{
    engine::{ProbeResult, probe},
    project::Probe,
};
use tokio::net::{TcpListener, TcpSocket};

/// Longer than any answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Probes the loopback address with a long timeout; replaces times in the answer.
async fn ask(probe: &Probe) -> ProbeResult {
    let answer = probe::ask(LOOPBACK, probe, PATIENCE).await;
    blotted(answer.expect("a probe that can be dialled"))
}

/// Probes until the answer is not "connection refused", and returns that answer.
async fn first_word(probe: &Probe) -> ProbeResult {
    until(probe, |answer| *answer != not_yet("connection refused")).await
}

/// Probes until the answer matches.
async fn until(probe: &Probe, wanted: impl Fn(&ProbeResult) -> bool) -> ProbeResult {
    let asking = async {
        loop {
            let answer = ask(probe).await;
            if wanted(&answer) {
                return answer;
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_mins(1), asking).await;
    end.expect("the wanted answer within a minute")
}

fn blotted(answer: ProbeResult) -> ProbeResult {
    let times = regex::Regex::new(r"\d+ ms").expect("a regular expression");
    let blot = |said: String| times.replace_all(&said, "N ms").into_owned();
    match answer {
        ProbeResult::Passed(said) => ProbeResult::Passed(blot(said)),
        ProbeResult::Pending(said) => ProbeResult::Pending(blot(said)),
        ProbeResult::Impossible(said) => ProbeResult::Impossible(blot(said)),
    }
}

fn ready(said: &str) -> ProbeResult {
    ProbeResult::Passed(said.to_owned())
}

fn not_yet(said: &str) -> ProbeResult {
    ProbeResult::Pending(said.to_owned())
}

fn never(said: &str) -> ProbeResult {
    ProbeResult::Impossible(said.to_owned())
}

#[tokio::test]
async fn tcp_probe_reports_accepted_or_refused_connection() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let probe = Probe::Tcp { port };
    assert_eq!(ask(&probe).await, ready("connected in N ms"));
    drop(listener);
    assert_eq!(ask(&probe).await, not_yet("connection refused"));
}

/// A server that accepts no connection, like one behind a firewall that drops packets.
#[tokio::test]
async fn unanswered_connection_attempt_times_out() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((LOOPBACK, 0).into()).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let probe = Probe::Tcp { port };
    // The first connections fill the backlog of the listener.
    let patience = Duration::from_millis(100);
    let mut last = None;
    for _ in 0..8 {
        last = probe::ask(LOOPBACK, &probe, patience).await;
    }
    assert_eq!(last, Some(not_yet("no connection within 100 ms")));
}

#[tokio::test]
async fn every_probe_detects_silence_and_wrong_protocol() {
    let silent = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = silent.local_addr().expect("its address").port();
    for probe in probes(port) {
        let answer = probe::ask(LOOPBACK, &probe, Duration::from_millis(50)).await;
        let expected = not_yet("connected, but no answer within 50 ms");
        assert_eq!(answer, Some(expected), "{probe}");
    }
    let port = servers::babbler(b"220 mail.example ESMTP\r\n").await;
    for (probe, language) in probes(port).iter().zip(LANGUAGES) {
        let expected = format!("something answers, but it is not {language}");
        assert_eq!(ask(probe).await, not_yet(&expected), "{probe}");
    }
    let port = servers::babbler(b"").await;
    for probe in probes(port) {
        let expected = not_yet("connection closed before an answer");
        assert_eq!(ask(&probe).await, expected, "{probe}");
    }
}

const LANGUAGES: [&str; 5] = ["HTTP/1.1", "TLS", "PostgreSQL", "Redis", "gRPC"];

/// Returns one probe for each of [`LANGUAGES`].
fn probes(port: u16) -> [Probe; 5] {
    [
        http::probe(port, "/"),
        http::probe_tls(port, cimandat::project::Tls::Require),
        postgres::probe(port, "owner", "postgres", None),
        redis::probe(port, None, None),
        grpc::probe(port, "", None),
    ]
}
