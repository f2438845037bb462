//! Errors in reading the manifest files and parsing them as KDL.

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// An error that prevents a file from being read.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ParseError {
    /// Neither the folder nor any folder above it contains a manifest.
    #[error("no `{name}` in `{folder}` or any folder above it")]
    #[diagnostic(
        code(manifest::not_found),
        help("name a manifest with `-f FILE`, or write one: the README shows how")
    )]
    NotFound {
        /// File name that was searched for.
        name: &'static str,
        /// Folder in which the search started.
        folder: String,
    },
    /// A file named on the command line, or the `.env` file beside the manifest, cannot be read.
    #[error("reading `{path}`: {cause}")]
    #[diagnostic(code(manifest::unreadable), help("{help}"))]
    Unreadable {
        /// Path of the file, relative to the current folder if the file is below it.
        path: String,
        /// Reason that the file cannot be read.
        cause: String,
        /// Suggested fix.
        help: String,
    },
    /// A file named in a manifest cannot be read.
    #[error("reading `{path}`: {cause}")]
    #[diagnostic(code(manifest::unreadable_include))]
    UnreadableInclude {
        /// Path of the file, relative to the current folder if the file is below it.
        path: String,
        /// Reason that the file cannot be read.
        cause: String,
        /// Span of the reference.
        #[label("named here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A file includes itself, directly or through other files.
    #[error("`{path}` includes itself")]
    #[diagnostic(
        code(manifest::include_cycle),
        help("remove one of the `include` lines")
    )]
    IncludeCycle {
        /// Path of the file.
        path: String,
        /// Span of the `include` that closes the cycle.
        #[label("this file is already being read")]
        at: Span,
    },
    /// The text is not KDL.
    #[error("{message}")]
    #[diagnostic(code(manifest::syntax))]
    Syntax {
        /// Error message.
        message: String,
        /// Label text at the span.
        label: String,
        /// Span of the invalid text.
        #[label("{label}")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// The text is YAML.
    #[error("this looks like YAML, and a manifest is written in KDL")]
    #[diagnostic(
        code(manifest::yaml),
        help(
            "a service of Compose is written `service \"web\" {{ image \"nginx\"; port 80 }}` here"
        )
    )]
    Yaml {
        /// Span of the line that identifies the text as YAML.
        #[label("a key with a colon")]
        at: Span,
    },
    /// The text is written in another language.
    #[error("this looks like {language}, and a manifest is written in KDL")]
    #[diagnostic(
        code(manifest::other_language),
        help("a service is written `service \"web\" {{ image \"nginx\"; port 80 }}` here")
    )]
    OtherLanguage {
        /// Name of the language.
        language: &'static str,
        /// Span that identifies the language.
        #[label("as in {language}")]
        at: Span,
    },
    /// Neither the manifest nor its folder gives the project a name.
    #[error("the project has no name")]
    #[diagnostic(
        code(manifest::no_project_name),
        help("write `project \"name\"`: the folder's own name has no letter or digit to use")
    )]
    NoProjectName,
    /// The manifest declares no service.
    #[error("the manifest declares no service")]
    #[diagnostic(
        code(manifest::empty),
        help("a service is declared by `service \"web\" {{ image \"nginx:1.29\" }}`")
    )]
    Empty {
        /// Start of the first file.
        #[label("nothing to deploy")]
        at: Span,
    },
    /// A file of variables has an error.
    #[error("{message}")]
    #[diagnostic(code(manifest::env_file))]
    EnvFile {
        /// Error message.
        message: String,
        /// Span of the invalid text.
        #[label("here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
}
