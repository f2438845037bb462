//! Numbers the records of one deploy and lays them down as pages.

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
    /// Who was committed, where only a part was.
    split: Option<PartialCommit>,
    /// The ids of the containers that there are at the end; `None`: nobody looked.
    identities: Option<Vec<Identity>>,
}

impl Writer {
    /// For a deploy that begins.
    #[must_use]
    pub fn new(planned: Planned) -> Self {
        Self {
            planned,
            next: 1,
            split: None,
            identities: None,
        }
    }

    /// Goes on with a deploy that was cut off.
    #[must_use]
    pub fn resume(open: &UnfinishedDeploy) -> Self {
        Self {
            planned: open.planned.clone(),
            next: open.records + 1,
            split: open.split.clone(),
            identities: None,
        }
    }

    /// The first record, if it is not written yet.
    #[must_use]
    pub fn opening(&self) -> Option<JournalRecord> {
        (self.next == 1).then(|| JournalRecord::Planned(Box::new(self.planned.clone())))
    }

    /// Notes the containers that there are at the end, so that the last record comes with their
    /// ids.
    pub fn found(&mut self, now: &State) {
        self.identities = Some(plan::identities(&self.planned.origin, now));
    }

    /// The pages of the next record. The last record of a deploy comes with its place in the
    /// history.
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
                // The history first: a journal that says "closed" has its entry.
                [entry.page()]
                    .into_iter()
                    .chain(ids)
                    .chain([page])
                    .collect()
            }
            _ => vec![page],
        }
    }

    /// The next record was written. Without this the one after it takes its place: what could not
    /// be written, or was and nobody heard of it, is not to count.
    pub fn written(&mut self, record: &JournalRecord) {
        self.next += 1;
        if let JournalRecord::Committed { split } = record {
            self.split.clone_from(split);
        }
    }
}
