//! A deploy that has not come to its end, because it is under way or was interrupted: commands that
//! only read say so before anything else.

use serde_json::{Value, json};

use super::{CommandError, session};
use crate::{
    engine::{Lock, StateStore},
    journal::{Collection, JournalState, Page, UnfinishedDeploy, replay},
    name::ProjectName,
};

/// A deploy that has not come to its end.
pub(super) struct Unfinished {
    /// As its journal says.
    pub open: Box<UnfinishedDeploy>,
    /// Who is at it, if somebody is.
    pub holder: Option<Lock>,
}

/// How the journal stands, and the deploy that has not come to its end, if there is one.
///
/// # Errors
/// When the journal says what cannot be.
pub(super) async fn standing(
    engine: &impl StateStore,
    project: &ProjectName,
) -> Result<(u64, Option<Unfinished>), CommandError> {
    let pages = engine.read_pages(project, Collection::Journal).await?;
    standing_by(&pages, engine, project).await
}

/// The same of a journal that has been read.
pub(super) async fn standing_by(
    pages: &[Page],
    engine: &impl StateStore,
    project: &ProjectName,
) -> Result<(u64, Option<Unfinished>), CommandError> {
    let standing = replay(pages).map_err(CommandError::Journal)?;
    let generation = standing.generation();
    let JournalState::Unfinished(open) = standing else {
        return Ok((generation, None));
    };
    let lock = engine.find_lock(project).await?;
    let holder = lock.filter(|lock| !lock.is_stale());
    Ok((generation, Some(Unfinished { open, holder })))
}

/// The same for a command that shows what is there, whatever the journal says.
pub(super) async fn remark(
    pages: &[Page],
    engine: &impl StateStore,
    project: &ProjectName,
) -> Result<(Option<Unfinished>, String), CommandError> {
    match standing_by(pages, engine, project).await {
        Ok((_, unfinished)) => {
            let text = unfinished.as_ref().map(|it| format!("{}\n", it.text()));
            Ok((unfinished, text.unwrap_or_default()))
        }
        Err(error @ CommandError::Journal(_)) => Ok((None, format!("warning: {error}\n"))),
        Err(error) => Err(error),
    }
}

impl Unfinished {
    /// Nobody is at it any more.
    pub fn is_interrupted(&self) -> bool {
        self.holder.is_none()
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        let deploy = self.open.planned.generation;
        if let Some(holder) = &self.holder {
            return format!(
                "deploy {deploy} is under way: {}",
                session::holder_name(holder)
            );
        }
        let (when, how) = if self.open.committed {
            (" after its commit", "finishes it")
        } else {
            ("", "rolls it back")
        };
        format!(
            "deploy {deploy} was interrupted{when}; the next command {how} first: `cimandat recover \
             --plan`"
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "deploy": self.open.planned.generation,
            "command": self.open.planned.verb,
            "author": self.open.planned.author,
            "committed": self.open.committed,
            "under_way": !self.is_interrupted(),
        })
    }
}
