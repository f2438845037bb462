//! Updates of the complete CI-Mandat that are killed, each at another request to the engine. After
//! each `recover` it is healthy, of one generation, and has its user data.
//!
//! The test runs when `CIMANDAT_CRASH_POINTS` selects requests (`all`: every request, before it was
//! sent and after it was answered), as each takes a quarter of a minute.

use std::{env, process::Command};

use super::{deployment::Deployment, is_skipped};
use crate::{
    crashes::{points, tell},
    support::Client,
};

/// Returns a manifest that changes the definition of every long-running service.
fn update(version: usize) -> String {
    let services = ["postgres", "redis", "backend", "frontend"];
    let changed = services
        .map(|service| format!("service \"{service}\" {{ label \"version\" \"{version}\"; }}\n"));
    changed.concat()
}

/// Runs a command, which may be killed at a request: returns its exit code and its output.
fn run(mut command: Command, crash: &str) -> (Option<i32>, String) {
    let output = command.env("CIMANDAT_CRASH", crash).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

/// Creates a mandate, and returns its ID.
fn ask_for_a_mandate(deployment: &Deployment) -> String {
    let body = r#"{"nom": "Kouamé", "prenom": "Adjoua", "fonction": "Déléguée", "email": "adjoua@example.org",
        "telephone": "+225 07 01 02 03 04", "circonscription": "Yamoussoukro"}"#;
    let (status, answer) = send(deployment, "POST /api/v1/mandates", body).unwrap();
    assert_eq!(status, 201, "{answer}");
    let made: serde_json::Value = serde_json::from_str(&answer).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn send(deployment: &Deployment, what: &str, body: &str) -> Option<(u16, String)> {
    let port = deployment.backend_port;
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.0\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    Client::exchange(("127.0.0.1", port), &request)
}

/// Checks that everything is of one generation, serves, has the mandate, and that nothing else
/// exists.
fn faults(deployment: &Deployment, id: &str) -> Result<String, String> {
    let versions = deployment.versions();
    if versions.len() != 4 || versions.iter().any(|version| *version != versions[0]) {
        return Err(format!("it runs with the versions {versions:?}"));
    }
    let networks = deployment.networks();
    if networks.lines().count() != 2 {
        return Err(format!("there are the networks {networks}"));
    }
    match send(deployment, &format!("GET /api/v1/mandates/{id}"), "") {
        Some((200, body)) if body.contains("Kouamé") => {}
        other => return Err(format!("asked for the mandate: {other:?}")),
    }
    match deployment.front_page() {
        Some((200, _)) => Ok(versions[0].clone()),
        other => Err(format!("asked for the page: {other:?}")),
    }
}

#[test]
fn killed_updates_are_recovered_with_their_data() {
    if env::var("CIMANDAT_CRASH_POINTS").is_err() {
        tell("skipped: `./dev crash` says at which requests");
        return;
    }
    if is_skipped() {
        return;
    }
    let deployment = Deployment::prepare("crashes");
    deployment.run_over(&update(0), &["up"], 0);
    let id = ask_for_a_mandate(&deployment);
    let (code, told) = run(deployment.over(&update(1), &["up"]), "count");
    assert_eq!(code, Some(0), "{told}");
    let counted = told
        .lines()
        .find_map(|line| line.strip_prefix("changing requests: "));
    let requests: u64 = counted.unwrap().parse().unwrap();
    let mut failed = Vec::new();
    for (version, at) in points(requests).iter().enumerate() {
        let version = version + 2;
        let (up, told) = run(
            deployment.over(&update(version), &["up", "--progress", "plain"]),
            at,
        );
        let (recover, recovery) = run(deployment.over("", &["recover"]), "count");
        let (state, new) = (faults(&deployment, &id), version.to_string());
        match (recover, &state) {
            // The exit code is correct: 5 means that the old generation runs again.
            (Some(code @ (0 | 5)), Ok(now)) if code == 0 || *now != new => {
                let world = if *now == new { "new" } else { "old" };
                tell(&format!("{at:<12} {world} up {up:?}, recover {code}"));
            }
            _ => failed.push(format!("{at}: {recover:?} {state:?}\n{told}{recovery}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    deployment.run(&["down", "--volumes", "--images"], 0);
}
