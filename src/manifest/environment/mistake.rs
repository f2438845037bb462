//! What can be wrong with a text with variables, and with a file of them.

use std::ops::Range;

use thiserror::Error;

use super::expression::MAX_DEPTH;
use crate::name::NameError;

/// A mistake in a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct InterpolationError {
    /// Where, in bytes of the text.
    pub range: Range<usize>,
    /// What.
    pub kind: InterpolationErrorKind,
}

/// What can be wrong with a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InterpolationErrorKind {
    /// No source has the variable, and the text has no default.
    #[error("variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// `${NAME:?message}`, and it is not set (or empty).
    #[error("variable `{name}` is required: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The manifest's own words.
        message: String,
    },
    /// `${` without its `}`.
    #[error("`${{` has no closing `}}`")]
    Unclosed,
    /// `${}` or `${:-x}`.
    #[error("`${{` is not followed by the name of a variable")]
    Nameless,
    /// Something behind the name that is not an operator.
    #[error("`{found}` cannot follow the name of a variable")]
    UnknownOperator {
        /// The first character of it.
        found: char,
    },
    /// A `$` that begins nothing.
    #[error("a single `$` begins a variable, and none follows")]
    LoneDollar,
    /// `${secret:…}` with what cannot be a name.
    #[error("`${{secret:…}}` needs the name of a secret: {cause}")]
    SecretName {
        /// Why it cannot.
        cause: NameError,
    },
    /// Nested deeper than anybody can read.
    #[error("variables are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl InterpolationErrorKind {
    /// The variable, when what is wrong is that it has no value.
    pub(in crate::manifest) fn unset(&self) -> Option<&str> {
        match self {
            Self::Unset { name } | Self::Required { name, .. } => Some(name),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unset { name } => format!(
                "set it in the environment or in an env-file, or give it a default: \
                 `${{{name}:-value}}`"
            ),
            Self::Required { name, .. } => {
                format!("set `{name}` in the environment or in an env-file")
            }
            Self::Unclosed => "close it with `}`, or write `$$` for a dollar sign".to_owned(),
            Self::Nameless | Self::LoneDollar => "write `$$` for a dollar sign".to_owned(),
            Self::UnknownOperator { .. } => {
                "the operators are `:-`, `-` (default), `:?`, `?` (required), `:+`, `+` \
                 (alternative)"
                    .to_owned()
            }
            Self::SecretName { .. } | Self::TooDeep => return None,
        })
    }
}

/// A mistake in a file with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct DotenvError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What.
    pub kind: DotenvErrorKind,
}

/// What can be wrong with a file with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DotenvErrorKind {
    /// A line that does not begin with a name.
    #[error("`{found}` cannot begin the name of a variable")]
    NoName {
        /// What stands there.
        found: char,
    },
    /// Something other than `=` or `:` behind a name.
    #[error("`{found}` cannot follow the name `{name}`")]
    NoEquals {
        /// The name.
        name: String,
        /// What stands there.
        found: char,
    },
    /// A quote that is never closed.
    #[error("the quote `{quote}` is never closed")]
    Unclosed {
        /// Which.
        quote: char,
    },
    /// Something behind a closing quote that is no comment.
    #[error("`{found}` cannot follow a closing quote")]
    Trailing {
        /// What stands there.
        found: char,
        /// The quote.
        quote: char,
    },
    /// A mistake in the value's variables.
    #[error("{0}")]
    Interpolation(InterpolationErrorKind),
    /// `${secret:…}`, which only a manifest may say.
    #[error("a secret cannot be part of a variable")]
    Secret,
}

impl DotenvErrorKind {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoName { .. } | Self::NoEquals { .. } => {
                "a line is `NAME=value`, `NAME` alone, or a comment with `#`".to_owned()
            }
            Self::Unclosed { quote } => format!(
                "close it (`\\{quote}` is a quote in the value), or put the value into quotes of \
                 the other kind"
            ),
            Self::Trailing { quote, .. } => format!(
                "put all of the value into the quotes, and a quote in it as `\\{quote}`; a comment \
                 begins with ` #`"
            ),
            Self::Interpolation(kind) => {
                let quotes = "a value in single quotes is taken as it is";
                kind.help()
                    .map_or_else(|| quotes.to_owned(), |help| format!("{help}; {quotes}"))
            }
            Self::Secret => "write `${secret:NAME}` in the manifest, where it is used".to_owned(),
        })
    }
}
