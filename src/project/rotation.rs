//! New values that wait for their deploy.
//!
//! A rotation is begun by writing down which values are to be in force next; they are in the
//! archive then, and nothing else has changed. When their deploy is committed they are put in force;
//! when it has gone back, the rotation is given up. Whoever finds a rotation that was neither (its
//! maker was killed) sees by what runs which of the two has to be made up for.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    archive::SecretHistory,
    store::{Store, StoreError, StoreRoot},
};
use crate::{
    name::{CertificateName, SecretName},
    secret::{Secret, digest},
};

const PENDING: &str = "pending";

/// Which secrets and certificates are to have which values, by digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Secrets, each with the digest of its value.
    pub secrets: BTreeMap<SecretName, String>,
    /// Certificates, each with the digest of the file that holds it and its key.
    pub certificates: BTreeMap<CertificateName, String>,
}

impl Rotation {
    /// The one that was begun and did not end, of the project with this store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pending(root: &StoreRoot) -> Result<Option<Self>, StoreError> {
        let store = Store::new(root, "rotation");
        let Some(text) = store.read(PENDING)? else {
            return Ok(None);
        };
        let rotation = serde_json::from_slice(text.expose());
        rotation.map(Some).map_err(|error| StoreError::Io {
            verb: "understand",
            path: store.path(PENDING),
            cause: error.to_string(),
        })
    }

    /// Where it is written down.
    #[must_use]
    pub fn place(root: &StoreRoot) -> PathBuf {
        Store::new(root, "rotation").path(PENDING)
    }

    /// Writes it down, before anything is deployed with its values.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, root: &StoreRoot) -> Result<(), StoreError> {
        // Two maps of names and digests can always be said in JSON.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Store::new(root, "rotation").replace(PENDING, &Secret::new(text))
    }

    /// Puts its values in force, and forgets earlier ones beyond `keep` of each. Doing it again
    /// has the effect of doing it once.
    ///
    /// # Errors
    /// When a value is not in the archive any more, or the stores cannot be written.
    pub fn put_in_force(&self, root: &StoreRoot, keep: usize) -> Result<(), StoreError> {
        let secrets = self.secrets.iter();
        for (name, digest) in secrets.map(|(name, digest)| (name.as_str(), digest)) {
            let store = Store::new(root, "secrets");
            exchange(&store, name, &SecretHistory::secrets(root), (name, digest))?;
            SecretHistory::secrets(root).prune(name, digest, keep)?;
        }
        let certificates = self.certificates.iter();
        for (name, digest) in certificates.map(|(name, digest)| (name.as_str(), digest)) {
            let (store, archive) = (
                Store::new(root, "certificates"),
                SecretHistory::certificates(root),
            );
            exchange(&store, &format!("{name}.pem"), &archive, (name, digest))?;
            archive.prune(name, digest, keep)?;
        }
        Self::give_up(root)
    }

    /// Forgets that there was one: what was in force stays so.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn give_up(root: &StoreRoot) -> Result<(), StoreError> {
        Store::new(root, "rotation").remove(PENDING)
    }

    /// The names of what is rotated, for people.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let secrets = self.secrets.keys().map(ToString::to_string);
        let certificates = self.certificates.keys().map(ToString::to_string);
        secrets.chain(certificates).collect()
    }
}

/// Puts an archived value in the place of the one in force, which the archive keeps.
fn exchange(
    store: &Store,
    file: &str,
    archive: &SecretHistory,
    (name, wanted): (&str, &str),
) -> Result<(), StoreError> {
    let old = store.read(file)?;
    if old
        .as_ref()
        .is_some_and(|old| digest(old.expose()) == wanted)
    {
        return Ok(());
    }
    let new = archive.get(name, wanted)?.ok_or_else(|| StoreError::Io {
        verb: "find",
        path: archive.path(name, wanted),
        cause: "it is not there any more".to_owned(),
    })?;
    if let Some(old) = old {
        archive.keep(name, &old)?;
    }
    store.replace(file, &new)
}
