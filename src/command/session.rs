//! Common frame of all changing commands: the lock, the journal, and the recovery of an interrupted
//! deploy.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    future::{Either, select},
    join,
};

use super::{
    CommandError, CommandOutcome, Console, ProjectSelector, event_bridge::EventBridge, identity,
};
use crate::{
    engine::{EngineError, Lock, Query, StateStore},
    event::Outcome,
    journal::{self, Collection, JournalRecord, JournalState, Writer, replay},
    name::ProjectName,
    run::{self, Run, RunSummary, lock},
    state::{Identity, State},
};

/// Exclusive access of this process to a project.
pub(super) struct Session<E> {
    engine: Arc<E>,
    project: ProjectName,
    console: Console,
    lock: lock::LockGuard<E>,
    standing: JournalState,
    identities: Vec<Identity>,
}

/// Parameters for beginning a session.
#[derive(Debug, Clone)]
pub(super) struct LockRequest<'a> {
    pub scope: &'a ProjectSelector,
    pub project: &'a ProjectName,
    pub verb: &'a str,
    /// How long to wait for a lock that another process holds.
    pub patience: Duration,
    /// The command writes to the journal.
    pub writes: bool,
    /// The command removes the whole project, so a corrupt journal does not matter.
    pub all_goes: bool,
    /// Output for warnings about broken locks.
    pub console: Console,
}

impl<E: StateStore> Session<E> {
    /// Acquires the lock and reads the journal.
    pub async fn begin(engine: &Arc<E>, terms: LockRequest<'_>) -> Result<Self, CommandError> {
        let holder = identity::holder(terms.scope, terms.verb);
        let (taken, opened) = join!(
            lock::take(engine, terms.project, &holder, terms.patience),
            async {
                if terms.writes {
                    engine.open_store(terms.project).await?;
                }
                Ok::<(), EngineError>(())
            },
        );
        let lock = match taken? {
            lock::Acquired::Ours(lock, stale) => {
                for lock in &stale {
                    terms.console.eprint(&broken_lock(lock));
                }
                lock
            }
            lock::Acquired::Theirs(lock) => return Err(CommandError::Locked(Box::new(lock))),
        };
        let standing = async {
            opened?;
            let pages = engine
                .read_pages(terms.project, Collection::Journal)
                .await?;
            let standing = match replay(&pages) {
                Ok(standing) => standing,
                Err(_) if terms.all_goes => JournalState::Empty,
                Err(error) => return Err(CommandError::Journal(error)),
            };
            Ok((standing, journal::identities(&pages)))
        };
        match standing.await {
            Ok((standing, identities)) => Ok(Self {
                engine: Arc::clone(engine),
                project: terms.project.clone(),
                console: terms.console,
                lock,
                standing,
                identities,
            }),
            Err(error) => {
                lock.release().await?;
                Err(error)
            }
        }
    }

    /// As [`Self::begin`], but stops waiting for the lock on an interrupt and returns `None`.
    pub async fn begin_unless(
        engine: &Arc<E>,
        terms: LockRequest<'_>,
        interrupts: &mut (impl Stream<Item = ()> + Unpin),
    ) -> Result<Option<Self>, CommandError> {
        let (console, waits) = (terms.console, !terms.patience.is_zero());
        let begun = Box::pin(Self::begin(engine, terms));
        if !waits {
            return begun.await.map(Some);
        }
        match select(begun, interrupts.next()).await {
            Either::Left((session, _)) => session.map(Some),
            Either::Right(_) => {
                console.eprint("interrupted while waiting for the lock; nothing was changed\n");
                Ok(None)
            }
        }
    }

    /// Acquires the lock and discards journal and history.
    pub async fn begin_discarding_journal(
        engine: &Arc<E>,
        terms: LockRequest<'_>,
    ) -> Result<Self, CommandError> {
        let holder = identity::holder(terms.scope, terms.verb);
        let lock = match lock::take(engine, terms.project, &holder, terms.patience).await? {
            lock::Acquired::Ours(lock, _) => lock,
            lock::Acquired::Theirs(lock) => return Err(CommandError::Locked(Box::new(lock))),
        };
        let removed = engine.remove_store(terms.project).await;
        if let Err(error) = removed {
            lock.release().await?;
            return Err(error.into());
        }
        Ok(Self {
            engine: Arc::clone(engine),
            project: terms.project.clone(),
            console: terms.console,
            lock,
            standing: JournalState::Empty,
            identities: Vec::new(),
        })
    }

    /// Name of the locked project.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Number of the last deploy.
    pub fn last_deploy(&self) -> u64 {
        self.standing.generation()
    }

    /// Adds the facts of the journal to a state that was observed under this lock. Clears `locked`,
    /// because this process holds the lock.
    pub fn with_session_facts(&self, state: State) -> State {
        State {
            last_deploy: self.last_deploy(),
            identities: self.identities.clone(),
            locked: false,
            ..state
        }
    }

    /// Ends an interrupted deploy, if there is one, before the command's own work. Returns the
    /// outcome of the command if that work must not begin.
    pub async fn recover_first(
        &mut self,
        console: Console,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Option<CommandOutcome>, CommandError> {
        let Some(outcome) = self.recover(console, interrupts).await? else {
            return Ok(None);
        };
        Ok(match outcome.outcome {
            Outcome::RollbackFailed | Outcome::RollbackInterrupted => {
                Some(CommandOutcome::Run(outcome.outcome))
            }
            _ if outcome.interrupted => {
                console.eprint("interrupted: nothing else was begun\n");
                Some(CommandOutcome::Run(Outcome::Cancelled))
            }
            _ => None,
        })
    }

    /// Ends an interrupted deploy, if there is one, and returns the summary of that run.
    pub async fn recover(
        &mut self,
        console: Console,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Option<RunSummary>, CommandError> {
        let JournalState::Unfinished(open) = &self.standing else {
            return Ok(None);
        };
        let now = self
            .engine
            .observe(&Query::of(self.project.clone()))
            .await?;
        let run = run::recover(open, &now);
        let generation = open.planned.generation;
        let outcome = self
            .carry_out(&mut EventBridge::new(console), run, interrupts)
            .await?;
        let verdict = outcome.outcome;
        if !matches!(
            verdict,
            Outcome::RollbackFailed | Outcome::RollbackInterrupted
        ) {
            self.standing = JournalState::Finished {
                generation,
                outcome: verdict,
            };
            // Without the recorded ids they are not compared. The outcome of the recovery counts more.
            let pages = self.engine.read_pages(&self.project, Collection::Journal);
            self.identities = journal::identities(&pages.await.unwrap_or_default());
        }
        Ok(Some(outcome))
    }

    /// Marks an interrupted deploy as failed. Recovery is useless, because the command is about to
    /// remove everything.
    pub async fn mark_failed(&mut self, why: &str) -> Result<(), CommandError> {
        let JournalState::Unfinished(open) = &self.standing else {
            return Ok(());
        };
        let verdict = Outcome::RollbackFailed;
        let pages = Writer::resume(open).pages(&JournalRecord::Finished {
            outcome: verdict,
            elapsed: Duration::ZERO,
            cause: Some(why.to_owned()),
        });
        self.engine.write_pages(&self.project, &pages).await?;
        self.standing = JournalState::Finished {
            generation: self.standing.generation(),
            outcome: verdict,
        };
        Ok(())
    }

    /// Executes the last run of a command. Stops immediately if the lock is lost.
    pub async fn carry_out(
        &self,
        relay: &mut EventBridge,
        run: Run,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<RunSummary, CommandError> {
        let work = Box::pin(relay.run_final(Arc::clone(&self.engine), run, interrupts));
        let lost = pin!(self.lock.lost());
        match select(work, lost).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right(_) => Err(CommandError::LockLost),
        }
    }

    /// Releases the lock, whatever the result of the work.
    pub async fn end(
        self,
        done: Result<CommandOutcome, CommandError>,
    ) -> Result<CommandOutcome, CommandError> {
        if matches!(done, Err(CommandError::LockLost)) {
            return done;
        }
        let console = self.console;
        if let Err(error) = self.lock.release().await {
            // The work is finished or failed regardless. A lock without a heartbeat is broken
            // later.
            console.eprint(&format!(
                "warning: the lock could not be released ({error}); the next command breaks it\n"
            ));
        }
        done
    }
}

fn broken_lock(lock: &Lock) -> String {
    let who = holder_name(lock);
    let why = if lock.holder_exited {
        "whose process no longer exists".to_owned()
    } else {
        format!(
            "without a heartbeat for {} s",
            lock.since_heartbeat.as_secs()
        )
    };
    format!("warning: broke the lock of {who}, {why}\n")
}

/// Describes the holder of a lock for messages.
pub(super) fn holder_name(lock: &Lock) -> String {
    let Some(holder) = &lock.holder else {
        return "an unknown holder".to_owned();
    };
    let user = if holder.user.is_empty() {
        String::new()
    } else {
        format!("{}@", holder.user)
    };
    format!(
        "`cimandat {}` of {user}{} (process {}, since {})",
        holder.verb,
        holder.host,
        holder.pid,
        holder.at.strftime("%Y-%m-%d %H:%M:%SZ")
    )
}
