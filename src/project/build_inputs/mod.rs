//! The inputs of an image build, and their digest: equal inputs, equal digest, equal image.
//!
//! The digest names the image. It covers only what the builder sees of a context: relative paths,
//! kinds, permissions, link targets and contents. It excludes times, owners and locations, because
//! the builder ignores them too. Secrets are never included. This module only reads files. It does
//! not know the content of a remote context, so that only the address of such a context is
//! included.

mod dockerignore;
mod hash_cache;
mod walk;

use std::{
    fmt::Write as _,
    io::ErrorKind,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use thiserror::Error;

pub use self::{
    dockerignore::{Matches, PatternError, Patterns},
    hash_cache::HashCache,
    walk::{Entry, Filter, WalkError, walk},
};
use super::{Build, hosts};
use crate::secret::Text;

/// The reason why the inputs of a build could not be read.
#[derive(Debug, Error)]
pub enum InputsError {
    /// The folder of a context does not exist.
    #[error("build context `{}` is not a folder", path.display())]
    NoContext {
        /// The path of the context.
        path: PathBuf,
    },
    /// The Dockerfile does not exist.
    #[error("Dockerfile `{}` does not exist", path.display())]
    NoDockerfile {
        /// The path of the Dockerfile.
        path: PathBuf,
    },
    /// A line of an ignore file is invalid.
    #[error("{} in `{}`", cause, path.display())]
    Pattern {
        /// The path of the ignore file.
        path: PathBuf,
        /// The invalid line.
        cause: PatternError,
    },
    /// A file or folder cannot be read.
    #[error(transparent)]
    Read(#[from] WalkError),
}

/// Returns the digest of everything that determines the image of a build: 16 hexadecimal digits.
///
/// Reads every file of the context. [`HashCache::digest`] skips unchanged files.
pub fn digest(build: &Build, platform: Option<&str>) -> Result<String, InputsError> {
    HashCache::default().digest(build, platform)
}

/// Returns the files, folders and links of the build's context in order, without the ignored ones.
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

/// Returns the folders of all contexts of a build with permissions other than those of their
/// context's root, one per line after the permissions. Unreadable contexts are skipped: the build
/// reports them.
#[must_use]
pub fn unusual_folders(build: &Build) -> String {
    let mut roots = vec![(build.context.as_path(), context(build))];
    let places = build.contexts.values().map(Path::new);
    roots.extend(places.filter(|place| !remote(place)).map(|root| {
        let exclude = ignored(&root.join(IGNORE_FILE));
        (root, exclude.and_then(|exclude| folder(root, exclude)))
    }));
    let mut text = String::new();
    for (root, entries) in roots {
        let usual = root.metadata().map_or(0, |it| it.mode() & 0o7777);
        for entry in entries.unwrap_or_default() {
            if entry.metadata.is_dir() && entry.permissions() != usual {
                let _ = writeln!(text, "{:o} {}", entry.permissions(), entry.path);
            }
        }
    }
    text
}

/// Returns whether the builder fetches a context itself: true for everything but an absolute path.
#[must_use]
pub fn remote(context: &Path) -> bool {
    !context.is_absolute()
}

/// Returns the path of the ignore file for one Dockerfile, which takes precedence over that of the
/// context.
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

impl HashCache {
    /// Like [`digest`], but does not read unchanged files again.
    pub fn digest(&mut self, build: &Build, platform: Option<&str>) -> Result<String, InputsError> {
        let mut sum = InputHasher(Sha256::new());
        // Increased when the same inputs must give another image name.
        sum.field("version", "2");
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
        sum: &mut InputHasher,
        root: &Path,
        entries: &[Entry],
    ) -> Result<(), InputsError> {
        let hashes = self.hashes(root, entries)?;
        sum.field("entries", &entries.len().to_string());
        for (entry, hash) in entries.iter().zip(hashes) {
            sum.field("path", &entry.path);
            match (&entry.target, hash) {
                // A link has no permissions of its own.
                (Some(target), _) => {
                    sum.field("link", target);
                    continue;
                }
                (None, Some(hash)) => sum.bytes("file", &hash),
                (None, None) => sum.field("folder", ""),
            }
            sum.field("mode", &format!("{:o}", entry.permissions()));
        }
        Ok(())
    }
}

fn dockerfile(build: &Build) -> Result<Vec<u8>, InputsError> {
    if let Some(inline) = &build.inline {
        return Ok(inline.clone().into_bytes());
    }
    // A relative path is part of a remote context, in which the builder finds it.
    if build.dockerfile.is_relative() {
        let name = build.dockerfile.to_string_lossy();
        return Ok(name.into_owned().into_bytes());
    }
    std::fs::read(&build.dockerfile).map_err(|cause| {
        let path = build.dockerfile.clone();
        if cause.kind() == ErrorKind::NotFound {
            InputsError::NoDockerfile { path }
        } else {
            InputsError::Read(WalkError { path, cause })
        }
    })
}

fn sum_options(sum: &mut InputHasher, build: &Build, platform: Option<&str>) {
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
    for (host, address) in hosts::lines(&build.extra_hosts) {
        sum.field("host", host);
        sum.field("address", address);
    }
    if let Some(size) = build.shm_size {
        sum.field("shm", &size.to_string());
    }
}

/// A hash of named fields with their lengths, so that no two lists of fields have the same bytes.
struct InputHasher(Sha256);

impl InputHasher {
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
        let hash = self.0.finalize();
        hash.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        name::{ProjectName, SecretName},
        project::{
            BuildSecret, BuildSecretSource,
            vault::{SecretGenerator, SecretSource, SecretStore, StoreMode, StoreRoot},
        },
    };

    /// Creates a context with a few files in a folder of its own.
    fn context() -> (tempfile::TempDir, Build) {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            // Independent of the umask of this process.
            mode(path.parent().unwrap(), 0o755);
            mode(&path, 0o644);
        };
        write("Dockerfile", "FROM scratch\nCOPY . /\n");
        write(".dockerignore", "*.log\n");
        write("src/main.js", "run()");
        write("start.sh", "#!/bin/sh");
        write("debug.log", "noise");
        std::os::unix::fs::symlink("start.sh", folder.path().join("link")).unwrap();
        let build = Build {
            context: folder.path().to_owned(),
            dockerfile: folder.path().join("Dockerfile"),
            inline: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: false,
            contexts: BTreeMap::new(),
            network: None,
            pull: false,
            no_cache: false,
            platforms: Vec::new(),
            labels: BTreeMap::new(),
            tags: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            extra_hosts: BTreeMap::new(),
            shm_size: None,
        };
        (folder, build)
    }

    #[test]
    fn secret_store_is_not_a_build_input() {
        let (folder, build) = context();
        let before = digest(&build, None).unwrap();
        let project = ProjectName::new("shop").unwrap();
        let vault = SecretStore::new(&StoreRoot::new(folder.path(), &project), StoreMode::Create);
        let recipe = SecretSource::Generated(SecretGenerator::Hex { bytes: 32 });
        vault
            .value(&SecretName::new("password").unwrap(), &recipe)
            .unwrap();
        assert!(
            folder
                .path()
                .join(".cimandat/shop/secrets/password")
                .exists()
        );
        assert_eq!(digest(&build, None).unwrap(), before);
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn digest_ignores_location_and_times() {
        let (_here, build) = context();
        let (there, mut other) = context();
        let expected = digest(&build, None).unwrap();
        assert_eq!(expected.len(), 16);
        std::fs::write(there.path().join("debug.log"), "other noise").unwrap();
        let old = std::fs::File::open(there.path().join("src/main.js")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        let source = BuildSecretSource::Value(Text::from("secret"));
        let required = true;
        let secret = BuildSecret { source, required };
        other.secrets.insert("key".to_owned(), secret);
        other.no_cache = true;
        assert_eq!(digest(&other, None).unwrap(), expected);
    }

    type Change = (&'static str, fn(&Path, &mut Build));

    const OF_FILES: [Change; 12] = [
        ("content", |at, _| {
            std::fs::write(at.join("src/main.js"), "x").unwrap();
        }),
        ("name", |at, _| {
            std::fs::rename(at.join("start.sh"), at.join("go")).unwrap();
        }),
        ("new file", |at, _| {
            std::fs::write(at.join("new"), "").unwrap();
        }),
        ("new folder", |at, _| {
            std::fs::create_dir(at.join("new")).unwrap();
        }),
        ("executable bits", |at, _| mode(&at.join("start.sh"), 0o755)),
        ("executable by others", |at, _| {
            mode(&at.join("start.sh"), 0o645);
        }),
        ("readable by its owner only", |at, _| {
            mode(&at.join("start.sh"), 0o600);
        }),
        ("set user id", |at, _| mode(&at.join("start.sh"), 0o4644)),
        ("closed folder", |at, _| mode(&at.join("src"), 0o700)),
        ("file to folder", |at, _| {
            std::fs::remove_file(at.join("start.sh")).unwrap();
            std::fs::create_dir(at.join("start.sh")).unwrap();
        }),
        ("ignored", |at, _| {
            std::fs::write(at.join(".dockerignore"), "").unwrap();
        }),
        ("link", |at, _| {
            std::fs::remove_file(at.join("link")).unwrap();
            std::os::unix::fs::symlink("src", at.join("link")).unwrap();
        }),
    ];

    const OF_OPTIONS: [Change; 6] = [
        ("target", |_, build| {
            build.target = Some("runner".to_owned());
        }),
        ("inline", |_, build| {
            build.inline = Some("FROM scratch".to_owned());
        }),
        ("arg", |_, build| {
            _ = build.args.insert("A".to_owned(), Text::from("1"));
        }),
        ("label", |_, build| {
            _ = build.labels.insert("a".to_owned(), "1".to_owned());
        }),
        ("network", |_, build| {
            build.network = Some("host".to_owned());
        }),
        ("named context", |at, build| {
            let place = at.join("src").display().to_string();
            build.contexts.insert("more".to_owned(), place);
        }),
    ];

    #[test]
    fn every_build_input_changes_the_digest() {
        let (_folder, build) = context();
        let plain = digest(&build, None).unwrap();
        let mut seen = std::collections::BTreeSet::from([plain]);
        assert!(seen.insert(digest(&build, Some("linux/arm64")).unwrap()));
        for (what, change) in OF_FILES.into_iter().chain(OF_OPTIONS) {
            let (folder, mut build) = context();
            change(folder.path(), &mut build);
            assert!(seen.insert(digest(&build, None).unwrap()), "{what}");
        }
    }

    #[test]
    fn missing_build_input_is_named() {
        let (folder, mut build) = context();
        build.dockerfile = folder.path().join("Dockerfile.none");
        let error = digest(&build, None).unwrap_err().to_string();
        assert!(
            error.ends_with("Dockerfile.none` does not exist"),
            "{error}"
        );
        let (folder, mut build) = context();
        build.context = folder.path().join("none");
        let error = digest(&build, None).unwrap_err().to_string();
        assert!(error.ends_with("none` is not a folder"), "{error}");
        let (folder, build) = context();
        std::fs::write(folder.path().join(".dockerignore"), "ok\n[\n").unwrap();
        let error = digest(&build, None).unwrap_err().to_string();
        assert!(
            error.starts_with("`[` is not a pattern of files in"),
            "{error}"
        );
    }
}
