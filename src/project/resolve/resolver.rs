//! The shared state of the resolution: the manifest, the stores, and the errors so far.
//!
//! Each secret and each certificate is fetched once, and its error is reported once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Resolution, cleaned};
use crate::{
    diagnostic::{ManifestError, ResolveError},
    manifest::{self, Generation, Manifest, Template, environment::Segment},
    name::{CertificateName, ProjectName, SecretName, ServiceName},
    project::{
        authority::{Authority, AuthorityError, CertificateRequest, DEFAULT_DAYS, Issued},
        link::dangling,
        vault::{SecretGenerator, SecretHandle, SecretSource, SecretStore, StoreRoot},
    },
    secret::{Secret, Text},
    span::Span,
};

/// Default number of random bytes of a generated secret: as hard to guess as an AES-256 key.
const SECRET_BYTES: u32 = 32;
/// Default number of characters of a generated alphanumeric secret: 190 bits.
const SECRET_LENGTH: u32 = 32;

/// A resolution in progress.
pub(super) struct Resolver<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) resolution: &'a Resolution,
    pub(super) project: ProjectName,
    /// Services and jobs of this deploy.
    pub(super) enabled: BTreeSet<ServiceName>,
    pub(super) vault: SecretStore,
    pub(super) authority: Authority,
    secrets: BTreeMap<SecretName, Option<SecretHandle>>,
    certificates: BTreeMap<CertificateName, Option<Issued>>,
    mistakes: Vec<ManifestError>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(manifest: &'a Manifest, resolution: &'a Resolution) -> Self {
        let project = resolution.project.as_ref().unwrap_or(&manifest.project);
        let root = StoreRoot::new(&cleaned(&manifest.directory), project);
        let (store, now) = (resolution.store, resolution.now);
        Self {
            manifest,
            resolution,
            project: project.clone(),
            enabled: BTreeSet::new(),
            vault: SecretStore::new(&root, store).with(resolution.rotation.clone()),
            authority: Authority::new(&root, project, store, now).with(resolution.rotation.clone()),
            secrets: BTreeMap::new(),
            certificates: BTreeMap::new(),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn fail(&mut self, mistake: ResolveError) {
        self.mistakes.push(mistake.into());
    }

    pub(super) fn into_mistakes(self) -> Vec<ManifestError> {
        self.mistakes
    }

    /// Returns the value of a variable, from any source.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let (value, _) = self.manifest.environment.get(name)?;
        Some(value.to_owned())
    }

    /// Resolves a template with the values of its secrets.
    pub(super) fn text(&mut self, template: &Template, at: Span) -> Option<Text> {
        if let Some(plain) = template.as_plain() {
            return Some(Text::Plain(plain.to_owned()));
        }
        let mut value = String::new();
        for piece in template.pieces() {
            match piece {
                Segment::Text(text) => value.push_str(text),
                Segment::Secret(name) => value.push_str(self.secret_text(name, at)?.expose()),
            }
        }
        Some(Text::sealed(template.to_string(), value))
    }

    fn secret_text(&mut self, name: &SecretName, at: Span) -> Option<Secret<String>> {
        let text = self.secret(name)?.text();
        if text.is_none() {
            let name = name.to_string();
            self.fail(ResolveError::BinarySecret { name, at });
        }
        text
    }

    /// Returns the value of a secret; `None` if it has none and the error is reported.
    pub(super) fn secret(&mut self, name: &SecretName) -> Option<SecretHandle> {
        if let Some(known) = self.secrets.get(name) {
            return known.clone();
        }
        let held = self
            .manifest
            .secrets
            .get(name)
            .and_then(|declared| self.fetch(declared));
        self.secrets.insert(name.clone(), held.clone());
        held
    }

    fn fetch(&mut self, declared: &manifest::Secret) -> Option<SecretHandle> {
        let name = &declared.name.value;
        let found = match self.source(&declared.source.value) {
            Ok(source) => self
                .vault
                .value(name, &source)
                .map_err(|error| (error.to_string(), error.help())),
            Err(variable) => Err((
                format!("variable `{variable}` is not set"),
                Some(format!(
                    "set `{variable}` in the environment or in an env-file"
                )),
            )),
        };
        match found {
            Ok(held) => Some(held),
            Err((cause, help)) => {
                self.fail(ResolveError::Secret {
                    name: name.to_string(),
                    cause,
                    at: declared.source.span,
                    help,
                });
                None
            }
        }
    }

    /// Returns the secrets and certificates that were requested since the last call.
    pub(super) fn take_asked(&mut self) -> (BTreeSet<SecretName>, BTreeSet<CertificateName>) {
        let secrets = std::mem::take(&mut self.secrets);
        let certificates = std::mem::take(&mut self.certificates);
        (
            secrets.into_keys().collect(),
            certificates.into_keys().collect(),
        )
    }

    /// Resolves the source of a secret. The error is the name of a variable that is not set.
    pub(super) fn source<'s>(
        &self,
        source: &'s manifest::SecretSource,
    ) -> Result<SecretSource, &'s str> {
        let amount = |given: Option<u32>, usual| {
            usize::try_from(given.unwrap_or(usual)).unwrap_or(usize::MAX)
        };
        Ok(match source {
            manifest::SecretSource::File(path) => SecretSource::File(cleaned(path)),
            manifest::SecretSource::Env(variable) => {
                let value = self.variable(variable).ok_or(variable.as_str())?;
                SecretSource::Value(Secret::new(value))
            }
            manifest::SecretSource::Generate(generation) => {
                SecretSource::Generated(match *generation {
                    Generation::Hex { bytes } => SecretGenerator::Hex {
                        bytes: amount(bytes, SECRET_BYTES),
                    },
                    Generation::Alphanumeric { length } => SecretGenerator::Alphanumeric {
                        length: amount(length, SECRET_LENGTH),
                    },
                    Generation::Base64Url { bytes } => SecretGenerator::Base64url {
                        bytes: amount(bytes, SECRET_BYTES),
                    },
                })
            }
        })
    }

    /// Returns a certificate; `None` if it is unavailable and the error is reported.
    pub(super) fn certificate(&mut self, name: &CertificateName) -> Option<Issued> {
        if let Some(known) = self.certificates.get(name) {
            return known.clone();
        }
        let issued = self
            .manifest
            .certificates
            .get(name)
            .and_then(|declared| self.issue(declared));
        self.certificates.insert(name.clone(), issued.clone());
        issued
    }

    fn issue(&mut self, declared: &manifest::Certificate) -> Option<Issued> {
        let request = requested(declared);
        match self.authority.issue(&declared.name.value, &request) {
            Ok(issued) => Some(issued),
            Err(error) => {
                let hosts = declared.hosts.iter();
                let at = match &error {
                    AuthorityError::Host { host } => hosts
                        .filter(|given| given.value == *host)
                        .map(|given| given.span)
                        .next(),
                    _ => None,
                };
                self.refuse_certificate(&error, at.unwrap_or(declared.name.span));
                None
            }
        }
    }

    /// Returns the certificate of the project's authority, as PEM.
    pub(super) fn authority(&mut self, at: Span) -> Option<String> {
        match self.authority.certificate() {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                self.refuse_certificate(&error, at);
                None
            }
        }
    }

    fn refuse_certificate(&mut self, error: &AuthorityError, at: Span) {
        self.fail(ResolveError::Certificate {
            cause: error.to_string(),
            at,
            help: error.help(),
        });
    }

    /// Returns whether a service that another one needs is part of this deploy, and reports an
    /// error if it is not.
    ///
    /// A service that is not declared was reported when the manifest was read.
    pub(super) fn needs(
        &mut self,
        service: &ServiceName,
        relation: &'static str,
        other: &ServiceName,
        at: Span,
    ) -> bool {
        if self.enabled.contains(other) {
            return true;
        }
        if let Some(declared) = self.manifest.services.get(other) {
            let profile = declared.profiles.first().map(|p| p.value.as_str());
            let help = profile.map(|profile| {
                let less = if relation == "depends on" {
                    ", or do without it by `required=#false`"
                } else {
                    ""
                };
                format!("switch it on by `--profile {profile}`{less}")
            });
            self.fail(ResolveError::Disabled {
                service: service.to_string(),
                relation,
                other: other.to_string(),
                at,
                help,
            });
        }
        false
    }

    /// Reports that a file or folder does not exist.
    pub(super) fn missing(
        &mut self,
        what: &'static str,
        path: &Path,
        at: Span,
        help: Option<String>,
    ) {
        // Creating the file would not repair a link.
        let (cause, help) = match dangling(path) {
            Some(cause) => (
                cause,
                Some("fix the link, or use the path of its target".to_owned()),
            ),
            None => ("does not exist".to_owned(), help),
        };
        self.fail(ResolveError::MissingPath {
            what,
            path: path.display().to_string(),
            cause,
            at,
            help,
        });
    }
}

/// The properties of a declared certificate.
pub(super) fn requested(declared: &manifest::Certificate) -> CertificateRequest {
    CertificateRequest {
        hosts: declared.hosts.iter().map(|h| h.value.clone()).collect(),
        days: declared.days.map_or(DEFAULT_DAYS, |days| days.value),
    }
}
