//! Encoding of records: one page per record, with a checksum in its first line.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// Version of the page format. Incremented when an older program could no longer read the pages.
const FORM: &str = "cimandat-2";
/// The formats of earlier versions.
const EARLIER: [&str; 1] = ["cimandat-1"];

/// A collection of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// The records of the last deploy, and the ids of the project's containers.
    Journal,
    /// The entries of the last deploys.
    History,
}

impl Collection {
    /// Returns the folder of the collection.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::History => "history",
        }
    }
}

/// A page: a named blob in a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Collection of the page.
    pub collection: Collection,
    /// Name of the page within its collection. A later page of the same name replaces it.
    pub name: String,
    /// Content of the page.
    pub content: Vec<u8>,
}

/// Why a page cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The page was torn by an incomplete write, or damaged later.
    Torn,
    /// An earlier version of the program wrote the page.
    Earlier,
    /// A later version of the program wrote the page.
    Later,
}

impl Page {
    pub(super) fn write(collection: Collection, name: String, value: &impl Serialize) -> Self {
        // The values consist of strings and numbers, which JSON can always represent.
        let body = serde_json::to_vec(value).unwrap_or_default();
        let mut content = format!("{FORM} {}\n", checksum(&body)).into_bytes();
        content.extend(body);
        Self {
            collection,
            name,
            content,
        }
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let end = self.content.iter().position(|byte| *byte == b'\n');
        let (head, body) = self.content.split_at(end.ok_or(DecodeError::Torn)?);
        let body = &body[1..];
        let head = std::str::from_utf8(head).map_err(|_| DecodeError::Torn)?;
        let (form, sum) = head.split_once(' ').ok_or(DecodeError::Torn)?;
        if sum != checksum(body) {
            return Err(DecodeError::Torn);
        }
        if EARLIER.contains(&form) {
            return Err(DecodeError::Earlier);
        }
        if form != FORM {
            return Err(DecodeError::Later);
        }
        serde_json::from_slice(body).map_err(|_| DecodeError::Later)
    }
}

fn checksum(body: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(body)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A record with its deploy and its number, as stored on a page of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SequencedRecord<T> {
    /// Number of the deploy.
    pub generation: u64,
    /// Number of the record, counted from 1 in each deploy.
    pub number: u32,
    pub record: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_page_is_rejected() {
        let page = Page::write(Collection::Journal, "1".into(), &["a", "b"]);
        assert_eq!(page.read::<Vec<String>>(), Ok(vec!["a".into(), "b".into()]));
        for end in 0..page.content.len() {
            let torn = Page {
                content: page.content[..end].to_vec(),
                ..page.clone()
            };
            assert_eq!(torn.read::<Vec<String>>(), Err(DecodeError::Torn), "{end}");
        }
    }

    #[test]
    fn pages_of_other_versions_are_refused() {
        for (version, expected) in [(b'1', DecodeError::Earlier), (b'3', DecodeError::Later)] {
            let mut page = Page::write(Collection::Journal, "1".into(), &1);
            page.content[9] = version;
            assert_eq!(page.read::<u32>(), Err(expected));
        }
    }
}
