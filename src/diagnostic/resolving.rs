//! Errors in what the manifest refers to outside of itself.

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// An error that shows only when the manifest is resolved on this machine: files, secrets,
/// profiles.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ResolveError {
    /// A service named on the command line does not exist in the manifest.
    #[error("there is no service `{name}`")]
    #[diagnostic(code(project::unknown_service))]
    UnknownService {
        /// The text that was written.
        name: String,
        /// Suggested name, or the list of names that exist.
        #[help]
        help: Option<String>,
    },
    /// No service is in this profile.
    #[error("no service is in the profile `{name}`")]
    #[diagnostic(code(project::unknown_profile))]
    UnknownProfile {
        /// The text that was written.
        name: String,
        /// Suggested name, or the list of names that exist.
        #[help]
        help: Option<String>,
    },
    /// A required service has profiles that are all off.
    #[error("`{service}` {relation} `{other}`, whose profiles are not enabled")]
    #[diagnostic(code(project::disabled))]
    Disabled {
        /// Name of the service that requires the other one.
        service: String,
        /// Relation between the two: `depends on`, `takes the image of`, …
        relation: &'static str,
        /// Name of the required service.
        other: String,
        /// Span of the reference.
        #[label("not part of this deploy")]
        at: Span,
        /// How to enable the required service, or to do without it.
        #[help]
        help: Option<String>,
    },
    /// A secret has no usable value.
    #[error("secret `{name}` has no value: {cause}")]
    #[diagnostic(code(project::secret))]
    Secret {
        /// Name of the secret.
        name: String,
        /// Reason that there is no value.
        cause: String,
        /// Span of the declaration.
        #[label("declared here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A secret that is used as part of a string is not text.
    #[error("secret `{name}` is not text, and cannot be part of a string")]
    #[diagnostic(
        code(project::binary_secret),
        help("give it to the service as a file: `secret \"{name}\"`")
    )]
    BinarySecret {
        /// Name of the secret.
        name: String,
        /// Span of the use.
        #[label("used here")]
        at: Span,
    },
    /// A config has no content.
    #[error("config `{name}` has no content: {cause}")]
    #[diagnostic(code(project::config))]
    Config {
        /// Name of the config.
        name: String,
        /// Reason that there is no content.
        cause: String,
        /// Span of the declaration.
        #[label("declared here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A certificate is unavailable.
    #[error("{cause}")]
    #[diagnostic(code(project::certificate))]
    Certificate {
        /// Reason that the certificate is unavailable.
        cause: String,
        /// Span of the use of the certificate.
        #[label("requested here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A file or folder of this machine does not exist, or has the wrong kind.
    #[error("{what} `{path}` {cause}")]
    #[diagnostic(code(project::missing_path))]
    MissingPath {
        /// Role of the path: `bind source`, `build context`, …
        what: &'static str,
        /// The path, absolute.
        path: String,
        /// Problem with the path: `does not exist`, …
        cause: String,
        /// Span of the reference.
        #[label("named here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// An error in a file from which a service takes variables or labels.
    #[error("`{path}`, line {line}, column {column}: {cause}")]
    #[diagnostic(code(project::env_file))]
    EnvFile {
        /// Path of the file, absolute.
        path: String,
        /// Line number, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// Description of the error.
        cause: String,
        /// Span of the reference to the file.
        #[label("in this file")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A build secret has no value.
    #[error("build secret `{id}` has no value: {cause}")]
    #[diagnostic(
        code(project::build_secret),
        help("make it optional with `required=#false`")
    )]
    BuildSecret {
        /// ID of the secret.
        id: String,
        /// Reason that there is no value.
        cause: String,
        /// Span of the declaration.
        #[label("needed by the build")]
        at: Span,
    },
    /// Two files have the same path in a container.
    #[error("two files are put at `{path}` in `{service}`")]
    #[diagnostic(code(project::file_clash), help("put one of them elsewhere"))]
    FileClash {
        /// Path inside the container.
        path: String,
        /// Name of the service.
        service: String,
        /// Span of the second file.
        #[label("put there again")]
        at: Span,
        /// Span of the first file.
        #[label("first put there")]
        first: Span,
    },
    /// Files are put into a folder that is also a mount target.
    #[error("`{folder}` in `{service}` holds both a mount and files that are put there")]
    #[diagnostic(
        code(project::folder_clash),
        help("put the files into another folder with `target=`, or mount elsewhere")
    )]
    FolderClash {
        /// Folder inside the container.
        folder: String,
        /// Name of the service.
        service: String,
        /// Span of the file.
        #[label("put there")]
        at: Span,
        /// Span of the mount.
        #[label("mounted there")]
        first: Span,
    },
    /// A file would need a volume on the container's root.
    #[error("`{path}` needs a folder of its own: {cause}")]
    #[diagnostic(
        code(project::file_in_root),
        help("say `target=\"/etc/{service}/file\"`, or any other folder")
    )]
    FileInRoot {
        /// Path inside the container.
        path: String,
        /// Reason that the file needs a folder of its own.
        cause: &'static str,
        /// Name of the service.
        service: String,
        /// Span of the file.
        #[label("put there")]
        at: Span,
    },
    /// A gate probes a health check that is switched off.
    #[error("the gate of `{service}` probes a health check that is disabled")]
    #[diagnostic(
        code(project::gate_without_check),
        help("use another probe (`tcp`, `http`, `exec`, …), or enable the health check")
    )]
    GateWithoutCheck {
        /// Name of the service.
        service: String,
        /// Span of the probe.
        #[label("never healthy")]
        at: Span,
        /// Span of the health check.
        #[label("switched off here")]
        first: Span,
    },
}
