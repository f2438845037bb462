//! Variables of a manifest: the sources of their values, and the precedence of the sources.
//!
//! The caller provides the values: the process environment as a map, files as text. This module
//! reads no files.

mod dotenv;
mod expression;
mod interpolate;
mod mistake;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

pub use self::{
    dotenv::{Contents, Entry, parse, parse_raw},
    interpolate::interpolate,
    mistake::{DotenvError, DotenvErrorKind, InterpolationError, InterpolationErrorKind},
    template::{Segment, Template},
};

/// All variables, in layers. A stronger layer hides the values of a weaker one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    process: BTreeMap<String, String>,
    files: BTreeMap<Layer, BTreeMap<String, FileValue>>,
    /// Variables with a value in a file that could not be parsed.
    broken: BTreeSet<String>,
    /// Whether a file of variables could not be read.
    is_incomplete: bool,
}

/// Layers of files, weakest first. The process environment is stronger than all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `.env` beside the manifest.
    Default,
    /// The `env-file` of the manifest.
    Manifest,
    /// The `--env-file` of the command line.
    CommandLine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileValue {
    value: String,
    path: PathBuf,
    line: usize,
}

/// Source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The process environment.
    Process,
    /// A line of a file.
    File {
        /// Path of the file, as it was named.
        path: &'a Path,
        /// Line number, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("environment"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A variable with its value and the source of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Name of the variable.
    pub name: &'a str,
    /// Value and its source; `None` if no source has the variable.
    pub value: Option<(&'a str, Origin<'a>)>,
}

impl Environment {
    /// Returns an environment with only the process environment.
    #[must_use]
    pub fn new(process: BTreeMap<String, String>) -> Self {
        Self {
            process,
            ..Self::default()
        }
    }

    /// Adds a file to a layer. Its values replace those that the layer already has.
    ///
    /// Variables in its values are looked up in the process environment, then in the file's earlier
    /// lines, then in everything added before. Therefore, add weaker layers first.
    ///
    /// Returns all errors of the file. The lines without an error are added.
    #[must_use = "mistakes have to be reported"]
    pub fn add(&mut self, layer: Layer, path: &Path, text: &str) -> Vec<DotenvError> {
        let contents = parse(text, self);
        self.broken.extend(contents.broken);
        let values = self.files.entry(layer).or_default();
        for Entry { name, value, line } in contents.entries {
            // A name alone keeps the value that the variable already has.
            if let Some(value) = value {
                let path = path.to_owned();
                values.insert(name, FileValue { value, path, line });
            }
        }
        contents.errors
    }

    /// Records that a file of variables could not be read.
    pub fn lacks_a_file(&mut self) {
        self.is_incomplete = true;
    }

    /// Returns whether a variable without a value may have one in a file or line that could not be
    /// read. That error is already reported; an error for the variable would have the same cause.
    #[must_use]
    pub fn is_in_doubt(&self, name: &str) -> bool {
        self.is_incomplete || self.broken.contains(name)
    }

    /// Returns the strongest value of a variable, and its source.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&str, Origin<'_>)> {
        if let Some(value) = self.process.get(name) {
            return Some((value, Origin::Process));
        }
        let found = self
            .files
            .values()
            .rev()
            .find_map(|values| values.get(name))?;
        let origin = Origin::File {
            path: &found.path,
            line: found.line,
        };
        Some((&found.value, origin))
    }

    /// Returns these variables with their values and sources, to explain the result to a user.
    pub fn explain<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = Variable<'a>> {
        names.into_iter().map(|name| Variable {
            name,
            value: self.get(name),
        })
    }

    /// Returns the process environment alone, without any file.
    #[must_use]
    pub fn process(&self) -> &BTreeMap<String, String> {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_stronger_layer_overrides_weaker() {
        let process = BTreeMap::from([("A".to_owned(), "process".to_owned())]);
        let mut environment = Environment::new(process);
        let mut add = |layer, path: &str, text: &str| {
            assert_eq!(environment.add(layer, Path::new(path), text), []);
        };
        add(Layer::CommandLine, "first", "A=1\nB=first\nC=first");
        add(Layer::CommandLine, "second", "B=second");
        add(Layer::Manifest, "own", "C=own\nD=own");
        add(Layer::Default, ".env", "\n\nD=default\nE=default");

        let explained: Vec<_> = environment
            .explain(["A", "B", "C", "D", "E", "F"])
            .map(|variable| match variable.value {
                Some((value, origin)) => format!("{}={value} ({origin})", variable.name),
                None => format!("{} unset", variable.name),
            })
            .collect();
        assert_eq!(
            explained,
            [
                "A=process (environment)",
                "B=second (second:1)",
                "C=first (first:3)",
                "D=own (own:2)",
                "E=default (.env:4)",
                "F unset",
            ]
        );
    }

    #[test]
    fn env_file_lookup_prefers_process_over_own_lines() {
        let process = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
        let mut environment = Environment::new(process);
        let text = "HOME=/other\nDIR=${HOME}/x\nFILE=$DIR/y\nHOME";
        let errors = environment.add(Layer::Default, Path::new(".env"), text);
        assert_eq!(errors, []);
        assert_eq!(environment.get("FILE").unwrap().0, "/root/x/y");
    }
}
