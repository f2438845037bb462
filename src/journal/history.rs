//! The history: what became of the last deploys, and what each generation consists of.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Author, Collection, Page, Planned};
use crate::{
    event::Outcome,
    name::{ContainerName, ServiceName},
    plan::{GenerationMember, PartialCommit},
    project::{Kind, Project, Service},
    state::JobRecord,
};

/// How many deploys are remembered; the next one takes the place of the oldest.
pub const SLOTS: u64 = 64;

/// What became of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its number, and that of the generation that it made or was to make.
    pub generation: u64,
    /// `up`, `rollback`, …
    pub verb: String,
    /// Who, when and from what.
    pub author: Author,
    /// How it ended.
    pub outcome: Outcome,
    /// The whole run.
    pub elapsed: Duration,
    /// Why it did not get to where it was to, in a fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Who is of this deploy all the same, and who is as before, where only a part went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<PartialCommit>,
    /// What was wished for; secrets by name and digest only.
    pub project: Project,
    /// What it consists of, by the containers' final names.
    pub made: BTreeMap<ContainerName, GenerationMember>,
    /// The names under which its images are kept, by service.
    pub tags: BTreeMap<ServiceName, String>,
}

impl HistoryEntry {
    pub(super) fn of(
        planned: &Planned,
        verdict: Outcome,
        took: Duration,
        cause: Option<String>,
    ) -> Self {
        Self {
            generation: planned.generation,
            verb: planned.verb.clone(),
            author: planned.author.clone(),
            outcome: verdict,
            elapsed: took,
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
        matches!(self.outcome, Outcome::Converged | Outcome::Unchanged)
    }

    /// Whether containers of this deploy came to stay: all of them, or a part.
    #[must_use]
    pub fn has_live_containers(&self) -> bool {
        self.committed() || self.split.is_some()
    }

    /// What this deploy made or kept of a service, where that came to stay.
    #[must_use]
    pub fn part(&self, service: &ServiceName) -> Option<&GenerationMember> {
        let split = self.split.as_ref();
        let stayed = split.is_some_and(|split| split.committed.contains(service));
        let mut made = self.made.values().filter(|_| self.committed() || stayed);
        made.find(|made| made.service == *service)
    }

    /// Whether a job, as it is asked for now and from this image, is what it was in this
    /// generation.
    fn job_completed(&self, job: &Service, image: &str) -> bool {
        let then = self.project.services.get(&job.name);
        let wished = |service: &Service| serde_json::to_value(service.spec_of(1)).ok();
        let mut made = self.made.values();
        matches!(job.kind, Kind::Job { .. })
            && then.is_some_and(|then| wished(then) == wished(job))
            && made.any(|made| made.service == job.name && made.image == image)
    }

    pub(super) fn page(&self) -> Page {
        let name = format!("{:02}", self.generation % SLOTS);
        Page::write(Collection::History, name, self)
    }
}

/// The deploys of a history, oldest first. What cannot be read is left out: a history is for
/// people and for the way to an older generation, never for the way out of an interrupted deploy.
#[must_use]
pub fn entries(pages: &[Page]) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = pages.iter().filter_map(|page| page.read().ok()).collect();
    entries.sort_by_key(|entry| entry.generation);
    entries
}

/// What a history says of a job, as it is defined now and from the image that it has now. `None`: it
/// was part of no deploy that was committed.
#[must_use]
pub fn job_record(
    entries: &[HistoryEntry],
    job: &Service,
    image: Option<&str>,
) -> Option<JobRecord> {
    let mut latest = entries.iter().rev();
    let entry = latest.find(|entry| entry.part(&job.name).is_some())?;
    Some(JobRecord {
        generation: entry.generation,
        done: image.is_some_and(|image| entry.job_completed(job, image)),
    })
}

/// The numbers of deploys before the oldest entry that should have one too: their record was removed.
#[must_use]
pub fn removed(entries: &[HistoryEntry]) -> Option<RangeInclusive<u64>> {
    let (oldest, latest) = (entries.first()?.generation, entries.last()?.generation);
    let first = latest.saturating_sub(SLOTS - 1).max(1);
    (first < oldest).then(|| first..=oldest - 1)
}

/// Whether nobody can say if a job without a container has run: it is not in the history, which does
/// not reach back to where the job may have been declared. `there`: something of the project is on
/// the engine.
#[must_use]
pub fn is_unrecorded(entries: &[HistoryEntry], job: &ServiceName, there: bool) -> bool {
    let Some(oldest) = entries.first() else {
        return there;
    };
    there
        && removed(entries).is_some()
        && oldest.project.services.contains_key(job)
        && entries.iter().all(|entry| entry.part(job).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: u64, verdict: Outcome) -> HistoryEntry {
        HistoryEntry::of(&Planned::sample(generation), verdict, Duration::ZERO, None)
    }

    fn of(generations: impl IntoIterator<Item = u64>) -> Vec<HistoryEntry> {
        let entries = generations.into_iter();
        entries.map(|it| entry(it, Outcome::Converged)).collect()
    }

    #[test]
    fn removed_entries_are_those_that_the_history_should_have() {
        assert_eq!(removed(&of([])), None);
        assert_eq!(removed(&of(1..=5)), None);
        assert_eq!(removed(&of(4..=5)), Some(1..=3));
        // A full history begins where its places do.
        assert_eq!(removed(&of(10..=73)), None);
        assert_eq!(removed(&of(12..=73)), Some(10..=11));
    }

    #[test]
    fn job_is_unrecorded_only_where_the_history_was_removed() {
        let job = ServiceName::new("migrate").unwrap();
        assert!(!is_unrecorded(&[], &job, false));
        assert!(is_unrecorded(&[], &job, true));
        // Nothing was removed: the job is new.
        assert!(!is_unrecorded(&of(1..=5), &job, true));
        // It was not declared in the oldest entry: it is newer than what was removed.
        assert!(!is_unrecorded(&of(4..=5), &job, true));
    }
}
