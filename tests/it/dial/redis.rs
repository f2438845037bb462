//! Probes of a real Redis server.

use std::{io::Write, net::TcpStream, path::Path, process::Stdio};

use cimandat::{
    engine::ProbeResult,
    project::{Probe, Tls},
    secret::Text,
};

use super::{
    LOOPBACK, ask, first_word, never, not_yet, ready,
    servers::{self, Certificate, Home, Server},
    until,
};

pub fn probe(port: u16, login: Option<(&str, &str)>, tls: Option<Tls>) -> Probe {
    Probe::Redis {
        port,
        user: login.map(|(user, _)| user.to_owned()),
        password: login.map(|(_, password)| Text::sealed("${secret:r}".into(), password.into())),
        tls,
    }
}

fn start(home: &Home, program: &Path, options: &[&str]) -> Server {
    let mut command = home.command(program);
    command
        .args(["--bind", "127.0.0.1", "--save", ""])
        .args(options);
    Server(command.stdout(Stdio::null()).spawn().expect("a server"))
}

#[tokio::test]
async fn redis_probe_handles_missing_given_and_wrong_password() {
    let Some(program) = servers::program("redis-server", &[]) else {
        return;
    };
    let home = Home::of("nobody");
    let port = servers::free_port();
    let number = port.to_string();
    let users = "--user ci on >hunter3 +ping --user deaf on >hunter4 +get";
    let users: Vec<_> = users.split(' ').collect();
    let options = ["--port", &number, "--requirepass", "hunter2"];
    let _server = start(&home, &program, &[&options[..], &users].concat());
    let open = first_word(&probe(port, None, None)).await;
    assert_eq!(open, ready("up, asks for a password"));
    let check = async |login: (&str, &str), expected: ProbeResult| {
        assert_eq!(ask(&probe(port, Some(login), None)).await, expected);
    };
    check(("default", "hunter2"), ready("PONG")).await;
    check(("ci", "hunter3"), ready("PONG")).await;
    let wrong = "up, but refuses: WRONGPASS invalid username-password pair or user is disabled.";
    check(("default", "hunter1"), never(wrong)).await;
    let ProbeResult::Impossible(deaf) = ask(&probe(port, Some(("deaf", "hunter4")), None)).await
    else {
        panic!("a user who may not even ask is never ready");
    };
    assert!(deaf.contains("NOPERM"), "{deaf}");
}

#[tokio::test]
async fn redis_probe_works_over_tls() {
    let Some(program) = servers::program("redis-server", &[]) else {
        return;
    };
    let home = Home::of("nobody");
    let certificate = Certificate::of("cache");
    home.write("chain.pem", &certificate.chain);
    home.write("key.pem", &certificate.key);
    let port = servers::free_port();
    let number = port.to_string();
    let files = ["--tls-cert-file", "chain.pem", "--tls-key-file", "key.pem"];
    let options = [
        "--port",
        "0",
        "--tls-port",
        &number,
        "--tls-auth-clients",
        "no",
    ];
    let _server = start(&home, &program, &[&options[..], &files[..]].concat());
    let verify = Tls::Verify {
        authority: certificate.authority,
        host: "cache".to_owned(),
    };
    let answer = first_word(&probe(port, None, Some(verify))).await;
    assert_eq!(answer, ready("PONG"));
}

#[tokio::test]
async fn redis_probe_is_pending_while_loading() {
    let Some(program) = servers::program("redis-server", &[]) else {
        return;
    };
    let home = Home::of("nobody");
    let port = servers::free_port();
    let number = port.to_string();
    let options = ["--port", &number, "--enable-debug-command", "yes"];
    let mut server = start(&home, &program, &options);
    assert_eq!(first_word(&probe(port, None, None)).await, ready("PONG"));
    let mut stream = TcpStream::connect((LOOPBACK, port)).expect("a connection");
    let commands = b"DEBUG POPULATE 500\r\nSHUTDOWN SAVE\r\n";
    stream.write_all(commands).expect("two commands");
    assert!(server.0.wait().expect("its end").success());

    // One millisecond per key, and a check of the network after each kilobyte.
    let slow = ["--key-load-delay", "1000"];
    let attentive = ["--loading-process-events-interval-bytes", "1024"];
    let options = [&["--port", &number][..], &slow, &attentive].concat();
    let _server = start(&home, &program, &options);
    let loading = first_word(&probe(port, None, None)).await;
    assert_eq!(
        loading,
        not_yet("LOADING Redis is loading the dataset in memory")
    );
    let end = until(&probe(port, None, None), |answer| *answer != loading).await;
    assert_eq!(end, ready("PONG"));
}
