//! `cimandat history`: lists deploys with author, outcome, and the available rollback source.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::{
    CommandError, CommandOutcome, Console, DataFormat, ProjectSelector, load, print, print_json,
    unfinished::{self, Unfinished},
};
use crate::{
    engine::{
        Engine, Query, StateStore,
        docker::{Docker, Settings},
    },
    event::Outcome,
    journal::{self, Author, Collection, HistoryEntry},
    name::ProjectName,
    report::{table::table, text},
    state::State,
};

/// Width of the table in columns if standard output is not a terminal.
const WIDTH: usize = 100;
/// Number of digits that identify a revision well enough.
const DIGITS: usize = 8;

/// The `history` command.
#[derive(Debug)]
pub struct History {
    /// Output format.
    pub format: DataFormat,
}

impl History {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let entries = entries(&engine, &project).await?;
        let pages = engine.read_pages(&project, Collection::Journal).await?;
        let (unfinished, remark) = unfinished::remark(&pages, &engine, &project).await?;
        let state = engine.observe(&query(&project, &entries)).await?;
        let current = current(&entries).map(|entry| entry.generation);
        let removed = removed(&entries, &state);
        match self.format {
            DataFormat::Text => {
                console.eprint(&remark);
                let ended = entries.iter().rev();
                let ended = ended.map(|entry| row(entry, &state, current));
                let open = unfinished.iter().map(open);
                let rows: Vec<Vec<String>> = open.chain(ended).collect();
                let headers = [
                    "GEN", "WHEN", "WHO", "REVISION", "COMMAND", "OUTCOME", "DURATION", "ROLLBACK",
                ];
                let width = if console.terminal_out {
                    usize::from(console.width)
                } else {
                    WIDTH
                };
                print(&table(&headers, &rows, Some(width)));
                if let Some(removed) = &removed {
                    let (first, last) = (removed.start(), removed.end());
                    console.eprint(&format!(
                        "no record of deploys {first} to {last} is left on the engine: it was removed\n"
                    ));
                }
            }
            DataFormat::Json => print_json(&serde_json::json!({
                "version": 1,
                "project": project,
                "current": current,
                "removed": removed.map(|it| [*it.start(), *it.end()]),
                "deploys": entries.iter().map(|it| json(it, &state)).collect::<Vec<_>>(),
                "unfinished": unfinished.map(|it| it.json()),
            })),
        }
        Ok(CommandOutcome::Ok)
    }
}

/// Returns the range of deploys that have no history entry, although later entries or containers
/// prove that they existed.
fn removed(entries: &[HistoryEntry], state: &State) -> Option<RangeInclusive<u64>> {
    if !entries.is_empty() {
        return journal::removed(entries);
    }
    let generations = state.containers.values().map(|it| it.generation);
    generations.max().map(|latest| 1..=latest)
}

/// Reads the history entries, oldest first.
pub(super) async fn entries(
    engine: &impl StateStore,
    project: &ProjectName,
) -> Result<Vec<HistoryEntry>, CommandError> {
    let pages = engine.read_pages(project, Collection::History).await?;
    Ok(journal::entries(&pages))
}

/// Returns the active generation: the newest committed one.
pub(super) fn current(entries: &[HistoryEntry]) -> Option<&HistoryEntry> {
    entries.iter().rev().find(|entry| entry.committed())
}

/// Builds the query for everything that determines the rollback source of each entry.
pub(super) fn query(project: &ProjectName, entries: &[HistoryEntry]) -> Query {
    let images: BTreeSet<_> = entries.iter().flat_map(HistoryEntry::images).collect();
    Query {
        images,
        ..Query::of(project.clone())
    }
}

fn row(entry: &HistoryEntry, state: &State, current: Option<u64>) -> Vec<String> {
    let mark = if current == Some(entry.generation) {
        " *"
    } else {
        ""
    };
    let way_back = match entry.tier(state) {
        _ if current == Some(entry.generation) => "current",
        Some(tier) => tier.shown(),
        None => "-",
    };
    let [when, who, revision] = origin(&entry.author);
    vec![
        format!("{}{mark}", entry.generation),
        when,
        who,
        revision,
        entry.verb.clone(),
        outcome(entry),
        text::took(entry.elapsed),
        way_back.to_owned(),
    ]
}

/// Formats the row of a deploy that has not finished.
fn open(unfinished: &Unfinished) -> Vec<String> {
    let planned = &unfinished.open.planned;
    let [when, who, revision] = origin(&planned.author);
    let outcome = match (unfinished.is_interrupted(), unfinished.open.committed) {
        (false, _) => "running",
        (true, false) => "interrupted, open",
        (true, true) => "committed, interrupted",
    };
    vec![
        planned.generation.to_string(),
        when,
        who,
        revision,
        planned.verb.clone(),
        outcome.to_owned(),
        "-".to_owned(),
        "-".to_owned(),
    ]
}

/// Formats time, author and revision.
fn origin(author: &Author) -> [String; 3] {
    let who = if author.user.is_empty() {
        author.host.clone()
    } else {
        format!("{}@{}", author.user, author.host)
    };
    let revision = author.revision.as_ref().map(|revision| {
        let digits: String = revision.chars().take(DIGITS).collect();
        let changed = revision.ends_with('+') && !digits.ends_with('+');
        format!("{digits}{}", if changed { "+" } else { "" })
    });
    [
        author.at.strftime("%Y-%m-%d %H:%MZ").to_string(),
        who,
        revision.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn outcome(entry: &HistoryEntry) -> String {
    let word = match entry.outcome {
        Outcome::Converged | Outcome::Unchanged => "committed",
        Outcome::Aborted => "failed, nothing changed",
        Outcome::RolledBack if entry.split.is_some() => "failed, rolled back in part",
        Outcome::RolledBack => "failed, rolled back",
        Outcome::Cancelled => "interrupted, rolled back",
        Outcome::RollbackFailed | Outcome::RollbackInterrupted | Outcome::RemovalIncomplete => {
            "failed, abandoned"
        }
    };
    match &entry.cause {
        // The cause only repeats the outcome.
        Some(_) if entry.outcome == Outcome::Cancelled => word.to_owned(),
        Some(cause) => format!("{word}: {cause}"),
        None => word.to_owned(),
    }
}

fn json(entry: &HistoryEntry, state: &State) -> serde_json::Value {
    serde_json::json!({
        "generation": entry.generation,
        "command": entry.verb,
        "author": entry.author,
        "outcome": entry.outcome,
        "committed": entry.committed(),
        "split": entry.split,
        "seconds": entry.elapsed.as_secs_f64(),
        "cause": entry.cause,
        "rollback_source": entry.tier(state),
        "containers": entry.made,
        "tags": entry.tags,
    })
}
