//! CI-Mandat under its own project name, with the test's own ports and secrets, so that another
//! CI-Mandat on the same machine is not disturbed. Dropping the value removes everything.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{Client, free_port};

const MANIFEST: &str = "manifests/ci-mandat.kdl";
/// Variables of the manifest; the user's own values are removed from the environment.
const VARIABLES: [&str; 5] = [
    "FRONTEND_URL",
    "FRONTEND_PORT",
    "BACKEND_PORT",
    "RATE_LIMIT_MAX",
    "RATE_LIMIT_WINDOW_SECONDS",
];

/// A CI-Mandat of the test's own.
pub struct Deployment {
    /// A folder like the repository, with a place for secrets next to the manifest.
    folder: TempDir,
    project: String,
    frontend_port: u16,
    /// The published port of the API.
    pub backend_port: u16,
}

impl Deployment {
    /// Prepares the folder; nothing is deployed yet.
    pub fn prepare(story: &str) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        fs::copy(repository.join(MANIFEST), folder.path().join(MANIFEST)).unwrap();
        for sources in ["examples", "dockerfiles"] {
            symlink(repository.join(sources), folder.path().join(sources)).unwrap();
        }
        Self {
            folder,
            project: format!("it-ci-mandat-{story}-{}", std::process::id()),
            frontend_port: free_port(),
            backend_port: free_port(),
        }
    }

    /// Returns the address of the front page.
    pub fn page(&self) -> String {
        format!("http://localhost:{}/", self.frontend_port)
    }

    /// Returns the engine's name for an object of the project.
    pub fn full(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Runs `cimandat`, checks its exit code and returns its output.
    pub fn run(&self, arguments: &[&str], code: i32) -> String {
        checked(
            &self.cimandat(&[], arguments).output().unwrap(),
            arguments,
            code,
        )
    }

    /// As [`Self::run`], with a second manifest over the first.
    pub fn run_over(&self, manifest: &str, arguments: &[&str], code: i32) -> String {
        let output = self.over(manifest, arguments).output().unwrap();
        checked(&output, arguments, code)
    }

    /// Returns the command `cimandat` with a second manifest over the first, not started.
    pub fn over(&self, manifest: &str, arguments: &[&str]) -> Command {
        let over = "manifests/over.kdl";
        fs::write(self.folder.path().join(over), manifest).unwrap();
        self.cimandat(&["--file", over], arguments)
    }

    fn cimandat(&self, files: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cimandat"));
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
            .current_dir(self.folder.path())
            .env("FRONTEND_PORT", self.frontend_port.to_string())
            .env("BACKEND_PORT", self.backend_port.to_string())
            .args(["--project-name", &self.project, "--file", MANIFEST])
            .args(files)
            .args(arguments);
        command
    }

    /// Returns the ID of a service's running container.
    pub fn container_of(&self, service: &str) -> String {
        let label = format!("label=com.docker.compose.service={service}");
        self.ask(&["ps", "--quiet", "--no-trunc", "--filter", &label])
    }

    /// Returns the `version` label of each running container.
    pub fn versions(&self) -> Vec<String> {
        let listed = self.ask(&["ps", "--format", "{{.Label \"version\"}}"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Requests the front page.
    pub fn front_page(&self) -> Option<(u16, String)> {
        let port = self.frontend_port;
        let request = format!("GET / HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n");
        Client::exchange(("127.0.0.1", port), &request)
    }

    /// Returns all containers of the project, running or not.
    pub fn containers(&self) -> String {
        self.ask(&["ps", "--all", "--format", "{{.Names}}"])
    }

    /// Returns all networks of the project.
    pub fn networks(&self) -> String {
        self.ask(&["network", "ls", "--format", "{{.Name}}"])
    }

    /// Returns all volumes of the project.
    pub fn volumes(&self) -> String {
        self.ask(&["volume", "ls", "--format", "{{.Name}}"])
    }

    /// Returns all images whose names belong to the project.
    pub fn images(&self) -> String {
        let named = format!("reference={}-*", self.project);
        docker(&["images", "--quiet", "--filter", &named])
    }

    /// Lists objects with the project's label, one line each.
    fn ask(&self, arguments: &[&str]) -> String {
        let label = format!("label=io.cimandat.project={}", self.project);
        docker(&[arguments, &["--filter", &label]].concat())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // After a successful test nothing is left; after a failure its message has been printed by
        // now.
        let _ = self
            .cimandat(&[], &["down", "--volumes", "--images"])
            .output();
    }
}

fn checked(output: &Output, arguments: &[&str], code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{told}");
    told
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
