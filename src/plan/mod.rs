//! What has to be done, and why: Project × State → Plan.
//!
//! Pure. A [`Plan`] is data: steps with their order, each with the reason for it and the way back.

mod action;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::action::{
    Action, BuildImage, CreateContainer, CreateNetwork, CreateVolume, PullImage, RunHook,
};
use crate::{
    name::{ContainerName, ServiceName},
    project::{Check, Gate},
};

/// A step of a plan, by its place in [`Plan::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// What has to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In an order in which they could be done one by one: a step needs only earlier ones.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is done.
    pub work: Work,
    /// Whom it is done for.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
    /// Steps that must have succeeded first.
    pub needs: BTreeSet<StepId>,
    /// Its failure is reported, but does not fail the run (a dependency that is not required, the
    /// removal of what is not used any more).
    pub optional: bool,
    /// It waits for the commit: when every other step is done and the whole has settled. From
    /// there nothing goes back, and a failure of such a step is only warned of.
    pub after_commit: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Changes the world.
    Act(Action),
    /// Waits until a container's gate has passed.
    Gate {
        /// The container that is asked.
        container: ContainerName,
        /// What it must pass.
        gate: Gate,
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

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// It is not there.
    Missing,
    /// It is there, but does not run.
    Stopped,
    /// Its definition changed.
    Changed {
        /// Field by field.
        changes: Vec<FieldChange>,
    },
    /// What its image is built from changed, or the image was never built.
    InputsChanged,
    /// The image's name means another image now.
    ImageMoved {
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
    /// It is not part of the project any more.
    Orphan,
    /// Somebody asked for it.
    Forced,
    /// Another step replaced it.
    Replaced,
    /// The deploy failed, and this is the way back.
    RolledBack,
    /// The project is taken down.
    Down,
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
