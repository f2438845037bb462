//! Resolves the settings of a deploy and its final checks.

use super::resolver::Resolver;
use crate::{
    manifest,
    project::{Check, DeployPolicy, RollbackScope, StatusSet},
};

/// Default number of generations to keep.
const KEEP: u32 = 5;

/// Resolves the settings of a deploy.
pub(super) fn policy(deploy: &manifest::Deploy) -> DeployPolicy {
    DeployPolicy {
        rollback: match deploy.rollback {
            None | Some(manifest::RollbackScope::All) => RollbackScope::All,
            Some(manifest::RollbackScope::Subtree) => RollbackScope::Subtree,
            Some(manifest::RollbackScope::None) => RollbackScope::None,
        },
        stabilize: deploy.stabilize,
        deadline: deploy.deadline,
        history: deploy.history.unwrap_or(KEEP),
    }
}

pub(super) fn statuses(given: Option<&manifest::StatusSet>) -> StatusSet {
    given.map_or_else(StatusSet::default, |set| StatusSet(set.0.clone()))
}

impl Resolver<'_> {
    /// Resolves the checks, except for those of services that are not part of this deploy.
    pub(super) fn checks(&self) -> Vec<Check> {
        let checks = self.manifest.verify.iter();
        checks
            .filter_map(|check| self.check(&check.value))
            .collect()
    }

    fn check(&self, check: &manifest::Check) -> Option<Check> {
        Some(match check {
            manifest::Check::Http {
                url,
                status,
                contains,
            } => Check::Http {
                url: url.clone(),
                status: statuses(status.as_ref()),
                contains: contains.clone(),
            },
            manifest::Check::Unreachable { service, port } => Check::Unreachable {
                service: self.enabled.get(&service.value)?.clone(),
                port: *port,
            },
            manifest::Check::Exec {
                service,
                command,
                contains,
            } => Check::Exec {
                service: self.enabled.get(&service.value)?.clone(),
                command: command.clone(),
                contains: contains.clone(),
            },
        })
    }
}
