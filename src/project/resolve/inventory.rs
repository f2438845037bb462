//! The secrets and certificates that a manifest declares: where each is from, and who uses it.
//!
//! Shows digests, never values.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use super::{
    Resolution, cleaned,
    resolver::{Resolver, requested},
};
use crate::{
    manifest::{self, Manifest, SecretSource},
    name::{CertificateName, SecretName, ServiceName},
    project::{
        rotation::Rotation,
        vault::{self, SecretGenerator},
    },
    secret::digest,
};

/// A secret or a certificate, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As the manifest calls it.
    pub name: String,
    /// Where its value is from.
    pub source: Source,
    /// Of the value in force (of a certificate: of `tls.crt`); `None`: there is none yet, or it
    /// cannot be had.
    pub digest: Option<String>,
    /// When that value was put there, where that is known.
    pub made: Option<SystemTime>,
    /// Services and jobs that it is a part of.
    pub users: BTreeSet<ServiceName>,
    /// Why it has no value, where something is wrong.
    pub trouble: Option<String>,
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Made here.
    Generated(SecretGenerator),
    /// This file, absolute.
    File(String),
    /// This variable.
    Variable(String),
    /// Signed by the project's authority; its end in seconds since the epoch, if there is one.
    Certificate(Option<i64>),
}

/// All declared secrets, then all certificates, each in the order of their names.
#[must_use]
pub fn inventory(manifest: &Manifest, resolution: &Resolution) -> Vec<Kept> {
    let mut resolver = Resolver::new(manifest, resolution);
    resolver.enabled_services();
    let mut secrets: BTreeMap<SecretName, BTreeSet<ServiceName>> = BTreeMap::new();
    let mut certificates: BTreeMap<CertificateName, BTreeSet<ServiceName>> = BTreeMap::new();
    for service in manifest.services.values() {
        // Whatever else is wrong with it is told by the commands that need all of it.
        let _ = resolver.service(service);
        let (its_secrets, its_certificates) = resolver.take_asked();
        let user = &service.name.value;
        for name in its_secrets {
            secrets.entry(name).or_default().insert(user.clone());
        }
        for name in its_certificates {
            certificates.entry(name).or_default().insert(user.clone());
        }
    }
    let secrets = manifest.secrets.values().map(|declared| {
        let users = secrets.remove(&declared.name.value).unwrap_or_default();
        secret(&resolver, declared, users)
    });
    let mut kept: Vec<Kept> = secrets.collect();
    kept.extend(manifest.certificates.values().map(|declared| {
        let users = certificates
            .remove(&declared.name.value)
            .unwrap_or_default();
        certificate(&resolver, declared, users)
    }));
    kept
}

fn secret(
    resolver: &Resolver<'_>,
    declared: &manifest::Secret,
    users: BTreeSet<ServiceName>,
) -> Kept {
    let name = &declared.name.value;
    let found = match resolver.source(&declared.source.value) {
        Ok(source) => resolver
            .vault
            .value(name, &source)
            .map(|held| (!held.placeholder).then(|| held.digest()))
            .map_err(|error| error.to_string()),
        Err(variable) => Err(format!("variable `{variable}` is not set")),
    };
    let (digest, trouble) = match found {
        Ok(digest) => (digest, None),
        Err(trouble) => (None, Some(trouble)),
    };
    let (source, made) = match &declared.source.value {
        SecretSource::File(path) => {
            let path = cleaned(path);
            let made = path.metadata().and_then(|it| it.modified()).ok();
            (Source::File(path.display().to_string()), made)
        }
        SecretSource::Env(variable) => (Source::Variable(variable.clone()), None),
        SecretSource::Generate(_) => {
            let source = recipe(resolver, declared).map(Source::Generated);
            let made = resolver.vault.made(name);
            (source.unwrap_or(Source::Variable(String::new())), made)
        }
    };
    Kept {
        name: name.to_string(),
        source,
        digest,
        made,
        users,
        trouble,
    }
}

fn certificate(
    resolver: &Resolver<'_>,
    declared: &manifest::Certificate,
    users: BTreeSet<ServiceName>,
) -> Kept {
    let name = &declared.name.value;
    let authority = &resolver.authority;
    let (until, mut trouble) = match authority.until(name) {
        Ok(until) => (until, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let digest = match authority.issue(name, &requested(declared)) {
        Ok(issued) => until.map(|_| digest(issued.certificate.as_bytes())),
        Err(error) => {
            trouble = trouble.or_else(|| Some(error.to_string()));
            None
        }
    };
    Kept {
        name: name.to_string(),
        source: Source::Certificate(until),
        digest,
        made: authority.made(name),
        users,
        trouble,
    }
}

fn recipe(resolver: &Resolver<'_>, declared: &manifest::Secret) -> Option<SecretGenerator> {
    match resolver.source(&declared.source.value) {
        Ok(vault::SecretSource::Generated(recipe)) => Some(recipe),
        _ => None,
    }
}

/// Makes new values for these secrets and certificates and keeps them for a rotation. What is in
/// force stays so.
///
/// # Errors
/// With a fragment, and what to do about it: when one cannot be rotated, or no value can be made.
pub fn renew(
    manifest: &Manifest,
    resolution: &Resolution,
    names: &BTreeSet<String>,
) -> Result<Rotation, (String, Option<String>)> {
    let resolver = Resolver::new(manifest, resolution);
    let mut rotation = Rotation::default();
    for name in names {
        let wanted = Wanted::of(manifest, name)?;
        if let Some(declared) = wanted.secret {
            let recipe = recipe(&resolver, declared).ok_or_else(|| {
                (
                    format!("the value of secret `{name}` is not made here"),
                    Some("change it where it is from and run `cimandat up`".to_owned()),
                )
            })?;
            let name = &declared.name.value;
            let digest = resolver.vault.renew(name, recipe);
            let digest = digest.map_err(|error| (error.to_string(), error.help()))?;
            rotation.secrets.insert(name.clone(), digest);
        }
        if let Some(declared) = wanted.certificate {
            let name = &declared.name.value;
            let digest = resolver.authority.renew(name, &requested(declared));
            let digest = digest.map_err(|error| (error.to_string(), error.help()))?;
            rotation.certificates.insert(name.clone(), digest);
        }
    }
    Ok(rotation)
}

/// What a name stands for.
struct Wanted<'a> {
    secret: Option<&'a manifest::Secret>,
    certificate: Option<&'a manifest::Certificate>,
}

impl<'a> Wanted<'a> {
    /// `secret:NAME`, `certificate:NAME`, or a `NAME` that only one of the two has.
    fn of(manifest: &'a Manifest, typed: &str) -> Result<Self, (String, Option<String>)> {
        let (kind, name) = match typed.split_once(':') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, typed),
        };
        let secret = manifest.secrets.get(name);
        let certificate = manifest.certificates.get(name);
        let wanted = Self {
            secret: secret.filter(|_| kind.is_none_or(|kind| kind == "secret")),
            certificate: certificate.filter(|_| kind.is_none_or(|kind| kind == "certificate")),
        };
        match (&wanted.secret, &wanted.certificate) {
            (Some(_), Some(_)) => Err((
                format!("`{name}` is a secret and a certificate"),
                Some(format!("say `secret:{name}` or `certificate:{name}`")),
            )),
            (None, None) => {
                let secrets = manifest.secrets.keys().map(ToString::to_string);
                let certificates = manifest.certificates.keys().map(ToString::to_string);
                let known: Vec<String> = secrets.chain(certificates).collect();
                let help = if known.is_empty() {
                    "the manifest declares none".to_owned()
                } else {
                    format!("the manifest declares {}", known.join(", "))
                };
                Err((
                    format!("there is no secret or certificate `{typed}`"),
                    Some(help),
                ))
            }
            _ => Ok(wanted),
        }
    }
}
