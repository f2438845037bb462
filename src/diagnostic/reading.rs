//! Can the files be read, and are they KDL?

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// A mistake that keeps a file from being read.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ParseError {
    /// There is no manifest in the folder or above it.
    #[error("no `{name}` in `{folder}` or any folder above it")]
    #[diagnostic(
        code(manifest::not_found),
        help("name a manifest with `-f FILE`, or write one: the README shows how")
    )]
    NotFound {
        /// What was looked for.
        name: &'static str,
        /// Where the search began.
        folder: String,
    },
    /// A file named on the command line cannot be read.
    #[error("reading `{path}`: {cause}")]
    #[diagnostic(code(manifest::unreadable), help("{help}"))]
    Unreadable {
        /// The file, as it was named.
        path: String,
        /// What the system said.
        cause: String,
        /// The remedy.
        help: String,
    },
    /// A file named in a manifest cannot be read.
    #[error("reading `{path}`: {cause}")]
    #[diagnostic(code(manifest::unreadable_include))]
    UnreadableInclude {
        /// The file, with the folder it was looked for in.
        path: String,
        /// What the system said.
        cause: String,
        /// Where it is named.
        #[label("named here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A file includes itself, perhaps through others.
    #[error("`{path}` includes itself")]
    #[diagnostic(
        code(manifest::include_cycle),
        help("take one of the `include` lines out")
    )]
    IncludeCycle {
        /// The file.
        path: String,
        /// The include that closes the circle.
        #[label("this file is being read already")]
        at: Span,
    },
    /// The text is not KDL.
    #[error("{message}")]
    #[diagnostic(code(manifest::syntax))]
    Syntax {
        /// What is wrong.
        message: String,
        /// What stands there.
        label: String,
        /// Where.
        #[label("{label}")]
        at: Span,
        /// The remedy.
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
        /// The line that gives it away.
        #[label("a key with a colon")]
        at: Span,
    },
    /// The text is one of another language.
    #[error("this looks like {language}, and a manifest is written in KDL")]
    #[diagnostic(
        code(manifest::other_language),
        help("a service is written `service \"web\" {{ image \"nginx\"; port 80 }}` here")
    )]
    OtherLanguage {
        /// Which.
        language: &'static str,
        /// What gives it away.
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
    /// Nothing is declared.
    #[error("the manifest declares no service")]
    #[diagnostic(
        code(manifest::empty),
        help("a service is declared by `service \"web\" {{ image \"nginx:1.29\" }}`")
    )]
    Empty {
        /// The start of the first file.
        #[label("nothing to deploy")]
        at: Span,
    },
    /// A file of variables has a mistake.
    #[error("{message}")]
    #[diagnostic(code(manifest::env_file))]
    EnvFile {
        /// What is wrong.
        message: String,
        /// Where.
        #[label("here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
}
