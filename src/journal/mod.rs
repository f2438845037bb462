//! The journal of deploys: what a run means to do, written down before it does it.
//!
//! Pure: records and their form, their replay with typed refusal, the history of generations. Who
//! stores the [`Page`]s is an [`Engine`](crate::engine::Engine); nothing here waits or writes.
//!
//! The records of one deploy are numbered from 1 and stand each on a page of its own, which a
//! later deploy writes over. A page that was torn while it was written is known by its checksum.

mod history;
mod identities;
mod page;
mod record;
mod replay;
mod rollback_source;
mod writer;

pub use self::{
    history::{HistoryEntry, SLOTS, entries, is_unrecorded, job_record, removed},
    identities::identities,
    page::{Collection, Page},
    record::{Author, JournalRecord, Planned},
    replay::{JournalError, JournalState, UnfinishedDeploy, replay},
    rollback_source::RollbackSource,
    writer::Writer,
};
