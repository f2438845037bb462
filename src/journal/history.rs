//! The history: the outcome of the last deploys, and the contents of each generation.

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

/// Number of deploys in the history. A new entry replaces the oldest one.
pub const SLOTS: u64 = 64;

/// History entry of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the deploy, and of the generation that it created or was to create.
    pub generation: u64,
    /// Verb of the command: `up`, `rollback`, …
    pub verb: String,
    /// User, machine, time and source revision.
    pub author: Author,
    /// Outcome of the deploy.
    pub outcome: Outcome,
    /// Duration of the whole run.
    pub elapsed: Duration,
    /// Cause of the failure, as a sentence fragment; `None` if the deploy reached its goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Committed and rolled back services, if the deploy was only partly rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<PartialCommit>,
    /// Desired state of the project. Contains secrets by name and digest only.
    pub project: Project,
    /// Members of the generation, by the final names of the containers.
    pub made: BTreeMap<ContainerName, GenerationMember>,
    /// Tags under which the images of the generation are kept, by service.
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

    /// Whether this deploy was committed, so that a generation with its number exists.
    #[must_use]
    pub fn committed(&self) -> bool {
        matches!(self.outcome, Outcome::Converged | Outcome::Unchanged)
    }

    /// Whether containers of this deploy were committed: all of them, or a part.
    #[must_use]
    pub fn has_live_containers(&self) -> bool {
        self.committed() || self.split.is_some()
    }

    /// Returns the committed member of a service that this deploy created or kept.
    #[must_use]
    pub fn part(&self, service: &ServiceName) -> Option<&GenerationMember> {
        let split = self.split.as_ref();
        let stayed = split.is_some_and(|split| split.committed.contains(service));
        let mut made = self.made.values().filter(|_| self.committed() || stayed);
        made.find(|made| made.service == *service)
    }

    /// Whether a job is the same as in this generation: same definition, same image.
    fn job_completed(&self, job: &Service, image: &str) -> bool {
        let then = self.project.services.get(&job.name);
        let desired = |service: &Service| serde_json::to_value(service.spec_of(1)).ok();
        let mut made = self.made.values();
        matches!(job.kind, Kind::Job { .. })
            && then.is_some_and(|then| desired(then) == desired(job))
            && made.any(|made| made.service == job.name && made.image == image)
    }

    pub(super) fn page(&self) -> Page {
        let name = format!("{:02}", self.generation % SLOTS);
        Page::write(Collection::History, name, self)
    }
}

/// Returns the entries of a history, oldest first. Unreadable entries are omitted: the history is
/// only used for display, for job records, and for a rollback to an older generation, never for the
/// recovery of an interrupted deploy.
#[must_use]
pub fn entries(pages: &[Page]) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = pages.iter().filter_map(|page| page.read().ok()).collect();
    entries.sort_by_key(|entry| entry.generation);
    entries
}

/// Returns the history's record of a job, as it is defined now and from its current image. Returns
/// `None` if the job was not part of any committed deploy.
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

/// Returns the deploy numbers before the oldest entry for which the history should have entries,
/// but they were removed.
#[must_use]
pub fn removed(entries: &[HistoryEntry]) -> Option<RangeInclusive<u64>> {
    let (oldest, latest) = (entries.first()?.generation, entries.last()?.generation);
    let first = latest.saturating_sub(SLOTS - 1).max(1);
    (first < oldest).then(|| first..=oldest - 1)
}

/// Whether it is unknown if a job without a container has run: the history does not contain the
/// job, and does not reach back to where the job may have been declared. `there`: resources of the
/// project exist on the engine.
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
    fn removed_returns_missing_older_entries() {
        assert_eq!(removed(&of([])), None);
        assert_eq!(removed(&of(1..=5)), None);
        assert_eq!(removed(&of(4..=5)), Some(1..=3));
        // A full history starts with its oldest slot.
        assert_eq!(removed(&of(10..=73)), None);
        assert_eq!(removed(&of(12..=73)), Some(10..=11));
    }

    #[test]
    fn job_is_unrecorded_only_if_history_was_removed() {
        let job = ServiceName::new("migrate").unwrap();
        assert!(!is_unrecorded(&[], &job, false));
        assert!(is_unrecorded(&[], &job, true));
        // Nothing was removed, so the job is new.
        assert!(!is_unrecorded(&of(1..=5), &job, true));
        // The job was not declared in the oldest entry, so it is newer than the removed entries.
        assert!(!is_unrecorded(&of(4..=5), &job, true));
    }
}
