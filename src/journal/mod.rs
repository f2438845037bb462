//! The write-ahead journal of deploys. A run records what it is about to do before it does it.
//!
//! Pure: the records and their encoding, their replay with typed errors, and the history of
//! generations. A [`StateStore`](crate::engine::StateStore) stores the [`Page`]s; this module
//! performs no I/O.
//!
//! The records of one deploy are numbered from 1. Each is stored on its own page, which a later
//! deploy overwrites. The checksum of a page detects a torn write.

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
