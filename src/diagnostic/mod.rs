//! Many mistakes of many files as one report.
//!
//! A [`Mistake`] is one variant for each thing that a person can get wrong, with fields instead of
//! text, a stable code, a label at its place, and the remedy as help. A [`Report`] holds all of
//! them in source order. Nothing here finds mistakes: the stages do.

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

/// A mistake: grouped by the question that has found it.
///
/// A stage with mistakes of its own adds a group in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ManifestError {
    /// Can the files be read, and are they KDL?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reading(#[from] ParseError),
    /// Does the language have this, at this place?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Structure(#[from] SchemaError),
    /// Is the value what it should be?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Value(#[from] ValueError),
    /// Does it fit together with the rest?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// Does what it names exist outside of it?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resolving(#[from] ResolveError),
}

impl ManifestError {
    /// Where it is shown first; `None` when it lies in no file.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let label = self.labels()?.next()?;
        Some(Span::new(label.offset(), label.len()))
    }
}
