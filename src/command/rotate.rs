//! New values for secrets. They are created before a deploy and become active at its commit. A
//! rotation deploys the running project with the new values. Other changes of the manifest are left
//! to `up`.
//!
//! The active values do not change before the commit. If a rotation is interrupted, the store has
//! either the values of the old generation or those of the new one. The running containers show
//! which of the two apply.

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

/// Selects the project of a deploy or rotation.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub scope: &'a ProjectSelector,
    pub settings: &'a Settings,
    /// Services that are enabled, whatever their profiles say.
    pub named: &'a [ServiceName],
}

impl Request<'_> {
    /// Loads the project with the active secrets.
    pub fn project(self, store: StoreMode) -> Result<Project, CommandError> {
        load::project(self.scope, self.settings, store, self.named)
    }

    /// Loads the project with the secrets of a rotation.
    fn rotated(self, rotation: &Rotation) -> Result<Project, CommandError> {
        let store = StoreMode::Create;
        let mut resolution = load::resolution(self.scope, self.settings, store, self.named);
        resolution.rotation = rotation.clone();
        Ok(resolve(&load::manifest(self.scope)?, &resolution)?)
    }

    /// Returns a rotation that was interrupted after its values had been committed, with the
    /// project that uses them. Changes nothing.
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

    /// Returns the project to deploy. First completes or discards an earlier rotation, then creates
    /// new values for `names`.
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
        // Services with the old value and services with the new value could not communicate.
        deployed.deploy.rollback = RollbackScope::All;
        Ok((deployed, turn))
    }
}

/// Applies the new values to the running project. Other changes of the manifest are not applied.
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

/// A rotation whose deploy is running. Dropping it before the end discards the new values.
#[derive(Debug, Default)]
pub(super) struct PendingRotation {
    rotation: Rotation,
    /// Secret store of the project; `None`: no rotation is open.
    root: Option<StoreRoot>,
    keep: usize,
    /// Parts of the manifest that differ from the running project.
    left_to_up: BTreeSet<String>,
}

impl PendingRotation {
    /// Returns the note about the values that is printed at the end of the deploy.
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
                    "nothing that runs uses {names}; new values are active"
                )),
                Outcome::RollbackFailed | Outcome::RollbackInterrupted => Some(format!(
                    "the next `up` finds out from the running containers whether the old or the new \
                     values of {names} apply"
                )),
                Outcome::Aborted
                | Outcome::RolledBack
                | Outcome::Cancelled
                | Outcome::RemovalIncomplete => {
                    Some(format!("the old values of {names} stay active"))
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

    /// Activates or discards the new values, depending on the outcome of the deploy.
    pub fn ended(mut self, verdict: Outcome) -> Result<(), CommandError> {
        let Some(root) = self.root.take() else {
            return Ok(());
        };
        match verdict {
            Outcome::Converged | Outcome::Unchanged => {
                self.rotation.put_in_force(&root, self.keep)?;
            }
            // It is not known yet which of the two generations will be active.
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
