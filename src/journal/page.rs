//! How a record is laid down: one page a record, with a checksum in its first line.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The form of pages; raised when an older program could not read them any more.
const FORM: &str = "cimandat-1";

/// Where pages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// The records of the last deploy, and the ids of the project's containers.
    Journal,
    /// What became of the last deploys.
    History,
}

impl Collection {
    /// The shelf's folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::History => "history",
        }
    }
}

/// One page: a name on a shelf, and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it stands.
    pub shelf: Collection,
    /// Its name there; a later page of the same name replaces it.
    pub name: String,
    /// What is on it.
    pub content: Vec<u8>,
}

/// Why a page cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It was torn while it was written, or damaged since.
    Torn,
    /// A later program wrote it.
    Later,
}

impl Page {
    pub(super) fn write(shelf: Collection, name: String, value: &impl Serialize) -> Self {
        // What is written is made of texts and numbers, which JSON can always say.
        let body = serde_json::to_vec(value).unwrap_or_default();
        let mut content = format!("{FORM} {}\n", checksum(&body)).into_bytes();
        content.extend(body);
        Self {
            shelf,
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

/// What stands on a page of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SequencedRecord<T> {
    /// The deploy.
    pub generation: u64,
    /// Counted from 1 in each deploy.
    pub number: u32,
    /// The record.
    pub record: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_page_is_not_read() {
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
    fn a_page_of_a_later_program_is_told_apart() {
        let mut page = Page::write(Collection::Journal, "1".into(), &1);
        page.content[9] = b'2';
        assert_eq!(page.read::<u32>(), Err(DecodeError::Later));
    }
}
