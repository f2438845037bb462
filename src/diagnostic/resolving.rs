//! Does what the manifest names exist outside of it?

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// A mistake that shows only when the manifest meets the machine: files, secrets, profiles.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ResolveError {
    /// A service named on the command line that the manifest does not have.
    #[error("there is no service `{name}`")]
    #[diagnostic(code(project::unknown_service))]
    UnknownService {
        /// What was written.
        name: String,
        /// What was meant, or what there is.
        #[help]
        help: Option<String>,
    },
    /// A profile that no service is in.
    #[error("no service is in the profile `{name}`")]
    #[diagnostic(code(project::unknown_profile))]
    UnknownProfile {
        /// What was written.
        name: String,
        /// What was meant, or what there is.
        #[help]
        help: Option<String>,
    },
    /// A service that is needed and whose profiles are off.
    #[error("`{service}` {relation} `{other}`, whose profiles are off")]
    #[diagnostic(code(project::disabled))]
    Disabled {
        /// Who needs it.
        service: String,
        /// How: `depends on`, `takes the image of`, …
        relation: &'static str,
        /// What is needed.
        other: String,
        /// Where it is named.
        #[label("not part of this deploy")]
        at: Span,
        /// How to switch it on, or do without.
        #[help]
        help: Option<String>,
    },
    /// A secret without a usable value.
    #[error("secret `{name}` has no value: {cause}")]
    #[diagnostic(code(project::secret))]
    Secret {
        /// Which.
        name: String,
        /// Why.
        cause: String,
        /// Where it is declared.
        #[label("declared here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A secret that is to be part of a string and is no text.
    #[error("secret `{name}` is not text, and cannot be part of a string")]
    #[diagnostic(
        code(project::binary_secret),
        help("give it to the service as a file: `secret \"{name}\"`")
    )]
    BinarySecret {
        /// Which.
        name: String,
        /// Where it is used.
        #[label("used here")]
        at: Span,
    },
    /// A config without content.
    #[error("config `{name}` has no content: {cause}")]
    #[diagnostic(code(project::config))]
    Config {
        /// Which.
        name: String,
        /// Why.
        cause: String,
        /// Where it is declared.
        #[label("declared here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A certificate that cannot be had.
    #[error("{cause}")]
    #[diagnostic(code(project::certificate))]
    Certificate {
        /// Why.
        cause: String,
        /// Where it is asked for.
        #[label("asked for here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A file or folder of this machine that is not there, or is not what it should be.
    #[error("{what} `{path}` {cause}")]
    #[diagnostic(code(project::missing_path))]
    MissingPath {
        /// What it is: `bind source`, `build context`, …
        what: &'static str,
        /// Which, absolute.
        path: String,
        /// `does not exist`, …
        cause: String,
        /// Where it is named.
        #[label("named here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A mistake in a file that a service takes variables or labels from.
    #[error("`{path}`, line {line}, column {column}: {cause}")]
    #[diagnostic(code(project::env_file))]
    EnvFile {
        /// Which, absolute.
        path: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong.
        cause: String,
        /// Where the file is named.
        #[label("in this file")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A secret of a build without a value.
    #[error("build secret `{id}` has no value: {cause}")]
    #[diagnostic(
        code(project::build_secret),
        help("let the build go on without it by `required=#false`")
    )]
    BuildSecret {
        /// Which.
        id: String,
        /// Why.
        cause: String,
        /// Where it is declared.
        #[label("needed by the build")]
        at: Span,
    },
    /// Two files that are to be put at one path.
    #[error("two files are put at `{path}` in `{service}`")]
    #[diagnostic(code(project::file_clash), help("put one of them elsewhere"))]
    FileClash {
        /// The path inside the container.
        path: String,
        /// The service.
        service: String,
        /// The second.
        #[label("put there again")]
        at: Span,
        /// The first.
        #[label("first put there")]
        first: Span,
    },
    /// Files that are to be put where something is mounted.
    #[error("`{folder}` in `{service}` holds both a mount and files that are put there")]
    #[diagnostic(
        code(project::folder_clash),
        help("put the files into another folder with `target=`, or mount elsewhere")
    )]
    FolderClash {
        /// The folder inside the container.
        folder: String,
        /// The service.
        service: String,
        /// The file.
        #[label("put there")]
        at: Span,
        /// The mount.
        #[label("mounted there")]
        first: Span,
    },
    /// A file that would need a volume on the container's root.
    #[error("`{path}` needs a folder of its own: {cause}")]
    #[diagnostic(
        code(project::file_in_root),
        help("say `target=\"/etc/{service}/file\"`, or any other folder")
    )]
    FileInRoot {
        /// The path inside the container.
        path: String,
        /// Why it does.
        cause: &'static str,
        /// The service.
        service: String,
        /// The file.
        #[label("put there")]
        at: Span,
    },
    /// A gate that asks a health check that is switched off.
    #[error("the gate of `{service}` asks a health check that is switched off")]
    #[diagnostic(
        code(project::gate_without_check),
        help("ask something else (`tcp`, `http`, `exec`, …), or leave the health check on")
    )]
    GateWithoutCheck {
        /// The service.
        service: String,
        /// The probe.
        #[label("never healthy")]
        at: Span,
        /// The health check.
        #[label("switched off here")]
        first: Span,
    },
}
