//! Reads a journal: where did the last deploy stop?
//!
//! A history that cannot have happened is refused with what is wrong about it, and never guessed
//! at. A torn last record is as good as none: what it would have allowed was not done.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{
    Page, Planned, Record,
    page::{Numbered, Unread},
};
use crate::{event::Verdict, plan::StepId};

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
    for page in pages {
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
            (Self::Forward, Record::Committed) => Self::Committed,
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
        Record::Committed => "`committed`",
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
            (Record::Committed, Some(open)) => open.committed = true,
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
