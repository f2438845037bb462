//! The project's lock: taken for as long as something is changed, kept by signs of life.
//!
//! Nobody waits by asking again and again: the engine tells when a lock is gone, and a silent one is
//! looked at again when it may be stale.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    engine::{EngineError, Lock, LockId, LockOutcome, StateStore},
    name::ProjectName,
    state::Holder,
};

/// A lock that this process holds. Dropped without [`Held::release`] it goes stale after
/// [`Lock::STALE`], or at once when this process has ended.
#[derive(Debug)]
pub struct LockGuard<E> {
    engine: Arc<E>,
    project: ProjectName,
    id: LockId,
    beating: AbortHandle,
    lost: watch::Receiver<bool>,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Acquired<E> {
    /// It is ours; those that were stale and taken away for it.
    Ours(LockGuard<E>, Vec<Lock>),
    /// Somebody has it, and it was not waited for any longer.
    Theirs(Lock),
}

/// Takes the project's lock. One that is held is waited for, as long as `patience`; one that is
/// stale is taken away.
///
/// # Errors
/// When the engine does not do as asked.
pub async fn take<E: StateStore>(
    engine: &Arc<E>,
    project: &ProjectName,
    holder: &Holder,
    patience: Duration,
) -> Result<Acquired<E>, EngineError> {
    let mut stale = Vec::new();
    let mut lock = match ask(engine, project, holder, &mut stale).await? {
        LockOutcome::Given(id) => return Ok(Acquired::Ours(hold(engine, project, id), stale)),
        LockOutcome::Held(lock) => lock,
    };
    let waiting = async {
        loop {
            // Silence is counted in whole seconds of the engine's clock.
            let until_stale =
                Lock::STALE.saturating_sub(lock.since_heartbeat) + Duration::from_secs(1);
            engine.await_unlock(&lock.id, until_stale).await?;
            match ask(engine, project, holder, &mut stale).await? {
                LockOutcome::Given(id) => return Ok::<LockId, EngineError>(id),
                LockOutcome::Held(other) => lock = other,
            }
        }
    };
    match timeout(patience, waiting).await {
        Ok(id) => Ok(Acquired::Ours(hold(engine, project, id?), stale)),
        Err(_) => Ok(Acquired::Theirs(lock)),
    }
}

/// Asks once; locks that are stale are taken away first.
async fn ask<E: StateStore>(
    engine: &Arc<E>,
    project: &ProjectName,
    holder: &Holder,
    stale: &mut Vec<Lock>,
) -> Result<LockOutcome, EngineError> {
    loop {
        match engine.lock(project, holder).await? {
            LockOutcome::Held(lock) if lock.is_stale() => {
                engine.unlock(project, &lock.id).await?;
                stale.push(lock);
            }
            grant => return Ok(grant),
        }
    }
}

fn hold<E: StateStore>(engine: &Arc<E>, project: &ProjectName, id: LockId) -> LockGuard<E> {
    let (tell, lost) = watch::channel(false);
    let beats = {
        let (engine, id) = (Arc::clone(engine), id.clone());
        async move {
            loop {
                sleep(Lock::HEARTBEAT).await;
                // An engine that does not answer has taken nothing away.
                if let Err(EngineError::NotFound { .. }) = engine.renew_lock(&id).await {
                    let _ = tell.send(true);
                    return;
                }
            }
        }
    };
    LockGuard {
        engine: Arc::clone(engine),
        project: project.clone(),
        beating: tokio::spawn(beats).abort_handle(),
        id,
        lost,
    }
}

impl<E: StateStore> LockGuard<E> {
    /// Returns when somebody has taken the lock away. From then on nothing may be changed any
    /// more: whoever has it now has found the journal and goes on from there.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// When the engine does not do as asked; then the lock goes stale.
    pub async fn release(self) -> Result<(), EngineError> {
        self.beating.abort();
        self.engine.unlock(&self.project, &self.id).await
    }
}

impl<E> Drop for LockGuard<E> {
    fn drop(&mut self) {
        self.beating.abort();
    }
}
