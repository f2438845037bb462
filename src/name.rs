//! Names: one newtype for each kind of thing that has one, checked once where it enters.
//!
//! Holds no logic beyond the rules of what a name may look like.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// A name has at least one character.
    #[error("a name cannot be empty")]
    Empty,
    /// A character that the engine does not accept at this place of a name.
    #[error("`{character}` cannot stand at position {position} of the name `{name}`")]
    Character {
        /// The whole text.
        name: String,
        /// The first character that is not allowed.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
    /// Longer than the engine or its name server takes.
    #[error("`{name}` is longer than {limit} characters")]
    TooLong {
        /// The whole text.
        name: String,
        /// The longest that is accepted.
        limit: usize,
    },
}

/// Longest label that the name server inside a container network resolves (RFC 1035).
const DNS_LABEL: usize = 63;
/// Longest name of other things; generous, the engine's own limit is the file name's 255 bytes.
const LONGEST: usize = 200;

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

macro_rules! names {
  ($($(#[$doc:meta])* $name:ident: $limit:expr, $first:expr, $rest:expr;)*) => {$(
    $(#[$doc])*
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub struct $name(String);

    impl $name {
      /// Checks and takes a name.
      ///
      /// # Errors
      /// When the text breaks the rule of this kind of name.
      pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        check(&name, $limit, $first, $rest)?;
        Ok(Self(name))
      }

      /// The name as text.
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
  /// A project: the unit that is deployed, and the value of the label by which we know our own.
  ProjectName: DNS_LABEL, lower, lower_word;
  /// A service or a job of a project; also its name in the project's networks.
  ServiceName: DNS_LABEL, alphanumeric, word;
  /// A network as the manifest calls it.
  NetworkName: LONGEST, alphanumeric, word;
  /// A volume as the manifest calls it.
  VolumeName: LONGEST, alphanumeric, word;
  /// A secret as the manifest calls it.
  SecretName: LONGEST, alphanumeric, word;
  /// A config as the manifest calls it.
  ConfigName: LONGEST, alphanumeric, word;
  /// A certificate as the manifest calls it.
  CertificateName: LONGEST, alphanumeric, word;
  /// A container as the engine calls it.
  ContainerName: LONGEST, alphanumeric, word;
  /// An image by reference: `name`, `name:tag`, `name@digest`, or an id (`sha256:…`).
  ImageRef: 512, alphanumeric, printable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_where_it_enters() {
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
}
