//! A string of a manifest after interpolation.
//!
//! Holds the names of secrets, never their values.

use std::{collections::BTreeSet, fmt};

use crate::name::SecretName;

/// A string of a manifest after interpolation: text, and secrets by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) pieces: Vec<Segment>,
    pub(super) variables: BTreeSet<String>,
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// As it is.
    Text(String),
    /// The value of this secret.
    Secret(SecretName),
}

impl Template {
    /// The value of one secret and nothing else.
    #[must_use]
    pub fn secret(name: SecretName) -> Self {
        Self {
            pieces: vec![Segment::Secret(name)],
            variables: BTreeSet::new(),
        }
    }

    /// In their order; never two texts in a row, never an empty text.
    #[must_use]
    pub fn pieces(&self) -> &[Segment] {
        &self.pieces
    }

    /// The string, if no secret is part of it.
    #[must_use]
    pub fn as_plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The secrets that are part of it, in their order.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.pieces.iter().filter_map(|piece| match piece {
            Segment::Secret(name) => Some(name),
            Segment::Text(_) => None,
        })
    }

    /// The variables that were looked at to make it.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }
}

impl From<&str> for Template {
    /// A text that is taken as it is, without interpolation.
    fn from(text: &str) -> Self {
        let mut pieces = Vec::new();
        push(&mut pieces, text);
        let variables = BTreeSet::new();
        Self { pieces, variables }
    }
}

impl fmt::Display for Template {
    /// With each secret by its name: `postgresql://u:${secret:db}@db/x`.
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

/// Adds text, so that there are never two texts in a row.
pub(super) fn push(pieces: &mut Vec<Segment>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Segment::Text(last)) => last.push_str(text),
        _ => pieces.push(Segment::Text(text.to_owned())),
    }
}
