//! Numbers the records of one deploy and lays them down as pages.

use super::{
    Entry, Page, Planned, Record, Shelf,
    page::Numbered,
    replay::{Open, place},
};

/// Writes the journal of one deploy.
#[derive(Debug, Clone)]
pub struct Writer {
    planned: Planned,
    next: u32,
}

impl Writer {
    /// For a deploy that begins.
    #[must_use]
    pub fn new(planned: Planned) -> Self {
        Self { planned, next: 1 }
    }

    /// Goes on with a deploy that was cut off.
    #[must_use]
    pub fn resume(open: &Open) -> Self {
        Self {
            planned: open.planned.clone(),
            next: open.records + 1,
        }
    }

    /// The first record, if it is not written yet.
    #[must_use]
    pub fn opening(&self) -> Option<Record> {
        (self.next == 1).then(|| Record::Planned(Box::new(self.planned.clone())))
    }

    /// The pages of the next record. The last record of a deploy comes with its place in the
    /// history.
    pub fn pages(&mut self, record: &Record) -> Vec<Page> {
        let number = self.next;
        self.next += 1;
        let page = Page::write(
            Shelf::Journal,
            place(number),
            &Numbered {
                generation: self.planned.generation,
                number,
                record,
            },
        );
        match record {
            Record::Closed {
                verdict,
                took,
                cause,
            } => {
                let entry = Entry::of(&self.planned, *verdict, *took, cause.clone());
                // The history first: a journal that says "closed" has its entry.
                vec![entry.page(), page]
            }
            _ => vec![page],
        }
    }
}
