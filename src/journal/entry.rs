//! The history: what became of the last deploys, and what each generation consists of.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Author, Page, Planned, Shelf};
use crate::{
    event::Verdict,
    name::{ContainerName, ServiceName},
    plan::{Made, Split},
    project::{Kind, Project, Service},
};

/// How many deploys are remembered; the next one takes the place of the oldest.
pub const SLOTS: u64 = 64;

/// What became of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, and that of the generation that it made or was to make.
    pub generation: u64,
    /// `up`, `rollback`, …
    pub verb: String,
    /// Who, when and from what.
    pub author: Author,
    /// How it ended.
    pub verdict: Verdict,
    /// The whole run.
    pub took: Duration,
    /// Why it did not get to where it was to, in a fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Who is of this deploy all the same, and who is as before, where only a part went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What was wished for; secrets by name and digest only.
    pub project: Project,
    /// What it consists of, by the containers' final names.
    pub made: BTreeMap<ContainerName, Made>,
    /// The names under which its images are kept, by service.
    pub tags: BTreeMap<ServiceName, String>,
}

impl Entry {
    pub(super) fn of(
        planned: &Planned,
        verdict: Verdict,
        took: Duration,
        cause: Option<String>,
    ) -> Self {
        Self {
            generation: planned.generation,
            verb: planned.verb.clone(),
            author: planned.author.clone(),
            verdict,
            took,
            cause,
            split: None,
            project: planned.project.clone(),
            made: planned.made.clone(),
            tags: planned.tags.clone(),
        }
    }

    /// Whether this deploy was committed: there is a generation of its number.
    #[must_use]
    pub fn committed(&self) -> bool {
        matches!(self.verdict, Verdict::Converged | Verdict::Unchanged)
    }

    /// Whether containers of this deploy came to stay: all of them, or a part.
    #[must_use]
    pub fn left_its_mark(&self) -> bool {
        self.committed() || self.split.is_some()
    }

    /// Whether a job, as it is asked for now and from this image, has done its work in this
    /// generation.
    #[must_use]
    pub fn has_done(&self, job: &Service, image: &str) -> bool {
        let then = self.project.services.get(&job.name);
        let wished = |service: &Service| serde_json::to_value(&service.container).ok();
        let mut made = self.made.values();
        self.committed()
            && matches!(job.kind, Kind::Job { .. })
            && then.is_some_and(|then| wished(then) == wished(job))
            && made.any(|made| made.service == job.name && made.image == image)
    }

    pub(super) fn page(&self) -> Page {
        let name = format!("{:02}", self.generation % SLOTS);
        Page::write(Shelf::History, name, self)
    }
}

/// The deploys of a history, oldest first. What cannot be read is left out: a history is for
/// people and for the way to an older generation, never for the way out of an interrupted deploy.
#[must_use]
pub fn entries(pages: &[Page]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = pages.iter().filter_map(|page| page.read().ok()).collect();
    entries.sort_by_key(|entry| entry.generation);
    entries
}
