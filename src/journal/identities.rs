//! The journal page that records the ids of the project's containers.

use super::{Collection, Page};
use crate::state::Identity;

/// In the journal collection, so that the ids are read together with the records. Every deploy
/// overwrites it.
pub(super) const NAME: &str = "ids";

pub(super) fn page(identities: &[Identity]) -> Page {
    Page::write(Collection::Journal, NAME.to_owned(), &identities)
}

/// Returns the recorded ids. An unreadable page counts as empty: ids that are not recorded are not
/// compared.
#[must_use]
pub fn identities(pages: &[Page]) -> Vec<Identity> {
    let mut read = pages.iter().filter(|page| page.name == NAME);
    read.find_map(|page| page.read().ok()).unwrap_or_default()
}
