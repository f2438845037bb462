//! What every part of lowering shares: the texts, and the list of mistakes so far.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    diagnostic::ManifestError,
    span::{Sources, Span},
};

/// The texts, and the mistakes found so far.
pub(super) struct LowerContext<'a> {
    sources: &'a Sources,
    /// What `~` in a path stands for.
    home: Option<&'a Path>,
    mistakes: RefCell<Vec<ManifestError>>,
    /// Variables that some text asked for.
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

    /// The same scope with a list of its own, that nobody will read.
    pub fn silent(&self) -> Self {
        Self {
            sources: self.sources,
            home: self.home,
            mistakes: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// Notes a mistake; the caller goes on with what is left.
    pub fn mistake(&self, mistake: impl Into<ManifestError>) {
        self.mistakes.borrow_mut().push(mistake.into());
    }

    /// The characters of a place.
    pub fn written(&self, span: Span) -> &str {
        self.sources.text(span).unwrap_or_default()
    }

    /// A path of this machine, made absolute from the folder of the file that names it.
    pub fn absolute(&self, path: &str, span: Span) -> PathBuf {
        if let (Some(home), Some(rest)) = (self.home, path.strip_prefix("~/")) {
            return home.join(rest);
        }
        match self.sources.of(span) {
            // By its parts, so that `./` goes; `..` stays, as a link may stand before it.
            Some(source) => source.folder().join(path).components().collect(),
            None => PathBuf::from(path),
        }
    }

    /// Notes the variables that a text asks for.
    pub fn asked(&self, variables: &BTreeSet<String>) {
        self.variables
            .borrow_mut()
            .extend(variables.iter().cloned());
    }

    /// All variables that were asked for so far.
    pub fn variables(&self) -> BTreeSet<String> {
        self.variables.borrow().clone()
    }

    /// No mistake so far.
    pub fn is_clean(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    pub fn into_mistakes(self) -> Vec<ManifestError> {
        self.mistakes.into_inner()
    }
}
