//! Numbers the records of one deploy and encodes them as pages.

use super::{
    Collection, HistoryEntry, JournalRecord, Page, Planned, identities,
    page::SequencedRecord,
    replay::{UnfinishedDeploy, place},
};
use crate::{
    plan::{self, PartialCommit},
    state::{Identity, State},
};

/// Writes the journal of one deploy.
#[derive(Debug, Clone)]
pub struct Writer {
    planned: Planned,
    next: u32,
    /// Committed and rolled back services, if only a part was committed.
    split: Option<PartialCommit>,
    /// Ids of the containers that exist at the end; `None` if the engine was not queried.
    identities: Option<Vec<Identity>>,
}

impl Writer {
    /// Creates the writer of a new deploy.
    #[must_use]
    pub fn new(planned: Planned) -> Self {
        Self {
            planned,
            next: 1,
            split: None,
            identities: None,
        }
    }

    /// Creates the writer that continues an interrupted deploy.
    #[must_use]
    pub fn resume(open: &UnfinishedDeploy) -> Self {
        Self {
            planned: open.planned.clone(),
            next: open.records + 1,
            split: open.split.clone(),
            identities: None,
        }
    }

    /// Returns the first record, if it has not been written yet.
    #[must_use]
    pub fn opening(&self) -> Option<JournalRecord> {
        (self.next == 1).then(|| JournalRecord::Planned(Box::new(self.planned.clone())))
    }

    /// Stores the ids of the containers that exist at the end. The last record is written together
    /// with them.
    pub fn found(&mut self, now: &State) {
        self.identities = Some(plan::identities(&self.planned.origin, now));
    }

    /// Returns the pages of the next record. The last record of a deploy includes its history
    /// entry.
    #[must_use]
    pub fn pages(&self, record: &JournalRecord) -> Vec<Page> {
        let page = Page::write(
            Collection::Journal,
            place(self.next),
            &SequencedRecord {
                generation: self.planned.generation,
                number: self.next,
                record,
            },
        );
        match record {
            JournalRecord::Finished {
                outcome: verdict,
                elapsed: took,
                cause,
            } => {
                let mut entry = HistoryEntry::of(&self.planned, *verdict, *took, cause.clone());
                entry.split.clone_from(&self.split);
                let ids = self.identities.as_deref().map(identities::page);
                // The history entry comes first, so that a closed journal always has one.
                [entry.page()]
                    .into_iter()
                    .chain(ids)
                    .chain([page])
                    .collect()
            }
            _ => vec![page],
        }
    }

    /// Advances to the next record after a write was acknowledged. Without this call the following
    /// record overwrites the page, so that a failed or unacknowledged write does not count.
    pub fn written(&mut self, record: &JournalRecord) {
        self.next += 1;
        if let JournalRecord::Committed { split } = record {
            self.split.clone_from(split);
        }
    }
}
