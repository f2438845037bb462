//! A deploy that has not finished, because it is running or was interrupted. Read-only commands
//! report it before anything else.

use serde_json::{Value, json};

use super::{CommandError, session};
use crate::{
    engine::{Lock, StateStore},
    journal::{Collection, JournalState, Page, UnfinishedDeploy, replay},
    name::ProjectName,
};

/// A deploy that has not finished.
pub(super) struct Unfinished {
    /// The deploy as recorded in the journal.
    pub open: Box<UnfinishedDeploy>,
    /// Lock of the command that runs the deploy; `None`: the deploy was interrupted.
    pub holder: Option<Lock>,
}

/// Returns the number of the last deploy, and the deploy that has not finished, if there is one.
///
/// # Errors
/// Returns an error if the journal is corrupt.
pub(super) async fn standing(
    engine: &impl StateStore,
    project: &ProjectName,
) -> Result<(u64, Option<Unfinished>), CommandError> {
    let pages = engine.read_pages(project, Collection::Journal).await?;
    standing_by(&pages, engine, project).await
}

/// As [`standing`], for a journal that has already been read.
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

/// As [`standing_by`], for a command that shows the observed state even if the journal is corrupt.
/// Returns the text to print first.
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
    /// Whether no command is running the deploy.
    pub fn is_interrupted(&self) -> bool {
        self.holder.is_none()
    }

    /// Describes the deploy in one sentence.
    pub fn text(&self) -> String {
        let deploy = self.open.planned.generation;
        if let Some(holder) = &self.holder {
            return format!(
                "deploy {deploy} is running: {}",
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

    /// Describes the deploy as JSON.
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
