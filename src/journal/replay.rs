//! Reads a journal: where did the last deploy stop?
//!
//! A history that cannot have happened is refused with what is wrong about it, and never guessed
//! at. A torn last record is as good as none: what it would have allowed was not done.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{
    Page, Planned, Record, identities,
    page::{Numbered, Unread},
};
use crate::{
    event::Verdict,
    plan::{Split, StepId},
};

/// Where the last deploy stopped.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// There was none.
    Empty,
    /// It came to its end.
    Closed {
        /// Its number.
        generation: u64,
        /// How it ended.
        verdict: Verdict,
    },
    /// It was cut off.
    Open(Box<Open>),
}

/// A deploy that was cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// What it was about to do.
    pub planned: Planned,
    /// Steps that touch what was there before, or cannot be taken back, and that may have begun.
    pub begun: BTreeSet<StepId>,
    /// It was committed: there is only the way on.
    pub committed: bool,
    /// Only a part was.
    pub split: Option<Split>,
    /// Its way back had begun, for this reason.
    pub returning: Option<String>,
    /// How many records there are.
    pub records: u32,
}

impl Standing {
    /// The number of the last deploy; 0: there was none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Closed { generation, .. } => *generation,
            Self::Open(open) => open.planned.generation,
        }
    }
}

impl Open {
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
            .filter(|id| !intents.contains(id) || self.begun.contains(id))
            .collect()
    }
}

/// Why a journal cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
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
pub fn replay(pages: &[Page]) -> Result<Standing, Refusal> {
    let mut read: Vec<Numbered<Record>> = Vec::new();
    let mut torn: BTreeSet<u32> = BTreeSet::new();
    for page in pages.iter().filter(|it| it.name != identities::NAME) {
        match page.read() {
            Ok(numbered) => read.push(numbered),
            Err(Unread::Torn) => torn.extend(page.name.parse::<u32>()),
            Err(Unread::Later) => return Err(Refusal::Later),
        }
    }
    let Some(generation) = read.iter().map(|it| it.generation).max() else {
        // A torn first record: nothing was done yet.
        return Ok(Standing::Empty);
    };
    // Records of earlier deploys stand behind those that were written over.
    let records: BTreeMap<u32, Record> = read
        .into_iter()
        .filter(|it| it.generation == generation)
        .map(|it| (it.number, it.record))
        .collect();
    if let Some(Record::Closed { verdict, .. }) = records.values().next_back()
        && !records.contains_key(&1)
    {
        // The next deploy began to write its first record over this one's, and did not get done.
        let verdict = *verdict;
        return Ok(Standing::Closed {
            generation,
            verdict,
        });
    }
    let last = records.keys().next_back().copied().unwrap_or(0);
    if let Some(number) = (1..=last).find(|number| !records.contains_key(number)) {
        return Err(if torn.contains(&number) {
            Refusal::Damaged { generation, number }
        } else {
            Refusal::Missing { generation, number }
        });
    }
    follow(generation, records)
}

/// What a deploy has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Nothing,
    Forward,
    Committed,
    Returning,
    Closed,
}

impl Stage {
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
    fn then(self, record: &Record) -> Option<Self> {
        Some(match (self, record) {
            (Self::Nothing, Record::Planned(_)) | (Self::Forward, Record::Begun { .. }) => {
                Self::Forward
            }
            // A part that failed goes back before the rest is committed.
            (Self::Forward, Record::Committed { .. })
            | (Self::Returning, Record::Committed { split: Some(_) }) => Self::Committed,
            // Whoever goes back after a recovery that was cut off says so again.
            (Self::Forward | Self::Returning, Record::Returning { .. }) => Self::Returning,
            (Self::Forward | Self::Committed | Self::Returning, Record::Closed { .. }) => {
                Self::Closed
            }
            _ => return None,
        })
    }
}

fn said(record: &Record) -> &'static str {
    match record {
        Record::Planned(_) => "`planned`",
        Record::Begun { .. } => "`begun`",
        Record::Committed { .. } => "`committed`",
        Record::Returning { .. } => "`returning`",
        Record::Closed { .. } => "`closed`",
    }
}

fn follow(generation: u64, records: BTreeMap<u32, Record>) -> Result<Standing, Refusal> {
    let mut stage = Stage::Nothing;
    let mut open: Option<Open> = None;
    let mut end = None;
    for (number, record) in records {
        stage = stage.then(&record).ok_or(Refusal::Order {
            generation,
            number,
            said: said(&record),
            before: stage.shown(),
        })?;
        match (record, &mut open) {
            (Record::Planned(planned), _) => {
                open = Some(Open {
                    planned: *planned,
                    begun: BTreeSet::new(),
                    committed: false,
                    split: None,
                    returning: None,
                    records: 0,
                });
            }
            (Record::Begun { steps }, Some(open)) => {
                let unknown = |step: &&StepId| step.0 >= open.planned.plan.steps.len();
                if let Some(StepId(step)) = steps.iter().find(unknown).copied() {
                    return Err(Refusal::UnknownStep {
                        generation,
                        number,
                        step,
                    });
                }
                open.begun.extend(steps);
            }
            (Record::Committed { split }, Some(open)) => {
                open.committed = true;
                open.split = split;
            }
            (Record::Returning { cause }, Some(open)) => open.returning = Some(cause),
            (Record::Closed { verdict, .. }, _) => end = Some(verdict),
            (_, None) => {}
        }
        if let Some(open) = &mut open {
            open.records = number;
        }
    }
    Ok(match (end, open) {
        (Some(verdict), _) => Standing::Closed {
            generation,
            verdict,
        },
        (None, Some(open)) => Standing::Open(Box::new(open)),
        (None, None) => Standing::Empty,
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::journal::{Shelf, Writer};

    fn begun(step: usize) -> Record {
        Record::Begun {
            steps: vec![StepId(step)],
        }
    }

    fn returning() -> Record {
        Record::Returning {
            cause: "a gate".to_owned(),
        }
    }

    fn closed(verdict: Verdict) -> Record {
        Record::Closed {
            verdict,
            took: Duration::from_secs(1),
            cause: None,
        }
    }

    /// The journal's pages after these records of a deploy, each in its place.
    fn journal(shelf: &mut BTreeMap<String, Page>, generation: u64, records: &[Record]) {
        let mut writer = Writer::new(Planned::sample(generation));
        let opening = writer.opening().unwrap();
        for record in [opening].iter().chain(records) {
            let pages = writer.pages(record);
            writer.written(record);
            let pages = pages.into_iter().filter(|it| it.shelf == Shelf::Journal);
            shelf.extend(pages.map(|page| (page.name.clone(), page)));
        }
    }

    fn standing(records: &[Record]) -> Result<Standing, Refusal> {
        let mut shelf = BTreeMap::new();
        journal(&mut shelf, 7, records);
        replay(&shelf.into_values().collect::<Vec<_>>())
    }

    fn open(records: &[Record]) -> Open {
        match standing(records).unwrap() {
            Standing::Open(open) => *open,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let open = open(&[begun(0)]);
        assert_eq!(open.planned, Planned::sample(7));
        assert_eq!((open.records, open.committed), (2, false));
        assert_eq!(open.begun, BTreeSet::from([StepId(0)]));
        // Neither container was made by the plan: only what was said to begin may have been done.
        assert_eq!(open.attempted(), BTreeSet::from([StepId(0)]));
    }

    #[test]
    fn each_stage_is_told_apart() {
        assert!(open(&[Record::Committed { split: None }]).committed);
        let back = open(&[begun(0), returning(), returning()]);
        assert_eq!(back.returning.as_deref(), Some("a gate"));
        let verdict = Verdict::RolledBack;
        let end = standing(&[begun(0), returning(), closed(verdict)]);
        assert_eq!(
            end,
            Ok(Standing::Closed {
                generation: 7,
                verdict
            })
        );
        assert_eq!(replay(&[]), Ok(Standing::Empty));
    }

    #[test]
    fn a_torn_last_record_counts_as_none() {
        let mut shelf = BTreeMap::new();
        journal(
            &mut shelf,
            7,
            &[begun(0), Record::Committed { split: None }],
        );
        shelf.get_mut("000003").unwrap().content.truncate(90);
        let pages: Vec<Page> = shelf.into_values().collect();
        assert!(matches!(replay(&pages), Ok(Standing::Open(open)) if !open.committed));
    }

    #[test]
    fn what_was_not_written_leaves_no_gap_and_does_not_count() {
        let mut writer = Writer::new(Planned::sample(7));
        let mut shelf = BTreeMap::new();
        let records = [
            (writer.opening().unwrap(), true, true),
            (begun(0), false, false),
            // The answer was lost: it is there, and whoever wrote it went back.
            (Record::Committed { split: None }, true, false),
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
        let Ok(Standing::Open(open)) = replay(&pages) else {
            panic!("{:?}", replay(&pages));
        };
        assert_eq!((open.committed, open.records), (false, 2));
        assert_eq!(open.returning.as_deref(), Some("a gate"));
    }

    #[test]
    fn a_later_deploy_writes_over_an_earlier_one() {
        let mut shelf = BTreeMap::new();
        let all = [begun(0), begun(1), closed(Verdict::Converged)];
        journal(&mut shelf, 7, &all);
        let before = shelf.clone();
        journal(&mut shelf, 8, &[begun(1)]);
        let pages: Vec<Page> = shelf.values().cloned().collect();
        assert!(matches!(replay(&pages), Ok(Standing::Open(open)) if open.begun.len() == 1));
        // Torn at its very beginning it has not begun, and the earlier one is still closed.
        let mut torn = before;
        torn.get_mut("000001").unwrap().content.truncate(50);
        let pages: Vec<Page> = torn.into_values().collect();
        assert_eq!(replay(&pages).unwrap().generation(), 7);
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
        let order = |records: &[Record]| match standing(records) {
            Err(Refusal::Order { said, before, .. }) => format!("{said} after {before}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            order(&[Record::Committed { split: None }, begun(0)]),
            "`begun` after a commit"
        );
        assert_eq!(
            order(&[Record::Committed { split: None }, returning()]),
            "`returning` after a commit"
        );
        assert_eq!(
            order(&[returning(), Record::Committed { split: None }]),
            "`committed` after a way back"
        );
        let end = closed(Verdict::Converged);
        assert_eq!(order(&[end, begun(0)]), "`begun` after the end");
        assert!(matches!(
            standing(&[begun(9)]),
            Err(Refusal::UnknownStep {
                step: 9,
                number: 2,
                ..
            })
        ));

        let mut shelf = BTreeMap::new();
        journal(
            &mut shelf,
            7,
            &[begun(0), Record::Committed { split: None }],
        );
        let mut damaged = shelf.clone();
        damaged.get_mut("000002").unwrap().content.truncate(90);
        let pages: Vec<Page> = damaged.into_values().collect();
        let generation = 7;
        assert_eq!(
            replay(&pages),
            Err(Refusal::Damaged {
                generation,
                number: 2
            })
        );
        shelf.remove("000002");
        let pages: Vec<Page> = shelf.into_values().collect();
        assert_eq!(
            replay(&pages),
            Err(Refusal::Missing {
                generation,
                number: 2
            })
        );
    }
}
