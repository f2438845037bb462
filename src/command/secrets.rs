//! `cimandat secret list`: lists secrets with their source and consumers, but never a value.

use std::{fmt::Write as _, time::SystemTime};

use jiff::Timestamp;

use super::{
    CommandError, CommandOutcome, Console, DataFormat, ProjectSelector, load, print, print_json,
};
use crate::{
    engine::docker::Settings,
    project::{
        resolve::{Kept, Source, inventory},
        vault::StoreMode,
    },
    report::table::table,
};

/// The `secret list` command.
#[derive(Debug)]
pub struct Secrets {
    /// Output format.
    pub format: DataFormat,
}

impl Secrets {
    pub(super) fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let manifest = load::manifest(scope)?;
        let resolution = load::resolution(scope, settings, StoreMode::ReadOnly, &[]);
        let kept = inventory(&manifest, &resolution);
        match self.format {
            DataFormat::Text => {
                let rows: Vec<Vec<String>> = kept.iter().map(row).collect();
                let headers = ["NAME", "FROM", "DIGEST", "MADE", "USED BY"];
                let width = console.terminal_out.then(|| usize::from(console.width));
                print(&table(&headers, &rows, width));
            }
            DataFormat::Json => print_json(&serde_json::json!({
                "version": 1,
                "project": scope.project.as_ref().unwrap_or(&manifest.project),
                "secrets": kept.iter().map(json).collect::<Vec<_>>(),
            })),
        }
        Ok(CommandOutcome::Ok)
    }
}

fn row(kept: &Kept) -> Vec<String> {
    let mut users = String::new();
    for user in &kept.users {
        let _ = write!(users, "{}{user}", if users.is_empty() { "" } else { ", " });
    }
    let digest = match (&kept.digest, &kept.trouble) {
        (Some(digest), _) => format!("#{}", digest.get(..6).unwrap_or(digest)),
        (None, Some(trouble)) => trouble.clone(),
        (None, None) => "not made yet".to_owned(),
    };
    vec![
        kept.name.clone(),
        source(&kept.source),
        digest,
        kept.made.and_then(minute).unwrap_or_default(),
        users,
    ]
}

fn source(source: &Source) -> String {
    match source {
        Source::Generated(recipe) => format!("made: {recipe}"),
        Source::File(path) => format!("file {path}"),
        Source::Variable(name) => format!("variable {name}"),
        Source::Certificate(until) => {
            match until.and_then(|end| Timestamp::from_second(end).ok()) {
                Some(end) => format!("certificate until {}", end.strftime("%Y-%m-%d")),
                None => "certificate".to_owned(),
            }
        }
    }
}

/// Formats a time in UTC, to the minute.
fn minute(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%d %H:%MZ").to_string())
}

fn json(kept: &Kept) -> serde_json::Value {
    let end = |until: &Option<i64>| until.and_then(|end| Timestamp::from_second(end).ok());
    let source = match &kept.source {
        Source::Generated(recipe) => {
            serde_json::json!({"kind": "generated", "recipe": recipe.to_string()})
        }
        Source::File(path) => serde_json::json!({"kind": "file", "path": path}),
        Source::Variable(name) => serde_json::json!({"kind": "variable", "variable": name}),
        Source::Certificate(until) => {
            serde_json::json!({"kind": "certificate", "until": end(until)})
        }
    };
    serde_json::json!({
        "name": kept.name,
        "source": source,
        "digest": kept.digest,
        "made": kept.made.and_then(|time| Timestamp::try_from(time).ok()),
        "used_by": kept.users,
        "trouble": kept.trouble,
    })
}
