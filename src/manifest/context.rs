//! State that all parts of lowering share: the source texts, and the errors found so far.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    diagnostic::ManifestError,
    span::{Sources, Span},
};

/// The source texts, and the errors found so far.
pub(super) struct LowerContext<'a> {
    sources: &'a Sources,
    /// Folder that `~` in a path expands to.
    home: Option<&'a Path>,
    mistakes: RefCell<Vec<ManifestError>>,
    /// Variables that are used in the texts so far.
    variables: RefCell<BTreeSet<String>>,
}

impl<'a> LowerContext<'a> {
    pub fn new(sources: &'a Sources, home: Option<&'a Path>) -> Self {
        Self {
            sources,
            home,
            mistakes: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// Returns the same context with a separate error list, which is discarded.
    pub fn silent(&self) -> Self {
        Self {
            sources: self.sources,
            home: self.home,
            mistakes: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// Records an error; the caller continues with the rest.
    pub fn mistake(&self, mistake: impl Into<ManifestError>) {
        self.mistakes.borrow_mut().push(mistake.into());
    }

    /// Returns the source text of a span.
    pub fn written(&self, span: Span) -> &str {
        self.sources.text(span).unwrap_or_default()
    }

    /// Returns an absolute path of this machine; a relative path starts from the folder of the file
    /// that contains it.
    pub fn absolute(&self, path: &str, span: Span) -> PathBuf {
        if let (Some(home), Some(rest)) = (self.home, path.strip_prefix("~/")) {
            return home.join(rest);
        }
        match self.sources.of(span) {
            // Rebuilding the path from its components removes `./`. `..` is kept, because a
            // symbolic link may precede it.
            Some(source) => source.folder().join(path).components().collect(),
            None => PathBuf::from(path),
        }
    }

    /// Records the variables that a text uses.
    pub fn asked(&self, variables: &BTreeSet<String>) {
        self.variables
            .borrow_mut()
            .extend(variables.iter().cloned());
    }

    /// Returns all variables that are used so far.
    pub fn variables(&self) -> BTreeSet<String> {
        self.variables.borrow().clone()
    }

    /// Returns whether no error is recorded so far.
    pub fn is_clean(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    pub fn into_mistakes(self) -> Vec<ManifestError> {
        self.mistakes.into_inner()
    }
}
