//! `cimandat unlock`: breaks a stale lock.

use super::{CommandError, CommandOutcome, ProjectSelector, eprint, load, session};
use crate::engine::{
    StateStore,
    docker::{Docker, Settings},
};

/// The `unlock` command.
#[derive(Debug)]
pub struct Unlock {
    /// Break the lock even if its holder seems to be running.
    pub force: bool,
}

impl Unlock {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let Some(lock) = engine.find_lock(&project).await? else {
            eprint(&format!("`{project}` is not locked\n"));
            return Ok(CommandOutcome::Ok);
        };
        if !lock.is_stale() && !self.force {
            return Err(CommandError::Locked(Box::new(lock)));
        }
        engine.unlock(&project, &lock.id).await?;
        let who = session::holder_name(&lock);
        eprint(&format!(
            "released the lock of {who}; `cimandat recover` ends what it left\n"
        ));
        Ok(CommandOutcome::Ok)
    }
}
