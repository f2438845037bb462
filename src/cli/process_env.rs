//! The world that a command was typed in, read once.

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

/// Arguments, environment, folder and terminal of this process.
#[derive(Debug, Clone)]
pub struct ProcessEnv {
    /// As typed, with the program's name first.
    pub arguments: Vec<OsString>,
    /// Variables that are text; others cannot be used by a manifest.
    pub environment: BTreeMap<String, String>,
    /// The current folder.
    pub directory: PathBuf,
    /// Columns and lines of the terminal, if there is one.
    pub size: Option<(u16, u16)>,
}

impl ProcessEnv {
    /// Reads them.
    ///
    /// # Errors
    /// When there is no current folder (any more).
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

    /// What comes in by standard input, if it is one of the manifests.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub fn standard_input(files: &[PathBuf]) -> io::Result<Option<String>> {
        let is_asked_for = files.iter().any(|file| is_standard_input(file));
        is_asked_for
            .then(|| io::read_to_string(io::stdin()))
            .transpose()
    }

    /// The manifests that were named, absolute; standard input stays what it is.
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

    /// A variable that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    /// Whether colours are not wanted (<https://no-color.org>).
    #[must_use]
    pub fn no_colour(&self) -> bool {
        self.variable("NO_COLOR").is_some() || self.dumb()
    }

    /// Whether the terminal cannot move its cursor.
    #[must_use]
    pub fn dumb(&self) -> bool {
        self.environment
            .get("TERM")
            .is_some_and(|term| term == "dumb")
    }

    /// Where the engine is looked for, and with what configuration.
    ///
    /// # Errors
    /// When `CIMANDAT_CRASH` names no place to end at.
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
