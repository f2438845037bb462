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
    reading::ReadingMistake,
    reference::{ReferenceMistake, step},
    report::{Entry, Report, Style},
    resolving::ResolvingMistake,
    structure::StructureMistake,
    suggest::{did_you_mean, suggest},
    value::ValueMistake,
};
use crate::span::Span;

/// A mistake: grouped by the question that has found it.
///
/// A stage with mistakes of its own adds a group in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum Mistake {
    /// Can the files be read, and are they KDL?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reading(#[from] ReadingMistake),
    /// Does the language have this, at this place?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Structure(#[from] StructureMistake),
    /// Is the value what it should be?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Value(#[from] ValueMistake),
    /// Does it fit together with the rest?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceMistake),
    /// Does what it names exist outside of it?
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resolving(#[from] ResolvingMistake),
}

impl Mistake {
    /// Where it is shown first; `None` when it lies in no file.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let label = self.labels()?.next()?;
        Some(Span::new(label.offset(), label.len()))
    }
}
