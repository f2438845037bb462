//! Reads a journal: where did the last deploy stop?
//!
//! A history that cannot have happened is refused with what is wrong about it, and never guessed
//! at. A torn last record is as good as none: what it would have allowed was not done.

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

/// Where the last deploy stopped.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalState {
    /// There was none.
    Empty,
    /// It came to its end.
    Finished {
        /// Its number.
        generation: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// It was cut off.
    Unfinished(Box<UnfinishedDeploy>),
}

/// A deploy that was cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedDeploy {
    /// What it was about to do.
    pub planned: Planned,
    /// Steps that touch what was there before, or cannot be taken back, and that may have begun.
    pub started: BTreeSet<StepId>,
    /// It was committed: there is only the way on.
    pub committed: bool,
    /// Only a part was.
    pub split: Option<PartialCommit>,
    /// Its way back had begun, for this reason.
    pub rollback_cause: Option<String>,
    /// How many records there are.
    pub records: u32,
}

impl JournalState {
    /// The number of the last deploy; 0: there was none.
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
    /// The steps that may have had an effect: everything that is made or started anew, as the
    /// first record is the intent of that, and of the others those that were said to begin.
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

/// Why a journal cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// A record in the middle cannot be read.
    #[error("record {number} of deploy {generation} is damaged")]
    Damaged {
        /// The deploy.
        generation: u64,
        /// The record.
        number: u32,
    },
    /// A later program wrote it.
    #[error("a later version of the program wrote it")]
    Later,
    /// A record is not there.
    #[error("record {number} of deploy {generation} is missing")]
    Missing {
        /// The deploy.
        generation: u64,
        /// The record.
        number: u32,
    },
    /// A record stands where it cannot.
    #[error("record {number} of deploy {generation} says {said}, which cannot follow {before}")]
    Order {
        /// The deploy.
        generation: u64,
        /// The record.
        number: u32,
        /// What it says.
        said: &'static str,
        /// What the deploy had come to.
        before: &'static str,
    },
    /// A step is begun that the plan does not have.
    #[error(
        "record {number} of deploy {generation} begins step {step}, which its plan does not have"
    )]
    UnknownStep {
        /// The deploy.
        generation: u64,
        /// The record.
        number: u32,
        /// The step.
        step: usize,
    },
}

/// The name of a record's page.
pub(super) fn place(number: u32) -> String {
    format!("{number:06}")
}

/// Reads the pages of a journal.
///
/// # Errors
/// With the first thing about it that cannot be.
pub fn replay(pages: &[Page]) -> Result<JournalState, JournalError> {
    let mut read: Vec<SequencedRecord<JournalRecord>> = Vec::new();
    let mut torn: BTreeSet<u32> = BTreeSet::new();
    for page in pages.iter().filter(|it| it.name != identities::NAME) {
        match page.read() {
            Ok(numbered) => read.push(numbered),
            Err(DecodeError::Torn) => torn.extend(page.name.parse::<u32>()),
            Err(DecodeError::Later) => return Err(JournalError::Later),
        }
    }
    let Some(generation) = read.iter().map(|it| it.generation).max() else {
        // A torn first record: nothing was done yet.
        return Ok(JournalState::Empty);
    };
    // Records of earlier deploys stand behind those that were written over.
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
        // The next deploy began to write its first record over this one's, and did not get done.
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

/// What a deploy has come to.
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
            Self::Returning => "a way back",
            Self::Closed => "the end",
        }
    }

    /// What it comes to by this record; `None`: it cannot.
    fn then(self, record: &JournalRecord) -> Option<Self> {
        Some(match (self, record) {
            (Self::Nothing, JournalRecord::Planned(_))
            | (Self::Forward, JournalRecord::StepsStarted { .. }) => Self::Forward,
            // A part that failed goes back before the rest is committed.
            (Self::Forward, JournalRecord::Committed { .. })
            | (Self::Returning, JournalRecord::Committed { split: Some(_) }) => Self::Committed,
            // Whoever goes back after a recovery that was cut off says so again.
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
                open.rollback_cause = Some(cause)
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

    /// The journal's pages after these records of a deploy, each in its place.
    fn journal(shelf: &mut BTreeMap<String, Page>, generation: u64, records: &[JournalRecord]) {
        let mut writer = Writer::new(Planned::sample(generation));
        let opening = writer.opening().unwrap();
        for record in [opening].iter().chain(records) {
            let pages = writer.pages(record);
            writer.written(record);
            let pages = pages
                .into_iter()
                .filter(|it| it.shelf == Collection::Journal);
            shelf.extend(pages.map(|page| (page.name.clone(), page)));
        }
    }

    fn standing(records: &[JournalRecord]) -> Result<JournalState, JournalError> {
        let mut shelf = BTreeMap::new();
        journal(&mut shelf, 7, records);
        replay(&shelf.into_values().collect::<Vec<_>>())
    }

    fn open(records: &[JournalRecord]) -> UnfinishedDeploy {
        match standing(records).unwrap() {
            JournalState::Unfinished(open) => *open,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let open = open(&[begun(0)]);
        assert_eq!(open.planned, Planned::sample(7));
        assert_eq!((open.records, open.committed), (2, false));
        assert_eq!(open.started, BTreeSet::from([StepId(0)]));
        // Neither container was made by the plan: only what was said to begin may have been done.
        assert_eq!(open.attempted(), BTreeSet::from([StepId(0)]));
    }

    #[test]
    fn each_stage_is_told_apart() {
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
    fn a_torn_last_record_counts_as_none() {
        let mut shelf = BTreeMap::new();
        journal(
            &mut shelf,
            7,
            &[begun(0), JournalRecord::Committed { split: None }],
        );
        shelf.get_mut("000003").unwrap().content.truncate(90);
        let pages: Vec<Page> = shelf.into_values().collect();
        assert!(matches!(replay(&pages), Ok(JournalState::Unfinished(open)) if !open.committed));
    }

    #[test]
    fn what_was_not_written_leaves_no_gap_and_does_not_count() {
        let mut writer = Writer::new(Planned::sample(7));
        let mut shelf = BTreeMap::new();
        let records = [
            (writer.opening().unwrap(), true, true),
            (begun(0), false, false),
            // The answer was lost: it is there, and whoever wrote it went back.
            (JournalRecord::Committed { split: None }, true, false),
            (returning(), true, true),
        ];
        for (record, there, heard) in &records {
            for page in writer.pages(record) {
                if *there {
                    shelf.insert(page.name.clone(), page);
                }
            }
            if *heard {
                writer.written(record);
            }
        }
        let pages: Vec<Page> = shelf.into_values().collect();
        let Ok(JournalState::Unfinished(open)) = replay(&pages) else {
            panic!("{:?}", replay(&pages));
        };
        assert_eq!((open.committed, open.records), (false, 2));
        assert_eq!(open.rollback_cause.as_deref(), Some("a gate"));
    }

    #[test]
    fn a_later_deploy_writes_over_an_earlier_one() {
        let mut shelf = BTreeMap::new();
        let all = [begun(0), begun(1), closed(Outcome::Converged)];
        journal(&mut shelf, 7, &all);
        let before = shelf.clone();
        journal(&mut shelf, 8, &[begun(1)]);
        let pages: Vec<Page> = shelf.values().cloned().collect();
        assert!(
            matches!(replay(&pages), Ok(JournalState::Unfinished(open)) if open.started.len() == 1)
        );
        // Torn at its very beginning it has not begun, and the earlier one is still closed.
        let mut torn = before;
        torn.get_mut("000001").unwrap().content.truncate(50);
        let pages: Vec<Page> = torn.into_values().collect();
        assert_eq!(replay(&pages).unwrap().generation(), 7);
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
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
            "`committed` after a way back"
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

        let mut shelf = BTreeMap::new();
        journal(
            &mut shelf,
            7,
            &[begun(0), JournalRecord::Committed { split: None }],
        );
        let mut damaged = shelf.clone();
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
        shelf.remove("000002");
        let pages: Vec<Page> = shelf.into_values().collect();
        assert_eq!(
            replay(&pages),
            Err(JournalError::Missing {
                generation,
                number: 2
            })
        );
    }
}
