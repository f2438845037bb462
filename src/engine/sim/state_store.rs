//! Journal and lock of the simulated engine.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Sim;
use crate::{
    engine::{EngineError, Lock, LockId, LockOutcome, StateStore},
    journal::{Collection, Page},
    name::ProjectName,
    state::Holder,
};

/// A lock that is held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SimLock {
    pub id: LockId,
    /// The holder, as far as it is known.
    pub holder: Option<Holder>,
    /// Time of the last heartbeat, since the creation of the world.
    pub sign: Duration,
    /// Time without a heartbeat before `sign`.
    pub silent_for: Duration,
}

impl Sim {
    /// The holder of the lock becomes a process that has ended.
    pub fn orphan_lock(&self) {
        self.lock().world.orphaned = true;
    }

    /// Runs one call that changes the journal or the lock, with latency and faults.
    async fn change<T>(
        &self,
        doing: (&str, &str),
        effect: impl FnOnce(&Self) -> T,
    ) -> Result<T, EngineError> {
        let call = self.lock().begin_call(None, doing);
        self.carry(call, doing, effect).await
    }

    fn held(&self) -> Option<Lock> {
        let now = self.now();
        let inner = self.lock();
        let held = inner.world.lock.as_ref()?;
        Some(Lock {
            id: held.id.clone(),
            holder: held.holder.clone(),
            since_heartbeat: held.silent_for + now.saturating_sub(held.sign),
            holder_exited: inner.world.orphaned,
        })
    }
}

impl StateStore for Sim {
    async fn read_pages(
        &self,
        _project: &ProjectName,
        from: Collection,
    ) -> Result<Vec<Page>, EngineError> {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        self.reach()?;
        let inner = self.lock();
        let pages = inner.world.pages.values();
        Ok(pages
            .filter(|page| page.collection == from)
            .cloned()
            .collect())
    }

    async fn write_pages(&self, _project: &ProjectName, pages: &[Page]) -> Result<(), EngineError> {
        let pages = pages.to_vec();
        self.change(("writing", "journal"), |sim| {
            let mut inner = sim.lock();
            for page in pages {
                let place = (page.collection, page.name.clone());
                inner.world.pages.insert(place, page);
            }
        })
        .await
    }

    async fn open_store(&self, _project: &ProjectName) -> Result<(), EngineError> {
        self.change(("opening", "journal"), |_| ()).await
    }

    async fn remove_store(&self, _project: &ProjectName) -> Result<(), EngineError> {
        let effect = |sim: &Self| sim.lock().world.pages.clear();
        self.change(("removing", "journal"), effect).await
    }

    async fn lock(
        &self,
        _project: &ProjectName,
        holder: &Holder,
    ) -> Result<LockOutcome, EngineError> {
        let taken = self
            .change(("taking", "lock"), |sim| {
                let sign = sim.now();
                let mut inner = sim.lock();
                if inner.world.lock.is_some() {
                    return None;
                }
                inner.world.orphaned = false;
                let id = LockId(inner.world.next_id());
                inner.world.lock = Some(SimLock {
                    id: id.clone(),
                    holder: Some(holder.clone()),
                    sign,
                    silent_for: Duration::ZERO,
                });
                Some(id)
            })
            .await?;
        match (taken, self.held()) {
            (Some(id), _) => Ok(LockOutcome::Given(id)),
            (None, Some(lock)) => Ok(LockOutcome::Held(lock)),
            (None, None) => Err(EngineError::NotFound {
                what: "the lock".to_owned(),
            }),
        }
    }

    async fn find_lock(&self, _project: &ProjectName) -> Result<Option<Lock>, EngineError> {
        Ok(self.held())
    }

    async fn renew_lock(&self, lock: &LockId) -> Result<(), EngineError> {
        self.reach()?;
        let sign = self.now();
        let mut inner = self.lock();
        match &mut inner.world.lock {
            Some(held) if held.id == *lock => {
                held.sign = sign;
                held.silent_for = Duration::ZERO;
                Ok(())
            }
            _ => Err(EngineError::NotFound {
                what: "the lock".to_owned(),
            }),
        }
    }

    async fn unlock(&self, _project: &ProjectName, lock: &LockId) -> Result<(), EngineError> {
        self.change(("giving back", "lock"), |sim| {
            let held = &mut sim.lock().world.lock;
            if held.as_ref().is_some_and(|held| held.id == *lock) {
                *held = None;
            }
        })
        .await
    }

    async fn await_unlock(&self, lock: &LockId, patience: Duration) -> Result<(), EngineError> {
        let deadline = Instant::now() + patience;
        while self.held().is_some_and(|held| held.id == *lock) && Instant::now() < deadline {
            sleep(Duration::from_millis(10).min(deadline - Instant::now())).await;
        }
        Ok(())
    }
}
