//! Values that must not be printed.
//!
//! A [`Secret`] cannot be printed, logged or serialised. A [`Text`] is a string that records
//! whether it contains a secret. This module does not read or generate secrets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A value that cannot be printed. Only [`Secret::expose`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Seals a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value itself. Every call has to be checked in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns the first 16 hexadecimal digits of the SHA-256 of a content, which is enough to detect a
/// change.
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

/// A string of a manifest after interpolation, which records whether it contains a secret.
///
/// A plain text serialises as the string itself. A sealed text serialises as its printable form and
/// a digest, never as the value. After deserialisation, a sealed text has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// A text without a secret.
    Plain(String),
    /// A text that contains a secret, so that the whole text is secret.
    Sealed {
        /// The string with each secret replaced by its name (`postgresql://u:${secret:db}@db/x`).
        shown: String,
        /// [`digest`] of the value.
        digest: String,
        /// The value; `None` if the text was deserialised.
        value: Option<Secret<String>>,
    },
}

impl Text {
    /// Seals a value. `shown` is its printable form.
    #[must_use]
    pub fn sealed(shown: String, value: String) -> Self {
        let digest = digest(value.as_bytes());
        Self::Sealed {
            shown,
            digest,
            value: Some(Secret::new(value)),
        }
    }

    /// Returns the printable form.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Sealed { shown: text, .. } => text,
        }
    }

    /// Returns the value, for the engine only; `None` if the text was deserialised.
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
    fn sealed_text_never_prints_its_value() {
        let text = Text::sealed("x:${secret:p}".into(), "x:hunter2".into());
        let json = serde_json::to_string(&text).unwrap();
        assert!(!json.contains("hunter2") && !format!("{text:?}").contains("hunter2"));
        assert_eq!(text.expose(), Some("x:hunter2"));
        let back: Text = serde_json::from_str(&json).unwrap();
        assert_eq!(back.shown(), "x:${secret:p}");
        assert_eq!(back.expose(), None);
    }
}
