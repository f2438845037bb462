//! From the files that are named, or found, to a [`Manifest`] or a report of every mistake.
//!
//! Reads files, and nothing else of the world: the environment and the current folder come in as
//! values.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{Manifest, check, context::LowerContext, include::Reading, lower};
use crate::diagnostic::{ParseError, Report};

/// What a manifest is called when it is not named.
pub const FILE_NAME: &str = "cimandat.kdl";

/// The name of a manifest that comes in by standard input.
pub const STANDARD_INPUT: &str = "-";

/// Where what came in by standard input would stand, for messages and for relative paths in it.
pub(super) fn standard_input(current: &Path) -> PathBuf {
    current.join("<stdin>")
}

/// Where files come from: the disk, or a map in memory.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is not UTF-8.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// Texts by their absolute paths.
impl Files for BTreeMap<PathBuf, String> {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Which manifest, and what it may look up.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The folder that relative paths start from, absolute.
    pub current: PathBuf,
    /// The manifests named, the main one first; none: [`FILE_NAME`] in `current` or above it.
    /// [`STANDARD_INPUT`] alone is what came in there, and nothing is looked for under that name.
    pub files: Vec<PathBuf>,
    /// What came in by standard input, if it is asked for.
    pub standard_input: Option<String>,
    /// Files of variables named, later ones stronger.
    pub env_files: Vec<PathBuf>,
    /// The process environment.
    pub variables: BTreeMap<String, String>,
}

/// Finds [`FILE_NAME`] in a folder or above it.
#[must_use]
pub fn find(start: &Path, files: &dyn Files) -> Option<PathBuf> {
    start
        .ancestors()
        .map(|folder| folder.join(FILE_NAME))
        .find(|path| {
            // A file that is there and cannot be read is found too, so that its own error is told.
            !matches!(files.read(path), Err(error) if is_no_file(&error))
        })
}

/// Whether there is no file of the name; a folder is none.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
    )
}

/// Loads a manifest.
///
/// # Errors
/// Every mistake of all files, in source order.
pub fn load(request: &Request, files: &dyn Files) -> Result<Manifest, Report> {
    let named = request.files.iter();
    let mut paths: Vec<_> = named
        .map(|path| {
            if path.as_os_str() == STANDARD_INPUT {
                standard_input(&request.current)
            } else {
                normal(&request.current.join(path))
            }
        })
        .collect();
    if paths.is_empty() {
        let found = find(&request.current, files).ok_or_else(|| {
            let folder = request.current.display().to_string();
            let mistake = ParseError::NotFound {
                name: FILE_NAME,
                folder,
            };
            Report::single(Arc::default(), mistake)
        })?;
        paths.push(found);
    }
    let reading = Reading::new(request, files).all(&paths);
    lower_all(reading, request)
}

fn lower_all(reading: Reading<'_>, request: &Request) -> Result<Manifest, Report> {
    let Reading {
        sources,
        environment,
        layers,
        files,
        mut mistakes,
        complete,
        ..
    } = reading;
    let home = request.variables.get("HOME").map(PathBuf::from);
    let scope = LowerContext::new(&sources, home.as_deref());
    let layers = layers
        .iter()
        .map(|layer| layer.fill(&environment, &scope))
        .collect::<Vec<_>>();
    let directory = files.first().and_then(|file| file.parent());
    let directory = directory.map_or_else(|| request.current.clone(), Path::to_path_buf);
    let parts = lower::lower(&layers, &directory, &scope);
    if complete {
        // With a file missing, what it declares would seem to be unknown.
        check::check(&parts, &layers, &scope);
    }
    let variables = scope.variables();
    mistakes.extend(scope.into_mistakes());
    let sources = Arc::new(sources);
    let report = Report::new(Arc::clone(&sources), mistakes);
    match (report, parts.project) {
        (None, Some(project)) => Ok(Manifest {
            sources,
            files,
            directory,
            environment,
            variables,
            project,
            networks: parts.networks,
            volumes: parts.volumes,
            secrets: parts.secrets,
            configs: parts.configs,
            certificates: parts.certificates,
            services: parts.services,
            deploy: parts.deploy,
            verify: parts.verify,
        }),
        (Some(report), _) => Err(report),
        (None, None) => Err(Report::single(sources, ParseError::NoProjectName)),
    }
}

/// A path without `.` and `..`, by its text alone: two ways to write one file become one.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_found_upwards() {
        let files = BTreeMap::from([(PathBuf::from("/a/cimandat.kdl"), String::new())]);
        let found = find(Path::new("/a/b/c"), &files);
        assert_eq!(found.as_deref(), Some(Path::new("/a/cimandat.kdl")));
        assert_eq!(find(Path::new("/b"), &files), None);
    }

    #[test]
    fn two_ways_to_write_a_path_are_one() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
