//! The complete CI-Mandat on a real engine, deployed by the real program and used through a real
//! browser: user data survives `down`, and a bad update leaves the good version in service.
//!
//! Without an engine or a browser the test prints the reason and is skipped.
//! `CIMANDAT_TEST_ENGINE=require` makes that a failure.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says why it is skipped and what it measured"
)]

mod browser;
mod crashes;
mod deployment;
mod poll;

use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use self::{browser::Browser, deployment::Deployment, poll::Poll};

/// The base image of CI-Mandat.
const BASE: &str = "debian:trixie-slim";

/// Starts, listens, and answers every request with an error: only a gate can detect the fault.
const BAD_BACKEND: &str = r#"
service "backend" {
    command "node" "-e" "require('http').createServer((_, answer) => { answer.statusCode = 500; answer.end() }).listen(3001)"
    ready timeout="2s" {
        http 3001 "/api/v1/health" contains="TLSv1.3"
    }
}
"#;

/// The visitor's input, by the names of the form fields.
const VISITOR: [(&str, &str); 6] = [
    ("nom", "Kouamé"),
    ("prenom", "Adjoua Élodie"),
    ("fonction", "Déléguée départementale"),
    ("email", "adjoua.kouame@example.org"),
    ("telephone", "+225 07 01 02 03 04"),
    ("circonscription", "Yamoussoukro"),
];

/// Returns a requirement that is missing on this machine.
fn lack() -> Option<&'static str> {
    let works = |command: &[&str]| {
        let output = Command::new(command[0]).args(&command[1..]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let needed: [(&[&str], _); 3] = [
        (&["docker", "version"], "an engine, and `docker` to ask it"),
        (&["docker", "image", "inspect", BASE], BASE),
        (&[browser::PROGRAM, "--version"], browser::PROGRAM),
    ];
    let missing = needed.into_iter().find(|(command, _)| !works(command));
    missing.map(|(_, what)| what)
}

/// Returns whether the test has to be skipped, and prints the reason.
fn is_skipped() -> bool {
    let Some(lack) = lack() else {
        return false;
    };
    let required = std::env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
    assert!(!required, "{lack} is required and not there");
    eprintln!("skipped: needs {lack}");
    true
}

#[test]
fn user_data_survives_down_and_a_bad_update() {
    if is_skipped() {
        return;
    }
    let deployment = Deployment::prepare("whole");
    deployment.run(&["up"], 0);
    let mut browser = Browser::start();

    let (id, reference) = ask_for_a_mandate(&mut browser, &deployment);
    issue(&mut browser, &reference);
    let document = download(&mut browser, &id);
    assert!(document.starts_with(b"%PDF-"), "not a PDF");
    let printed = Sha256::digest(&document);

    deployment.run(&["down"], 0);
    assert_eq!(deployment.containers(), "");
    assert_eq!(deployment.networks(), "");
    let mut kept: Vec<String> = deployment.volumes().lines().map(str::to_owned).collect();
    kept.sort();
    let volumes = ["pdf_storage", "postgres_data", "redis_data"];
    assert_eq!(kept, volumes.map(|name| deployment.full(name)));

    deployment.run(&["up"], 0);
    browser.open(&deployment.page());
    assert_eq!(listed(&mut browser, &id), json!("Adjoua Élodie Kouamé"));
    assert_eq!(Sha256::digest(download(&mut browser, &id)), printed);

    survive_a_bad_update(&deployment);
    browser.open(&deployment.page());
    assert_eq!(Sha256::digest(download(&mut browser, &id)), printed);

    deployment.run(&["down", "--volumes", "--images"], 0);
    let left = [
        deployment.containers(),
        deployment.networks(),
        deployment.volumes(),
        deployment.images(),
    ];
    assert_eq!(left, [""; 4], "`down --volumes --images` left something");
}

/// Fills in and submits the form; returns the mandate's ID and reference, as the list shows them.
fn ask_for_a_mandate(browser: &mut Browser, deployment: &Deployment) -> (String, String) {
    browser.open(&deployment.page());
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#mandates li').length"),
        json!(0),
        "the list is empty at first"
    );
    for (name, value) in VISITOR {
        browser.type_into(&format!("#mandate [name={name}]"), value);
    }
    browser.click("#create");
    let said = browser.text("#success");
    let id = browser.evaluate("document.querySelector('#mandates li').dataset.mandateId");
    let reference = browser.evaluate("document.querySelector('#mandates li').dataset.reference");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (id, reference) = (text(&id), text(&reference));
    assert!(said.contains(&reference), "{said}");
    assert_eq!(listed(browser, &id), json!("Adjoua Élodie Kouamé"));
    (id, reference)
}

/// Issues the document with the button in the list.
fn issue(browser: &mut Browser, reference: &str) {
    browser.click("#mandates form.issue button");
    let said = browser.text("#success");
    assert_eq!(said, format!("Le document {reference} est prêt."));
}

/// Returns the name of the mandate's holder that the list shows under this ID.
fn listed(browser: &mut Browser, id: &str) -> serde_json::Value {
    browser.evaluate(&format!(
        "document.querySelector('li[data-mandate-id=\"{id}\"] strong').innerText"
    ))
}

/// Downloads the document behind the link in the list, as the page does.
fn download(browser: &mut Browser, id: &str) -> Vec<u8> {
    browser.fetch(&format!("li[data-mandate-id=\"{id}\"] a.download"))
}

/// Runs an update whose gate does not pass, while a client sends requests.
fn survive_a_bad_update(deployment: &Deployment) {
    let before = deployment.container_of("backend");
    assert!(!before.is_empty(), "a backend runs");
    let poll = Poll::start(deployment.backend_port, "/api/v1/health");
    let told = deployment.run_over(BAD_BACKEND, &["up"], 5);
    assert!(told.contains("rolled back"), "{told}");
    let seen = poll.stop();
    eprintln!("a bad update of the backend: {seen}");
    assert!(seen.good > 0, "no request was answered: {seen}");
    assert_eq!(seen.bad, 0, "the bad version was in service: {seen}");
    assert!(seen.ended_well, "the old version does not serve: {seen}");
    assert_eq!(
        deployment.container_of("backend"),
        before,
        "the old container"
    );
    let told = deployment.run(&["up"], 0);
    assert!(told.contains("5 unchanged"), "{told}");
}
