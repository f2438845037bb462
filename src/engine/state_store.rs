//! Storage on the engine for a project's state: its journal, and its lock.
//!
//! Both are containers that are never started. They are on the engine, so that every machine that
//! reaches the engine finds them. The lock is acquired by a container's name: a unique name is the
//! one thing that a plain engine gives to exactly one of several concurrent clients.

use std::{future::Future, time::Duration};

use super::{Engine, EngineError};
use crate::{
    journal::{Collection, Page},
    name::ProjectName,
    state::Holder,
};

/// An engine that stores journals and locks.
pub trait StateStore: Engine {
    /// Returns the pages of a collection, in no particular order; empty if none was ever written.
    fn read_pages(
        &self,
        project: &ProjectName,
        from: Collection,
    ) -> impl Future<Output = Result<Vec<Page>, EngineError>> + Send;

    /// Writes pages in this order. The write is durable when the method returns: the pages survive
    /// the end of this process and of the engine.
    fn write_pages(
        &self,
        project: &ProjectName,
        pages: &[Page],
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Creates the storage for pages, unless it exists.
    fn open_store(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes the journal and the history. The caller must have removed all resources that they
    /// describe.
    fn remove_store(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Acquires the project's lock, or returns the lock that is held.
    fn lock(
        &self,
        project: &ProjectName,
        holder: &Holder,
    ) -> impl Future<Output = Result<LockOutcome, EngineError>> + Send;

    /// Returns the project's current lock; `None` if it is free.
    fn find_lock(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<Option<Lock>, EngineError>> + Send;

    /// Sends a heartbeat for a lock. [`EngineError::NotFound`] means that the lock was broken.
    fn renew_lock(&self, lock: &LockId) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Releases or breaks a lock. A lock that no longer exists is ignored. The name is freed first,
    /// before the slower removal.
    fn unlock(
        &self,
        project: &ProjectName,
        lock: &LockId,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Waits until the lock is released, at most for `patience`.
    fn await_unlock(
        &self,
        lock: &LockId,
        patience: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// Identifies a lock by the engine's id, so that it never means a later lock with the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockId(pub String);

/// The result of an attempt to acquire a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// The lock was acquired.
    Given(LockId),
    /// Another client holds the lock.
    Held(Lock),
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock's id.
    pub id: LockId,
    /// The holder, as far as the lock names it.
    pub holder: Option<Holder>,
    /// Time since the holder's last heartbeat, by the engine's clock in whole seconds.
    pub since_heartbeat: Duration,
    /// Whether the holder was a process of this machine that has ended.
    pub holder_exited: bool,
}

impl Lock {
    /// Interval between two heartbeats.
    pub const HEARTBEAT: Duration = Duration::from_secs(5);
    /// Time without a heartbeat after which the lock may be broken.
    pub const STALE: Duration = Duration::from_secs(30);

    /// Returns whether the lock may be broken.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.holder_exited || self.since_heartbeat > Self::STALE
    }
}
