//! Earlier and pending values of secrets and certificates, stored by digest.
//!
//! The files are in `.cimandat/PROJECT/earlier/`, so that a rollback finds the values of the older
//! generation. A value is never overwritten: another value has another digest.

use std::path::PathBuf;

use super::store::{Store, StoreError, StoreRoot};
use crate::secret::{Secret, digest};

/// The stored values of secrets or of certificates, each in a file named `DIGEST.NAME`.
#[derive(Debug, Clone)]
pub(super) struct SecretHistory {
    store: Store,
}

impl SecretHistory {
    /// Opens the history of the project's secrets. No file is created yet.
    pub(super) fn secrets(root: &StoreRoot) -> Self {
        let store = Store::new(root, "earlier/secrets");
        Self { store }
    }

    /// Opens the history of the project's certificates, each with its key.
    pub(super) fn certificates(root: &StoreRoot) -> Self {
        let store = Store::new(root, "earlier/certificates");
        Self { store }
    }

    /// The path of a value, whether or not it exists.
    pub(super) fn path(&self, name: &str, digest: &str) -> PathBuf {
        self.store.path(&file(name, digest))
    }

    /// Stores a value, unless it is stored already. Returns its digest.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn keep(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<String, StoreError> {
        let digest = digest(value.expose());
        if !self.path(name, &digest).exists() {
            self.store.put(&file(name, &digest), value)?;
        }
        Ok(digest)
    }

    /// Returns a value, if it is available.
    ///
    /// # Errors
    /// If the file cannot be read, or other users could read it.
    pub(super) fn get(
        &self,
        name: &str,
        digest: &str,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        self.store.read(&file(name, digest))
    }

    /// Returns all values as name and digest, the newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn all(&self) -> Result<Vec<(String, String)>, StoreError> {
        let split = |file: String| {
            let (digest, name) = file.split_once('.')?;
            Some((name.to_owned(), digest.to_owned()))
        };
        Ok(self.store.list()?.into_iter().filter_map(split).collect())
    }

    /// Returns the digests of the values of one name, the newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn of(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let all = self.all()?.into_iter();
        Ok(all
            .filter(|(its, _)| its == name)
            .map(|(_, digest)| digest)
            .collect())
    }

    /// Removes all but the newest `keep` values of a name. The active value is never removed and
    /// does not count.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub(super) fn prune(&self, name: &str, in_force: &str, keep: usize) -> Result<(), StoreError> {
        let digests = self.of(name)?.into_iter();
        for old in digests.filter(|it| it != in_force).skip(keep) {
            self.store.remove(&file(name, &old))?;
        }
        Ok(())
    }
}

/// The digest comes first, because a digest contains no dot and a name may contain some.
fn file(name: &str, digest: &str) -> String {
    format!("{digest}.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ProjectName;

    fn value(text: &str) -> Secret<Vec<u8>> {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn value_is_found_by_digest_until_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let project = ProjectName::new("shop").unwrap();
        let archive = SecretHistory::secrets(&StoreRoot::new(folder.path(), &project));
        assert_eq!(archive.all().unwrap(), []);
        let digests: Vec<String> = (0..8)
            .map(|number| {
                archive
                    .keep("db.main", &value(&number.to_string()))
                    .unwrap()
            })
            .collect();
        archive.keep("db", &value("other")).unwrap();
        assert_eq!(archive.of("db.main").unwrap().len(), 8);
        let found = archive.get("db.main", &digests[0]).unwrap();
        assert_eq!(found, Some(value("0")));
        assert_eq!(archive.get("db", &digests[0]).unwrap(), None);

        archive.prune("db.main", &digests[0], 5).unwrap();
        let left = archive.of("db.main").unwrap();
        assert_eq!(left.len(), 6);
        assert!(left.contains(&digests[0]), "the active one stays");
        assert_eq!(archive.of("db").unwrap().len(), 1);
    }
}
