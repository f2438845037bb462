//! Names that `check` accepts, on the engine: containers, networks, volumes, images, hosts.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use cimandat::event::Outcome;

use crate::support::World;

#[test]
fn unusual_names_are_deployed() {
    let Some(world) = World::new("names") else {
        return;
    };
    let long = "n".repeat(63);
    world.manifest(&format!(
        r#"
        deploy stabilize="0s"
        network "Back.end_-net"
        volume "d"
        secret "{long}" generate="hex"
        service "Web" {{
            use "doomed"
            network "Back.end_-net" alias="www.example"
            volume "d" "/data"
            secret "{long}"
            hostname "web.example"
            extra-host "else.where" "10.0.0.1" "10.0.0.2"
            tmpfs "/programs" exec=#true uid=1000 gid=1000
            ready {{ exec "sh" "-c" "hostname | grep web.example && getent hosts a.b__c--d"; }}
        }}
        service "a.b__c--d" {{ use "doomed"; network "Back.end_-net"; }}
        service "{long}" {{ use "doomed"; }}
        "#
    ));
    world.run(&["check"]).with_code(0);
    world.up().with(0, Outcome::Converged);
    world.up().with(0, Outcome::Unchanged);
    world.run(&["plan", "--exit-code"]).with_code(0);
}

#[test]
fn manifest_from_stdin_resolves_paths_in_current_folder() {
    let folder = tempfile::TempDir::with_prefix("Größe & mehr ").unwrap();
    std::fs::write(folder.path().join("page"), "").unwrap();
    let run = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cimandat"))
            .args(["check", "-f", "-", "--format", "json"])
            .current_dir(folder.path())
            .env_remove("CIMANDAT_PROJECT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), told)
    };
    let (code, told) = run("service \"web\" { image \"x:1\"; bind \"page\" \"/page\" }");
    assert_eq!((code, &told["ok"]), (Some(0), &true.into()), "{told}");
    let name = told["project"].as_str().unwrap();
    assert!(name.starts_with("gremehr"), "{name}");

    let (code, told) = run("service \"web\" {\n    image \"x:1\"\n    prot 80\n}");
    assert_eq!(code, Some(3));
    assert_eq!(told["errors"][0]["file"], "<stdin>");
    assert_eq!(told["errors"][0]["line"], 3);
}
