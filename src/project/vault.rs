//! The project's secrets: generated once, stored next to the manifest, returned as sealed values.
//!
//! Generated values are in `.cimandat/PROJECT/secrets/`, and earlier values in
//! `.cimandat/PROJECT/earlier/`. Values from files and variables are not copied. No value is ever
//! printed: [`Secret::expose`] is the only access to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::PathBuf,
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;

pub use super::store::{StoreError, StoreRoot};
use super::{archive::SecretHistory, link::dangling, rotation::Rotation, store::Store};
use crate::{
    name::SecretName,
    secret::{Secret, Text, digest},
};

/// Access to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// Missing values are generated and stored (`up`).
    Create,
    /// Nothing is written. A placeholder replaces a missing value (`plan`, `config`).
    ReadOnly,
    /// Nothing is read either. A placeholder replaces every value, because a user who checks a
    /// manifest may have no access to its secrets (`check`).
    Check,
}

/// The source of a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, as an absolute path.
    File(PathBuf),
    /// An available value, from a variable.
    Value(Secret<String>),
    /// The store; the value is generated if it does not exist.
    Generated(SecretGenerator),
}

/// The format of a generated secret. No character needs escaping in a shell, in an env-file or in
/// the password of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretGenerator {
    /// Random bytes, as lower-case hexadecimal digits.
    Hex {
        /// Number of bytes; the text is twice as long.
        bytes: usize,
    },
    /// Random characters of `0`–`9`, `A`–`Z`, `a`–`z`.
    Alphanumeric {
        /// Number of characters.
        length: usize,
    },
    /// Random bytes, in URL-safe base64 without padding.
    Base64url {
        /// Number of bytes; the text is a third longer.
        bytes: usize,
    },
}

/// Maximum number of texts that are tried to find the one that was sealed.
const MOST_CANDIDATES: usize = 10_000;
const HEX: &[u8] = b"0123456789abcdef";
const ALPHANUMERIC: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl fmt::Display for SecretGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alphabet = match self {
            Self::Hex { .. } => "hex",
            Self::Alphanumeric { .. } => "alphanumeric",
            Self::Base64url { .. } => "base64url",
        };
        write!(f, "{} characters of {alphabet}", self.length())
    }
}

impl SecretGenerator {
    /// Returns the length of the text, in characters.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Hex { bytes } => bytes.saturating_mul(2),
            Self::Alphanumeric { length } => length,
            Self::Base64url { bytes } => bytes.saturating_mul(4).div_ceil(3),
        }
    }

    /// Generates a value, uniformly distributed over all possible ones.
    fn make(self) -> Result<Secret<Vec<u8>>, VaultError> {
        Ok(Secret::new(match self {
            Self::Hex { .. } => pick(HEX, self.length())?,
            Self::Alphanumeric { length } => pick(ALPHANUMERIC, length)?,
            Self::Base64url { bytes } => {
                let mut random = vec![0; bytes];
                fill(&mut random)?;
                URL_SAFE_NO_PAD.encode(random).into_bytes()
            }
        }))
    }

    /// Whether a value has the format of this generator.
    fn fits(self, value: &[u8]) -> bool {
        let alphabet = match self {
            Self::Hex { .. } => HEX,
            Self::Alphanumeric { .. } => ALPHANUMERIC,
            Self::Base64url { .. } => {
                return URL_SAFE_NO_PAD
                    .decode(value)
                    .is_ok_and(|bytes| Self::Base64url { bytes: bytes.len() } == self);
            }
        };
        value.len() == self.length() && value.iter().all(|byte| alphabet.contains(byte))
    }
}

/// Picks random characters of an alphabet with at most 256 characters.
fn pick(alphabet: &[u8], length: usize) -> Result<Vec<u8>, VaultError> {
    let mut value = Vec::with_capacity(length);
    let mut random = [0; 64];
    // The lower bits of a random byte pick a character. Numbers beyond the alphabet are discarded,
    // because a modulo would prefer the first characters.
    let mask = alphabet.len().next_power_of_two() - 1;
    while value.len() < length {
        fill(&mut random)?;
        let picked = random
            .iter()
            .filter_map(|byte| alphabet.get(usize::from(*byte) & mask))
            .take(length - value.len());
        value.extend(picked);
    }
    Ok(value)
}

fn fill(random: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(random).map_err(|error| VaultError::NoRandomness {
        cause: error.to_string(),
    })
}

/// The reason why a secret has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret's file cannot be read.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The message of the file system.
        cause: String,
    },
    /// The stored value does not match the manifest.
    #[error("the value in `{}` is not {recipe}", path.display())]
    Shape {
        /// The file of the value.
        path: PathBuf,
        /// The format that the manifest requires.
        recipe: SecretGenerator,
    },
    /// A value that was generated for a rotation no longer exists.
    #[error("the new value of `{name}` is not in `{}`", path.display())]
    Lost {
        /// The name of the secret.
        name: SecretName,
        /// The file that contained the value.
        path: PathBuf,
        /// The file that records the rotation.
        pending: PathBuf,
    },
    /// The system provides no random numbers.
    #[error("the system gives no random numbers: {cause}")]
    NoRandomness {
        /// The message of the system.
        cause: String,
    },
}

impl VaultError {
    /// Returns what the user can do about the error, if it is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Unreadable { .. } => {
                Some("make the file, or let the value be made with `generate=`".to_owned())
            }
            Self::Shape { path, .. } => Some(format!(
                "declare the secret as it was when its value was made; or delete `{}` to have a \
                 new value made, which whatever knows the old one must be told",
                path.display()
            )),
            Self::Lost { pending, .. } => Some(format!(
                "delete `{}`: then the old value stays active",
                pending.display()
            )),
            Self::NoRandomness { .. } => None,
        }
    }
}

/// A secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHandle {
    /// The value as the content of a file.
    pub content: Secret<Vec<u8>>,
    /// Whether this is a placeholder for a value that `up` will generate.
    pub placeholder: bool,
}

impl SecretHandle {
    /// Returns the value as part of a string: without the line end that editors add.
    ///
    /// `None` if the value is not text.
    #[must_use]
    pub fn text(&self) -> Option<Secret<String>> {
        text_of(self.content.expose()).map(Secret::new)
    }

    /// Returns the [`digest`] of the content.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.content.expose())
    }
}

/// Returns a placeholder for the value of a secret, after a check that its source exists, as far as
/// that is possible without reading it.
fn unread(name: &SecretName, source: &SecretSource) -> Result<SecretHandle, VaultError> {
    if let SecretSource::File(path) = source {
        let cause = match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => Some("it is a folder".to_owned()),
            Ok(_) => None,
            // A user without permission cannot tell whether the file exists.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(cause) = cause {
            let path = path.clone();
            return Err(VaultError::Unreadable { path, cause });
        }
    }
    Ok(SecretHandle {
        content: Secret::new(format!("<{name}>").into_bytes()),
        placeholder: true,
    })
}

/// Values of secrets, by name.
type Values = BTreeMap<SecretName, String>;

/// The values of a generated secret as parts of strings.
#[derive(Debug)]
pub struct Texts {
    /// The active value.
    pub in_force: Option<Secret<String>>,
    /// The other known values.
    pub others: Vec<Secret<String>>,
}

fn text_of(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// The secrets of one project.
#[derive(Debug, Clone)]
pub struct SecretStore {
    root: StoreRoot,
    store: Store,
    archive: SecretHistory,
    rotation: Rotation,
    mode: StoreMode,
}

impl SecretStore {
    /// Opens the secrets of the project with this store. Nothing is read or created yet.
    #[must_use]
    pub fn new(root: &StoreRoot, mode: StoreMode) -> Self {
        Self {
            root: root.clone(),
            store: Store::new(root, "secrets"),
            archive: SecretHistory::secrets(root),
            rotation: Rotation::default(),
            mode,
        }
    }

    /// Returns a copy that uses the values of a pending rotation instead of the active ones.
    #[must_use]
    pub fn with(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Returns the value of a secret. A missing value is generated if the mode allows it.
    ///
    /// # Errors
    /// If there is no value, or it does not have the required format.
    pub fn value(
        &self,
        name: &SecretName,
        source: &SecretSource,
    ) -> Result<SecretHandle, VaultError> {
        if self.mode == StoreMode::Check {
            return unread(name, source);
        }
        let content = match source {
            SecretSource::Value(value) => Secret::new(value.expose().clone().into_bytes()),
            SecretSource::File(path) => {
                let content = fs::read(path).map_err(|error| VaultError::Unreadable {
                    path: path.clone(),
                    cause: dangling(path)
                        .map_or_else(|| error.to_string(), |cause| format!("it {cause}")),
                })?;
                Secret::new(content)
            }
            SecretSource::Generated(recipe) => return self.generated(name, *recipe),
        };
        let placeholder = false;
        Ok(SecretHandle {
            content,
            placeholder,
        })
    }

    fn generated(
        &self,
        name: &SecretName,
        recipe: SecretGenerator,
    ) -> Result<SecretHandle, VaultError> {
        let file = name.as_str();
        let placeholder = false;
        if let Some(digest) = self.rotation.secrets.get(name) {
            let content = self.archive.get(file, digest)?;
            let lost = || VaultError::Lost {
                name: name.clone(),
                path: self.archive.path(file, digest),
                pending: Rotation::place(&self.root),
            };
            let content = content.ok_or_else(lost)?;
            return Ok(SecretHandle {
                content,
                placeholder,
            });
        }
        if self.mode == StoreMode::Create {
            // Before the first read, because this moves files that projects shared before to each
            // project.
            self.store.prepare()?;
        }
        let mut stored = self.store.read(file)?;
        if stored.is_none() && self.mode == StoreMode::Create {
            self.store.put(file, &recipe.make()?)?;
            // Read again, because another process may have written first.
            stored = self.store.read(file)?;
        }
        match stored {
            None => Ok(SecretHandle {
                content: Secret::new(format!("<{name}: made by `up`>").into_bytes()),
                placeholder: true,
            }),
            Some(content) if recipe.fits(content.expose()) => {
                if self.mode == StoreMode::Create {
                    // A manual change of the file must not lose the value for earlier generations.
                    self.archive.keep(file, &content)?;
                }
                Ok(SecretHandle {
                    content,
                    placeholder,
                })
            }
            Some(_) => Err(VaultError::Shape {
                path: self.store.path(file),
                recipe,
            }),
        }
    }

    /// Generates a value for a generated secret and stores it for a rotation. The active value does
    /// not change. Returns the digest of the new value.
    ///
    /// # Errors
    /// If no value can be generated or stored.
    pub fn renew(&self, name: &SecretName, recipe: SecretGenerator) -> Result<String, VaultError> {
        if let Some(old) = self.store.read(name.as_str())? {
            self.archive.keep(name.as_str(), &old)?;
        }
        Ok(self.archive.keep(name.as_str(), &recipe.make()?)?)
    }

    /// Returns the value of a generated secret with this digest, if it is available among the
    /// active and the earlier values.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn with_digest(
        &self,
        name: &SecretName,
        digest: &str,
    ) -> Result<Option<Secret<Vec<u8>>>, VaultError> {
        let file = name.as_str();
        let in_force = self.store.read(file)?;
        match in_force.filter(|value| self::digest(value.expose()) == digest) {
            Some(value) => Ok(Some(value)),
            None => Ok(self.archive.get(file, digest)?),
        }
    }

    /// Returns the content with this digest, of any generated secret: an injected file has a
    /// digest, but no name of a secret.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn content(&self, digest: &str) -> Result<Option<Secret<Vec<u8>>>, VaultError> {
        let stored = self.store.list()?.into_iter();
        let earlier = self.archive.all()?.into_iter();
        let names = stored.chain(
            earlier
                .filter(|(_, its)| its == digest)
                .map(|(name, _)| name),
        );
        for name in names.filter_map(|name| SecretName::new(name).ok()) {
            if let Some(found) = self.with_digest(&name, digest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the value of a sealed text. It is found by the form with the names of the secrets
    /// and by its digest, among the active and the earlier values. `None` if the values are
    /// unavailable.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn unsealed(
        &self,
        shown: &str,
        digest: &str,
    ) -> Result<Option<Secret<String>>, VaultError> {
        let found = self.opened(shown, digest)?;
        Ok(found.map(|(text, _)| Secret::new(text)))
    }

    /// Returns a sealed text with the values of the rotation instead of its current ones. `None` if
    /// the current values are unknown.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn renewed(&self, shown: &str, digest: &str) -> Result<Option<Text>, VaultError> {
        let Some((_, values)) = self.opened(shown, digest)? else {
            return Ok(None);
        };
        let mut text = shown.to_owned();
        for (name, value) in values {
            let mut value = value;
            if let Some(digest) = self.rotation.secrets.get(&name) {
                let content = self.with_digest(&name, digest)?;
                let held = content.and_then(|content| text_of(content.expose()));
                let Some(new) = held else {
                    return Ok(None);
                };
                value = new;
            }
            text = text.replace(&format!("${{secret:{name}}}"), &value);
        }
        Ok(Some(Text::sealed(shown.to_owned(), text)))
    }

    /// The value of a sealed text, and the values of the secrets in it.
    fn opened(&self, shown: &str, digest: &str) -> Result<Option<(String, Values)>, VaultError> {
        let mut pieces = shown.split("${secret:");
        let mut candidates = vec![pieces.next().unwrap_or_default().to_owned()];
        let mut chosen: Vec<BTreeMap<SecretName, String>> = vec![BTreeMap::new()];
        for piece in pieces {
            let Some((name, rest)) = piece.split_once('}') else {
                return Ok(None);
            };
            let Ok(name) = SecretName::new(name) else {
                return Ok(None);
            };
            let values = self.all_texts(&name)?;
            let mut longer = Vec::new();
            let mut choices = Vec::new();
            for (text, choice) in candidates.iter().zip(&chosen) {
                let known = choice.get(&name).into_iter();
                let fresh = values.iter().filter(|_| !choice.contains_key(&name));
                for value in known.chain(fresh) {
                    longer.push(format!("{text}{value}{rest}"));
                    let mut choice = choice.clone();
                    choice.insert(name.clone(), value.clone());
                    choices.push(choice);
                }
            }
            if longer.len() > MOST_CANDIDATES {
                return Ok(None);
            }
            (candidates, chosen) = (longer, choices);
        }
        let mut candidates = candidates.into_iter().zip(chosen);
        Ok(candidates.find(|(text, _)| self::digest(text.as_bytes()) == digest))
    }

    /// Returns the digests of all known values of a generated secret.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn digests(&self, name: &SecretName) -> Result<BTreeSet<String>, VaultError> {
        let file = name.as_str();
        let in_force = self.store.read(file)?;
        let in_force = in_force.map(|value| digest(value.expose()));
        let earlier = self.archive.of(file)?;
        Ok(earlier.into_iter().chain(in_force).collect())
    }

    /// Returns the values of a generated secret as parts of strings.
    ///
    /// # Errors
    /// If the store is unusable.
    pub fn texts(&self, name: &SecretName) -> Result<Texts, VaultError> {
        let file = name.as_str();
        let text = |value: Secret<Vec<u8>>| text_of(value.expose()).map(Secret::new);
        let in_force = self.store.read(file)?.and_then(text);
        let mut others = Vec::new();
        for digest in self.archive.of(file)? {
            others.extend(self.archive.get(file, &digest)?.and_then(text));
        }
        Ok(Texts { in_force, others })
    }

    fn all_texts(&self, name: &SecretName) -> Result<Vec<String>, VaultError> {
        let texts = self.texts(name)?;
        let all = texts.in_force.iter().chain(&texts.others);
        Ok(all.map(|text| text.expose().clone()).collect())
    }

    /// Returns the time at which the active value of a generated secret was stored; `None` if there
    /// is none.
    #[must_use]
    pub fn made(&self, name: &SecretName) -> Option<SystemTime> {
        self.store.made(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::name::ProjectName;

    const PASSWORD: SecretSource =
        SecretSource::Generated(SecretGenerator::Alphanumeric { length: 32 });

    fn name() -> SecretName {
        SecretName::new("db_password").unwrap()
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn root(folder: &Path) -> StoreRoot {
        StoreRoot::new(folder, &ProjectName::new("shop").unwrap())
    }

    fn vault_of(folder: &Path, mode: StoreMode) -> SecretStore {
        SecretStore::new(&root(folder), mode)
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn check_mode_returns_placeholders() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault_of(folder.path(), StoreMode::Check);
        let file = folder.path().join("password");
        let source = SecretSource::File(file.clone());
        let missing = vault.value(&name(), &source);
        assert!(
            matches!(missing, Err(VaultError::Unreadable { .. })),
            "{missing:?}"
        );
        fs::write(&file, "hidden").unwrap();
        for source in [source, PASSWORD] {
            let held = vault.value(&name(), &source).unwrap();
            assert!(held.placeholder);
            assert_ne!(held.content.expose(), b"hidden");
        }
    }

    #[test]
    fn secret_is_generated_once() {
        let folder = folder();
        let vault = vault_of(folder.path(), StoreMode::Create);
        let first = vault.value(&name(), &PASSWORD).unwrap();
        assert_eq!(vault.value(&name(), &PASSWORD).unwrap(), first);
        let look = vault_of(folder.path(), StoreMode::ReadOnly);
        assert_eq!(look.value(&name(), &PASSWORD).unwrap(), first);
        assert!(!first.placeholder);
    }

    #[test]
    fn concurrent_generation_keeps_first_value() {
        let folder = folder();
        let make = || vault_of(folder.path(), StoreMode::Create).value(&name(), &PASSWORD);
        let values = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            let values = makers.into_iter().map(|maker| maker.join().unwrap());
            values.collect::<Result<Vec<_>, _>>().unwrap()
        });
        assert!(values.iter().all(|value| *value == values[0]));
    }

    #[test]
    #[cfg(unix)]
    fn secret_store_is_readable_by_owner_only() {
        let folder = folder();
        let vault = vault_of(folder.path(), StoreMode::Create);
        vault.value(&name(), &PASSWORD).unwrap();
        let root = folder.path().join(".cimandat");
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("shop")), 0o700);
        assert_eq!(mode(&root.join("shop/secrets")), 0o700);
        assert_eq!(mode(&root.join("shop/secrets/db_password")), 0o600);
        assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
        let left: Vec<_> = fs::read_dir(root.join("shop/secrets")).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[test]
    #[cfg(unix)]
    fn exposed_secret_store_is_rejected() {
        for (exposed, as_mode, wanted) in [
            ("shop/secrets", 0o750, "700"),
            ("shop/secrets/db_password", 0o604, "600"),
        ] {
            let folder = folder();
            let vault = vault_of(folder.path(), StoreMode::Create);
            vault.value(&name(), &PASSWORD).unwrap();
            let path = folder.path().join(".cimandat").join(exposed);
            set_mode(&path, as_mode);
            let error = vault.value(&name(), &PASSWORD).unwrap_err();
            assert!(matches!(
                error,
                VaultError::Store(StoreError::Exposed { .. })
            ));
            let remedy = format!("chmod {wanted} {}", path.display());
            assert!(error.help().unwrap().contains(&remedy));
        }
    }

    #[test]
    fn read_only_mode_writes_nothing() {
        let folder = folder();
        let vault = vault_of(folder.path(), StoreMode::ReadOnly);
        let held = vault.value(&name(), &PASSWORD).unwrap();
        assert!(held.placeholder);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let made = vault_of(folder.path(), StoreMode::Create)
            .value(&name(), &PASSWORD)
            .unwrap();
        assert_ne!(made.digest(), held.digest());
    }

    #[test]
    fn stored_value_of_wrong_format_is_rejected() {
        let folder = folder();
        let vault = vault_of(folder.path(), StoreMode::Create);
        vault.value(&name(), &PASSWORD).unwrap();
        let longer = SecretSource::Generated(SecretGenerator::Hex { bytes: 32 });
        let error = vault.value(&name(), &longer).unwrap_err();
        let path = folder.path().join(".cimandat/shop/secrets/db_password");
        assert_eq!(
            error.to_string(),
            format!(
                "the value in `{}` is not 64 characters of hex",
                path.display()
            )
        );
    }

    /// Begins a rotation and returns the digests of the old and the new value.
    fn rotate(folder: &Path) -> (String, String, Rotation) {
        let vault = vault_of(folder, StoreMode::Create);
        let old = vault.value(&name(), &PASSWORD).unwrap().digest();
        let SecretSource::Generated(recipe) = PASSWORD else {
            unreachable!("it is generated");
        };
        let new = vault.renew(&name(), recipe).unwrap();
        let rotation = Rotation {
            secrets: BTreeMap::from([(name(), new.clone())]),
            ..Rotation::default()
        };
        rotation.begin(&root(folder)).unwrap();
        (old, new, rotation)
    }

    #[test]
    fn rotated_value_becomes_active_after_put_in_force() {
        let folder = folder();
        let (old, new, rotation) = rotate(folder.path());
        let vault = || vault_of(folder.path(), StoreMode::Create);
        let in_force = || vault().value(&name(), &PASSWORD).unwrap().digest();
        assert_ne!(old, new);
        assert_eq!(in_force(), old);
        let pending = Rotation::pending(&root(folder.path())).unwrap().unwrap();
        assert_eq!(pending, rotation);
        let next = vault().with(pending);
        assert_eq!(next.value(&name(), &PASSWORD).unwrap().digest(), new);

        for _ in 0..2 {
            rotation.put_in_force(&root(folder.path()), 5).unwrap();
            assert_eq!(in_force(), new);
            assert_eq!(Rotation::pending(&root(folder.path())).unwrap(), None);
        }
        for digest in [&old, &new] {
            let found = vault().with_digest(&name(), digest).unwrap().unwrap();
            assert_eq!(self::digest(found.expose()), *digest);
            assert_eq!(vault().content(digest).unwrap(), Some(found));
        }
        assert_eq!(vault().content("0000000000000000").unwrap(), None);
    }

    #[test]
    fn abandoned_rotation_keeps_old_value_active() {
        let folder = folder();
        let (old, new, _) = rotate(folder.path());
        Rotation::give_up(&root(folder.path())).unwrap();
        Rotation::give_up(&root(folder.path())).unwrap();
        assert_eq!(Rotation::pending(&root(folder.path())).unwrap(), None);
        let vault = vault_of(folder.path(), StoreMode::ReadOnly);
        assert_eq!(vault.value(&name(), &PASSWORD).unwrap().digest(), old);
        // A database may have been set to the new value before the deploy failed.
        assert!(vault.with_digest(&name(), &new).unwrap().is_some());
    }

    #[test]
    fn rotation_prunes_earlier_values() {
        let folder = folder();
        let (first, ..) = rotate(folder.path());
        for _ in 0..4 {
            let (_, _, rotation) = rotate(folder.path());
            rotation.put_in_force(&root(folder.path()), 3).unwrap();
        }
        let vault = vault_of(folder.path(), StoreMode::ReadOnly);
        assert_eq!(vault.archive.of("db_password").unwrap().len(), 4);
        assert_eq!(vault.with_digest(&name(), &first).unwrap(), None);
    }

    #[test]
    fn sealed_text_is_found_by_digest() {
        let folder = folder();
        let sealed = || {
            let vault = vault_of(folder.path(), StoreMode::ReadOnly);
            let held = vault.value(&name(), &PASSWORD).unwrap();
            let text = held.text().unwrap().expose().clone();
            format!("{text}@db/{text}?x")
        };
        let (_, _, rotation) = rotate(folder.path());
        let old = sealed();
        rotation.put_in_force(&root(folder.path()), 5).unwrap();
        let new = sealed();
        assert_ne!(old, new);
        let vault = vault_of(folder.path(), StoreMode::ReadOnly);
        let shown = "${secret:db_password}@db/${secret:db_password}?x";
        for text in [old, new] {
            let found = vault.unsealed(shown, &digest(text.as_bytes())).unwrap();
            assert_eq!(found.map(|it| it.expose().clone()), Some(text));
        }
        assert_eq!(vault.unsealed(shown, &digest(b"other")).unwrap(), None);
        assert_eq!(vault.unsealed("${secret:", "0").unwrap(), None);
    }

    #[test]
    fn sealed_text_is_renewed_by_rotation() {
        let folder = folder();
        let (old, new, rotation) = rotate(folder.path());
        let look = vault_of(folder.path(), StoreMode::ReadOnly);
        let value = |digest: &str| {
            let content = look.with_digest(&name(), digest).unwrap().unwrap();
            String::from_utf8(content.expose().clone()).unwrap()
        };
        let shown = "${secret:db_password}@db/${secret:db_password}";
        let sealed = |digest: &str| format!("{0}@db/{0}", value(digest));
        let vault = vault_of(folder.path(), StoreMode::ReadOnly).with(rotation);
        for known in [&old, &new] {
            let its = digest(sealed(known).as_bytes());
            let renewed = vault.renewed(shown, &its).unwrap().unwrap();
            assert_eq!(renewed.shown(), shown);
            assert_eq!(renewed.expose(), Some(sealed(&new).as_str()));
        }
        assert_eq!(vault.renewed(shown, &digest(b"other")).unwrap(), None);
        assert_eq!(look.digests(&name()).unwrap(), BTreeSet::from([old, new]));
    }

    #[test]
    fn secret_value_is_never_printed() {
        let folder = folder();
        let vault = vault_of(folder.path(), StoreMode::Create);
        let held = vault.value(&name(), &PASSWORD).unwrap();
        let value = held.text().unwrap();
        assert!(!format!("{held:?} {vault:?}").contains(value.expose().as_str()));
        let source = SecretSource::Value(value.clone());
        assert!(!format!("{source:?}").contains(value.expose().as_str()));
    }

    #[test]
    fn secret_text_drops_line_end_of_file() {
        let folder = folder();
        let path = folder.path().join("token");
        fs::write(&path, "hunter2\r\n").unwrap();
        let vault = vault_of(folder.path(), StoreMode::ReadOnly);
        let held = vault.value(&name(), &SecretSource::File(path)).unwrap();
        assert_eq!(held.content.expose(), b"hunter2\r\n");
        assert_eq!(held.text().unwrap().expose(), "hunter2");
        let missing = SecretSource::File(folder.path().join("no"));
        assert!(matches!(
            vault.value(&name(), &missing),
            Err(VaultError::Unreadable { .. })
        ));
    }

    #[test]
    fn generated_characters_are_uniform() {
        for alphabet in [HEX, ALPHANUMERIC] {
            let each = 2_000;
            let mut counts = BTreeMap::new();
            for character in pick(alphabet, alphabet.len() * each).unwrap() {
                *counts.entry(character).or_insert(0_usize) += 1;
            }
            assert_eq!(counts.len(), alphabet.len());
            for (character, count) in counts {
                // Eight standard deviations: less than one failure in 10^13 runs.
                let off = count.abs_diff(each);
                assert!(off * off < 64 * each, "{character}: {count} of {each}");
            }
        }
    }

    proptest! {
        #[test]
        fn generated_value_matches_format(
            recipe in prop_oneof![
                (1_usize..200).prop_map(|bytes| SecretGenerator::Hex { bytes }),
                (1_usize..200).prop_map(|length| SecretGenerator::Alphanumeric { length }),
                (1_usize..200).prop_map(|bytes| SecretGenerator::Base64url { bytes }),
            ],
        ) {
            let value = recipe.make().unwrap();
            prop_assert_eq!(value.expose().len(), recipe.length());
            prop_assert!(recipe.fits(value.expose()));
        }
    }

    #[test]
    fn generated_values_differ() {
        let make = |_| {
            SecretGenerator::Hex { bytes: 16 }
                .make()
                .unwrap()
                .expose()
                .clone()
        };
        let values: BTreeSet<_> = (0..100).map(make).collect();
        assert_eq!(values.len(), 100);
    }
}
