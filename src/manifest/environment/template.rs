//! A string of a manifest after interpolation.
//!
//! A template contains the names of secrets, never their values.

use std::{collections::BTreeSet, fmt};

use crate::name::SecretName;

/// A string of a manifest after interpolation: text, and references to secrets by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) pieces: Vec<Segment>,
    pub(super) variables: BTreeSet<String>,
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Literal text.
    Text(String),
    /// The value of this secret.
    Secret(SecretName),
}

impl Template {
    /// Returns a template of the value of one secret alone.
    #[must_use]
    pub fn secret(name: SecretName) -> Self {
        Self {
            pieces: vec![Segment::Secret(name)],
            variables: BTreeSet::new(),
        }
    }

    /// Segments in order; never two texts in a row, never an empty text.
    #[must_use]
    pub fn pieces(&self) -> &[Segment] {
        &self.pieces
    }

    /// Returns the string, or `None` if it contains a secret.
    #[must_use]
    pub fn as_plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the names of the secrets in the string, in order.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.pieces.iter().filter_map(|piece| match piece {
            Segment::Secret(name) => Some(name),
            Segment::Text(_) => None,
        })
    }

    /// Returns the variables that were evaluated during interpolation.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }
}

impl From<&str> for Template {
    /// Creates a template from literal text, without interpolation.
    fn from(text: &str) -> Self {
        let mut pieces = Vec::new();
        push(&mut pieces, text);
        let variables = BTreeSet::new();
        Self { pieces, variables }
    }
}

impl fmt::Display for Template {
    /// Formats each secret as its name: `postgresql://u:${secret:db}@db/x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Segment::Text(text) => f.write_str(text)?,
                Segment::Secret(name) => write!(f, "${{secret:{name}}}")?,
            }
        }
        Ok(())
    }
}

/// Appends text, and merges it with a preceding text.
pub(super) fn push(pieces: &mut Vec<Segment>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Segment::Text(last)) => last.push_str(text),
        _ => pieces.push(Segment::Text(text.to_owned())),
    }
}
