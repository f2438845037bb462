//! New values for secrets: made before a deploy, in force when it is committed. A rotation deploys
//! what runs with the new values; a manifest that differs from it is left to `up`.
//!
//! The values in force do not change before the commit, so that whatever cuts a rotation off, the
//! store says either what the old generation runs with or what the new one does; which of the two
//! is seen by what runs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    CommandError, ProjectSelector, deployment,
    event_bridge::FinalNote,
    load,
    running::{self, Comparison},
};
use crate::{
    engine::{StateStore, docker::Settings},
    event::Outcome,
    name::ServiceName,
    plan::{self, Options},
    project::{
        Project, RollbackScope,
        authority::Authority,
        renewal::Renewal,
        resolve::{renew, resolve},
        rotation::Rotation,
        vault::{SecretStore, StoreMode, StoreRoot},
    },
};

/// Which project is asked for.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub scope: &'a ProjectSelector,
    pub settings: &'a Settings,
    /// Services that are on, whatever their profiles say.
    pub named: &'a [ServiceName],
}

impl Request<'_> {
    /// The project with the secrets in force.
    pub fn project(self, store: StoreMode) -> Result<Project, CommandError> {
        load::project(self.scope, self.settings, store, self.named)
    }

    /// The same with those of a rotation.
    fn rotated(self, rotation: &Rotation) -> Result<Project, CommandError> {
        let store = StoreMode::Create;
        let mut resolution = load::resolution(self.scope, self.settings, store, self.named);
        resolution.rotation = rotation.clone();
        Ok(resolve(&load::manifest(self.scope)?, &resolution)?)
    }

    /// A rotation that was begun, and whose maker was cut off after its values had been committed:
    /// with the project as it is then. Changes nothing.
    pub async fn unfinished(
        self,
        engine: &impl StateStore,
        old: &Project,
    ) -> Result<Option<(Project, Rotation)>, CommandError> {
        let Some(rotation) = Rotation::pending(&StoreRoot::of(old))? else {
            return Ok(None);
        };
        let new = self.rotated(&rotation)?;
        let state = deployment::observe(engine, &new, &Options::default()).await?;
        let committed = plan::rotated(&state, old, &new);
        Ok(committed.then_some((new, rotation)))
    }

    /// The project that is to be deployed: what was left of an earlier rotation is made up for,
    /// and what is named gets new values.
    pub async fn begin(
        self,
        engine: &impl StateStore,
        names: &BTreeSet<String>,
    ) -> Result<(Project, PendingRotation), CommandError> {
        let mut project = self.project(StoreMode::Create)?;
        let root = StoreRoot::of(&project);
        match self.unfinished(engine, &project).await? {
            Some((rotated, rotation)) => {
                rotation.put_in_force(&root, keep(&project))?;
                project = rotated;
            }
            None => Rotation::give_up(&root)?,
        }
        if names.is_empty() {
            return Ok((project, PendingRotation::default()));
        }
        let store = StoreMode::Create;
        let resolution = load::resolution(self.scope, self.settings, store, self.named);
        let rotation = renew(&load::manifest(self.scope)?, &resolution, names);
        let rotation =
            rotation.map_err(|(message, help)| CommandError::Rotation { message, help })?;
        rotation.begin(&root)?;
        let mut turn = PendingRotation {
            rotation,
            root: Some(root),
            keep: keep(&project),
            left_to_up: BTreeSet::new(),
        };
        let new = self.rotated(&turn.rotation)?;
        let mut deployed = match running::compare(engine, &project).await? {
            Comparison::Same => new,
            Comparison::Differs { mut running, parts } => {
                turn.left_to_up = parts;
                renew_running(&mut running, (&project, &new), &turn.rotation)?;
                *running
            }
        };
        // Two halves with different values would not understand each other.
        deployed.deploy.rollback = RollbackScope::All;
        Ok((deployed, turn))
    }
}

/// Gives what runs the new values, and nothing else of the manifest, which differs.
fn renew_running(
    running: &mut Project,
    (old, new): (&Project, &Project),
    rotation: &Rotation,
) -> Result<(), CommandError> {
    let (root, look) = (StoreRoot::of(old), StoreMode::ReadOnly);
    let vault = SecretStore::new(&root, look).with(rotation.clone());
    let authority = Authority::new(&root, &old.name, look, Timestamp::now());
    let authority = authority.with(rotation.clone());
    let renewal = Renewal {
        rotation,
        vault: &vault,
        authority: &authority,
        old,
        new,
    };
    let applied = renewal.apply(running);
    applied.map_err(|error| CommandError::Rotation {
        message: error.to_string(),
        help: Some("deploy the manifest first: `cimandat up`".to_owned()),
    })
}

fn keep(project: &Project) -> usize {
    usize::try_from(project.deploy.history).unwrap_or(usize::MAX)
}

/// A rotation whose deploy is under way. Dropped before its end, it is given up.
#[derive(Debug, Default)]
pub(super) struct PendingRotation {
    rotation: Rotation,
    /// Of the project; `None`: nothing is open.
    root: Option<StoreRoot>,
    keep: usize,
    /// In what the manifest differs from what runs.
    left_to_up: BTreeSet<String>,
}

impl PendingRotation {
    /// What is said of the values at the end.
    pub fn remark(&self) -> FinalNote {
        let names = self.rotation.names();
        let left: Vec<String> = self.left_to_up.iter().cloned().collect();
        let left = left.join(", ");
        Box::new(move |verdict| {
            if names.is_empty() {
                return None;
            }
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            let values = match verdict {
                Outcome::Converged => None,
                Outcome::Unchanged => Some(format!(
                    "nothing that runs uses {names}; new values are in force"
                )),
                Outcome::RollbackFailed | Outcome::RollbackInterrupted => Some(format!(
                    "the next `up` finds out from the running containers whether the old or the new \
                     values of {names} apply"
                )),
                Outcome::Aborted
                | Outcome::RolledBack
                | Outcome::Cancelled
                | Outcome::RemovalIncomplete => {
                    Some(format!("the old values of {names} stay in force"))
                }
            };
            let manifest = (!left.is_empty()).then(|| {
                format!(
                    "only {names} changed; the manifest differs from what runs in {left}, which \
                     `cimandat up` deploys"
                )
            });
            let parts: Vec<String> = values.into_iter().chain(manifest).collect();
            (!parts.is_empty()).then(|| parts.join("; "))
        })
    }

    /// Its deploy came to this end.
    pub fn ended(mut self, verdict: Outcome) -> Result<(), CommandError> {
        let Some(root) = self.root.take() else {
            return Ok(());
        };
        match verdict {
            Outcome::Converged | Outcome::Unchanged => {
                self.rotation.put_in_force(&root, self.keep)?;
            }
            // Nobody knows yet which of the two it will be.
            Outcome::RollbackFailed | Outcome::RollbackInterrupted => {}
            Outcome::Aborted
            | Outcome::RolledBack
            | Outcome::Cancelled
            | Outcome::RemovalIncomplete => {
                Rotation::give_up(&root)?;
            }
        }
        Ok(())
    }
}

impl Drop for PendingRotation {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            // If this fails, the next command sees that nothing was committed.
            let _ = Rotation::give_up(root);
        }
    }
}
