//! CI-Mandat under a name, at ports and with secrets of the test's own, so that one which runs on
//! the same machine is not disturbed. Whatever is left of it goes with the value.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{Client, free_port};

const MANIFEST: &str = "manifests/ci-mandat.kdl";
/// What the manifest takes from the environment; the user's own values are kept out.
const VARIABLES: [&str; 5] = [
    "FRONTEND_URL",
    "FRONTEND_PORT",
    "BACKEND_PORT",
    "RATE_LIMIT_MAX",
    "RATE_LIMIT_WINDOW_SECONDS",
];

/// A CI-Mandat of the test's own.
pub struct Deployment {
    /// A folder like the repository, but with room for secrets beside the manifest.
    folder: TempDir,
    project: String,
    frontend_port: u16,
    /// Where the API is published.
    pub backend_port: u16,
}

impl Deployment {
    /// Lays out the folder; nothing is deployed yet.
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

    /// Where visitors come in.
    pub fn page(&self) -> String {
        format!("http://localhost:{}/", self.frontend_port)
    }

    /// The engine's name for something of the project.
    pub fn full(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Runs `cimandat`; gives what it told, after it ended with this code.
    pub fn run(&self, arguments: &[&str], code: i32) -> String {
        checked(
            &self.cimandat(&[], arguments).output().unwrap(),
            arguments,
            code,
        )
    }

    /// The same with a second manifest laid over the first.
    pub fn run_over(&self, manifest: &str, arguments: &[&str], code: i32) -> String {
        let output = self.over(manifest, arguments).output().unwrap();
        checked(&output, arguments, code)
    }

    /// `cimandat` with a second manifest laid over the first, not begun.
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

    /// The id of the container that runs for a service.
    pub fn container_of(&self, service: &str) -> String {
        let label = format!("label=com.docker.compose.service={service}");
        self.ask(&["ps", "--quiet", "--no-trunc", "--filter", &label])
    }

    /// The versions that the labels of what runs say, one for each container.
    pub fn versions(&self) -> Vec<String> {
        let listed = self.ask(&["ps", "--format", "{{.Label \"version\"}}"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// What a visitor gets first.
    pub fn front_page(&self) -> Option<(u16, String)> {
        let port = self.frontend_port;
        let request = format!("GET / HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n");
        Client::exchange(("127.0.0.1", port), &request)
    }

    /// All of the project's containers, running or not.
    pub fn containers(&self) -> String {
        self.ask(&["ps", "--all", "--format", "{{.Names}}"])
    }

    /// All of the project's networks.
    pub fn networks(&self) -> String {
        self.ask(&["network", "ls", "--format", "{{.Name}}"])
    }

    /// All of the project's volumes.
    pub fn volumes(&self) -> String {
        self.ask(&["volume", "ls", "--format", "{{.Name}}"])
    }

    /// All images under names of the project.
    pub fn images(&self) -> String {
        let named = format!("reference={}-*", self.project);
        docker(&["images", "--quiet", "--filter", &named])
    }

    /// Lists what bears the project's label, a line for each.
    fn ask(&self, arguments: &[&str]) -> String {
        let label = format!("label=io.cimandat.project={}", self.project);
        docker(&[arguments, &["--filter", &label]].concat())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // Nothing is left when all went well; what went wrong has been told by then.
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
