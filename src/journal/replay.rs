//! Replays a journal to determine where the last deploy stopped.
//!
//! An impossible sequence of records is rejected with a specific error, never interpreted. A torn
//! last record is ignored: the step that it would have allowed was not performed.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{
    JournalRecord, Page, Planned, identities,
    page::{DecodeError, SequencedRecord},
};
use crate::{
    event::Outcome,
    plan::{PartialCommit, StepId},
};

/// State of the last deploy.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalState {
    /// The journal contains no deploy.
    Empty,
    /// The last deploy was completed.
    Finished {
        /// Number of the deploy.
        generation: u64,
        /// Outcome of the deploy.
        outcome: Outcome,
    },
    /// The last deploy was interrupted.
    Unfinished(Box<UnfinishedDeploy>),
}

/// An interrupted deploy.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedDeploy {
    /// What the deploy was about to do.
    pub planned: Planned,
    /// Steps that change existing resources or cannot be undone, and that may have started.
    pub started: BTreeSet<StepId>,
    /// The deploy was committed, so it can only be rolled forward.
    pub committed: bool,
    /// Committed and rolled back services, if only a part was committed.
    pub split: Option<PartialCommit>,
    /// Cause of the rollback, if it had started.
    pub rollback_cause: Option<String>,
    /// Number of records.
    pub records: u32,
}

impl JournalState {
    /// Returns the number of the last deploy; 0 if there was none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Finished { generation, .. } => *generation,
            Self::Unfinished(open) => open.planned.generation,
        }
    }
}

impl UnfinishedDeploy {
    /// Returns the steps that may have had an effect: all steps that create or start new resources,
    /// which the first record covers, and those of the others that are recorded as started.
    #[must_use]
    pub fn attempted(&self) -> BTreeSet<StepId> {
        let plan = &self.planned.plan;
        let intents = plan.intents();
        let forward = plan.steps.iter().enumerate();
        forward
            .filter(|(_, step)| !step.after_commit)
            .map(|(index, _)| StepId(index))
            .filter(|id| !intents.contains(id) || self.started.contains(id))
            .collect()
    }
}

/// Why a journal is corrupt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// A record before the last one cannot be read.
    #[error("record {number} of deploy {generation} is damaged")]
    Damaged {
        /// Number of the deploy.
        generation: u64,
        /// Number of the record.
        number: u32,
    },
    /// An earlier version of the program wrote the journal.
    #[error("an earlier version of cimandat wrote it")]
    Earlier,
    /// A later version of the program wrote the journal.
    #[error("a later version of the program wrote it")]
    Later,
    /// A record is missing.
    #[error("record {number} of deploy {generation} is missing")]
    Missing {
        /// Number of the deploy.
        generation: u64,
        /// Number of the record.
        number: u32,
    },
    /// A record is not allowed at its position.
    #[error("record {number} of deploy {generation} says {said}, which cannot follow {before}")]
    Order {
        /// Number of the deploy.
        generation: u64,
        /// Number of the record.
        number: u32,
        /// Kind of the record.
        said: &'static str,
        /// Stage of the deploy before the record.
        before: &'static str,
    },
    /// A record starts a step that is not part of the plan.
    #[error(
        "record {number} of deploy {generation} begins step {step}, which its plan does not have"
    )]
    UnknownStep {
        /// Number of the deploy.
        generation: u64,
        /// Number of the record.
        number: u32,
        /// Id of the step.
        step: usize,
    },
}

/// Returns the page name of a record.
pub(super) fn place(number: u32) -> String {
    format!("{number:06}")
}

/// Replays the pages of a journal.
///
/// # Errors
/// Returns the first inconsistency of the journal.
pub fn replay(pages: &[Page]) -> Result<JournalState, JournalError> {
    let mut read: Vec<SequencedRecord<JournalRecord>> = Vec::new();
    let mut torn: BTreeSet<u32> = BTreeSet::new();
    for page in pages.iter().filter(|it| it.name != identities::NAME) {
        match page.read() {
            Ok(numbered) => read.push(numbered),
            Err(DecodeError::Torn) => torn.extend(page.name.parse::<u32>()),
            Err(DecodeError::Earlier) => return Err(JournalError::Earlier),
            Err(DecodeError::Later) => return Err(JournalError::Later),
        }
    }
    let Some(generation) = read.iter().map(|it| it.generation).max() else {
        // The first record is torn: nothing was done yet.
        return Ok(JournalState::Empty);
    };
    // Records of earlier deploys may follow the pages that this deploy has overwritten.
    let records: BTreeMap<u32, JournalRecord> = read
        .into_iter()
        .filter(|it| it.generation == generation)
        .map(|it| (it.number, it.record))
        .collect();
    if let Some(JournalRecord::Finished {
        outcome: verdict, ..
    }) = records.values().next_back()
        && !records.contains_key(&1)
    {
        // The next deploy started to overwrite the first record, but did not finish the write.
        let verdict = *verdict;
        return Ok(JournalState::Finished {
            generation,
            outcome: verdict,
        });
    }
    let last = records.keys().next_back().copied().unwrap_or(0);
    if let Some(number) = (1..=last).find(|number| !records.contains_key(number)) {
        return Err(if torn.contains(&number) {
            JournalError::Damaged { generation, number }
        } else {
            JournalError::Missing { generation, number }
        });
    }
    follow(generation, records)
}

/// Stage of a deploy during the replay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    Forward,
    Committed,
    Returning,
    Closed,
}

impl Progress {
    fn shown(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Forward => "a plan",
            Self::Committed => "a commit",
            Self::Returning => "a rollback",
            Self::Closed => "the end",
        }
    }

    /// Returns the stage after this record; `None` if the record is not allowed.
    fn then(self, record: &JournalRecord) -> Option<Self> {
        Some(match (self, record) {
            (Self::Nothing, JournalRecord::Planned(_))
            | (Self::Forward, JournalRecord::StepsStarted { .. }) => Self::Forward,
            // In a partial rollback, the failed part is rolled back before the rest is committed.
            (Self::Forward, JournalRecord::Committed { .. })
            | (Self::Returning, JournalRecord::Committed { split: Some(_) }) => Self::Committed,
            // A recovery that is interrupted and repeated records the rollback again.
            (Self::Forward | Self::Returning, JournalRecord::RollbackStarted { .. }) => {
                Self::Returning
            }
            (Self::Forward | Self::Committed | Self::Returning, JournalRecord::Finished { .. }) => {
                Self::Closed
            }
            _ => return None,
        })
    }
}

fn said(record: &JournalRecord) -> &'static str {
    match record {
        JournalRecord::Planned(_) => "`planned`",
        JournalRecord::StepsStarted { .. } => "`begun`",
        JournalRecord::Committed { .. } => "`committed`",
        JournalRecord::RollbackStarted { .. } => "`returning`",
        JournalRecord::Finished { .. } => "`closed`",
    }
}

fn follow(
    generation: u64,
    records: BTreeMap<u32, JournalRecord>,
) -> Result<JournalState, JournalError> {
    let mut stage = Progress::Nothing;
    let mut open: Option<UnfinishedDeploy> = None;
    let mut end = None;
    for (number, record) in records {
        stage = stage.then(&record).ok_or(JournalError::Order {
            generation,
            number,
            said: said(&record),
            before: stage.shown(),
        })?;
        match (record, &mut open) {
            (JournalRecord::Planned(planned), _) => {
                open = Some(UnfinishedDeploy {
                    planned: *planned,
                    started: BTreeSet::new(),
                    committed: false,
                    split: None,
                    rollback_cause: None,
                    records: 0,
                });
            }
            (JournalRecord::StepsStarted { steps }, Some(open)) => {
                let unknown = |step: &&StepId| step.0 >= open.planned.plan.steps.len();
                if let Some(StepId(step)) = steps.iter().find(unknown).copied() {
                    return Err(JournalError::UnknownStep {
                        generation,
                        number,
                        step,
                    });
                }
                open.started.extend(steps);
            }
            (JournalRecord::Committed { split }, Some(open)) => {
                open.committed = true;
                open.split = split;
            }
            (JournalRecord::RollbackStarted { cause }, Some(open)) => {
                open.rollback_cause = Some(cause);
            }
            (
                JournalRecord::Finished {
                    outcome: verdict, ..
                },
                _,
            ) => end = Some(verdict),
            (_, None) => {}
        }
        if let Some(open) = &mut open {
            open.records = number;
        }
    }
    Ok(match (end, open) {
        (Some(verdict), _) => JournalState::Finished {
            generation,
            outcome: verdict,
        },
        (None, Some(open)) => JournalState::Unfinished(Box::new(open)),
        (None, None) => JournalState::Empty,
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::journal::{Collection, Writer};

    fn begun(step: usize) -> JournalRecord {
        JournalRecord::StepsStarted {
            steps: vec![StepId(step)],
        }
    }

    fn returning() -> JournalRecord {
        JournalRecord::RollbackStarted {
            cause: "a gate".to_owned(),
        }
    }

    fn closed(verdict: Outcome) -> JournalRecord {
        JournalRecord::Finished {
            outcome: verdict,
            elapsed: Duration::from_secs(1),
            cause: None,
        }
    }

    /// Adds the journal pages of a deploy with these records to the collection.
    fn journal(
        collection: &mut BTreeMap<String, Page>,
        generation: u64,
        records: &[JournalRecord],
    ) {
        let mut writer = Writer::new(Planned::sample(generation));
        let opening = writer.opening().unwrap();
        for record in [opening].iter().chain(records) {
            let pages = writer.pages(record);
            writer.written(record);
            let pages = pages
                .into_iter()
                .filter(|it| it.collection == Collection::Journal);
            collection.extend(pages.map(|page| (page.name.clone(), page)));
        }
    }

    fn standing(records: &[JournalRecord]) -> Result<JournalState, JournalError> {
        let mut collection = BTreeMap::new();
        journal(&mut collection, 7, records);
        replay(&collection.into_values().collect::<Vec<_>>())
    }

    fn open(records: &[JournalRecord]) -> UnfinishedDeploy {
        match standing(records).unwrap() {
            JournalState::Unfinished(open) => *open,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn written_records_are_replayed() {
        let open = open(&[begun(0)]);
        assert_eq!(open.planned, Planned::sample(7));
        assert_eq!((open.records, open.committed), (2, false));
        assert_eq!(open.started, BTreeSet::from([StepId(0)]));
        // The plan creates neither container, so only the recorded steps may have been performed.
        assert_eq!(open.attempted(), BTreeSet::from([StepId(0)]));
    }

    #[test]
    fn replay_distinguishes_stages() {
        assert!(open(&[JournalRecord::Committed { split: None }]).committed);
        let back = open(&[begun(0), returning(), returning()]);
        assert_eq!(back.rollback_cause.as_deref(), Some("a gate"));
        let outcome = Outcome::RolledBack;
        let end = standing(&[begun(0), returning(), closed(outcome)]);
        assert_eq!(
            end,
            Ok(JournalState::Finished {
                generation: 7,
                outcome
            })
        );
        assert_eq!(replay(&[]), Ok(JournalState::Empty));
    }

    #[test]
    fn torn_last_record_is_ignored() {
        let mut collection = BTreeMap::new();
        journal(
            &mut collection,
            7,
            &[begun(0), JournalRecord::Committed { split: None }],
        );
        collection.get_mut("000003").unwrap().content.truncate(90);
        let pages: Vec<Page> = collection.into_values().collect();
        assert!(matches!(replay(&pages), Ok(JournalState::Unfinished(open)) if !open.committed));
    }

    #[test]
    fn unacknowledged_record_is_overwritten() {
        let mut writer = Writer::new(Planned::sample(7));
        let mut collection = BTreeMap::new();
        let records = [
            (writer.opening().unwrap(), true, true),
            (begun(0), false, false),
            // The write was unacknowledged: the page exists, but the run rolled back.
            (JournalRecord::Committed { split: None }, true, false),
            (returning(), true, true),
        ];
        for (record, there, heard) in &records {
            for page in writer.pages(record) {
                if *there {
                    collection.insert(page.name.clone(), page);
                }
            }
            if *heard {
                writer.written(record);
            }
        }
        let pages: Vec<Page> = collection.into_values().collect();
        let Ok(JournalState::Unfinished(open)) = replay(&pages) else {
            panic!("{:?}", replay(&pages));
        };
        assert_eq!((open.committed, open.records), (false, 2));
        assert_eq!(open.rollback_cause.as_deref(), Some("a gate"));
    }

    #[test]
    fn later_deploy_overwrites_earlier_records() {
        let mut collection = BTreeMap::new();
        let all = [begun(0), begun(1), closed(Outcome::Converged)];
        journal(&mut collection, 7, &all);
        let before = collection.clone();
        journal(&mut collection, 8, &[begun(1)]);
        let pages: Vec<Page> = collection.values().cloned().collect();
        assert!(
            matches!(replay(&pages), Ok(JournalState::Unfinished(open)) if open.started.len() == 1)
        );
        // With its first record torn, the later deploy has not started, and the earlier one is
        // still closed.
        let mut torn = before;
        torn.get_mut("000001").unwrap().content.truncate(50);
        let pages: Vec<Page> = torn.into_values().collect();
        assert_eq!(replay(&pages).unwrap().generation(), 7);
    }

    #[test]
    fn impossible_record_sequence_is_rejected() {
        let order = |records: &[JournalRecord]| match standing(records) {
            Err(JournalError::Order { said, before, .. }) => format!("{said} after {before}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            order(&[JournalRecord::Committed { split: None }, begun(0)]),
            "`begun` after a commit"
        );
        assert_eq!(
            order(&[JournalRecord::Committed { split: None }, returning()]),
            "`returning` after a commit"
        );
        assert_eq!(
            order(&[returning(), JournalRecord::Committed { split: None }]),
            "`committed` after a rollback"
        );
        let end = closed(Outcome::Converged);
        assert_eq!(order(&[end, begun(0)]), "`begun` after the end");
        assert!(matches!(
            standing(&[begun(9)]),
            Err(JournalError::UnknownStep {
                step: 9,
                number: 2,
                ..
            })
        ));

        let mut collection = BTreeMap::new();
        journal(
            &mut collection,
            7,
            &[begun(0), JournalRecord::Committed { split: None }],
        );
        let mut damaged = collection.clone();
        damaged.get_mut("000002").unwrap().content.truncate(90);
        let pages: Vec<Page> = damaged.into_values().collect();
        let generation = 7;
        assert_eq!(
            replay(&pages),
            Err(JournalError::Damaged {
                generation,
                number: 2
            })
        );
        collection.remove("000002");
        let pages: Vec<Page> = collection.into_values().collect();
        assert_eq!(
            replay(&pages),
            Err(JournalError::Missing {
                generation,
                number: 2
            })
        );
    }
}
