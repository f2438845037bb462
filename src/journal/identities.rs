//! The page on which the ids of the project's containers are recorded.

use super::{Collection, Page};
use crate::state::Identity;

/// Beside the records, so that both are read at once; each deploy writes it again.
pub(super) const NAME: &str = "ids";

pub(super) fn page(identities: &[Identity]) -> Page {
    Page::write(Collection::Journal, NAME.to_owned(), &identities)
}

/// The recorded ids. A page that cannot be read records nothing: what is not recorded is not
/// compared.
#[must_use]
pub fn identities(pages: &[Page]) -> Vec<Identity> {
    let mut read = pages.iter().filter(|page| page.name == NAME);
    read.find_map(|page| page.read().ok()).unwrap_or_default()
}
