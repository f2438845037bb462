//! The project's own certificate authority: it signs the certificates that services show to one
//! another.
//!
//! Everything is kept in `.cimandat/PROJECT/certificates/`. The authority's key never leaves that folder;
//! a service gets its own key, its certificate, and the authority's certificate.

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

/// How long a certificate is valid unless the manifest says otherwise: the longest that browsers
/// and Apple's systems believe in is 398 days.
pub const DEFAULT_DAYS: u32 = 397;
/// How long the authority is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// With less than this left, a certificate is renewed.
const RENEWAL_DAYS: u32 = 30;
/// A certificate is valid from an hour ago, for machines whose clocks are late.
const CLOCK_SKEW: i64 = 3600;
const DAY: i64 = 86_400;

/// The authority's file; no name of a certificate begins with `_`.
const AUTHORITY: &str = "_authority.pem";

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored file is not what was stored.
    #[error("`{}` does not hold a certificate and its key: {cause}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A certificate that was made for a rotation is gone.
    #[error("the new certificate in `{}` cannot be used: {cause}", path.display())]
    Lost {
        /// Where it was kept.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// Where the rotation is written down.
        pending: PathBuf,
    },
    /// A host that a certificate cannot be for.
    #[error("a certificate cannot be for `{host}`")]
    Host {
        /// Which.
        host: String,
    },
    /// A key or a signature could not be made.
    #[error("cannot make a certificate: {cause}")]
    Signing {
        /// What the library says.
        cause: String,
    },
}

impl AuthorityError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Damaged { path, .. } => Some(format!(
                "delete `{}`: the next `up` makes a new one",
                path.display()
            )),
            Self::Lost { pending, .. } => Some(format!(
                "delete `{}`: then the old certificate is in force",
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

/// What a certificate is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Names and addresses that it is for; `localhost` is always added.
    pub hosts: BTreeSet<String>,
    /// For how many days.
    pub days: u32,
}

/// A certificate with what belongs to it, each as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
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
    /// Of the project with this store. Nothing is read or made yet.
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

    /// The same, giving out the certificates of a rotation instead of those in force.
    #[must_use]
    pub fn with(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// The authority's certificate, as PEM; made or renewed, if it has to be and the mode allows,
    /// or else a placeholder.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged.
    pub fn certificate(&self) -> Result<String, AuthorityError> {
        let authority = self.authority()?;
        Ok(authority.map_or_else(placeholder, |pair| pair.certificate))
    }

    /// A certificate; made or renewed, if it has to be and the mode allows, or else a placeholder.
    ///
    /// It is renewed when its hosts changed, when the authority did, and when the end of its days
    /// comes near: 30 days before it, or a third of its days if that is less.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged, or a host cannot be one.
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

    /// Makes a new certificate with a new key and keeps it for a rotation; the one in force stays
    /// so. Gives the digest of the two in one file.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged, or a host cannot be one.
    pub fn renew(
        &self,
        name: &CertificateName,
        request: &CertificateRequest,
    ) -> Result<String, AuthorityError> {
        let Some(authority) = self.authority()? else {
            return Err(AuthorityError::Signing {
                cause: "there is no authority yet".to_owned(),
            });
        };
        if let Some(old) = self.store.read(&format!("{name}.pem"))? {
            self.archive.keep(name.as_str(), &old)?;
        }
        let pem = self.sign(name, &hosts(request)?, request.days, &authority)?;
        Ok(self.archive.keep(name.as_str(), &pem)?)
    }

    /// The file of a certificate that has this digest (`tls.crt`, `tls.key` or `ca.crt`), if it is
    /// at hand: of those in force or of the earlier ones.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged.
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

    /// The files of a rotated certificate in place of those that it had: by the digest of an old one
    /// its new content. Empty where the certificate is not rotated.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged, or the new one is not there any more.
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

    /// When a certificate in force ends, in seconds since the epoch; `None`: there is none.
    ///
    /// # Errors
    /// When the store cannot be used or is damaged.
    pub fn until(&self, name: &CertificateName) -> Result<Option<i64>, AuthorityError> {
        let pair = self.load(&format!("{name}.pem"))?;
        Ok(pair.map(|pair| pair.facts.until))
    }

    /// When a certificate in force was put there; `None`: there is none.
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
        let pem = pem.ok_or_else(|| damaged("it is not there any more".to_owned()))?;
        Pair::read(pem.expose()).map_err(damaged)
    }

    /// `None`: there is none that will do, and none may be made.
    fn authority(&self) -> Result<Option<Pair>, AuthorityError> {
        if self.mode == StoreMode::Check {
            return Ok(None);
        }
        if self.mode == StoreMode::Create {
            // Before anything is read: what projects shared becomes their own.
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

    /// From an hour ago for so many days, but not beyond `end`.
    fn set_validity(&self, parameters: &mut CertificateParams, days: u32, end: i64) {
        let until = (self.now + i64::from(days) * DAY).min(end);
        let since_epoch = |seconds: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        };
        parameters.not_before = since_epoch(self.now - CLOCK_SKEW);
        parameters.not_after = since_epoch(until);
    }

    /// Stores a certificate with its key in one file, so that they cannot come apart.
    fn keep(&self, file: &str, pem: &Secret<Vec<u8>>, over: bool) -> Result<Pair, AuthorityError> {
        if over {
            if let (Some(old), Some(name)) = (self.store.read(file)?, file.strip_suffix(".pem")) {
                self.archive.keep(name, &old)?;
            }
            self.store.replace(file, pem)?;
        } else {
            self.store.put(file, pem)?;
        }
        // Read again: another process may have been faster.
        let missing = || AuthorityError::Damaged {
            path: self.store.path(file),
            cause: "it has gone again".to_owned(),
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

/// As they will stand in the certificate, so that they can be compared with those of another.
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

/// With `_`, which names of services may have, and with `*` for all names below another.
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
    // It signs servers and clients, and no further authority.
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

/// Stands in for what `up` will make, so that a plan shows that it changes.
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

    /// 2026-01-01.
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

    /// By the same library that the probes use.
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
    fn a_certificate_is_believed_for_its_hosts_and_its_days() {
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
    fn a_certificate_is_kept_until_something_asks_for_another() {
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
    fn a_rotated_certificate_is_in_force_when_that_is_said() {
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
    fn a_renewed_authority_signs_everything_again() {
        let folder = tempfile::tempdir().unwrap();
        let create = |day| authority(folder.path(), StoreMode::Create, day);
        let wanted = request(&["postgres"], 397);
        // Signed shortly before the authority ends: not valid for longer than it.
        create(0).certificate().unwrap();
        let late = create(3500).issue(&name(), &wanted).unwrap();
        verify(&late, "postgres", 3649).unwrap();
        assert!(verify(&late, "postgres", 3651).is_err());

        let renewed = create(3630).issue(&name(), &wanted).unwrap();
        assert_ne!(renewed.authority, late.authority);
        verify(&renewed, "postgres", 3651).unwrap();
    }

    #[test]
    fn looking_writes_nothing_and_shows_what_would_change() {
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
    fn a_host_is_a_name_or_an_address() {
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
    fn a_damaged_file_is_told_with_its_remedy() {
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
    fn a_key_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), StoreMode::Create, 0);
        let issued = authority.issue(&name(), &request(&["a"], 9)).unwrap();
        let shown = format!("{issued:?} {authority:?}");
        assert!(!shown.contains("PRIVATE KEY"));
    }
}
