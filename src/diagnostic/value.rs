//! Errors in values: type, unit, range and format.

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// An error in a value.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ValueError {
    /// The value has the wrong type.
    #[error("expected {wanted}, found {found}")]
    #[diagnostic(code(manifest::wrong_type))]
    WrongType {
        /// Expected type: `a number`, …
        wanted: String,
        /// Description of the value that was written.
        found: String,
        /// Span of the value.
        #[label("not {wanted}")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A number has no unit, or an unknown one.
    #[error("{message}")]
    #[diagnostic(code(manifest::unit))]
    Unit {
        /// Error message.
        message: String,
        /// Span of the value.
        #[label("{wanted} needed")]
        at: Span,
        /// Expected quantity: `a duration`, `a size`.
        wanted: &'static str,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A number is out of range.
    #[error("{what} is between {low} and {high}, not {found}")]
    #[diagnostic(code(manifest::out_of_range))]
    OutOfRange {
        /// Description of the number: `a port`, …
        what: String,
        /// Lowest allowed value.
        low: String,
        /// Highest allowed value.
        high: String,
        /// Value that was written.
        found: String,
        /// Span of the value.
        #[label("out of range")]
        at: Span,
    },
    /// A word is not one of the allowed values.
    #[error("{what} cannot be `{found}`")]
    #[diagnostic(code(manifest::unknown_value))]
    UnknownValue {
        /// Description of the setting.
        what: String,
        /// Word that was written.
        found: String,
        /// Span of the word.
        #[label("unknown value")]
        at: Span,
        /// The allowed values.
        #[help]
        help: Option<String>,
    },
    /// A name is not valid.
    #[error("{cause}")]
    #[diagnostic(code(manifest::invalid_name))]
    InvalidName {
        /// Reason that the name is not valid.
        cause: crate::name::NameError,
        /// Span of the name.
        #[label("not {wanted}")]
        at: Span,
        /// Expected kind of name: `a service's name`, …
        wanted: String,
        /// Rules for valid names.
        #[help]
        help: Option<String>,
    },
    /// A text does not have the expected format.
    #[error("`{found}` is not {wanted}")]
    #[diagnostic(code(manifest::invalid_value))]
    Invalid {
        /// Expected format: `an IPv4 address`, …
        wanted: String,
        /// Text that was written.
        found: String,
        /// Span of the text.
        #[label("not {wanted}")]
        at: Span,
        /// An example of a valid text.
        #[help]
        help: Option<String>,
    },
    /// A regular expression does not parse.
    #[error("the regular expression does not parse: {cause}")]
    #[diagnostic(
        code(manifest::invalid_regex),
        help("in a raw string, `#\"\\d+\"#`, backslashes stand for themselves")
    )]
    Regex {
        /// Error message of the regex library.
        cause: String,
        /// Span of the regular expression.
        #[label("not a regular expression")]
        at: Span,
    },
    /// A path inside a container is not absolute.
    #[error("`{path}` is not an absolute path")]
    #[diagnostic(code(manifest::relative_path))]
    RelativePath {
        /// Path that was written.
        path: String,
        /// Span of the path.
        #[label("must start with `/`")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A text with variables cannot be interpolated.
    #[error("{message}")]
    #[diagnostic(code(manifest::interpolation))]
    Interpolation {
        /// Error message.
        message: String,
        /// Span of the variable.
        #[label("here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A variable is not set.
    #[error("{message}")]
    #[diagnostic(code(manifest::unset_variable))]
    UnsetVariable {
        /// Error message, which is the manifest's own message if it has one.
        message: String,
        /// Span of the variable.
        #[label("not set")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A secret is used in a value that is shown and recorded, where anyone could read it.
    #[error("the secret `{name}` is not allowed here")]
    #[diagnostic(
        code(manifest::secret_not_allowed),
        help(
            "secrets may stand in `env`, in headers and passwords of probes, in build arguments \
             and in the `content` of a config; give programs a file with `secret \"{name}\"`"
        )
    )]
    SecretNotAllowed {
        /// Name of the secret.
        name: String,
        /// Span of the value.
        #[label("this value is shown and recorded")]
        at: Span,
    },
}
