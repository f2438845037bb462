//! What has to be done, and why: Project × State → Plan.
//!
//! Pure. A [`Plan`] is data: steps with their order, each with the reason for it and the way back.

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

/// What the one who deploys may choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Only these services and what they depend on; empty: all.
    pub services: BTreeSet<ServiceName>,
    /// Replace what would be kept.
    pub force_recreate: bool,
    /// Jobs that run again, though they have done their work.
    pub rerun: RerunJobs,
    /// Run another major version of a database on the data that is there.
    pub allow_major: bool,
    /// When images are built.
    pub build: BuildPolicy,
    /// When images are pulled, instead of what the manifest says.
    pub pull: Option<PullPolicy>,
    /// How long a container may take to end, in seconds, instead of its own grace period.
    pub stop_timeout: Option<u64>,
    /// The images that are built here, by the digest of what they are built from.
    pub tags: BTreeMap<ServiceName, ImageRef>,
    /// What is done about what is not as it was made.
    pub drift: DriftPolicy,
    /// Start containers of earlier generations again, where they are what is wished for, instead
    /// of making new ones (`rollback`).
    pub restart_kept: bool,
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// It is put right.
    #[default]
    Repair,
    /// The deploy is refused.
    Refuse,
}

impl Options {
    /// The services that were named, with the jobs that were named to run again. Only where
    /// [`Options::services`] is not empty does it bound a deploy.
    #[must_use]
    pub fn named(&self) -> BTreeSet<ServiceName> {
        let again = self.rerun.named().cloned();
        self.services.iter().cloned().chain(again).collect()
    }
}

/// Which jobs run again, though they have done their work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RerunJobs {
    /// None.
    #[default]
    None,
    /// None, not even those whose data is gone.
    Never,
    /// All that the deploy is about.
    All,
    /// These, and they are part of the deploy, also when it is about others.
    Jobs(BTreeSet<ServiceName>),
}

impl RerunJobs {
    /// The jobs that were named.
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
    /// When what they are built from changed.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Not at all.
    Never,
}

/// A step of a plan, by its place in [`Plan::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// What has to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In an order in which they could be done one by one: a step needs only earlier ones.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// Whom it is done for.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
    /// Steps that must have succeeded first.
    pub requires: BTreeSet<StepId>,
    /// Its failure is reported, but does not fail the run (a hook before a stop).
    pub non_fatal: bool,
    /// It waits for the commit: when every other step is done and the whole has settled. From
    /// there nothing goes back, and a failure of such a step is only warned of.
    pub after_commit: bool,
}

impl Step {
    /// An action, without needs.
    #[must_use]
    pub fn act(action: Action, subject: Subject, reason: Reason) -> Self {
        Self::new(StepKind::Action(action), subject, reason)
    }

    /// A step without needs.
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

    /// The same step, whose failure does not fail the run.
    #[must_use]
    pub fn non_fatal(self) -> Self {
        Self {
            non_fatal: true,
            ..self
        }
    }

    /// The same step, after the commit.
    #[must_use]
    pub fn after_commit(self) -> Self {
        Self {
            after_commit: true,
            ..self
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepKind {
    /// Changes the world.
    Action(Action),
    /// Waits until a container's gate has passed.
    AwaitReady {
        /// The container that is asked.
        container: ContainerName,
        /// What it must pass.
        gate: Gate,
    },
    /// Waits until so long after the last of its needs was met, so that what is under way ends by
    /// itself.
    Drain {
        /// The container or network that is left.
        object: String,
        /// How long that may take.
        duration: Duration,
    },
    /// Checks the whole.
    Verify(Check),
}

/// Whom a step is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Subject {
    /// A container of a service or a job.
    Service {
        /// The service.
        name: ServiceName,
        /// Counted from 1.
        replica: u32,
    },
    /// An image, by the service that asks for it.
    Image {
        /// The service.
        name: ServiceName,
    },
    /// A network, by the manifest's name.
    Network {
        /// The network.
        name: String,
    },
    /// A volume, by the manifest's name.
    Volume {
        /// The volume.
        name: String,
    },
    /// The project as a whole.
    Project,
}

/// What happens to a service, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Nothing.
    NoOp,
    /// Its container is put right while it runs.
    Repair,
    /// It is new.
    Create,
    /// Its container is replaced.
    Replace,
    /// Its container is started.
    Start,
    /// Its container is restarted.
    Restart,
    /// It goes.
    Remove,
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// It is not there.
    NotFound,
    /// It is a job, and a volume that it or a service that it depends on uses is new and empty.
    NewVolume {
        /// Who uses it.
        service: ServiceName,
        /// The manifest's name, or the target of one without a name.
        volume: String,
    },
    /// It is a job, and the record that says whether it has run was removed.
    Unrecorded,
    /// It is there, but does not run.
    Stopped,
    /// Its definition changed.
    Changed {
        /// Field by field.
        changes: Vec<FieldChange>,
    },
    /// Its container is not as it was made: somebody changed it by hand.
    Drifted {
        /// Field by field: the recorded value, and the one found.
        changes: Vec<FieldChange>,
    },
    /// What its image is built from changed, or the image was never built.
    BuildInputsChanged,
    /// The image's name means another image now.
    ImageUpdated {
        /// The id of the image that it runs.
        from: String,
        /// The id of the image that it should run.
        to: String,
    },
    /// Something that it depends on is replaced.
    DependencyReplaced {
        /// That one.
        dependency: ServiceName,
    },
    /// Something that it depends on is started again.
    DependencyStarted {
        /// That one.
        dependency: ServiceName,
    },
    /// The definition of one of its networks changed, and it moves to the new one.
    NetworkReplaced {
        /// That one.
        network: NetworkName,
    },
    /// It is not part of the project any more.
    Orphan,
    /// It is kept of an earlier generation, and its service left the manifest.
    KeptOrphan {
        /// That generation.
        generation: u64,
    },
    /// Its service has fewer replicas.
    Surplus {
        /// How many it has.
        replicas: u32,
    },
    /// It failed its deploy and was kept for somebody to look at.
    KeptFailed {
        /// That deploy.
        generation: u64,
    },
    /// A deploy that did not come to its end left it behind.
    LeftBehind {
        /// That deploy.
        generation: u64,
    },
    /// Somebody asked for it.
    Requested,
    /// The manifest declares it as a check of the whole.
    Verify,
    /// Another step replaced it.
    Superseded,
    /// This service is about to be replaced, and what it writes to can then be put back.
    BeforeUpdate {
        /// That one.
        service: ServiceName,
    },
    /// The deploy failed, and this is the way back.
    Rollback,
    /// The project is taken down.
    Teardown,
}

/// One field of a definition that changed. Secrets show by name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Dotted path of the field (`env.PORT`).
    pub field: String,
    /// The old value; `None`: it was not there.
    pub from: Option<String>,
    /// The new value; `None`: it is gone.
    pub to: Option<String>,
}

impl Plan {
    /// Whether nothing is changed: there may be gates to ask, but no actions.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        !self
            .steps
            .iter()
            .any(|step| matches!(step.kind, StepKind::Action(_)))
    }
}

impl fmt::Display for Subject {
    /// As a person calls it: `backend`, `backend-2`, `network edge`.
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
    /// A fragment; the single fields of a change are shown apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not there yet"),
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
            Self::NetworkReplaced { network } => write!(f, "network `{network}` is made anew"),
            Self::Orphan => f.write_str("not part of the project any more"),
            Self::KeptOrphan { generation } => write!(
                f,
                "kept of generation {generation}, and its service is not in the manifest"
            ),
            Self::Surplus { replicas: 1 } => f.write_str("its service has 1 replica"),
            Self::Surplus { replicas } => write!(f, "its service has {replicas} replicas"),
            Self::KeptFailed { generation } => {
                write!(f, "kept when deploy {generation} failed")
            }
            Self::LeftBehind { generation } => {
                write!(f, "left behind by deploy {generation}")
            }
            Self::Requested => f.write_str("asked for"),
            Self::Verify => f.write_str("declared by `verify`"),
            Self::Superseded => f.write_str("replaced by a new one"),
            Self::BeforeUpdate { service } => write!(f, "`{service}` is replaced"),
            Self::Rollback => f.write_str("the deploy failed"),
            Self::Teardown => f.write_str("the project is taken down"),
        }
    }
}

/// The first 12 digits of an image's id, as other tools show it.
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
