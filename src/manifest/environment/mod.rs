//! The variables of a manifest: where each comes from, and which source wins.
//!
//! Values come in: the process environment as a map, files as text. Nothing is read here.

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

/// All variables, in layers: a stronger layer hides the values of a weaker one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    process: BTreeMap<String, String>,
    files: BTreeMap<Layer, BTreeMap<String, FileValue>>,
    /// Variables that a file gives a value that cannot be read.
    broken: BTreeSet<String>,
    /// A file with variables could not be read.
    is_incomplete: bool,
}

/// The layers of files, weakest first. The process environment is stronger than all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `.env` beside the manifest.
    Default,
    /// The manifest's own `env-file`.
    Manifest,
    /// `--env-file` of the command line.
    CommandLine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileValue {
    value: String,
    path: PathBuf,
    line: usize,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The environment of the process.
    Process,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: &'a Path,
        /// Counted from 1.
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

/// A variable with its value and where that comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; `None`: no source has it.
    pub value: Option<(&'a str, Origin<'a>)>,
}

impl Environment {
    /// Only the process environment.
    #[must_use]
    pub fn new(process: BTreeMap<String, String>) -> Self {
        Self {
            process,
            ..Self::default()
        }
    }

    /// Adds a file to a layer, over what the layer has already.
    ///
    /// Variables in its values are looked up in the process environment, then among the file's
    /// earlier lines, then in what was added before; so add weaker layers first.
    ///
    /// Gives all mistakes of the file; what has none is added.
    #[must_use = "mistakes have to be reported"]
    pub fn add(&mut self, layer: Layer, path: &Path, text: &str) -> Vec<DotenvError> {
        let contents = parse(text, self);
        self.broken.extend(contents.broken);
        let values = self.files.entry(layer).or_default();
        for Entry { name, value, line } in contents.entries {
            // A name alone means the value that the variable has anyway.
            if let Some(value) = value {
                let path = path.to_owned();
                values.insert(name, FileValue { value, path, line });
            }
        }
        contents.errors
    }

    /// Notes that a file with variables could not be read.
    pub fn lacks_a_file(&mut self) {
        self.is_incomplete = true;
    }

    /// Whether a variable without a value may have one in a file that could not be read. The mistake
    /// of the file is reported, and a second report would be about the same mistake.
    #[must_use]
    pub fn is_in_doubt(&self, name: &str) -> bool {
        self.is_incomplete || self.broken.contains(name)
    }

    /// The strongest value of a variable, and where it comes from.
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

    /// These variables with their values, for a person who wants to know why.
    pub fn explain<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = Variable<'a>> {
        names.into_iter().map(|name| Variable {
            name,
            value: self.get(name),
        })
    }

    /// Only the environment of the process, without any file.
    #[must_use]
    pub fn process(&self) -> &BTreeMap<String, String> {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_layer_hides_a_weaker_one() {
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
    fn a_file_sees_the_process_first_then_its_own_lines() {
        let process = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
        let mut environment = Environment::new(process);
        let text = "HOME=/other\nDIR=${HOME}/x\nFILE=$DIR/y\nHOME";
        let errors = environment.add(Layer::Default, Path::new(".env"), text);
        assert_eq!(errors, []);
        assert_eq!(environment.get("FILE").unwrap().0, "/root/x/y");
    }
}
