//! `cimandat unlock`: takes a lock away whose holder is gone.

use super::{CommandError, Done, Scope, load, session, warn};
use crate::engine::{
    Ledger,
    docker::{Docker, Settings},
};

/// Take a lock away.
#[derive(Debug)]
pub struct Unlock {
    /// Also when its holder seems to be at work.
    pub force: bool,
}

impl Unlock {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
    ) -> Result<Done, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let Some(lock) = engine.find_lock(&project).await? else {
            warn(&format!("`{project}` is not locked\n"));
            return Ok(Done::Well);
        };
        if !lock.is_stale() && !self.force {
            return Err(CommandError::Locked(Box::new(lock)));
        }
        engine.unlock(&project, &lock.id).await?;
        let who = session::who(&lock);
        warn(&format!(
            "took away the lock of {who}; `cimandat recover` ends what it left\n"
        ));
        Ok(Done::Well)
    }
}
