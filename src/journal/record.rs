//! What is written down, and when. Data only.

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

/// One record of a deploy. Each is durable before what it speaks of is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum JournalRecord {
    /// The first: what the deploy is about to do. It is the intent of everything that its plan
    /// makes and starts anew; whoever finds nothing more removes that.
    Planned(Box<Planned>),
    /// These steps are about to touch what was there before, or cannot be taken back.
    StepsStarted {
        /// Steps of the plan.
        steps: Vec<StepId>,
    },
    /// The new generation is the current one. From here on nothing goes back.
    Committed {
        /// Who is new and who went back before, where only a part is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        split: Option<PartialCommit>,
    },
    /// The way back begins.
    RollbackStarted {
        /// Why, in a fragment.
        cause: String,
    },
    /// The last: one of the two worlds is reached, or the deploy was given up for good.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// The whole run, as far as its last process knows.
        elapsed: Duration,
        /// Why it did not get to where it was to, in a fragment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

/// What a deploy is about to do: all that the way back, and the way on, can be found from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The number of the deploy, and of the generation that it makes. Never given twice.
    pub generation: u64,
    /// `up`, `rollback`, …
    pub verb: String,
    /// Who, when and from what.
    pub author: Author,
    /// What is done.
    pub plan: Plan,
    /// What the world was like.
    pub origin: State,
    /// What is wished for; secrets by name and digest only.
    pub project: Project,
    /// What the generation consists of when it is committed, by the containers' final names.
    pub made: BTreeMap<ContainerName, GenerationMember>,
    /// The names under which its images are kept, by service.
    #[serde(default)]
    pub tags: BTreeMap<ServiceName, String>,
}

/// Who deployed, when and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user's name on the machine that deployed; empty when it has none.
    pub user: String,
    /// That machine's name.
    pub host: String,
    /// When it began, by that machine's clock.
    pub at: Timestamp,
    /// The revision of the manifest's folder, with `+` behind it when files were changed since;
    /// `None`: not under version control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The version of the program.
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
        /// A deploy that stops one container and starts another.
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
