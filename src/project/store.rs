//! A folder beside the manifest for what only its owner may read: `.cimandat/PROJECT/NAME/`.
//!
//! Files appear whole or not at all, and nothing is read that others could have read. What the
//! files mean is for the owner of the folder. Several projects may have one manifest, or one folder,
//! so each has a store of its own.

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

/// Its name, beside the first manifest. What has this name is never part of a build context, or
/// the secrets of a project that is built where its manifest is would be in its images.
pub(super) const ROOT: &str = ".cimandat";

/// Folders that all projects of a folder shared before each had a store of its own.
const SHARED: [&str; 4] = ["secrets", "certificates", "earlier", "rotation"];
/// A file of that time, which is still there: the digests of build inputs.
const SHARED_FILE: &str = "inputs";

/// Why the store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("cannot {verb} `{}`: {cause}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system says.
        cause: String,
    },
    /// Users other than the owner may read a file or folder.
    #[error("`{}` can be read by other users (mode {mode:03o})", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions now.
        mode: u32,
        /// The permissions that it should have.
        wanted: u32,
    },
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Exposed { path, wanted, .. } => Some(format!(
                "take the permissions back: `chmod {wanted:03o} {}`; if others use this machine, \
                 delete the file, so that the next `up` makes a new one",
                path.display()
            )),
        }
    }
}

/// Where the store of one project is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRoot {
    /// What all projects of the folder have in common.
    root: PathBuf,
    /// What belongs to this project.
    own: PathBuf,
}

impl StoreRoot {
    /// The store of this project, whose first manifest is in `directory`. Nothing is made yet.
    #[must_use]
    pub fn new(directory: &Path, project: &ProjectName) -> Self {
        let root = directory.join(ROOT);
        let name = project.as_str();
        // The name of a project has no dot, so that this cannot be another one's folder.
        let own = if SHARED.contains(&name) || name == SHARED_FILE {
            root.join(format!("{name}.project"))
        } else {
            root.join(name)
        };
        Self { root, own }
    }

    /// The store of a resolved project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        Self::new(&project.directory, &project.name)
    }

    /// Where the project's files are now: in a store of its own, or still in the shared one.
    fn current(&self) -> &Path {
        let shared = || SHARED.iter().any(|name| self.root.join(name).is_dir());
        if self.own.is_dir() || !shared() {
            &self.own
        } else {
            &self.root
        }
    }

    /// Makes the project's own store, if there is none, and has git ignore it before there is
    /// anything in it. What a shared store holds is copied into it, once: other projects of the
    /// folder may still use that one.
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
        // It gets its name when everything is in it.
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
                // There is nothing to remove any more under the name of the draft.
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
    /// The folder of this name in a project's store. Nothing is made yet.
    pub(super) fn new(root: &StoreRoot, name: &'static str) -> Self {
        let root = root.clone();
        Self { root, name }
    }

    fn folder(&self) -> PathBuf {
        self.root.current().join(self.name)
    }

    /// Where a file is, or would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A file's content; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or others could.
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

    /// Puts a file there that is not there yet; when somebody else was faster, theirs stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, name: &str, content: &Secret<Vec<u8>>) -> Result<(), StoreError> {
        let draft = self.draft(content)?;
        let path = self.path(name);
        match draft.persist_noclobber(&path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(failed("write", &path, &error.error)),
            Ok(_) => self.settle(),
        }
    }

    /// Puts a file there in place of the one that is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn replace(&self, name: &str, content: &Secret<Vec<u8>>) -> Result<(), StoreError> {
        let draft = self.draft(content)?;
        let path = self.path(name);
        draft
            .persist(&path)
            .map_err(|error| failed("write", &path, &error.error))?;
        self.settle()
    }

    /// The names of the files, the youngest first; none where there is no folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
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

    /// When a file was put there; `None` when there is none.
    pub(super) fn made(&self, name: &str) -> Option<SystemTime> {
        fs::metadata(self.path(name)).ok()?.modified().ok()
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => self.settle(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    /// The content on the disk under a name of no meaning. The temporary file's mode is 0600.
    fn draft(&self, content: &Secret<Vec<u8>>) -> Result<NamedTempFile, StoreError> {
        self.prepare()?;
        let folder = self.folder();
        let explain = |error: io::Error| failed("write into", &folder, &error);
        let mut draft = NamedTempFile::new_in(&folder).map_err(explain)?;
        draft.write_all(content.expose()).map_err(explain)?;
        draft.as_file().sync_all().map_err(explain)?;
        Ok(draft)
    }

    /// Makes the folders.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        self.root.prepare()?;
        let folder = self.folder();
        make_folder(&folder)?;
        refuse_exposed(&folder, 0o700)
    }

    /// Makes the new name itself survive a power cut.
    fn settle(&self) -> Result<(), StoreError> {
        sync(&self.folder())
    }
}

/// Copies a folder with all that it holds, if there is one. The times stay: by them it is known
/// which of several values is older.
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

    /// A store as all projects of a folder shared it, with a secret of this name.
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
    fn projects_of_one_folder_have_stores_of_their_own() {
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
    fn shared_store_is_copied_into_each_project_when_it_is_first_written() {
        let directory = shared("token");
        let root = directory.path().join(ROOT);
        let (one, other) = (
            store(directory.path(), "shop"),
            store(directory.path(), "other"),
        );
        // Reading changes nothing.
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

        // What is in the shared store from now on is nothing to a project with its own.
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
    fn project_named_like_a_shared_folder_has_a_store_of_its_own() {
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
    fn shared_store_that_others_can_read_is_not_taken_over() {
        let directory = shared("token");
        let path = directory.path().join(ROOT).join("secrets/token");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let own = store(directory.path(), "shop");
        let error = own.put("another", &secret("x")).unwrap_err();
        assert!(matches!(error, StoreError::Exposed { .. }), "{error}");
        assert!(!directory.path().join(ROOT).join("shop").exists());
    }
}
