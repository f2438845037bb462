//! The project's lock. It is held while a command changes the project, and renewed by heartbeats.
//!
//! A waiting client does not poll. The engine reports when the lock is released, and a lock without
//! heartbeats is checked again when it may be stale.

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

/// A lock that this process holds.
///
/// If it is dropped without [`LockGuard::release`], the lock becomes stale after [`Lock::STALE`],
/// or at once when this process has exited.
#[derive(Debug)]
pub struct LockGuard<E> {
    engine: Arc<E>,
    project: ProjectName,
    id: LockId,
    beating: AbortHandle,
    lost: watch::Receiver<bool>,
}

/// Result of [`take`].
#[derive(Debug)]
pub enum Acquired<E> {
    /// The lock is held by this process. Lists the stale locks that were broken for it.
    Ours(LockGuard<E>, Vec<Lock>),
    /// Another client holds the lock, and the timeout has passed.
    Theirs(Lock),
}

/// Takes the project's lock. Waits up to `patience` while another client holds it. Breaks a stale
/// lock.
///
/// # Errors
/// Returns the error of the engine if a request fails.
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
            // The time since the last heartbeat is counted in whole seconds of the engine's clock.
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

/// Tries to take the lock once. Breaks stale locks first.
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
                // The lock is lost only if it no longer exists. An engine that does not answer
                // keeps it.
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
    /// Returns when another client has broken the lock. From then on this process must not change
    /// the project: the new holder has read the journal and continues from it.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// Returns the error of the engine if the request fails. The lock then becomes stale.
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
