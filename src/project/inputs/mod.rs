//! What an image is built from, and the digest of it: equal inputs, equal digest, equal image.
//!
//! The digest names the image, so it is the same on every machine: relative paths, contents and
//! the executable bit count; times, owners and places do not. Secrets never count. This module
//! reads files and does nothing else; what a remote context holds it does not know, so there the
//! address alone counts.

mod contents;
mod pattern;
mod walk;

use std::{
    io::ErrorKind,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use thiserror::Error;

pub use self::{
    contents::Contents,
    pattern::{Matches, PatternError, Patterns},
    walk::{Entry, Filter, WalkError, walk},
};
use super::Build;
use crate::secret::Text;

/// Why the inputs of a build could not be read.
#[derive(Debug, Error)]
pub enum InputsError {
    /// The folder of a context is not there.
    #[error("build context `{}` is not a folder", path.display())]
    NoContext {
        /// Which.
        path: PathBuf,
    },
    /// The Dockerfile is not there.
    #[error("Dockerfile `{}` does not exist", path.display())]
    NoDockerfile {
        /// Which.
        path: PathBuf,
    },
    /// A line of an ignore file makes no sense.
    #[error("{} in `{}`", cause, path.display())]
    Pattern {
        /// The ignore file.
        path: PathBuf,
        /// The line.
        cause: PatternError,
    },
    /// A file or folder cannot be read.
    #[error(transparent)]
    Read(#[from] WalkError),
}

/// The digest of all that decides what image a build makes: 16 hexadecimal digits.
///
/// Reads every file of the context; [`Contents::digest`] remembers what has not changed.
pub fn digest(build: &Build, platform: Option<&str>) -> Result<String, InputsError> {
    Contents::default().digest(build, platform)
}

/// The files, folders and links of the build's context, without what is ignored, in order.
///
/// Empty for a context that is not a folder of this machine.
pub fn context(build: &Build) -> Result<Vec<Entry>, InputsError> {
    if remote(&build.context) {
        return Ok(Vec::new());
    }
    let own = own_ignore_file(&build.dockerfile);
    let exclude = if build.inline.is_none() && own.is_file() {
        ignored(&own)?
    } else {
        ignored(&build.context.join(IGNORE_FILE))?
    };
    folder(&build.context, exclude)
}

/// Whether the builder fetches a context itself: everything that is no absolute path.
#[must_use]
pub fn remote(context: &Path) -> bool {
    !context.is_absolute()
}

/// The ignore file that belongs to one Dockerfile and takes precedence over the context's.
#[must_use]
pub fn own_ignore_file(dockerfile: &Path) -> PathBuf {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(IGNORE_FILE);
    path.into()
}

const IGNORE_FILE: &str = ".dockerignore";

fn folder(root: &Path, exclude: Patterns) -> Result<Vec<Entry>, InputsError> {
    if !root.is_dir() {
        return Err(InputsError::NoContext {
            path: root.to_owned(),
        });
    }
    let mut entries = Vec::new();
    let filter = Filter {
        include: Patterns::default(),
        exclude,
    };
    walk(root, &filter, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

fn ignored(path: &Path) -> Result<Patterns, InputsError> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Patterns::default()),
        Err(cause) => {
            return Err(InputsError::Read(WalkError {
                path: path.to_owned(),
                cause,
            }));
        }
    };
    Patterns::parse(&text).map_err(|cause| InputsError::Pattern {
        path: path.to_owned(),
        cause,
    })
}

impl Contents {
    /// As [`digest`], without reading again what has not changed.
    pub fn digest(&mut self, build: &Build, platform: Option<&str>) -> Result<String, InputsError> {
        let mut sum = Sum(Sha256::new());
        // Raised when the same inputs are to make another image name.
        sum.field("version", "1");
        sum.bytes("dockerfile", &dockerfile(build)?);
        sum_options(&mut sum, build, platform);
        if remote(&build.context) {
            sum.field("context", &build.context.to_string_lossy());
        } else {
            self.sum_folder(&mut sum, &build.context, &context(build)?)?;
        }
        for (name, place) in &build.contexts {
            sum.field("named context", name);
            let root = Path::new(place);
            if remote(root) {
                sum.field("place", place);
            } else {
                let entries = folder(root, ignored(&root.join(IGNORE_FILE))?)?;
                self.sum_folder(&mut sum, root, &entries)?;
            }
        }
        Ok(sum.finish())
    }

    fn sum_folder(
        &mut self,
        sum: &mut Sum,
        root: &Path,
        entries: &[Entry],
    ) -> Result<(), InputsError> {
        let hashes = self.hashes(root, entries)?;
        sum.field("entries", &entries.len().to_string());
        for (entry, hash) in entries.iter().zip(hashes) {
            sum.field("path", &entry.path);
            match (&entry.target, hash) {
                (Some(target), _) => sum.field("link", target),
                (None, Some(hash)) if executable(entry) => sum.bytes("program", &hash),
                (None, Some(hash)) => sum.bytes("file", &hash),
                (None, None) => sum.field("folder", ""),
            }
        }
        Ok(())
    }
}

fn dockerfile(build: &Build) -> Result<Vec<u8>, InputsError> {
    if let Some(inline) = &build.inline {
        return Ok(inline.clone().into_bytes());
    }
    match std::fs::read(&build.dockerfile) {
        Ok(bytes) => Ok(bytes),
        // It is part of the context then, and the builder finds it there.
        Err(_) if remote(&build.context) => {
            Ok(build.dockerfile.to_string_lossy().into_owned().into_bytes())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(InputsError::NoDockerfile {
            path: build.dockerfile.clone(),
        }),
        Err(cause) => Err(InputsError::Read(WalkError {
            path: build.dockerfile.clone(),
            cause,
        })),
    }
}

fn sum_options(sum: &mut Sum, build: &Build, platform: Option<&str>) {
    sum.field("target", build.target.as_deref().unwrap_or_default());
    sum.field("network", build.network.as_deref().unwrap_or_default());
    sum.field("platform", platform.unwrap_or_default());
    for platform in &build.platforms {
        sum.field("platform", platform);
    }
    for (name, value) in &build.args {
        sum.field("arg", name);
        match value {
            Text::Plain(value) => sum.field("value", value),
            Text::Sealed { digest, .. } => sum.field("sealed", digest),
        }
    }
    for (name, value) in &build.labels {
        sum.field("label", name);
        sum.field("value", value);
    }
    for (host, address) in &build.extra_hosts {
        sum.field("host", host);
        sum.field("address", address);
    }
    if let Some(size) = build.shm_size {
        sum.field("shm", &size.to_string());
    }
}

#[cfg(unix)]
fn executable(entry: &Entry) -> bool {
    use std::os::unix::fs::PermissionsExt;
    entry.metadata.permissions().mode() & 0o100 != 0
}

/// A hash over named fields of known length, so that no two lists of fields run together.
struct Sum(Sha256);

impl Sum {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn finish(self) -> String {
        use std::fmt::Write;
        let hash = self.0.finalize();
        hash.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
