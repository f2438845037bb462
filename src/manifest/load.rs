//! Loads the named or discovered files into a [`Manifest`], or a report of every error.
//!
//! Apart from files, this module reads nothing from its surroundings: the environment and the
//! current folder are passed in as values.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{Manifest, check, context::LowerContext, include::Reading, lower};
use crate::diagnostic::{ParseError, Report};

/// Default file name of a manifest.
pub const FILE_NAME: &str = "cimandat.kdl";

/// File name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Returns the path that stands for standard input in messages, and from which relative paths in
/// its text start.
pub(super) fn standard_input(current: &Path) -> PathBuf {
    current.join("<stdin>")
}

/// Source of files: the disk, or a map in memory.
pub trait Files {
    /// Returns the text of a file.
    ///
    /// # Errors
    /// If the file does not exist, cannot be read, or is not UTF-8.
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

/// Texts by absolute path.
impl Files for BTreeMap<PathBuf, String> {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Files to load, and the values that they may refer to.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Folder from which relative paths start, absolute.
    pub current: PathBuf,
    /// Named manifests, the main one first. If empty, [`FILE_NAME`] is searched for in `current`
    /// and above it. The path [`STANDARD_INPUT`] means the text of `standard_input`; no file of
    /// that name is read.
    pub files: Vec<PathBuf>,
    /// Text from standard input, if a manifest is read from there.
    pub standard_input: Option<String>,
    /// Named files of variables; later files are stronger.
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
            // A file that exists but cannot be read counts as found, so that its own error is
            // reported.
            !matches!(files.read(path), Err(error) if is_no_file(&error))
        })
}

/// Returns whether no file of this name exists; a folder does not count as a file.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
    )
}

/// Loads a manifest.
///
/// # Errors
/// Every error of all files, in source order.
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
        // If a file is missing, the names that it declares would be reported as undeclared.
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

/// Returns the path without `.` and `..`, by its text alone, so that two spellings of one path are
/// equal.
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
    fn find_searches_parent_folders() {
        let files = BTreeMap::from([(PathBuf::from("/a/cimandat.kdl"), String::new())]);
        let found = find(Path::new("/a/b/c"), &files);
        assert_eq!(found.as_deref(), Some(Path::new("/a/cimandat.kdl")));
        assert_eq!(find(Path::new("/b"), &files), None);
    }

    #[test]
    fn normal_removes_dot_components() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
