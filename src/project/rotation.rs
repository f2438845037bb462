//! Pending rotations: new values that wait for their deploy.
//!
//! A rotation begins when the digests of the new values are recorded. The values are in the archive
//! then, and nothing else has changed. The commit of their deploy makes them active, and a rollback
//! abandons the rotation. A process that finds a pending rotation (its creator was killed) decides
//! by the running containers which of the two must be completed.

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

/// The new values of secrets and certificates, by digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Secrets, each with the digest of its new value.
    pub secrets: BTreeMap<SecretName, String>,
    /// Certificates, each with the digest of the file with certificate and key.
    pub certificates: BTreeMap<CertificateName, String>,
}

impl Rotation {
    /// Reads the pending rotation of the project with this store; `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read.
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

    /// Returns the path of the file that records the rotation.
    #[must_use]
    pub fn place(root: &StoreRoot) -> PathBuf {
        Store::new(root, "rotation").path(PENDING)
    }

    /// Records the rotation, before anything is deployed with its values.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(&self, root: &StoreRoot) -> Result<(), StoreError> {
        // Two maps of names and digests can always be serialized.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Store::new(root, "rotation").replace(PENDING, &Secret::new(text))
    }

    /// Makes the new values active, and removes all but `keep` earlier ones of each. The method is
    /// idempotent.
    ///
    /// # Errors
    /// If a value is no longer in the archive, or a store cannot be written.
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

    /// Abandons the pending rotation. The active values do not change.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn give_up(root: &StoreRoot) -> Result<(), StoreError> {
        Store::new(root, "rotation").remove(PENDING)
    }

    /// Returns the names of the rotated secrets and certificates, for messages.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let secrets = self.secrets.keys().map(ToString::to_string);
        let certificates = self.certificates.keys().map(ToString::to_string);
        secrets.chain(certificates).collect()
    }
}

/// Replaces the active value by an archived one, and archives the active one.
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
        cause: "it no longer exists".to_owned(),
    })?;
    if let Some(old) = old {
        archive.keep(name, &old)?;
    }
    store.replace(file, &new)
}
