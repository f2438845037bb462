//! Collects the errors of all manifest files into one report.
//!
//! A [`ManifestError`] has one variant for each kind of error in a manifest. A variant has typed
//! fields instead of text, a stable code, a label at the source span, and the remedy as help. A
//! [`Report`] holds all errors in source order. This module does not detect errors: the loading
//! stages do.

mod reading;
mod reference;
mod report;
mod resolving;
mod structure;
mod suggest;
mod value;

use miette::Diagnostic;
use thiserror::Error;

pub use self::{
    reading::ParseError,
    reference::{ReferenceError, step},
    report::{Entry, Report, Style},
    resolving::ResolveError,
    structure::SchemaError,
    suggest::{did_you_mean, suggest},
    value::ValueError,
};
use crate::span::Span;

/// An error in a manifest, grouped by the check that finds it.
///
/// A stage with errors of its own adds a group in a separate file.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ManifestError {
    /// A file cannot be read, or is not KDL.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reading(#[from] ParseError),
    /// The language does not have this element at this place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Structure(#[from] SchemaError),
    /// A value has the wrong type, range or format.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Value(#[from] ValueError),
    /// Parts of the manifest do not fit together.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// A file, secret or profile that the manifest refers to is missing or does not fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resolving(#[from] ResolveError),
}

impl ManifestError {
    /// Span of the first label; `None` when the error is not located in a file.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let label = self.labels()?.next()?;
        Some(Span::new(label.offset(), label.len()))
    }
}
