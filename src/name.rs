//! Names: one newtype for each kind of named object, validated on construction.
//!
//! Contains only the rules for valid names.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// A character is not allowed at this position.
    #[error("`{character}` is not allowed at position {position} of the name `{name}`")]
    Character {
        /// Whole text.
        name: String,
        /// First character that is not allowed.
        character: char,
        /// Position of the character, counted from 1.
        position: usize,
    },
    /// The name is shorter than the engine accepts.
    #[error("`{name}` is shorter than {least} characters")]
    TooShort {
        /// Whole text.
        name: String,
        /// Minimum length.
        least: usize,
    },
    /// A separator between letters and digits is not allowed in the name of an image.
    #[error("`{found}` is not allowed {place} of the name `{name}`")]
    Separator {
        /// Whole text.
        name: String,
        /// Separator characters.
        found: String,
        /// `at the end` or `in the middle`.
        place: &'static str,
    },
    /// The text is not a valid image reference.
    #[error("`{name}` is not an image: {cause}")]
    Reference {
        /// Whole text.
        name: String,
        /// Reason, as a sentence fragment.
        cause: &'static str,
    },
    /// The name is longer than the engine or its DNS server accepts.
    #[error("`{name}` is longer than {limit} characters")]
    TooLong {
        /// Whole text.
        name: String,
        /// Maximum length.
        limit: usize,
    },
}

/// Longest label that the DNS server of a container network resolves (RFC 1035).
const DNS_LABEL: usize = 63;
/// Longest name of a stored object, which is prefixed with `PROJECT_`. The engine's limit is the
/// 255 bytes of a file name, and a snapshot appends its generation to the name.
const STORED: usize = 160;
/// Longest name of a container. A generous limit, as the engine's own.
const CONTAINER: usize = 200;

fn check(
    name: &str,
    limit: usize,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    for (index, character) in name.chars().enumerate() {
        let accepted = if index == 0 {
            first(character)
        } else {
            rest(character)
        };
        if !accepted {
            return Err(NameError::Character {
                name: name.to_owned(),
                character,
                position: index + 1,
            });
        }
    }
    if name.len() > limit {
        return Err(NameError::TooLong {
            name: name.to_owned(),
            limit,
        });
    }
    Ok(())
}

fn alphanumeric(character: char) -> bool {
    character.is_ascii_alphanumeric()
}

fn word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

fn lower(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

fn lower_word(character: char) -> bool {
    lower(character) || matches!(character, '_' | '-')
}

fn printable(character: char) -> bool {
    !character.is_whitespace() && !character.is_control()
}

/// A rule about the whole name.
type Rule = fn(&str) -> Result<(), NameError>;

/// The engine requires two characters for a container or a volume.
fn two(name: &str) -> Result<(), NameError> {
    if name.len() >= 2 {
        return Ok(());
    }
    Err(NameError::TooShort {
        name: name.to_owned(),
        least: 2,
    })
}

/// The name becomes part of image names (`PROJECT-SERVICE`, in lowercase).
fn component(name: &str) -> Result<(), NameError> {
    let bad = separators(name).find(|found| !found.is_single || found.is_last);
    bad.map_or(Ok(()), |found| {
        Err(NameError::Separator {
            name: name.to_owned(),
            found: found.text.to_owned(),
            place: if found.is_last {
                "at the end"
            } else {
                "in the middle"
            },
        })
    })
}

/// The characters between two runs of letters and digits, or after the last run.
struct Separators<'a> {
    text: &'a str,
    /// The separator is allowed in a component of an image name: `.`, `_`, `__`, or dashes.
    is_single: bool,
    is_last: bool,
}

fn separators(name: &str) -> impl Iterator<Item = Separators<'_>> {
    let ends_so = !name.ends_with(alphanumeric);
    let runs = name.split(alphanumeric).filter(|run| !run.is_empty());
    let last = runs.clone().count();
    runs.enumerate().map(move |(index, text)| Separators {
        text,
        is_single: matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-'),
        is_last: ends_so && index + 1 == last,
    })
}

/// Whether the text is a content digest, `algorithm:digits`.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else {
        return false;
    };
    let known = match algorithm {
        "sha256" => digits.len() == 64,
        "sha384" => digits.len() == 96,
        "sha512" => digits.len() == 128,
        _ => false,
    };
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    known && digits.bytes().all(hexadecimal)
}

/// Checks an image reference, `[registry[:port]/]name[/name…][:tag][@digest]`, as the engine does.
fn reference(text: &str) -> Result<(), NameError> {
    let wrong = |cause| {
        Err(NameError::Reference {
            name: text.to_owned(),
            cause,
        })
    };
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return wrong("the part behind the `@` is not a digest");
    }
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
        None => (name, None),
    };
    match tag {
        Some("") => return wrong("its tag is empty"),
        Some(tag) if tag.len() > TAG => return wrong("its tag is too long"),
        Some(tag) if !tag.starts_with(['.', '-']) && tag.chars().all(word) => {}
        Some(_) => {
            return wrong("its tag has other characters than letters, digits, `_`, `.` and `-`");
        }
        None => {}
    }
    let is_registry =
        |first: &str| first.contains(['.', ':']) || first == "localhost" || first.contains(capital);
    let path = match name.split_once('/') {
        Some((registry, path)) if is_registry(registry) && is_host(registry) => path,
        _ => name,
    };
    if path.contains(capital) {
        return wrong("its name must be lowercase");
    }
    let is_component =
        |part: &str| part.starts_with(lower) && part.chars().all(word) && component(part).is_ok();
    if !path.split('/').all(is_component) {
        return wrong(
            "its name consists of letters and digits, separated by `.`, `_`, `__`, dashes or `/`",
        );
    }
    // Without a registry, the engine adds `library/` to an image name of one component.
    let library = if name.contains('/') { "" } else { "library/" };
    if library.len() + path.len() > REPOSITORY {
        return wrong("its name is too long");
    }
    Ok(())
}

/// Longest tag of an image.
const TAG: usize = 128;
/// Longest name of an image, without registry and tag.
const REPOSITORY: usize = 255;

fn capital(character: char) -> bool {
    character.is_ascii_uppercase()
}

/// Whether the text is a host name or an address in brackets, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let well = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            label.starts_with(alphanumeric)
                && label.ends_with(alphanumeric)
                && label.chars().all(|c| alphanumeric(c) || c == '-')
        }),
    };
    well && port.is_none_or(digits)
}

macro_rules! names {
  ($($(#[$doc:meta])* $name:ident: $limit:expr, $first:expr, $rest:expr, $rules:expr;)*) => {$(
    $(#[$doc])*
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub struct $name(String);

    impl $name {
      /// Validates a name.
      ///
      /// # Errors
      /// Returns an error if the text breaks a rule for this kind of name.
      pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        const RULES: &[Rule] = &$rules;
        let name = name.into();
        check(&name, $limit, $first, $rest)?;
        for rule in RULES {
          rule(&name)?;
        }
        Ok(Self(name))
      }

      /// Returns the name as text.
      #[must_use]
      pub fn as_str(&self) -> &str {
        &self.0
      }
    }

    impl TryFrom<String> for $name {
      type Error = NameError;
      fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
      }
    }

    impl From<$name> for String {
      fn from(name: $name) -> Self {
        name.0
      }
    }

    impl Borrow<str> for $name {
      fn borrow(&self) -> &str {
        &self.0
      }
    }

    impl fmt::Display for $name {
      fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
      }
    }

    impl fmt::Debug for $name {
      fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
      }
    }
  )*};
}

names! {
  /// A project: the unit of deployment, and the value of the label that marks its resources.
  ProjectName: DNS_LABEL, lower, lower_word, [component];
  /// A service or a job of a project; also its DNS name in the project's networks.
  ServiceName: DNS_LABEL, alphanumeric, word, [component];
  /// A network, by its name in the manifest.
  NetworkName: STORED, alphanumeric, word, [];
  /// A volume, by its name in the manifest.
  VolumeName: STORED, alphanumeric, word, [];
  /// A secret, by its name in the manifest.
  SecretName: STORED, alphanumeric, word, [];
  /// A config, by its name in the manifest.
  ConfigName: STORED, alphanumeric, word, [];
  /// A certificate, by its name in the manifest.
  CertificateName: STORED, alphanumeric, word, [];
  /// A volume, by its name on the engine.
  EngineVolumeName: CONTAINER, alphanumeric, word, [two];
  /// A container, by its name on the engine.
  ContainerName: CONTAINER, alphanumeric, word, [two];
  /// An image by reference: `name`, `name:tag`, `name@digest`, or an id (`sha256:…`).
  ImageRef: 512, printable, printable, [reference];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated_on_construction() {
        assert!(ServiceName::new("backend-1.x_y").is_ok());
        assert_eq!(ServiceName::new(""), Err(NameError::Empty));
        assert!(matches!(
            ServiceName::new("-a"),
            Err(NameError::Character { position: 1, .. })
        ));
        assert!(matches!(
            ProjectName::new("Ci"),
            Err(NameError::Character { character: 'C', .. })
        ));
        assert!(matches!(
            ServiceName::new("a".repeat(64)),
            Err(NameError::TooLong { limit: 63, .. })
        ));
    }

    #[test]
    fn names_invalid_in_image_names_are_rejected() {
        let project = |name: &str| ProjectName::new(name).map(drop);
        let service = |name: &str| ServiceName::new(name).map(drop);
        for good in ["shop", "a-b", "a--b", "a_b", "a__b", "1"] {
            assert!(project(good).is_ok(), "{good}");
        }
        for good in ["a.b", "A-b", "Web", "a_b.c-d"] {
            assert!(service(good).is_ok(), "{good}");
        }
        let said = |found: Result<(), NameError>| found.unwrap_err().to_string();
        assert_eq!(
            said(project("pp_-_test")),
            "`_-_` is not allowed in the middle of the name `pp_-_test`"
        );
        assert_eq!(
            said(project("pp_")),
            "`_` is not allowed at the end of the name `pp_`"
        );
        for bad in ["a..b", "c___d", "e-", "f.", "g._h", "i-.j"] {
            assert!(service(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn image_references_follow_engine_rules() {
        let digits = "0123456789abcdef".repeat(4);
        let digest = format!("db@sha256:{digits}");
        for good in [
            "db",
            "db:1.2_x-y",
            "library/db",
            "registry.example:5000/a/b-c__d.e:tag",
            "localhost/db",
            "localhost:5000/db",
            "[::1]:5000/db",
            "Registry/db",
            "reg_istry.example/db",
            &digest,
            &format!("a/b:1@sha256:{digits}"),
            &format!("sha256:{digits}"),
            &digits,
        ] {
            assert!(ImageRef::new(good).is_ok(), "{good}");
        }
        for bad in [
            "Db",
            "db:",
            "db:-x",
            "db::1",
            "db:a:b",
            "a//b",
            "/db",
            "db/",
            "a/Db",
            "db@sha256:12",
            "db@",
            "reg.example:/db",
            "-x/db",
            "Reg_istry/db",
            "a..b",
            "a b",
            "db:ä",
        ] {
            assert!(ImageRef::new(bad).is_err(), "{bad}");
        }
    }
}
