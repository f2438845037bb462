//! The environment of the process, read once.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::{
    engine::docker::{Settings, Unreadable},
    manifest::STANDARD_INPUT,
};

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == STANDARD_INPUT
}

/// Arguments, environment variables, current folder and terminal size of this process.
#[derive(Debug, Clone)]
pub struct ProcessEnv {
    /// Command-line arguments, starting with the program's name.
    pub arguments: Vec<OsString>,
    /// Environment variables in UTF-8. A manifest cannot use others.
    pub environment: BTreeMap<String, String>,
    /// The current folder.
    pub directory: PathBuf,
    /// Columns and lines of the terminal, if there is one.
    pub size: Option<(u16, u16)>,
}

impl ProcessEnv {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// Returns an error if the current folder does not exist or cannot be read.
    pub fn read() -> io::Result<Self> {
        let environment: BTreeMap<String, String> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let number = |name: &str| environment.get(name)?.parse::<u16>().ok();
        let asked = terminal_size::terminal_size_of(io::stderr()).map(|(w, h)| (w.0, h.0));
        let size = number("COLUMNS").zip(number("LINES")).or(asked);
        Ok(Self {
            arguments: env::args_os().collect(),
            directory: env::current_dir()?,
            environment,
            size,
        })
    }

    /// Reads the manifest from standard input, if `files` contains it.
    ///
    /// # Errors
    /// Returns an error if standard input cannot be read or is not UTF-8.
    pub fn standard_input(files: &[PathBuf]) -> io::Result<Option<String>> {
        let is_asked_for = files.iter().any(|file| is_standard_input(file));
        is_asked_for
            .then(|| io::read_to_string(io::stdin()))
            .transpose()
    }

    /// Makes the paths of manifests absolute. The name of standard input stays as it is.
    #[must_use]
    pub fn manifests(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let absolute = |file: PathBuf| {
            if is_standard_input(&file) {
                file
            } else {
                self.directory.join(file)
            }
        };
        files.into_iter().map(absolute).collect()
    }

    /// Returns a variable that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    /// Whether colours are disabled (<https://no-color.org>).
    #[must_use]
    pub fn no_colour(&self) -> bool {
        self.variable("NO_COLOR").is_some() || self.dumb()
    }

    /// Whether the terminal cannot move its cursor (`TERM=dumb`).
    #[must_use]
    pub fn dumb(&self) -> bool {
        self.environment
            .get("TERM")
            .is_some_and(|term| term == "dumb")
    }

    /// Returns the engine's address and the client configuration.
    ///
    /// # Errors
    /// Returns an error if `CIMANDAT_CRASH` is not a known crash point.
    pub fn engine(&self) -> Result<Settings, Unreadable> {
        let crash = self.variable("CIMANDAT_CRASH");
        Ok(Settings {
            host: self.variable("DOCKER_HOST"),
            context: self.variable("DOCKER_CONTEXT"),
            tls_verify: self.variable("DOCKER_TLS_VERIFY").is_some(),
            cert_path: self.variable("DOCKER_CERT_PATH").map(PathBuf::from),
            config_dir: self.variable("DOCKER_CONFIG").map(PathBuf::from),
            home: self.variable("HOME").map(PathBuf::from),
            ssh_agent: self.variable("SSH_AUTH_SOCK").map(PathBuf::from),
            crash: crash.map(|text| text.parse()).transpose()?,
        })
    }
}
