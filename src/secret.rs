//! Values that must not be seen.
//!
//! A [`Secret`] cannot be printed, logged or serialised; a [`Text`] is a string of which it is
//! known whether it holds one. Nothing here reads or makes secrets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A value that cannot be shown: its only way out is [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Seals a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; every call is a place to look at in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of a content: enough to see that it changed.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter()
        .take(8)
        .fold(String::with_capacity(16), |mut text, byte| {
            use fmt::Write;
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A string of a manifest after interpolation, which knows whether a secret is part of it.
///
/// Serialises as the string itself, or, when sealed, as its form with the secrets' names and a
/// digest: never as the value. What is read back from that form has no value any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Nothing secret in it.
    Plain(String),
    /// A secret is part of it, and so all of it is secret.
    Sealed {
        /// The string with each secret by its name (`postgresql://u:${secret:db}@db/x`).
        shown: String,
        /// [`digest`] of the value.
        digest: String,
        /// The value; absent when this was read back from a record.
        value: Option<Secret<String>>,
    },
}

impl Text {
    /// Seals a value under the form in which it may be shown.
    #[must_use]
    pub fn sealed(shown: String, value: String) -> Self {
        let digest = digest(value.as_bytes());
        Self::Sealed {
            shown,
            digest,
            value: Some(Secret::new(value)),
        }
    }

    /// What a person may see.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Sealed { shown: text, .. } => text,
        }
    }

    /// The value, for the engine only; `None` when only its record is known.
    #[must_use]
    pub fn expose(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Sealed { value, .. } => value.as_ref().map(|value| value.expose().as_str()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded {
    Plain(String),
    Sealed { sealed: String, digest: String },
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::Sealed { shown, digest, .. } => Recorded::Sealed {
                sealed: shown.clone(),
                digest: digest.clone(),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Recorded::deserialize(deserializer)? {
            Recorded::Plain(text) => Self::Plain(text),
            Recorded::Sealed { sealed, digest } => Self::Sealed {
                shown: sealed,
                digest,
                value: None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_never_shows_its_value() {
        let text = Text::sealed("x:${secret:p}".into(), "x:hunter2".into());
        let json = serde_json::to_string(&text).unwrap();
        assert!(!json.contains("hunter2") && !format!("{text:?}").contains("hunter2"));
        assert_eq!(text.expose(), Some("x:hunter2"));
        let back: Text = serde_json::from_str(&json).unwrap();
        assert_eq!(back.shown(), "x:${secret:p}");
        assert_eq!(back.expose(), None);
    }
}
