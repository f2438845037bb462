//! The records of the journal. Data only.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::Outcome,
    name::{ContainerName, ServiceName},
    plan::{GenerationMember, PartialCommit, Plan, StepId},
    project::Project,
    state::State,
};

/// One record of a deploy. It is durable before the recorded step is performed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum JournalRecord {
    /// The first record: what the deploy is about to do. It covers everything that the plan creates
    /// and starts. If no other record follows, a recovery removes those resources.
    Planned(Box<Planned>),
    /// These steps are about to change existing resources, or cannot be undone.
    StepsStarted {
        /// Step ids within the plan.
        steps: Vec<StepId>,
    },
    /// The new generation is the current one. It is no longer rolled back.
    Committed {
        /// Committed and rolled back services, if only a part was committed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        split: Option<PartialCommit>,
    },
    /// The rollback has started.
    RollbackStarted {
        /// Cause of the rollback, as a sentence fragment.
        cause: String,
    },
    /// The last record: the deploy was completed or rolled back, or was given up.
    Finished {
        /// Outcome of the deploy.
        outcome: Outcome,
        /// Duration of the whole run, as far as its last process knows.
        elapsed: Duration,
        /// Cause of the failure, as a sentence fragment; `None` if the deploy reached its goal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

/// What a deploy is about to do. A rollback and a roll forward are computed from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Number of the deploy, and of the generation that it creates. Never reused.
    pub generation: u64,
    /// Verb of the command: `up`, `rollback`, …
    pub verb: String,
    /// User, machine, time and source revision.
    pub author: Author,
    /// Plan of the deploy.
    pub plan: Plan,
    /// Observed state from which the plan was made.
    pub origin: State,
    /// Desired state of the project. Contains secrets by name and digest only.
    pub project: Project,
    /// Members of the generation after its commit, by the final names of the containers.
    pub made: BTreeMap<ContainerName, GenerationMember>,
    /// Tags under which the images of the generation are kept, by service.
    #[serde(default)]
    pub tags: BTreeMap<ServiceName, String>,
}

/// The user, machine, time and source revision of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Name of the user on the machine that deployed; empty if the user has no name.
    pub user: String,
    /// Name of the machine that deployed.
    pub host: String,
    /// Start of the deploy, by the clock of that machine.
    pub at: Timestamp,
    /// Revision of the manifest's folder, followed by `+` if files were changed since; `None` if
    /// the folder is not under version control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Version of the program.
    pub program: String,
}

#[cfg(test)]
mod sample {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        name::ProjectName,
        plan::{Action, Reason, Step, Subject},
        project::{DeployPolicy, RollbackScope},
    };

    impl Planned {
        /// Returns a deploy that stops one container and starts another.
        pub(crate) fn sample(generation: u64) -> Self {
            let stop = Action::StopContainer {
                container: ContainerName::new("shop-web-1").unwrap(),
                grace: None,
            };
            let start = Action::StartContainer(ContainerName::new("shop-web-1.g2").unwrap());
            let steps = [stop, start].map(|it| Step::act(it, Subject::Project, Reason::Requested));
            Self {
                generation,
                verb: "up".to_owned(),
                author: Author {
                    user: "ann".to_owned(),
                    host: "build-1".to_owned(),
                    at: "2026-11-23T09:16:20Z".parse().unwrap(),
                    revision: Some("0123456789ab+".to_owned()),
                    program: "1.0.0".to_owned(),
                },
                plan: Plan {
                    steps: steps.to_vec(),
                },
                origin: State::default(),
                project: Project {
                    name: ProjectName::new("shop").unwrap(),
                    directory: PathBuf::from("/shop"),
                    files: Vec::new(),
                    networks: BTreeMap::new(),
                    volumes: BTreeMap::new(),
                    services: BTreeMap::new(),
                    deploy: DeployPolicy {
                        rollback: RollbackScope::All,
                        stabilize: None,
                        deadline: None,
                        history: 5,
                    },
                    verify: Vec::new(),
                },
                made: BTreeMap::new(),
                tags: BTreeMap::new(),
            }
        }
    }
}
