//! A folder next to the manifest for files that only the owner may read: `.cimandat/PROJECT/NAME/`.
//!
//! Files are written atomically, and a file that other users could read is rejected. The owner of
//! the folder defines the content of the files. Several projects may share a manifest or a folder,
//! so each project has a store of its own.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::NamedTempFile;
use thiserror::Error;

use super::Project;
use crate::{name::ProjectName, secret::Secret};

/// The name of the store, next to the first manifest. A folder with this name is never part of a
/// build context. Otherwise a project that is built in the folder of its manifest would have its
/// secrets in its images.
pub(super) const ROOT: &str = ".cimandat";

/// Folders that all projects of a folder shared, before each project had a store of its own.
const SHARED: [&str; 4] = ["secrets", "certificates", "earlier", "rotation"];
/// A file that is still shared: the digests of build inputs.
const SHARED_FILE: &str = "inputs";

/// The reason why the store is unusable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// An operation of the file system failed.
    #[error("cannot {verb} `{}`: {cause}", path.display())]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The message of the file system.
        cause: String,
    },
    /// Users other than the owner may read a file or folder.
    #[error("`{}` can be read by other users (mode {mode:03o})", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// The current permissions.
        mode: u32,
        /// The required permissions.
        wanted: u32,
    },
}

impl StoreError {
    /// Returns what the user can do about the error, if it is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Exposed { path, wanted, .. } => Some(format!(
                "restrict the permissions: `chmod {wanted:03o} {}`; if others use this machine, \
                 delete the file, so that the next `up` makes a new one",
                path.display()
            )),
        }
    }
}

/// The location of a project's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRoot {
    /// The folder that all projects of the directory share.
    root: PathBuf,
    /// The folder of this project.
    own: PathBuf,
}

impl StoreRoot {
    /// Returns the store of a project with its first manifest in `directory`. Nothing is created
    /// yet.
    #[must_use]
    pub fn new(directory: &Path, project: &ProjectName) -> Self {
        let root = directory.join(ROOT);
        let name = project.as_str();
        // The name of a project contains no dot, so that this cannot be the folder of another
        // project.
        let own = if SHARED.contains(&name) || name == SHARED_FILE {
            root.join(format!("{name}.project"))
        } else {
            root.join(name)
        };
        Self { root, own }
    }

    /// Returns the store of a resolved project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        Self::new(&project.directory, &project.name)
    }

    /// The current folder of the project's files: its own store, or still the shared one.
    fn current(&self) -> &Path {
        let shared = || SHARED.iter().any(|name| self.root.join(name).is_dir());
        if self.own.is_dir() || !shared() {
            &self.own
        } else {
            &self.root
        }
    }

    /// Creates the project's own store if there is none, and makes git ignore it before it contains
    /// anything. The content of a shared store is copied once, because other projects of the folder
    /// may still use it.
    fn prepare(&self) -> Result<(), StoreError> {
        make_folder(&self.root)?;
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| failed("write", &ignore, &error))?;
        }
        if self.own.is_dir() {
            return Ok(());
        }
        let explain = |error: io::Error| failed("make", &self.own, &error);
        // The folder is renamed when it is complete.
        let mut draft = tempfile::Builder::new();
        draft.prefix(".draft-");
        #[cfg(unix)]
        draft.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let draft = draft.tempdir_in(&self.root).map_err(explain)?;
        for name in SHARED {
            copy(&self.root.join(name), &draft.path().join(name))?;
        }
        match fs::rename(draft.path(), &self.own) {
            Ok(()) => {
                // The draft was renamed, so that there is nothing to remove.
                let _ = draft.keep();
                sync(&self.root)
            }
            // Another process was faster.
            Err(_) if self.own.is_dir() => Ok(()),
            Err(error) => Err(explain(error)),
        }
    }
}

/// One folder of the store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: StoreRoot,
    name: &'static str,
}

impl Store {
    /// Opens the folder with this name in a project's store. Nothing is created yet.
    pub(super) fn new(root: &StoreRoot, name: &'static str) -> Self {
        let root = root.clone();
        Self { root, name }
    }

    fn folder(&self) -> PathBuf {
        self.root.current().join(self.name)
    }

    /// The path of a file, whether or not it exists.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Returns the content of a file; `None` if it does not exist.
    ///
    /// # Errors
    /// If the file cannot be read, or other users could read it.
    pub(super) fn read(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        let path = self.path(name);
        let content = match fs::read(&path) {
            Ok(content) => Secret::new(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        refuse_exposed(&self.folder(), 0o700)?;
        refuse_exposed(&path, 0o600)?;
        Ok(Some(content))
    }

    /// Writes a new file. If another process wrote it first, that file is kept.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn put(&self, name: &str, content: &Secret<Vec<u8>>) -> Result<(), StoreError> {
        let draft = self.draft(content)?;
        let path = self.path(name);
        match draft.persist_noclobber(&path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(failed("write", &path, &error.error)),
            Ok(_) => self.settle(),
        }
    }

    /// Writes a file and replaces an existing one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn replace(&self, name: &str, content: &Secret<Vec<u8>>) -> Result<(), StoreError> {
        let draft = self.draft(content)?;
        let path = self.path(name);
        draft
            .persist(&path)
            .map_err(|error| failed("write", &path, &error.error))?;
        self.settle()
    }

    /// Returns the names of the files, the newest first; empty if the folder does not exist.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn list(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.folder();
        let explain = |error: io::Error| failed("read", &folder, &error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(explain(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(explain)?;
            let made = entry.metadata().and_then(|it| it.modified());
            if let Ok(name) = entry.file_name().into_string() {
                files.push((made.map_err(explain)?, name));
            }
        }
        files.sort_by(|a, b| b.cmp(a));
        Ok(files.into_iter().map(|(_, name)| name).collect())
    }

    /// Returns the time at which a file was written; `None` if it does not exist.
    pub(super) fn made(&self, name: &str) -> Option<SystemTime> {
        fs::metadata(self.path(name)).ok()?.modified().ok()
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// If an existing file cannot be removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => self.settle(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    /// Writes the content to a temporary file and syncs it. The mode of the file is 0600.
    fn draft(&self, content: &Secret<Vec<u8>>) -> Result<NamedTempFile, StoreError> {
        self.prepare()?;
        let folder = self.folder();
        let explain = |error: io::Error| failed("write into", &folder, &error);
        let mut draft = NamedTempFile::new_in(&folder).map_err(explain)?;
        draft.write_all(content.expose()).map_err(explain)?;
        draft.as_file().sync_all().map_err(explain)?;
        Ok(draft)
    }

    /// Creates the folders.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        self.root.prepare()?;
        let folder = self.folder();
        make_folder(&folder)?;
        refuse_exposed(&folder, 0o700)
    }

    /// Makes the new directory entry survive a power loss.
    fn settle(&self) -> Result<(), StoreError> {
        sync(&self.folder())
    }
}

/// Copies a folder with all its content, if it exists. Modification times are kept: they show which
/// of several values is older.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let explain = |error: io::Error| failed("read", from, &error);
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(explain(error)),
    };
    refuse_exposed(from, 0o700)?;
    make_folder(to)?;
    for entry in entries {
        let entry = entry.map_err(explain)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata().map_err(explain)?;
        if metadata.is_dir() {
            copy(&from, &to)?;
            continue;
        }
        refuse_exposed(&from, 0o600)?;
        let written = fs::copy(&from, &to)
            .and_then(|_| File::options().write(true).open(&to))
            .and_then(|file| file.set_modified(metadata.modified()?).map(|()| file))
            .and_then(|file| file.sync_all());
        written.map_err(|error| failed("write", &to, &error))?;
    }
    sync(to)
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| failed("write", folder, &error))
}

fn failed(verb: &'static str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io {
        verb,
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| failed("make", path, &error))
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, wanted: u32) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|error| failed("read", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    let path = path.to_owned();
    Err(StoreError::Exposed { path, mode, wanted })
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature on every system"
)]
fn refuse_exposed(_path: &Path, _wanted: u32) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use super::*;

    fn store(directory: &Path, project: &str) -> Store {
        let project = ProjectName::new(project).unwrap();
        Store::new(&StoreRoot::new(directory, &project), "secrets")
    }

    fn secret(text: &str) -> Secret<Vec<u8>> {
        Secret::new(text.as_bytes().to_vec())
    }

    /// Creates a store as it was when all projects of a folder shared it, with a secret of this
    /// name.
    fn shared(name: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(ROOT);
        for folder in ["secrets", "earlier/secrets", "rotation"] {
            make_folder(&root.join(folder)).unwrap();
        }
        let write = |path: &str, text: &str, age: u64| {
            let path = root.join(path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
            file.set_modified(time).unwrap();
        };
        write(&format!("secrets/{name}"), "value", 0);
        write(&format!("earlier/secrets/0.{name}"), "value", 20);
        write(&format!("earlier/secrets/1.{name}"), "older", 10);
        write("rotation/pending", "{}", 0);
        fs::write(root.join(SHARED_FILE), "").unwrap();
        directory
    }

    #[test]
    fn projects_in_one_folder_have_separate_stores() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (
            store(directory.path(), "shop"),
            store(directory.path(), "other"),
        );
        one.put("token", &secret("one")).unwrap();
        assert_eq!(other.read("token").unwrap(), None);
        other.put("token", &secret("two")).unwrap();
        assert_eq!(one.read("token").unwrap(), Some(secret("one")));
        let root = directory.path().join(ROOT);
        assert_eq!(one.path("token"), root.join("shop/secrets/token"));
        assert_eq!(other.list().unwrap(), ["token"]);
    }

    #[test]
    fn shared_store_is_copied_on_first_write() {
        let directory = shared("token");
        let root = directory.path().join(ROOT);
        let (one, other) = (
            store(directory.path(), "shop"),
            store(directory.path(), "other"),
        );
        // A read changes nothing.
        assert_eq!(one.read("token").unwrap(), Some(secret("value")));
        assert!(!root.join("shop").exists());

        one.replace("token", &secret("new")).unwrap();
        assert_eq!(one.read("token").unwrap(), Some(secret("new")));
        assert_eq!(other.read("token").unwrap(), Some(secret("value")));
        let project = ProjectName::new("shop").unwrap();
        let earlier = Store::new(
            &StoreRoot::new(directory.path(), &project),
            "earlier/secrets",
        );
        assert_eq!(earlier.list().unwrap(), ["1.token", "0.token"]);
        assert_eq!(
            earlier.path("1.token"),
            root.join("shop/earlier/secrets/1.token")
        );
        assert!(root.join("shop/rotation/pending").exists());
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("shop"), 0o700);
        assert_eq!(mode("shop/secrets"), 0o700);
        assert_eq!(mode("shop/secrets/token"), 0o600);

        // A project with its own store ignores later changes of the shared store.
        let late = root.join("secrets/late");
        fs::write(&late, "late").unwrap();
        fs::set_permissions(&late, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(one.read("late").unwrap(), None);
        other.prepare().unwrap();
        assert_eq!(other.path("token"), root.join("other/secrets/token"));
        let left = fs::read_dir(&root).unwrap();
        let left = left.filter(|it| {
            it.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("draft")
        });
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn project_named_like_shared_folder_has_own_store() {
        for project in ["secrets", "earlier", "inputs"] {
            let directory = shared(project);
            let own = store(directory.path(), project);
            assert_eq!(
                own.read(project).unwrap(),
                Some(secret("value")),
                "{project}"
            );
            own.replace(project, &secret("new")).unwrap();
            assert_eq!(own.read(project).unwrap(), Some(secret("new")), "{project}");
            let other = store(directory.path(), "shop");
            assert_eq!(
                other.read(project).unwrap(),
                Some(secret("value")),
                "{project}"
            );
        }
    }

    #[test]
    fn exposed_shared_store_is_not_copied() {
        let directory = shared("token");
        let path = directory.path().join(ROOT).join("secrets/token");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let own = store(directory.path(), "shop");
        let error = own.put("another", &secret("x")).unwrap_err();
        assert!(matches!(error, StoreError::Exposed { .. }), "{error}");
        assert!(!directory.path().join(ROOT).join("shop").exists());
    }
}
