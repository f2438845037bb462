//! What every changing command does around its work: the lock, the journal, and the recovery of a
//! deploy that was cut off.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    future::{Either, select},
    join,
};

use super::{CommandError, Console, Done, Scope, author, relay::Relay};
use crate::{
    engine::{EngineError, Ledger, Lock, Query},
    event::Verdict,
    journal::{self, Record, Shelf, Standing, Writer, replay},
    name::ProjectName,
    run::{self, Outcome, Run, lock},
    state::{Identity, State},
};

/// A project that this process, and nobody else, changes.
pub(super) struct Session<E> {
    engine: Arc<E>,
    project: ProjectName,
    console: Console,
    lock: lock::Held<E>,
    standing: Standing,
    identities: Vec<Identity>,
}

/// How a session begins.
#[derive(Debug, Clone)]
pub(super) struct Terms<'a> {
    pub scope: &'a Scope,
    pub project: &'a ProjectName,
    pub verb: &'a str,
    /// How long a lock that somebody has is waited for.
    pub patience: Duration,
    /// The journal will be written.
    pub writes: bool,
    /// Everything of the project goes, so that it does not matter what the journal says.
    pub all_goes: bool,
    /// Where it is told whose lock was taken away.
    pub console: Console,
}

impl<E: Ledger> Session<E> {
    /// Takes the lock and reads the journal.
    pub async fn begin(engine: &Arc<E>, terms: Terms<'_>) -> Result<Self, CommandError> {
        let holder = author::holder(terms.scope, terms.verb);
        let (taken, opened) = join!(
            lock::take(engine, terms.project, &holder, terms.patience),
            async {
                if terms.writes {
                    engine.open_ledger(terms.project).await?;
                }
                Ok::<(), EngineError>(())
            },
        );
        let lock = match taken? {
            lock::Taken::Ours(lock, stale) => {
                for lock in &stale {
                    terms.console.warn(&taken_away(lock));
                }
                lock
            }
            lock::Taken::Theirs(lock) => return Err(CommandError::Locked(Box::new(lock))),
        };
        let standing = async {
            opened?;
            let pages = engine.read_pages(terms.project, Shelf::Journal).await?;
            let standing = match replay(&pages) {
                Ok(standing) => standing,
                Err(_) if terms.all_goes => Standing::Empty,
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

    /// The same, but gives up waiting for the lock when somebody asks to stop: `None`.
    pub async fn begin_unless(
        engine: &Arc<E>,
        terms: Terms<'_>,
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
                console.warn("interrupted while waiting for the lock; nothing was touched\n");
                Ok(None)
            }
        }
    }

    /// Takes the lock and gives the journal up.
    pub async fn begin_anew(engine: &Arc<E>, terms: Terms<'_>) -> Result<Self, CommandError> {
        let holder = author::holder(terms.scope, terms.verb);
        let lock = match lock::take(engine, terms.project, &holder, terms.patience).await? {
            lock::Taken::Ours(lock, _) => lock,
            lock::Taken::Theirs(lock) => return Err(CommandError::Locked(Box::new(lock))),
        };
        let removed = engine.remove_ledger(terms.project).await;
        if let Err(error) = removed {
            lock.release().await?;
            return Err(error.into());
        }
        Ok(Self {
            engine: Arc::clone(engine),
            project: terms.project.clone(),
            console: terms.console,
            lock,
            standing: Standing::Empty,
            identities: Vec::new(),
        })
    }

    /// Whose it is.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The number of the last deploy.
    pub fn last_deploy(&self) -> u64 {
        self.standing.generation()
    }

    /// What was seen under this lock, with what its journal says: the lock is nobody else's.
    pub fn known(&self, state: State) -> State {
        State {
            last_deploy: self.last_deploy(),
            identities: self.identities.clone(),
            locked: false,
            ..state
        }
    }

    /// Ends a deploy that was cut off, if there is one, before the work of a command; gives how the
    /// command ends where that work must not begin.
    pub async fn recover_first(
        &mut self,
        console: Console,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Option<Done>, CommandError> {
        let Some(outcome) = self.recover(console, interrupts).await? else {
            return Ok(None);
        };
        Ok(match outcome.verdict {
            Verdict::Stuck | Verdict::RollbackInterrupted => Some(Done::Run(outcome.verdict)),
            _ if outcome.interrupted => {
                console.warn("interrupted: nothing else was begun\n");
                Some(Done::Run(Verdict::Interrupted))
            }
            _ => None,
        })
    }

    /// Ends a deploy that was cut off, if there is one; gives how that went.
    pub async fn recover(
        &mut self,
        console: Console,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Option<Outcome>, CommandError> {
        let Standing::Open(open) = &self.standing else {
            return Ok(None);
        };
        let now = self
            .engine
            .observe(&Query::of(self.project.clone()))
            .await?;
        let run = run::recover(open, &now);
        let generation = open.planned.generation;
        let outcome = self
            .carry_out(&mut Relay::new(console), run, interrupts)
            .await?;
        let verdict = outcome.verdict;
        if !matches!(verdict, Verdict::Stuck | Verdict::RollbackInterrupted) {
            self.standing = Standing::Closed {
                generation,
                verdict,
            };
            let pages = self.engine.read_pages(&self.project, Shelf::Journal);
            self.identities = journal::identities(&pages.await?);
        }
        Ok(Some(outcome))
    }

    /// Gives a deploy up that was cut off: everything that it could lead to is about to go.
    pub async fn give_up(&mut self, why: &str) -> Result<(), CommandError> {
        let Standing::Open(open) = &self.standing else {
            return Ok(());
        };
        let verdict = Verdict::Stuck;
        let pages = Writer::resume(open).pages(&Record::Closed {
            verdict,
            took: Duration::ZERO,
            cause: Some(why.to_owned()),
        });
        self.engine.write_pages(&self.project, &pages).await?;
        self.standing = Standing::Closed {
            generation: self.standing.generation(),
            verdict,
        };
        Ok(())
    }

    /// Carries out the last run of a command; stops at once when the lock is lost.
    pub async fn carry_out(
        &self,
        relay: &mut Relay,
        run: Run,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Outcome, CommandError> {
        let work = Box::pin(relay.last(Arc::clone(&self.engine), run, interrupts));
        let lost = pin!(self.lock.lost());
        match select(work, lost).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right(_) => Err(CommandError::LockLost),
        }
    }

    /// Gives the lock back, however the work went.
    pub async fn end(self, done: Result<Done, CommandError>) -> Result<Done, CommandError> {
        if matches!(done, Err(CommandError::LockLost)) {
            return done;
        }
        let console = self.console;
        if let Err(error) = self.lock.release().await {
            // The work is done, or not, all the same; and what is silent is taken away.
            console.warn(&format!(
                "warning: the lock could not be given back ({error}); the next command takes it\n"
            ));
        }
        done
    }
}

fn taken_away(lock: &Lock) -> String {
    let who = who(lock);
    let why = if lock.orphaned {
        "which is not there any more".to_owned()
    } else {
        format!("silent for {} s", lock.silent_for.as_secs())
    };
    format!("warning: took away the lock of {who}, {why}\n")
}

/// The holder of a lock as a person calls it.
pub(super) fn who(lock: &Lock) -> String {
    let Some(holder) = &lock.holder else {
        return "somebody unknown".to_owned();
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
