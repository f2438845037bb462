//! Resolves secrets, configs and certificates as files of a container, with one set per folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{cleaned, resolver::Resolver};
use crate::{
    diagnostic::ResolveError,
    manifest::{self, ConfigSource, Service},
    name::{ConfigName, SecretName},
    project::{FileSet, InjectedFile, link::dangling},
    secret::{Secret, digest},
    span::Span,
};

/// Default folder of secrets.
const SECRETS: &str = "/run/secrets";
/// Readable for all users in the container, because the container's user is unknown here.
const READABLE: u32 = 0o444;
/// Readable for the owner only, if the owner is known.
const OWNERS: u32 = 0o400;

/// The place of a file in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileLocation {
    /// In a volume. In the container's own layer the file would be in every copy of the container.
    Volume,
    /// In the container's own layer.
    Layer,
}

/// A file before it is added to a set.
struct Draft {
    /// Absolute path in the container.
    path: String,
    owner: (u32, u32),
    mode: u32,
    content: Secret<Vec<u8>>,
    place: FileLocation,
    at: Span,
}

impl Resolver<'_> {
    /// Resolves the files, sorted by folder. All files of one folder are in one set.
    pub(super) fn files(&mut self, service: &Service) -> Vec<FileSet> {
        let mut drafts = Vec::new();
        for given in &service.secrets {
            drafts.extend(self.secret_file(given));
        }
        for given in &service.configs {
            drafts.extend(self.config_file(given));
        }
        for given in &service.certificates {
            drafts.extend(self.certificate_files(given));
        }
        for given in &service.authorities {
            drafts.extend(self.authority_file_in(given));
        }
        self.gathered(service, drafts)
    }

    fn secret_file(&mut self, given: &manifest::FileUse<SecretName>) -> Option<Draft> {
        let held = self.secret(&given.name.value)?;
        Some(Draft {
            path: path(
                given.target.as_ref().map(|t| t.value.as_str()),
                SECRETS,
                given.name.as_str(),
            ),
            owner: (given.uid.unwrap_or(0), given.gid.unwrap_or(0)),
            mode: given.mode.unwrap_or(READABLE),
            content: held.content,
            place: FileLocation::Volume,
            at: given.target.as_ref().map_or(given.name.span, |t| t.span),
        })
    }

    fn config_file(&mut self, given: &manifest::FileUse<ConfigName>) -> Option<Draft> {
        let declared = self.manifest.configs.get(&given.name.value)?;
        let (content, place) = self.config_content(declared)?;
        Some(Draft {
            path: path(
                given.target.as_ref().map(|t| t.value.as_str()),
                "",
                given.name.as_str(),
            ),
            owner: (given.uid.unwrap_or(0), given.gid.unwrap_or(0)),
            mode: given.mode.unwrap_or(READABLE),
            content,
            place,
            at: given.target.as_ref().map_or(given.name.span, |t| t.span),
        })
    }

    /// Resolves the content of a config. A config that contains a secret is stored like a secret.
    fn config_content(
        &mut self,
        declared: &manifest::Config,
    ) -> Option<(Secret<Vec<u8>>, FileLocation)> {
        let found = match &declared.source.value {
            ConfigSource::File(file) => {
                let file = cleaned(file);
                fs::read(&file).map_err(|error| {
                    let cause = dangling(&file)
                        .map_or_else(|| error.to_string(), |cause| format!("it {cause}"));
                    format!("cannot read `{}`: {cause}", file.display())
                })
            }
            ConfigSource::Env(variable) => self
                .variable(variable)
                .map(String::into_bytes)
                .ok_or_else(|| format!("variable `{variable}` is not set")),
            ConfigSource::Content(template) => {
                let text = self.text(template, declared.source.span)?;
                let place = if template.as_plain().is_some() {
                    FileLocation::Layer
                } else {
                    FileLocation::Volume
                };
                return Some((Secret::new(text.expose()?.as_bytes().to_vec()), place));
            }
        };
        match found {
            Ok(content) => Some((Secret::new(content), FileLocation::Layer)),
            Err(cause) => {
                self.fail(ResolveError::Config {
                    name: declared.name.to_string(),
                    cause,
                    at: declared.source.span,
                    help: None,
                });
                None
            }
        }
    }

    /// Resolves the files of a certificate. `mode=` applies to all three files. Without it, the key
    /// is readable for its owner only, if the manifest sets the owner.
    fn certificate_files(&mut self, given: &manifest::CertificateUse) -> Vec<Draft> {
        let Some(issued) = self.certificate(&given.name.value) else {
            return Vec::new();
        };
        let key_mode = if given.uid.is_some() {
            OWNERS
        } else {
            READABLE
        };
        let files = [
            ("tls.crt", issued.certificate, READABLE),
            ("tls.key", issued.key.expose().clone(), key_mode),
            ("ca.crt", issued.authority, READABLE),
        ];
        let draft = |(name, pem, mode): (&str, String, u32)| Draft {
            path: path(None, &given.folder.value, name),
            owner: (given.uid.unwrap_or(0), given.gid.unwrap_or(0)),
            mode: given.mode.unwrap_or(mode),
            content: Secret::new(pem.into_bytes()),
            place: FileLocation::Volume,
            at: given.folder.span,
        };
        files.map(draft).into()
    }

    fn authority_file_in(&mut self, given: &manifest::AuthorityUse) -> Option<Draft> {
        let pem = self.authority(given.folder.span)?;
        Some(Draft {
            path: path(None, &given.folder.value, "ca.crt"),
            owner: (given.uid.unwrap_or(0), given.gid.unwrap_or(0)),
            mode: given.mode.unwrap_or(READABLE),
            content: Secret::new(pem.into_bytes()),
            place: FileLocation::Volume,
            at: given.folder.span,
        })
    }

    fn gathered(&mut self, service: &Service, drafts: Vec<Draft>) -> Vec<FileSet> {
        let read_only = service.isolation.read_only.unwrap_or(false);
        let mut sets: BTreeMap<String, FileSet> = BTreeMap::new();
        for draft in self.distinct(service, drafts) {
            let (folder, name) = draft.path.rsplit_once('/').unwrap_or(("", &draft.path));
            let volume =
                draft.place == FileLocation::Volume || read_only || below_mount(service, folder);
            self.refuse_bad_folder(service, &draft, folder, volume);
            let set = sets.entry(folder.to_owned()).or_insert_with(|| FileSet {
                folder: if folder.is_empty() { "/" } else { folder }.to_owned(),
                volume,
                files: Vec::new(),
            });
            set.volume |= volume;
            set.files.push(InjectedFile {
                name: name.to_owned(),
                uid: draft.owner.0,
                gid: draft.owner.1,
                mode: draft.mode,
                digest: digest(draft.content.expose()),
                content: Some(draft.content),
            });
        }
        for set in sets.values_mut() {
            set.files.sort_by(|a, b| a.name.cmp(&b.name));
        }
        sets.into_values().collect()
    }

    /// Returns one file per path. Several files with the same content may have the same path: each
    /// certificate in a folder adds the authority's certificate.
    fn distinct(&mut self, service: &Service, drafts: Vec<Draft>) -> Vec<Draft> {
        let mut known: BTreeMap<String, Draft> = BTreeMap::new();
        let mut told = BTreeSet::new();
        for draft in drafts {
            let Some(first) = known.get(&draft.path) else {
                known.insert(draft.path.clone(), draft);
                continue;
            };
            // Two certificates in one folder conflict in all their files, which is reported once.
            if first.content != draft.content && told.insert((first.at, draft.at)) {
                self.fail(ResolveError::FileClash {
                    path: draft.path,
                    service: service.name.to_string(),
                    at: draft.at,
                    first: first.at,
                });
            }
        }
        known.into_values().collect()
    }

    fn refuse_bad_folder(&mut self, service: &Service, draft: &Draft, folder: &str, volume: bool) {
        let mounted = service
            .mounts
            .iter()
            .find(|mount| mount.target.value == folder);
        if let Some(mount) = mounted {
            self.fail(ResolveError::FolderClash {
                folder: folder.to_owned(),
                service: service.name.to_string(),
                at: draft.at,
                first: mount.target.span,
            });
        }
        if folder.is_empty() && volume {
            let cause = if draft.place == FileLocation::Volume {
                "secrets are not written into a container's own layer"
            } else {
                "the root of the container cannot be written"
            };
            self.fail(ResolveError::FileInRoot {
                path: draft.path.clone(),
                cause,
                service: service.name.to_string(),
                at: draft.at,
            });
        }
    }
}

/// Whether a folder is below a mount, which would hide a file in the container's layer.
fn below_mount(service: &Service, folder: &str) -> bool {
    service.mounts.iter().any(|mount| {
        let target = mount.target.value.trim_end_matches('/');
        folder
            .strip_prefix(target)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Returns an absolute target unchanged, and any other as a path below the folder.
fn path(target: Option<&str>, folder: &str, name: &str) -> String {
    let target = target.unwrap_or(name);
    if target.starts_with('/') {
        return target.to_owned();
    }
    format!("{}/{target}", folder.trim_end_matches('/'))
}
