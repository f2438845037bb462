//! Planning: computes the steps, with their reasons, from a project and its state.
//!
//! Pure. A [`Plan`] is data: ordered steps, each with its reason. The rollback is computed from the
//! same data by [`rollback_plan`].

mod action;
mod addresses;
mod builder;
mod change;
mod counts;
mod database_version;
mod deploy;
mod diff;
mod down;
mod drift;
mod endpoints;
mod generation;
mod images;
mod jobs;
mod networks;
mod overlap_conflict;
mod preflight;
mod preflight_error;
mod prepare;
mod roll_forward;
mod rollback;
mod rollout;
mod rotation_state;
mod show;
mod snapshot;
mod start_first;
mod takeover;
mod update_strategy;
mod write_ahead;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::{
    action::{
        Action, Address, Attached, BuildImage, CreateContainer, CreateNetwork, CreateVolume,
        Cutover, EndpointSpec, PullImage, RunHook, VolumeSnapshot,
    },
    addresses::{halved, reserved},
    change::field_changes,
    counts::Counts,
    database_version::databases_in_question,
    deploy::{DeploymentPlan, deploy},
    diff::Decision,
    down::{DownOptions, SharedVolume, down, shared_volumes},
    drift::{drift, identities},
    generation::{GenerationMember, is_generation_tag, made, tag_of},
    images::{image_of, images},
    jobs::jobs_in_question,
    overlap_conflict::OverlapConflict,
    preflight_error::PreflightError,
    roll_forward::roll_forward_plan,
    rollback::{
        PartialCommit, RollbackPlan, recovery_plan, restart_stopped, rollback_plan,
        rollback_plan_retaining, split,
    },
    rotation_state::rotated,
    show::PlanView,
    takeover::Takeover,
    update_strategy::UpdateStrategy,
};
use crate::{
    name::{ContainerName, ImageRef, NetworkName, ServiceName},
    project::{Check, Gate, PullPolicy},
};

/// Options of a deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Services to deploy, together with their dependencies; empty means all services.
    pub services: BTreeSet<ServiceName>,
    /// Whether to replace containers that would be kept.
    pub force_recreate: bool,
    /// Jobs to run again although they are completed.
    pub rerun: RerunJobs,
    /// Whether to run another major version of a database on existing data.
    pub allow_major_upgrade: bool,
    /// When to build images.
    pub build: BuildPolicy,
    /// When to pull images; `None` means as the manifest says.
    pub pull: Option<PullPolicy>,
    /// Timeout of a stop, in seconds; `None` means the container's own grace period.
    pub stop_timeout: Option<u64>,
    /// Images that are built for the project, by service. The tags contain the digest of the build
    /// inputs.
    pub tags: BTreeMap<ServiceName, ImageRef>,
    /// Handling of drift.
    pub drift: DriftPolicy,
    /// Whether to restart containers of earlier generations that match the desired state, instead
    /// of creating new ones (`rollback`).
    pub restart_kept: bool,
}

/// Handling of drift, which is found before a deploy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// Drift is repaired.
    #[default]
    Repair,
    /// The deploy fails before it changes anything.
    Error,
}

impl Options {
    /// Returns the named services and the jobs that are named to run again. They limit a deploy
    /// only if [`Options::services`] is not empty.
    #[must_use]
    pub fn named(&self) -> BTreeSet<ServiceName> {
        let again = self.rerun.named().cloned();
        self.services.iter().cloned().chain(again).collect()
    }
}

/// Completed jobs that run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RerunJobs {
    /// No job, except those with lost data or a removed record.
    #[default]
    None,
    /// No job, not even those with lost data or a removed record.
    Never,
    /// All jobs of the deploy.
    All,
    /// These jobs. They are part of the deploy even if the deploy is limited to other services.
    Jobs(BTreeSet<ServiceName>),
}

impl RerunJobs {
    /// Returns the named jobs.
    fn named(&self) -> impl Iterator<Item = &ServiceName> {
        let named = match self {
            Self::Jobs(jobs) => Some(jobs),
            Self::None | Self::Never | Self::All => None,
        };
        named.into_iter().flatten()
    }
}

/// When images are built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BuildPolicy {
    /// If the image is missing or the build inputs changed.
    #[default]
    Missing,
    /// On every deploy.
    Always,
    /// Never. A missing image is an error.
    Never,
}

/// Index of a step in [`Plan::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// Steps to perform.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps, in an order that allows sequential execution: a step depends only on earlier
    /// ones.
    pub steps: Vec<Step>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Operation of the step.
    pub kind: StepKind,
    /// Object that the step is performed for.
    pub subject: Subject,
    /// Reason for the step.
    pub reason: Reason,
    /// Steps that must have succeeded first.
    pub requires: BTreeSet<StepId>,
    /// Whether a failure of the step is reported without failing the run (a hook before a stop).
    pub non_fatal: bool,
    /// Whether the step waits for the commit. The commit happens when all other steps are done and
    /// the deploy has stabilized. There is no rollback after the commit, and a failure of such a
    /// step is only a warning.
    pub after_commit: bool,
}

impl Step {
    /// Returns a step for an action, without dependencies.
    #[must_use]
    pub fn act(action: Action, subject: Subject, reason: Reason) -> Self {
        Self::new(StepKind::Action(action), subject, reason)
    }

    /// Returns a step without dependencies.
    #[must_use]
    pub fn new(work: StepKind, subject: Subject, reason: Reason) -> Self {
        let needs = BTreeSet::new();
        Self {
            kind: work,
            subject,
            reason,
            requires: needs,
            non_fatal: false,
            after_commit: false,
        }
    }

    /// Returns the same step, marked as non-fatal.
    #[must_use]
    pub fn non_fatal(self) -> Self {
        Self {
            non_fatal: true,
            ..self
        }
    }

    /// Returns the same step, scheduled after the commit.
    #[must_use]
    pub fn after_commit(self) -> Self {
        Self {
            after_commit: true,
            ..self
        }
    }
}

/// Operation of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepKind {
    /// Changes the engine.
    Action(Action),
    /// Waits until a container has passed its gate.
    AwaitReady {
        /// Container to probe.
        container: ContainerName,
        /// Gate that the container must pass.
        gate: Gate,
    },
    /// Waits for a time after the last dependency has finished, so that requests in progress
    /// complete.
    Drain {
        /// Container or network that is drained.
        object: String,
        /// Maximum duration.
        duration: Duration,
    },
    /// Checks the project as a whole.
    Verify(Check),
}

/// Object that a step is performed for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Subject {
    /// A container of a service or a job.
    Service {
        /// Service or job.
        name: ServiceName,
        /// Replica number, counted from 1.
        replica: u32,
    },
    /// An image, identified by the service that needs it.
    Image {
        /// Service that needs the image.
        name: ServiceName,
    },
    /// A network, by its name in the manifest.
    Network {
        /// Name of the network.
        name: String,
    },
    /// A volume, by its name in the manifest.
    Volume {
        /// Name of the volume.
        name: String,
    },
    /// The project as a whole.
    Project,
}

/// Change to a container of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The container stays as it is.
    #[serde(rename = "no-op")]
    NoOp,
    /// The container is repaired while it runs.
    Repair,
    /// The container is new.
    Create,
    /// The container is replaced.
    Replace,
    /// The container is started.
    Start,
    /// The container is restarted.
    Restart,
    /// The container is removed.
    Remove,
}

/// Reason for a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// The object does not exist.
    NotFound,
    /// The job, or a service that it depends on, uses a volume that is new and empty.
    NewVolume {
        /// Service that uses the volume.
        service: ServiceName,
        /// Name of the volume in the manifest, or mount target of an anonymous volume.
        volume: String,
    },
    /// The record of whether the job has run was removed.
    Unrecorded,
    /// The container exists but does not run.
    Stopped,
    /// The definition changed.
    Changed {
        /// Changed fields.
        changes: Vec<FieldChange>,
    },
    /// The container differs from its record, because it was changed manually.
    Drifted {
        /// Differing fields: the recorded and the observed value of each.
        changes: Vec<FieldChange>,
    },
    /// The build inputs changed, or the image was never built.
    BuildInputsChanged,
    /// The image reference points to another image now.
    ImageUpdated {
        /// Id of the image that the container runs.
        from: String,
        /// Id of the image that the container should run.
        to: String,
    },
    /// A dependency is replaced.
    DependencyReplaced {
        /// Dependency that is replaced.
        dependency: ServiceName,
    },
    /// A dependency is started again.
    DependencyStarted {
        /// Dependency that is started again.
        dependency: ServiceName,
    },
    /// The definition of a network changed, and the container moves to the new network.
    NetworkReplaced {
        /// Network that changed.
        network: NetworkName,
    },
    /// The service is no longer part of the project.
    Orphan,
    /// The container was kept from an earlier generation, and its service is no longer in the
    /// manifest.
    KeptOrphan {
        /// Generation of the container.
        generation: u64,
    },
    /// The service has fewer replicas than before.
    Surplus {
        /// Desired number of replicas.
        replicas: u32,
    },
    /// The container failed its deploy and was kept for inspection.
    KeptFailed {
        /// Generation of the failed deploy.
        generation: u64,
    },
    /// A deploy that did not finish left the container behind.
    LeftBehind {
        /// Generation of that deploy.
        generation: u64,
    },
    /// A user requested the step.
    Requested,
    /// The manifest declares a check of the whole project.
    Verify,
    /// A new object replaced this one.
    Superseded,
    /// A service is about to be replaced, and the volume that it writes to can then be restored.
    BeforeUpdate {
        /// Service that is about to be replaced.
        service: ServiceName,
    },
    /// The deploy failed and is rolled back.
    Rollback,
    /// The project is torn down.
    Teardown,
}

/// One changed field of a definition. Secrets are shown by name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Dotted path of the field (`env.PORT`).
    pub field: String,
    /// Old value; `None` if the field did not exist.
    pub from: Option<String>,
    /// New value; `None` if the field was removed.
    pub to: Option<String>,
}

impl Plan {
    /// Returns whether the plan contains no actions. It may still contain gates to probe.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        !self
            .steps
            .iter()
            .any(|step| matches!(step.kind, StepKind::Action(_)))
    }
}

impl fmt::Display for Subject {
    /// Formats the subject for users: `backend`, `backend-2`, `network edge`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, replica: 1 } => write!(f, "{name}"),
            Self::Service { name, replica } => write!(f, "{name}-{replica}"),
            Self::Image { name } => write!(f, "image of {name}"),
            Self::Network { name } => write!(f, "network {name}"),
            Self::Volume { name } => write!(f, "volume {name}"),
            Self::Project => f.write_str("project"),
        }
    }
}

impl fmt::Display for Reason {
    /// Formats the reason as a sentence fragment. The individual fields of a change are shown
    /// separately.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("does not exist yet"),
            Self::NewVolume { service, volume } => {
                write!(f, "volume `{volume}` of `{service}` is new and empty")
            }
            Self::Unrecorded => f.write_str("the record of whether it has run was removed"),
            Self::Stopped => f.write_str("not running"),
            Self::Changed { changes } if changes.is_empty() => {
                f.write_str("what it was made from is not recorded")
            }
            Self::Changed { changes } => {
                let plural = if changes.len() == 1 { "" } else { "s" };
                write!(f, "{} field{plural} changed", changes.len())
            }
            Self::Drifted { changes } => {
                let plural = if changes.len() == 1 { "" } else { "s" };
                write!(f, "{} field{plural} drifted", changes.len())
            }
            Self::BuildInputsChanged => f.write_str("no image of these inputs yet"),
            Self::ImageUpdated { from, to } => {
                write!(f, "image {} → {}", short(from), short(to))
            }
            Self::DependencyReplaced { dependency } => write!(f, "`{dependency}` is replaced"),
            Self::DependencyStarted { dependency } => write!(f, "`{dependency}` is started again"),
            Self::NetworkReplaced { network } => write!(f, "network `{network}` is recreated"),
            Self::Orphan => f.write_str("no longer part of the project"),
            Self::KeptOrphan { generation } => write!(
                f,
                "kept from generation {generation}, and its service is not in the manifest"
            ),
            Self::Surplus { replicas: 1 } => f.write_str("its service has 1 replica"),
            Self::Surplus { replicas } => write!(f, "its service has {replicas} replicas"),
            Self::KeptFailed { generation } => {
                write!(f, "kept when deploy {generation} failed")
            }
            Self::LeftBehind { generation } => {
                write!(f, "left behind by deploy {generation}")
            }
            Self::Requested => f.write_str("requested"),
            Self::Verify => f.write_str("declared by `verify`"),
            Self::Superseded => f.write_str("replaced by a new one"),
            Self::BeforeUpdate { service } => write!(f, "`{service}` is replaced"),
            Self::Rollback => f.write_str("the deploy failed"),
            Self::Teardown => f.write_str("the project is taken down"),
        }
    }
}

/// Returns the first 12 digits of an image id, as other tools show it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{}: {from} → {to}", self.field),
            (None, Some(to)) => write!(f, "{}: {to} (new)", self.field),
            (Some(from), None) => write!(f, "{}: {from} (gone)", self.field),
            (None, None) => write!(f, "{}", self.field),
        }
    }
}
