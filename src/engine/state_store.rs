//! What the engine keeps for us beside the project: its journal, and the lock on it.
//!
//! Both are containers that run nothing, so that they are wherever the engine is: another machine
//! that reaches it finds them. The lock is taken by a container's name, the one thing that a plain
//! engine gives to exactly one of several who ask at a time.

use std::{future::Future, time::Duration};

use super::{Engine, EngineError};
use crate::{
    journal::{Collection, Page},
    name::ProjectName,
    state::Holder,
};

/// An engine that keeps journals and locks.
pub trait StateStore: Engine {
    /// The pages on a shelf, in no order; none where nothing was ever written.
    fn read_pages(
        &self,
        project: &ProjectName,
        from: Collection,
    ) -> impl Future<Output = Result<Vec<Page>, EngineError>> + Send;

    /// Lays pages down in this order; when it returns, they outlive this process and the engine's.
    fn write_pages(
        &self,
        project: &ProjectName,
        pages: &[Page],
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes the place for pages, if it is not there.
    fn open_store(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes journal and history. Nothing of the project is left then that they speak of.
    fn remove_store(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Takes the project's lock, or tells who has it.
    fn lock(
        &self,
        project: &ProjectName,
        holder: &Holder,
    ) -> impl Future<Output = Result<LockOutcome, EngineError>> + Send;

    /// The project's lock as it is, if it is taken.
    fn find_lock(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<Option<Lock>, EngineError>> + Send;

    /// Says that the holder is alive; [`EngineError::Gone`]: the lock was taken away.
    fn renew_lock(&self, lock: &LockId) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Gives a lock back, or takes it away; one that is gone already is left alone. The name is
    /// free before anything else can happen to it.
    fn unlock(
        &self,
        project: &ProjectName,
        lock: &LockId,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Returns when the lock is gone, and after `patience` at the latest.
    fn await_unlock(
        &self,
        lock: &LockId,
        patience: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// A lock by the engine's id, so that a later lock of the same name is never meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockId(pub String);

/// What came of asking for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// It is ours.
    Given(LockId),
    /// Somebody has it.
    Held(Lock),
}

/// A lock that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Which.
    pub id: LockId,
    /// By whom, as far as it says.
    pub holder: Option<Holder>,
    /// Since its holder's last sign of life, by the engine's clock in whole seconds.
    pub since_heartbeat: Duration,
    /// Its holder was a process of this machine and is not there any more.
    pub holder_exited: bool,
}

impl Lock {
    /// Between two signs of life.
    pub const HEARTBEAT: Duration = Duration::from_secs(5);
    /// How long a holder may be silent until its lock may be taken away.
    pub const STALE: Duration = Duration::from_secs(30);

    /// Whether it may be taken away.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.holder_exited || self.since_heartbeat > Self::STALE
    }
}
