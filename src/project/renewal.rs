//! New values of secrets in a project that was read from records.
//!
//! A record contains secrets only by name and digest. The digests show which places have an old
//! value of a rotated secret. They are compared first with the manifest, which is resolved both
//! with the active and with the new values, and then with all values in the stores.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Project, Service,
    authority::{Authority, AuthorityError},
    rotation::Rotation,
    unseal::{files_of, texts_of, unseal},
    vault::{SecretStore, VaultError},
};
use crate::{
    name::{SecretName, ServiceName},
    secret::{Secret, Text, digest},
};

/// The reason why a project cannot be updated with new values.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The secrets cannot be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The certificates cannot be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A place has an unknown value.
    #[error(
        "{place} of `{service}` cannot be rotated: its current value is not stored, only its digest"
    )]
    Unknown {
        /// The service of the place.
        service: ServiceName,
        /// The place, as a sentence fragment.
        place: String,
    },
}

/// The replacement of old values. The secret store and the authority return the values of the
/// rotation.
pub struct Renewal<'a> {
    /// The rotated secrets and certificates.
    pub rotation: &'a Rotation,
    /// The project's secrets.
    pub vault: &'a SecretStore,
    /// The project's certificates.
    pub authority: &'a Authority,
    /// The manifest, resolved with the active values.
    pub old: &'a Project,
    /// The manifest, resolved with the new values.
    pub new: &'a Project,
}

impl Renewal<'_> {
    /// Replaces old values with new ones, and fills in all other known values.
    ///
    /// # Errors
    /// If a store is unusable, or if a place with a rotated secret has a value of it that is no
    /// longer known.
    pub fn apply(&self, project: &mut Project) -> Result<(), RenewalError> {
        let (texts, files) = (self.texts(), self.files()?);
        for service in project.services.values_mut() {
            let name = service.name.clone();
            for text in texts_of(service) {
                self.renew_text(text, &texts, &name)?;
            }
            let rotated = self.rotated_files(&name);
            for set in &mut service.container.files {
                for file in &mut set.files {
                    if let Some(content) = files.get(&file.digest) {
                        file.digest = digest(content.expose());
                        file.content = Some(content.clone());
                    } else if rotated.contains(&(set.folder.clone(), file.name.clone())) {
                        let place = format!("the file `{}/{}`", set.folder, file.name);
                        return Err(RenewalError::Unknown {
                            service: name,
                            place,
                        });
                    }
                }
            }
        }
        unseal(project, self.vault, self.authority);
        Ok(())
    }

    fn renew_text(
        &self,
        text: &mut Text,
        known: &Texts,
        service: &ServiceName,
    ) -> Result<(), RenewalError> {
        let Text::Sealed { shown, digest, .. } = &*text else {
            return Ok(());
        };
        if let Some(new) = known.get(&(shown.clone(), digest.clone())) {
            *text = new.clone();
            return Ok(());
        }
        let mut secrets = self.rotation.secrets.keys();
        if secrets.any(|name| shown.contains(&format!("${{secret:{name}}}"))) {
            let unknown = || RenewalError::Unknown {
                service: service.clone(),
                place: format!("`{shown}`"),
            };
            *text = self.vault.renewed(shown, digest)?.ok_or_else(unknown)?;
        }
        Ok(())
    }

    /// The strings of the manifest with their new values, by form and digest of the old ones.
    fn texts(&self) -> Texts {
        let mut texts = Texts::new();
        for (mut old, mut new) in self.services() {
            let pairs = texts_of(&mut old).zip(texts_of(&mut new));
            texts.extend(pairs.filter_map(|(old, new)| match old {
                Text::Sealed { shown, digest, .. } => {
                    Some(((shown.clone(), digest.clone()), new.clone()))
                }
                Text::Plain(_) => None,
            }));
        }
        texts
    }

    /// The new contents of files, by the digests of the old contents.
    fn files(&self) -> Result<Files, RenewalError> {
        let mut files = Files::new();
        for (mut old, mut new) in self.services() {
            let pairs = files_of(&mut old).zip(files_of(&mut new));
            files.extend(
                pairs.filter_map(|(old, new)| Some((old.digest.clone(), new.content.clone()?))),
            );
        }
        for (name, rotated) in &self.rotation.secrets {
            let new = self.vault.with_digest(name, rotated)?;
            let digests = self.vault.digests(name)?.into_iter();
            files.extend(digests.filter_map(|old| Some((old, new.clone()?))));
            files.extend(self.with_earlier_values(name)?);
        }
        for name in self.rotation.certificates.keys() {
            files.extend(self.authority.renewed(name)?);
        }
        Ok(files)
    }

    /// The files of the manifest that contain a rotated secret within other text, by the digests
    /// that they had with earlier values of the secret.
    fn with_earlier_values(&self, name: &SecretName) -> Result<Files, RenewalError> {
        let texts = self.vault.texts(name)?;
        let Some(in_force) = texts.in_force else {
            return Ok(Files::new());
        };
        let mut files = Files::new();
        for (mut old, mut new) in self.services() {
            let changed = files_of(&mut old).zip(files_of(&mut new));
            for (old, new) in changed.filter(|(old, new)| old.digest != new.digest) {
                let content = old.content.as_ref();
                let content = content.and_then(|it| std::str::from_utf8(it.expose()).ok());
                let (Some(content), Some(new)) = (content, &new.content) else {
                    continue;
                };
                files.extend(texts.others.iter().map(|value| {
                    let then = content.replace(in_force.expose(), value.expose());
                    (digest(then.as_bytes()), new.clone())
                }));
            }
        }
        Ok(files)
    }

    /// Folder and name of the files of a service that the rotation changes, according to the
    /// manifest.
    fn rotated_files(&self, service: &ServiceName) -> BTreeSet<(String, String)> {
        let places = |project: &Project| -> BTreeMap<(String, String), String> {
            let service = project.services.get(service).into_iter();
            let sets = service.flat_map(|it| &it.container.files);
            sets.flat_map(|set| {
                set.files.iter().map(|file| {
                    let place = (set.folder.clone(), file.name.clone());
                    (place, file.digest.clone())
                })
            })
            .collect()
        };
        let new = places(self.new);
        let old = places(self.old).into_iter();
        old.filter(|(place, digest)| new.get(place) != Some(digest))
            .map(|(place, _)| place)
            .collect()
    }

    /// The services of the manifest, resolved with the active values and with the new ones.
    fn services(&self) -> impl Iterator<Item = (Service, Service)> {
        let old = self.old.services.values();
        old.filter_map(|old| {
            let new = self.new.services.get(&old.name)?;
            Some((old.clone(), new.clone()))
        })
    }
}

/// Sealed strings, by their form and the digest of their value.
type Texts = BTreeMap<(String, String), Text>;
/// New contents of files, by the digest of the old content.
type Files = BTreeMap<String, Secret<Vec<u8>>>;
