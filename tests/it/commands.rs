//! The program without an engine: error messages of commands.
#![cfg(test)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cimandat"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CIMANDAT_PROJECT")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ssh_failure_is_reported_with_its_message() {
    let folder = TempDir::new().unwrap();
    let ssh = folder.path().join("ssh");
    let words = "ssh: Could not resolve hostname far: Name or service not known";
    fs::write(&ssh, format!("#!/bin/sh\necho '{words}' >&2\nexit 255\n")).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let variables = [("PATH", path.as_str()), ("DOCKER_HOST", "ssh://far")];
    let ended = run(folder.path(), &["-p", "shop", "ps"], &variables);
    assert_eq!(ended.status.code(), Some(125));
    let told = told(&ended);
    assert!(told.contains(&format!("`ssh` says: {words}")), "{told}");
    let empty = TempDir::new().unwrap();
    let nowhere = empty.path().display().to_string();
    let variables = [("PATH", nowhere.as_str()), ("DOCKER_HOST", "ssh://far")];
    let ended = run(folder.path(), &["-p", "shop", "ps"], &variables);
    assert_eq!(ended.status.code(), Some(125));
    assert!(
        self::told(&ended).contains("`ssh` cannot be run"),
        "{ended:?}"
    );
}

#[test]
fn folder_in_place_of_manifest_is_named() {
    let folder = TempDir::new().unwrap();
    let stack = folder.path().join("stack");
    fs::create_dir(&stack).unwrap();
    let ended = run(folder.path(), &["check", "-f", "stack"], &[]);
    assert_eq!(ended.status.code(), Some(3));
    let shown = told(&ended);
    assert!(shown.contains("reading `stack`"), "{shown}");
    assert!(shown.contains("`-f stack/cimandat.kdl`"), "{shown}");
    let ended = run(&stack, &["check", "-f", "."], &[]);
    let shown = told(&ended);
    assert!(shown.contains("reading `.`"), "{shown}");
    assert!(shown.contains("`-f cimandat.kdl`"), "{shown}");
}

#[test]
fn check_does_not_read_secret_values() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("password");
    // A read of the pipe would block forever.
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let manifest = r#"
        project "shop"
        secret "password" file="./password"
        service "web" { image "debian"; secret "password"; env URL="db:${secret:password}@x"; }
    "#;
    fs::write(folder.path().join("cimandat.kdl"), manifest).unwrap();
    for command in ["check", "graph"] {
        let ended = run(folder.path(), &[command], &[]);
        assert_eq!(ended.status.code(), Some(0), "{command}: {}", told(&ended));
    }
    fs::remove_file(&pipe).unwrap();
    let ended = run(folder.path(), &["check"], &[]);
    assert_eq!(ended.status.code(), Some(3));
    assert!(told(&ended).contains("cannot read"), "{}", told(&ended));
}

#[test]
fn readme_lists_all_exit_codes_of_help() {
    let folder = TempDir::new().unwrap();
    let help = run(folder.path(), &["--help"], &[]).stdout;
    let help = String::from_utf8(help).unwrap().replace('\n', " ");
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 125] {
        assert!(
            readme.contains(&format!("\n| {code} | ")),
            "{code} in the README"
        );
        let listed = [format!("codes: {code} "), format!("· {code} ")];
        assert!(
            listed.iter().any(|it| help.contains(it)),
            "{code} in {help}"
        );
    }
}
