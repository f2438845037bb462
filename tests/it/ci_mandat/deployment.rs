//! CI-Mandat under a name, at ports and with secrets of the test's own, so that one which runs on
//! the same machine is not disturbed. Whatever is left of it goes with the value.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

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
    pub fn prepare() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        fs::copy(repository.join(MANIFEST), folder.path().join(MANIFEST)).unwrap();
        for sources in ["examples", "dockerfiles"] {
            symlink(repository.join(sources), folder.path().join(sources)).unwrap();
        }
        let mut ports = free_ports();
        Self {
            folder,
            project: format!("it-ci-mandat-{}", std::process::id()),
            frontend_port: ports.next().unwrap(),
            backend_port: ports.next().unwrap(),
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
        checked(&self.cimandat(&[], arguments), arguments, code)
    }

    /// The same with a second manifest laid over the first.
    pub fn run_over(&self, manifest: &str, arguments: &[&str], code: i32) -> String {
        let over = "manifests/over.kdl";
        fs::write(self.folder.path().join(over), manifest).unwrap();
        checked(
            &self.cimandat(&["--file", over], arguments),
            arguments,
            code,
        )
    }

    fn cimandat(&self, files: &[&str], arguments: &[&str]) -> Output {
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
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The id of the container that runs for a service.
    pub fn container_of(&self, service: &str) -> String {
        let label = format!("label=com.docker.compose.service={service}");
        self.ask(&["ps", "--quiet", "--no-trunc", "--filter", &label])
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
        self.cimandat(&[], &["down", "--volumes", "--images"]);
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

/// Ports below those that the kernel gives to clients: one that asks while nothing listens could
/// otherwise be given the very port, and keep the engine from publishing it again.
fn free_ports() -> impl Iterator<Item = u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (first..32_000).filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
}
