//! Values by their digest: what a secret or certificate was, and what it is to be next.
//!
//! Kept in `.cimandat/PROJECT/earlier/`, so that a generation that is gone back to finds the values that it
//! ran with. A value is never overwritten: another value has another digest.

use std::path::PathBuf;

use super::store::{Store, StoreError, StoreRoot};
use crate::secret::{Secret, digest};

/// The values of one kind of thing, each file called `DIGEST.NAME`.
#[derive(Debug, Clone)]
pub(super) struct SecretHistory {
    store: Store,
}

impl SecretHistory {
    /// Of a project's secrets. Nothing is made yet.
    pub(super) fn secrets(root: &StoreRoot) -> Self {
        let store = Store::new(root, "earlier/secrets");
        Self { store }
    }

    /// Of its certificates, each with its key.
    pub(super) fn certificates(root: &StoreRoot) -> Self {
        let store = Store::new(root, "earlier/certificates");
        Self { store }
    }

    /// Where a value is, or would be.
    pub(super) fn path(&self, name: &str, digest: &str) -> PathBuf {
        self.store.path(&file(name, digest))
    }

    /// Keeps a value, unless it is kept already; gives its digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep(&self, name: &str, value: &Secret<Vec<u8>>) -> Result<String, StoreError> {
        let digest = digest(value.expose());
        if !self.path(name, &digest).exists() {
            self.store.put(&file(name, &digest), value)?;
        }
        Ok(digest)
    }

    /// A value, if it is at hand.
    ///
    /// # Errors
    /// When it cannot be read, or others could.
    pub(super) fn get(
        &self,
        name: &str,
        digest: &str,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        self.store.read(&file(name, digest))
    }

    /// All values, as name and digest, the youngest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn all(&self) -> Result<Vec<(String, String)>, StoreError> {
        let split = |file: String| {
            let (digest, name) = file.split_once('.')?;
            Some((name.to_owned(), digest.to_owned()))
        };
        Ok(self.store.list()?.into_iter().filter_map(split).collect())
    }

    /// The digests of one name's values, the youngest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn of(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let all = self.all()?.into_iter();
        Ok(all
            .filter(|(its, _)| its == name)
            .map(|(_, digest)| digest)
            .collect())
    }

    /// Forgets all but the youngest values of a name; the one in force is never forgotten, and
    /// does not count.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub(super) fn prune(&self, name: &str, in_force: &str, keep: usize) -> Result<(), StoreError> {
        let digests = self.of(name)?.into_iter();
        for old in digests.filter(|it| it != in_force).skip(keep) {
            self.store.remove(&file(name, &old))?;
        }
        Ok(())
    }
}

/// A digest has no dot, and a name may have some.
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
    fn a_value_is_found_by_its_digest_until_it_is_pruned() {
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
        assert!(left.contains(&digests[0]), "the one in force stays");
        assert_eq!(archive.of("db").unwrap().len(), 1);
    }
}
