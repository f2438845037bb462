//! `cimandat check`: validates the manifest. Needs no engine and changes nothing.

use super::{CommandError, CommandOutcome, DataFormat, ProjectSelector, load, print, print_json};
use crate::engine::docker::Settings;
use crate::graph::Graph;
use crate::project::vault::StoreMode;

/// The `check` command.
#[derive(Debug)]
pub struct Check {
    /// Output format.
    pub format: DataFormat,
}

impl Check {
    pub(super) fn run(
        &self,
        scope: &ProjectSelector,
        engine: &Settings,
    ) -> Result<CommandOutcome, CommandError> {
        let project = match (
            load::project(scope, engine, StoreMode::Check, &[]),
            self.format,
        ) {
            (Err(CommandError::Manifest(report)), DataFormat::Json) => {
                print_json(&serde_json::json!({
                    "version": 1, "ok": false, "errors": report.entries(),
                }));
                return Err(CommandError::Manifest(report));
            }
            (loaded, _) => loaded?,
        };
        let order = Graph::of(&project).order().unwrap_or_default();
        match self.format {
            DataFormat::Json => print_json(&serde_json::json!({
                "version": 1, "ok": true, "project": project.name, "services": order,
                "errors": [],
            })),
            DataFormat::Text => {
                let order: Vec<&str> = order.iter().map(crate::name::ServiceName::as_str).collect();
                print(&format!(
                    "{}: no errors; start order: {}\n",
                    project.name,
                    order.join(", ")
                ));
            }
        }
        Ok(CommandOutcome::Ok)
    }
}
