//! The project's own certificate authority, which signs the certificates that services present to
//! one another.
//!
//! The files are in `.cimandat/PROJECT/certificates/`. The authority's key never leaves that
//! folder. A service gets its own key, its certificate, and the authority's certificate.

mod pair;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use thiserror::Error;

use self::pair::Pair;
use super::{
    archive::SecretHistory,
    rotation::Rotation,
    store::{Store, StoreError, StoreRoot},
    vault::StoreMode,
};
use crate::{
    name::{CertificateName, ProjectName},
    secret::{Secret, digest},
};

/// Validity of a certificate in days, unless the manifest sets another: browsers and Apple's
/// systems accept at most 398 days.
pub const DEFAULT_DAYS: u32 = 397;
/// Validity of the authority's certificate, in days.
const AUTHORITY_DAYS: u32 = 3650;
/// A certificate with fewer days left is renewed.
const RENEWAL_DAYS: u32 = 30;
/// Certificates are valid from an hour ago, for machines with slow clocks. In seconds.
const CLOCK_SKEW: i64 = 3600;
const DAY: i64 = 86_400;

/// The authority's file. The name of a certificate never begins with `_`.
const AUTHORITY: &str = "_authority.pem";

/// The reason why a certificate is unavailable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored file does not contain what was stored.
    #[error("`{}` does not hold a certificate and its key: {cause}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        cause: String,
    },
    /// A certificate that was created for a rotation no longer exists or is corrupt.
    #[error("the new certificate in `{}` cannot be used: {cause}", path.display())]
    Lost {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong with the certificate.
        cause: String,
        /// The file that records the rotation.
        pending: PathBuf,
    },
    /// A host for which no certificate can be issued.
    #[error("a certificate cannot be for `{host}`")]
    Host {
        /// The host.
        host: String,
    },
    /// A key or a signature could not be created.
    #[error("cannot make a certificate: {cause}")]
    Signing {
        /// The message of the library.
        cause: String,
    },
}

impl AuthorityError {
    /// Returns what the user can do about the error, if it is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Damaged { path, .. } => Some(format!(
                "delete `{}`: the next `up` makes a new one",
                path.display()
            )),
            Self::Lost { pending, .. } => Some(format!(
                "delete `{}`: then the old certificate stays active",
                pending.display()
            )),
            Self::Host { .. } => Some(
                "a host is a name (`db`, `db.example.org`, `*.example.org`) or an IP address"
                    .to_owned(),
            ),
            Self::Signing { .. } => None,
        }
    }
}

/// The required properties of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Names and addresses that the certificate is for; `localhost` is always added.
    pub hosts: BTreeSet<String>,
    /// Validity in days.
    pub days: u32,
}

/// A certificate, its key and its authority, each as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: Secret<String>,
    /// The certificate of the authority that signed it.
    pub authority: String,
}

/// The certificate authority of one project.
#[derive(Debug, Clone)]
pub struct Authority {
    root: StoreRoot,
    store: Store,
    archive: SecretHistory,
    rotation: Rotation,
    mode: StoreMode,
    name: String,
    now: i64,
}

impl Authority {
    /// Creates the authority of a project. Nothing is read or created yet.
    #[must_use]
    pub fn new(root: &StoreRoot, project: &ProjectName, mode: StoreMode, now: Timestamp) -> Self {
        Self {
            root: root.clone(),
            store: Store::new(root, "certificates"),
            archive: SecretHistory::certificates(root),
            rotation: Rotation::default(),
            mode,
            name: format!("{project} authority"),
            now: now.as_second(),
        }
    }

    /// Returns a copy that issues the certificates of a pending rotation instead of the active
    /// ones.
    #[must_use]
    pub fn with(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Returns the authority's certificate as PEM. It is created or renewed if necessary and if the
    /// mode allows it; otherwise a placeholder is returned.
    ///
    /// # Errors
    /// If the store is unusable or corrupt.
    pub fn certificate(&self) -> Result<String, AuthorityError> {
        let authority = self.authority()?;
        Ok(authority.map_or_else(placeholder, |pair| pair.certificate))
    }

    /// Returns a certificate. It is created or renewed if necessary and if the mode allows it;
    /// otherwise a placeholder is returned.
    ///
    /// A certificate is renewed if its hosts or the authority changed, or if it expires soon: 30
    /// days before its end, or a third of its validity if that is less.
    ///
    /// # Errors
    /// If the store is unusable or corrupt, or a host is invalid.
    pub fn issue(
        &self,
        name: &CertificateName,
        request: &CertificateRequest,
    ) -> Result<Issued, AuthorityError> {
        let file = format!("{name}.pem");
        let hosts = hosts(request)?;
        let Some(authority) = self.authority()? else {
            return Ok(unissued(placeholder()));
        };
        if let Some(digest) = self.rotation.certificates.get(name) {
            return Ok(issued(&self.archived(name, digest)?, &authority));
        }
        let stored = self.load(&file)?;
        if let Some(pair) = &stored
            && self.still_good(pair, &authority, &hosts, request.days)
        {
            return Ok(issued(pair, &authority));
        }
        if self.mode == StoreMode::ReadOnly {
            return Ok(unissued(authority.certificate));
        }
        let pem = self.sign(name, &hosts, request.days, &authority)?;
        let pair = self.keep(&file, &pem, stored.is_some())?;
        Ok(issued(&pair, &authority))
    }

    /// Creates a certificate with a new key and stores it for a rotation. The active certificate
    /// does not change. Returns the digest of the file with certificate and key.
    ///
    /// # Errors
    /// If the store is unusable or corrupt, or a host is invalid.
    pub fn renew(
        &self,
        name: &CertificateName,
        request: &CertificateRequest,
    ) -> Result<String, AuthorityError> {
        let Some(authority) = self.authority()? else {
            return Err(AuthorityError::Signing {
                cause: "there is no certificate authority yet".to_owned(),
            });
        };
        if let Some(old) = self.store.read(&format!("{name}.pem"))? {
            self.archive.keep(name.as_str(), &old)?;
        }
        let pem = self.sign(name, &hosts(request)?, request.days, &authority)?;
        Ok(self.archive.keep(name.as_str(), &pem)?)
    }

    /// Returns the file of a certificate with this digest (`tls.crt`, `tls.key` or `ca.crt`), if it
    /// is available among the active and the earlier certificates.
    ///
    /// # Errors
    /// If the store is unusable or corrupt.
    pub fn content(&self, digest: &str) -> Result<Option<Secret<Vec<u8>>>, AuthorityError> {
        let mut pairs = Vec::new();
        for file in self.store.list()? {
            pairs.extend(self.load(&file)?);
        }
        for (name, its) in self.archive.all()? {
            let kept = self.archive.get(&name, &its)?;
            pairs.extend(kept.and_then(|pem| Pair::read(pem.expose()).ok()));
        }
        let files = pairs.into_iter().flat_map(|pair| {
            let key = pair.key.expose().clone();
            [pair.certificate, key].map(String::into_bytes)
        });
        let mut files = files.filter(|file| self::digest(file) == digest);
        Ok(files.next().map(Secret::new))
    }

    /// Returns the new files of a rotated certificate, by the digest of the old file that each
    /// replaces. Empty if the certificate is not rotated.
    ///
    /// # Errors
    /// If the store is unusable or corrupt, or the new certificate no longer exists.
    pub fn renewed(
        &self,
        name: &CertificateName,
    ) -> Result<BTreeMap<String, Secret<Vec<u8>>>, AuthorityError> {
        let Some(rotated) = self.rotation.certificates.get(name) else {
            return Ok(BTreeMap::new());
        };
        let new = self.archived(name, rotated)?;
        let mut old: Vec<Pair> = self.load(&format!("{name}.pem"))?.into_iter().collect();
        for its in self.archive.of(name.as_str())? {
            let kept = self.archive.get(name.as_str(), &its)?;
            old.extend(kept.and_then(|pem| Pair::read(pem.expose()).ok()));
        }
        let files = old.iter().flat_map(|old| {
            [
                (&old.certificate, &new.certificate),
                (old.key.expose(), new.key.expose()),
            ]
        });
        let files = files.map(|(old, new)| {
            let new = Secret::new(new.clone().into_bytes());
            (digest(old.as_bytes()), new)
        });
        Ok(files.collect())
    }

    /// Returns the expiry of the active certificate, in seconds since the Unix epoch; `None` if
    /// there is none.
    ///
    /// # Errors
    /// If the store is unusable or corrupt.
    pub fn until(&self, name: &CertificateName) -> Result<Option<i64>, AuthorityError> {
        let pair = self.load(&format!("{name}.pem"))?;
        Ok(pair.map(|pair| pair.facts.until))
    }

    /// Returns the time at which the active certificate was stored; `None` if there is none.
    #[must_use]
    pub fn made(&self, name: &CertificateName) -> Option<SystemTime> {
        self.store.made(&format!("{name}.pem"))
    }

    fn archived(&self, name: &CertificateName, digest: &str) -> Result<Pair, AuthorityError> {
        let damaged = |cause: String| AuthorityError::Lost {
            path: self.archive.path(name.as_str(), digest),
            cause,
            pending: Rotation::place(&self.root),
        };
        let pem = self.archive.get(name.as_str(), digest)?;
        let pem = pem.ok_or_else(|| damaged("it no longer exists".to_owned()))?;
        Pair::read(pem.expose()).map_err(damaged)
    }

    /// The authority's certificate and key; `None` if none is usable and the mode does not allow
    /// creating one.
    fn authority(&self) -> Result<Option<Pair>, AuthorityError> {
        if self.mode == StoreMode::Check {
            return Ok(None);
        }
        if self.mode == StoreMode::Create {
            // Before the first read, because this moves files that projects shared before to each
            // project.
            self.store.prepare()?;
        }
        let stored = self.load(AUTHORITY)?;
        let renewed = stored.is_some();
        if let Some(pair) = stored
            && pair.facts.until - self.now > i64::from(RENEWAL_DAYS) * DAY
        {
            return Ok(Some(pair));
        }
        if self.mode == StoreMode::ReadOnly {
            return Ok(None);
        }
        let key = new_key()?;
        let mut parameters = authority_parameters(&self.name);
        self.set_validity(&mut parameters, AUTHORITY_DAYS, i64::MAX);
        let certificate = parameters.self_signed(&key).map_err(signing)?;
        let pem = Secret::new((certificate.pem() + &key.serialize_pem()).into_bytes());
        self.keep(AUTHORITY, &pem, renewed).map(Some)
    }

    fn still_good(
        &self,
        pair: &Pair,
        authority: &Pair,
        hosts: &BTreeSet<String>,
        days: u32,
    ) -> bool {
        let left = pair.facts.until - self.now;
        let wanted = i64::from(days) * DAY;
        let due = (i64::from(RENEWAL_DAYS) * DAY).min(wanted / 3);
        pair.facts.hosts == *hosts
            && pair.facts.signed_by == authority.facts.key
            && left > due
            && left <= wanted
    }

    fn sign(
        &self,
        name: &CertificateName,
        hosts: &BTreeSet<String>,
        days: u32,
        authority: &Pair,
    ) -> Result<Secret<Vec<u8>>, AuthorityError> {
        let names: Vec<_> = hosts.iter().cloned().collect();
        let mut parameters = CertificateParams::new(names).map_err(signing)?;
        parameters.distinguished_name = named(name.as_str());
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.set_validity(&mut parameters, days, authority.facts.until);
        let issuer_key = KeyPair::from_pem(authority.key.expose()).map_err(signing)?;
        let issuer = Issuer::new(authority_parameters(&authority.facts.subject), issuer_key);
        let key = new_key()?;
        let certificate = parameters.signed_by(&key, &issuer).map_err(signing)?;
        let pem = certificate.pem() + &key.serialize_pem();
        Ok(Secret::new(pem.into_bytes()))
    }

    /// Sets the validity from an hour ago until `days` from now, but not beyond `end`.
    fn set_validity(&self, parameters: &mut CertificateParams, days: u32, end: i64) {
        let until = (self.now + i64::from(days) * DAY).min(end);
        let since_epoch = |seconds: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        };
        parameters.not_before = since_epoch(self.now - CLOCK_SKEW);
        parameters.not_after = since_epoch(until);
    }

    /// Stores a certificate with its key in one file, so that the two cannot get out of sync.
    fn keep(&self, file: &str, pem: &Secret<Vec<u8>>, over: bool) -> Result<Pair, AuthorityError> {
        if over {
            if let (Some(old), Some(name)) = (self.store.read(file)?, file.strip_suffix(".pem")) {
                self.archive.keep(name, &old)?;
            }
            self.store.replace(file, pem)?;
        } else {
            self.store.put(file, pem)?;
        }
        // Read again, because another process may have written first.
        let missing = || AuthorityError::Damaged {
            path: self.store.path(file),
            cause: "it was removed".to_owned(),
        };
        self.load(file)?.ok_or_else(missing)
    }

    fn load(&self, file: &str) -> Result<Option<Pair>, AuthorityError> {
        let Some(content) = self.store.read(file)? else {
            return Ok(None);
        };
        let pair = Pair::read(content.expose()).map_err(|cause| AuthorityError::Damaged {
            path: self.store.path(file),
            cause,
        })?;
        Ok(Some(pair))
    }
}

/// Normalizes hosts as in a certificate, so that they can be compared with those of another one.
fn hosts(request: &CertificateRequest) -> Result<BTreeSet<String>, AuthorityError> {
    let mut hosts = BTreeSet::from(["localhost".to_owned()]);
    for host in &request.hosts {
        hosts.insert(match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) if is_name(host) => host.to_ascii_lowercase(),
            Err(_) => return Err(AuthorityError::Host { host: host.clone() }),
        });
    }
    Ok(hosts)
}

/// Accepts `_`, which service names may contain, and a leading `*` for all names of a domain.
fn is_name(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    name.split('.').all(|label| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(name);
    // The authority signs servers and clients, but no further authority.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    // RFC 5280 bounds a common name to 64 characters.
    names.push(
        DnType::CommonName,
        name.chars().take(64).collect::<String>(),
    );
    names
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(signing)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn signing(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Signing {
        cause: error.to_string(),
    }
}

fn issued(pair: &Pair, authority: &Pair) -> Issued {
    Issued {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        authority: authority.certificate.clone(),
    }
}

fn unissued(authority: String) -> Issued {
    Issued {
        certificate: placeholder(),
        key: Secret::new(placeholder()),
        authority,
    }
}

/// Replaces what `up` will create, so that a plan shows the change.
fn placeholder() -> String {
    "<made by `up`>\n".to_owned()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    };

    use super::*;

    /// 2026-01-01, in seconds since the Unix epoch.
    const NOW: i64 = 1_767_225_600;

    fn root(folder: &Path) -> StoreRoot {
        StoreRoot::new(folder, &ProjectName::new("shop").unwrap())
    }

    fn authority(folder: &Path, mode: StoreMode, day: i64) -> Authority {
        let project = ProjectName::new("shop").unwrap();
        let now = Timestamp::from_second(NOW + day * DAY).unwrap();
        Authority::new(&root(folder), &project, mode, now)
    }

    fn name() -> CertificateName {
        CertificateName::new("postgres").unwrap()
    }

    fn request(hosts: &[&str], days: u32) -> CertificateRequest {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        CertificateRequest { hosts, days }
    }

    /// Uses the same library as the probes.
    fn verify(issued: &Issued, host: &str, day: i64) -> Result<(), rustls::Error> {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(&issued.authority)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let seconds = u64::try_from(NOW + day * DAY).unwrap();
        verifier
            .verify_server_cert(
                &der(&issued.certificate),
                &[],
                &ServerName::try_from(host.to_owned()).unwrap(),
                &[],
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            )
            .map(drop)
    }

    #[test]
    fn certificate_is_valid_for_its_hosts_and_days() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), StoreMode::Create, 0);
        let wanted = request(&["postgres", "db.internal", "10.0.0.7", "::1"], 397);
        let issued = authority.issue(&name(), &wanted).unwrap();
        for host in ["postgres", "db.internal", "10.0.0.7", "::1", "localhost"] {
            verify(&issued, host, 0).unwrap();
        }
        verify(&issued, "postgres", 396).unwrap();
        assert!(verify(&issued, "postgres", 398).is_err());
        assert!(verify(&issued, "redis", 0).is_err());
        assert_eq!(issued.authority, authority.certificate().unwrap());
        assert!(KeyPair::from_pem(issued.key.expose()).is_ok());
    }

    #[test]
    fn certificate_is_kept_until_renewal_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let create = |day| authority(folder.path(), StoreMode::Create, day);
        let wanted = request(&["postgres"], 397);
        let first = create(0).issue(&name(), &wanted).unwrap();
        assert_eq!(create(300).issue(&name(), &wanted).unwrap(), first);

        let renewed = create(368).issue(&name(), &wanted).unwrap();
        assert_ne!(renewed.certificate, first.certificate);
        assert_eq!(renewed.authority, first.authority);
        verify(&renewed, "postgres", 700).unwrap();

        let moved = create(368).issue(&name(), &request(&["db"], 397)).unwrap();
        assert_ne!(moved.certificate, renewed.certificate);
        assert!(verify(&moved, "postgres", 368).is_err());

        let shorter = create(368).issue(&name(), &request(&["db"], 6)).unwrap();
        assert_ne!(shorter.certificate, moved.certificate);
        let same = create(371).issue(&name(), &request(&["db"], 6)).unwrap();
        assert_eq!(same, shorter);
    }

    #[test]
    fn rotated_certificate_becomes_active_after_put_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let create = || authority(folder.path(), StoreMode::Create, 0);
        let wanted = request(&["postgres"], 397);
        let old = create().issue(&name(), &wanted).unwrap();
        let digest = create().renew(&name(), &wanted).unwrap();
        assert_eq!(create().issue(&name(), &wanted).unwrap(), old);
        let rotation = Rotation {
            certificates: BTreeMap::from([(name(), digest)]),
            ..Rotation::default()
        };
        let next = create().with(rotation.clone());
        let new = next.issue(&name(), &wanted).unwrap();
        assert_ne!(new.key, old.key);
        assert_eq!(new.authority, old.authority);
        verify(&new, "postgres", 0).unwrap();

        rotation.put_in_force(&root(folder.path()), 5).unwrap();
        assert_eq!(create().issue(&name(), &wanted).unwrap(), new);
        for issued in [&old, &new] {
            for file in [&issued.certificate, issued.key.expose(), &issued.authority] {
                let found = create().content(&self::digest(file.as_bytes())).unwrap();
                assert_eq!(found, Some(Secret::new(file.clone().into_bytes())));
            }
        }
    }

    #[test]
    fn renewed_authority_reissues_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let create = |day| authority(folder.path(), StoreMode::Create, day);
        let wanted = request(&["postgres"], 397);
        // A certificate that is signed shortly before the authority ends is not valid for longer
        // than it.
        create(0).certificate().unwrap();
        let late = create(3500).issue(&name(), &wanted).unwrap();
        verify(&late, "postgres", 3649).unwrap();
        assert!(verify(&late, "postgres", 3651).is_err());

        let renewed = create(3630).issue(&name(), &wanted).unwrap();
        assert_ne!(renewed.authority, late.authority);
        verify(&renewed, "postgres", 3651).unwrap();
    }

    #[test]
    fn read_only_mode_writes_nothing_and_shows_changes() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = request(&["postgres"], 397);
        let look = |day| authority(folder.path(), StoreMode::ReadOnly, day);
        let before = look(0).issue(&name(), &wanted).unwrap();
        assert_eq!(before.certificate, placeholder());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let made = authority(folder.path(), StoreMode::Create, 0)
            .issue(&name(), &wanted)
            .unwrap();
        assert_eq!(look(0).issue(&name(), &wanted).unwrap(), made);
        let due = look(380).issue(&name(), &wanted).unwrap();
        assert_ne!(due.certificate, made.certificate);
        assert_eq!(look(0).issue(&name(), &wanted).unwrap(), made);
    }

    #[test]
    fn certificate_host_is_name_or_address() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), StoreMode::ReadOnly, 0);
        for host in ["db", "db_1", "*.example.org", "fe80::1"] {
            authority.issue(&name(), &request(&[host], 9)).unwrap();
        }
        for host in ["", "a b", "a..b", "http://a", "*", "hôst"] {
            let error = authority.issue(&name(), &request(&[host], 9)).unwrap_err();
            assert!(matches!(error, AuthorityError::Host { .. }), "{host}");
        }
    }

    #[test]
    fn corrupt_authority_file_error_has_help() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), StoreMode::Create, 0);
        authority.certificate().unwrap();
        let path = folder
            .path()
            .join(".cimandat/shop/certificates/_authority.pem");
        std::fs::write(&path, "nothing").unwrap();
        let error = authority.certificate().unwrap_err();
        assert!(matches!(error, AuthorityError::Damaged { .. }));
        assert!(error.help().unwrap().contains("_authority.pem"));
    }

    #[test]
    fn certificate_key_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), StoreMode::Create, 0);
        let issued = authority.issue(&name(), &request(&["a"], 9)).unwrap();
        let shown = format!("{issued:?} {authority:?}");
        assert!(!shown.contains("PRIVATE KEY"));
    }
}
