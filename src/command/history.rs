//! `cimandat history`: what was deployed, by whom, how it ended, and whether there is a way back.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::{CommandError, Console, DataFormat, Done, Scope, load, say, say_json};
use crate::{
    engine::{
        Engine, Ledger, Query,
        docker::{Docker, Settings},
    },
    event::Verdict,
    journal::{self, Entry, Shelf},
    name::ProjectName,
    report::{table::table, text},
    state::State,
};

/// List deploys.
#[derive(Debug)]
pub struct History {
    /// In which form.
    pub format: DataFormat,
}

impl History {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let entries = entries(&engine, &project).await?;
        let state = engine.observe(&query(&project, &entries)).await?;
        let current = current(&entries).map(|entry| entry.generation);
        let removed = removed(&entries, &state);
        match self.format {
            DataFormat::Text => {
                let rows: Vec<Vec<String>> = entries
                    .iter()
                    .rev()
                    .map(|entry| row(entry, &state, current))
                    .collect();
                let headers = [
                    "GENERATION",
                    "WHEN",
                    "WHO",
                    "REVISION",
                    "COMMAND",
                    "OUTCOME",
                    "TOOK",
                    "WAY BACK",
                ];
                let width = console.terminal_out.then(|| usize::from(console.width));
                say(&table(&headers, &rows, width));
                if let Some(removed) = &removed {
                    let (first, last) = (removed.start(), removed.end());
                    console.warn(&format!(
                        "the record of deploys {first} to {last} was removed from the engine\n"
                    ));
                }
            }
            DataFormat::Json => say_json(&serde_json::json!({
                "version": 1,
                "project": project,
                "current": current,
                "removed": removed.map(|it| [*it.start(), *it.end()]),
                "deploys": entries.iter().map(|it| json(it, &state)).collect::<Vec<_>>(),
            })),
        }
        Ok(Done::Well)
    }
}

/// The deploys that are not recorded any more, though they have left something.
fn removed(entries: &[Entry], state: &State) -> Option<RangeInclusive<u64>> {
    if !entries.is_empty() {
        return journal::removed(entries);
    }
    let generations = state.containers.values().map(|it| it.generation);
    generations.max().map(|latest| 1..=latest)
}

/// The deploys that are remembered, oldest first.
pub(super) async fn entries(
    engine: &impl Ledger,
    project: &ProjectName,
) -> Result<Vec<Entry>, CommandError> {
    let pages = engine.read_pages(project, Shelf::History).await?;
    Ok(journal::entries(&pages))
}

/// The generation that is in force: the newest that was committed.
pub(super) fn current(entries: &[Entry]) -> Option<&Entry> {
    entries.iter().rev().find(|entry| entry.committed())
}

/// Everything by which ways back can be told.
pub(super) fn query(project: &ProjectName, entries: &[Entry]) -> Query {
    let images: BTreeSet<_> = entries.iter().flat_map(Entry::images).collect();
    Query {
        images,
        ..Query::of(project.clone())
    }
}

fn row(entry: &Entry, state: &State, current: Option<u64>) -> Vec<String> {
    let author = &entry.author;
    let mark = if current == Some(entry.generation) {
        " *"
    } else {
        ""
    };
    let who = if author.user.is_empty() {
        author.host.clone()
    } else {
        format!("{}@{}", author.user, author.host)
    };
    let way_back = match entry.tier(state) {
        _ if current == Some(entry.generation) => "current",
        Some(tier) => tier.shown(),
        None => "-",
    };
    vec![
        format!("{}{mark}", entry.generation),
        author.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        who,
        author.revision.clone().unwrap_or_else(|| "-".to_owned()),
        entry.verb.clone(),
        outcome(entry),
        text::took(entry.took),
        way_back.to_owned(),
    ]
}

fn outcome(entry: &Entry) -> String {
    let word = match entry.verdict {
        Verdict::Converged | Verdict::Unchanged => "committed",
        Verdict::Untouched => "failed, untouched",
        Verdict::RolledBack if entry.split.is_some() => "failed, rolled back in part",
        Verdict::RolledBack => "failed, rolled back",
        Verdict::Interrupted => "interrupted, rolled back",
        Verdict::Stuck => "failed, given up",
    };
    match &entry.cause {
        Some(cause) => format!("{word}: {cause}"),
        None => word.to_owned(),
    }
}

fn json(entry: &Entry, state: &State) -> serde_json::Value {
    serde_json::json!({
        "generation": entry.generation,
        "command": entry.verb,
        "author": entry.author,
        "verdict": entry.verdict,
        "committed": entry.committed(),
        "split": entry.split,
        "seconds": entry.took.as_secs_f64(),
        "cause": entry.cause,
        "way_back": entry.tier(state),
        "containers": entry.made,
        "tags": entry.tags,
    })
}
