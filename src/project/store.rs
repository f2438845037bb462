//! A folder beside the manifest for what only its owner may read: `.cimandat/NAME/`.
//!
//! Files appear whole or not at all, and nothing is read that others could have read. What the
//! files mean is for the owner of the folder.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::NamedTempFile;
use thiserror::Error;

use crate::secret::Secret;

/// Its name, beside the first manifest. What has this name is never part of a build context, or
/// the secrets of a project that is built where its manifest is would be in its images.
pub(super) const ROOT: &str = ".cimandat";

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

/// One folder of the store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// The folder of this name in the store of the project in `directory`. Nothing is made yet.
    pub(super) fn new(directory: &Path, name: &str) -> Self {
        let root = directory.join(ROOT);
        let folder = root.join(name);
        Self { root, folder }
    }

    /// Where a file is, or would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
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
        refuse_exposed(&self.folder, 0o700)?;
        refuse_exposed(&path, 0o600)?;
        Ok(Some(content))
    }

    /// Puts a file there that is not there yet; when somebody else was faster, theirs stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, name: &str, content: &Secret<Vec<u8>>) -> Result<(), StoreError> {
        let path = self.path(name);
        match self.draft(content)?.persist_noclobber(&path) {
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
        let path = self.path(name);
        let draft = self.draft(content)?;
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
        let explain = |error: io::Error| failed("read", &self.folder, &error);
        let entries = match fs::read_dir(&self.folder) {
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
        let explain = |error: io::Error| failed("write into", &self.folder, &error);
        let mut draft = NamedTempFile::new_in(&self.folder).map_err(explain)?;
        draft.write_all(content.expose()).map_err(explain)?;
        draft.as_file().sync_all().map_err(explain)?;
        Ok(draft)
    }

    /// Makes the folders, and has git pass them over before there is anything in them.
    fn prepare(&self) -> Result<(), StoreError> {
        make_folder(&self.root)?;
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| failed("write", &ignore, &error))?;
        }
        make_folder(&self.folder)?;
        refuse_exposed(&self.folder, 0o700)
    }

    /// Makes the new name itself survive a power cut.
    fn settle(&self) -> Result<(), StoreError> {
        if cfg!(not(unix)) {
            return Ok(());
        }
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed("write", &self.folder, &error))
    }
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
