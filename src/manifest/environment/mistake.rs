//! Errors of texts with variables, and of files of variables.

use std::ops::Range;

use thiserror::Error;

use super::expression::MAX_DEPTH;
use crate::name::NameError;

/// An error in a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct InterpolationError {
    /// Range of the error, in bytes of the text.
    pub range: Range<usize>,
    /// Kind of the error.
    pub kind: InterpolationErrorKind,
}

/// Kinds of errors in a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InterpolationErrorKind {
    /// No source has the variable, and the text has no default.
    #[error("variable `{name}` is not set")]
    Unset {
        /// Name of the variable.
        name: String,
    },
    /// The variable of `${NAME:?message}` is not set (or empty).
    #[error("variable `{name}` is required: {message}")]
    Required {
        /// Name of the variable.
        name: String,
        /// Message from the manifest.
        message: String,
    },
    /// A `${` has no `}`.
    #[error("`${{` has no closing `}}`")]
    Unclosed,
    /// A `${` has no name of a variable: `${}` or `${:-x}`.
    #[error("`${{` is not followed by the name of a variable")]
    Nameless,
    /// The text after the name is not an operator.
    #[error("`{found}` cannot follow the name of a variable")]
    UnknownOperator {
        /// First character after the name.
        found: char,
    },
    /// A `$` does not begin a variable.
    #[error("a single `$` begins a variable, and none follows")]
    LoneDollar,
    /// A `${secret:…}` has an invalid name.
    #[error("`${{secret:…}}` needs the name of a secret: {cause}")]
    SecretName {
        /// Reason that the name is invalid.
        cause: NameError,
    },
    /// Variables are nested too deep to be readable.
    #[error("variables are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl InterpolationErrorKind {
    /// Returns the name of the variable if the error is that it has no value.
    pub(in crate::manifest) fn unset(&self) -> Option<&str> {
        match self {
            Self::Unset { name } | Self::Required { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Returns the suggested fix.
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

/// An error in a file of variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct DotenvError {
    /// Line number, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Kind of the error.
    pub kind: DotenvErrorKind,
}

/// Kinds of errors in a file of variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DotenvErrorKind {
    /// A line does not begin with a name.
    #[error("`{found}` cannot begin the name of a variable")]
    NoName {
        /// Character that was found.
        found: char,
    },
    /// A character other than `=` or `:` follows a name.
    #[error("`{found}` cannot follow the name `{name}`")]
    NoEquals {
        /// Name of the variable.
        name: String,
        /// Character that was found.
        found: char,
    },
    /// A quote is never closed.
    #[error("the quote `{quote}` is never closed")]
    Unclosed {
        /// The quote character.
        quote: char,
    },
    /// Text that is not a comment follows a closing quote.
    #[error("`{found}` cannot follow a closing quote")]
    Trailing {
        /// Character that was found.
        found: char,
        /// The quote character.
        quote: char,
    },
    /// The value has an error in its variables.
    #[error("{0}")]
    Interpolation(InterpolationErrorKind),
    /// A file of variables uses `${secret:…}`, which is allowed in a manifest only.
    #[error("a secret cannot be part of a variable")]
    Secret,
}

impl DotenvErrorKind {
    /// Returns the suggested fix.
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
