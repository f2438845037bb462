//! Is a value what it should be?

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// A mistake in a value.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ValueError {
    /// Another type than the one that is needed.
    #[error("expected {wanted}, found {found}")]
    #[diagnostic(code(manifest::wrong_type))]
    WrongType {
        /// What is needed: `a number`, …
        wanted: String,
        /// What was written.
        found: String,
        /// Where.
        #[label("not {wanted}")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A number without its unit, or with an unknown one.
    #[error("{message}")]
    #[diagnostic(code(manifest::unit))]
    Unit {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("{wanted} needed")]
        at: Span,
        /// What is needed: `a duration`, `a size`.
        wanted: &'static str,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A number outside of its range.
    #[error("{what} is between {low} and {high}, not {found}")]
    #[diagnostic(code(manifest::out_of_range))]
    OutOfRange {
        /// What the number is: `a port`, …
        what: String,
        /// The lowest allowed.
        low: String,
        /// The highest allowed.
        high: String,
        /// What was written.
        found: String,
        /// Where.
        #[label("out of range")]
        at: Span,
    },
    /// A word that is not one of a few.
    #[error("{what} cannot be `{found}`")]
    #[diagnostic(code(manifest::unknown_value))]
    UnknownValue {
        /// What the word is.
        what: String,
        /// What was written.
        found: String,
        /// Where.
        #[label("unknown value")]
        at: Span,
        /// The words that are allowed.
        #[help]
        help: Option<String>,
    },
    /// A name that cannot be one.
    #[error("{cause}")]
    #[diagnostic(code(manifest::invalid_name))]
    InvalidName {
        /// What is wrong with it.
        cause: crate::name::NameError,
        /// Where.
        #[label("not {wanted}")]
        at: Span,
        /// What it should name: `a service's name`, …
        wanted: String,
        /// What is allowed.
        #[help]
        help: Option<String>,
    },
    /// A text that cannot be read as what it should be.
    #[error("`{found}` is not {wanted}")]
    #[diagnostic(code(manifest::invalid_value))]
    Invalid {
        /// What it should be: `an IPv4 address`, …
        wanted: String,
        /// What was written.
        found: String,
        /// Where.
        #[label("not {wanted}")]
        at: Span,
        /// An example.
        #[help]
        help: Option<String>,
    },
    /// A regular expression that is none.
    #[error("the regular expression does not parse: {cause}")]
    #[diagnostic(
        code(manifest::invalid_regex),
        help("in a raw string, `#\"\\d+\"#`, backslashes stand for themselves")
    )]
    Regex {
        /// What the engine of regular expressions says.
        cause: String,
        /// Where.
        #[label("not a regular expression")]
        at: Span,
    },
    /// A path inside a container that is not absolute.
    #[error("`{path}` is not an absolute path")]
    #[diagnostic(code(manifest::relative_path))]
    RelativePath {
        /// What was written.
        path: String,
        /// Where.
        #[label("must start with `/`")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A variable that cannot be filled in.
    #[error("{message}")]
    #[diagnostic(code(manifest::interpolation))]
    Interpolation {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A variable that is not set.
    #[error("{message}")]
    #[diagnostic(code(manifest::unset_variable))]
    UnsetVariable {
        /// What is wrong, or the manifest's own message.
        message: String,
        /// Where.
        #[label("not set")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A secret where everybody could read it.
    #[error("the secret `{name}` cannot stand here")]
    #[diagnostic(
        code(manifest::secret_not_allowed),
        help(
            "secrets may stand in `env`, in headers and passwords of probes, in build arguments \
             and in the `content` of a config; give programs a file with `secret \"{name}\"`"
        )
    )]
    SecretNotAllowed {
        /// Which.
        name: String,
        /// Where.
        #[label("this value is shown and recorded")]
        at: Span,
    },
}
