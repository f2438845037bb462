//! `cimandat graph`: draws the dependency graph. Needs no engine.

use super::{CommandError, CommandOutcome, ProjectSelector, load, print, print_json};
use crate::engine::docker::Settings;
use crate::graph;
use crate::project::vault::StoreMode;

/// The `graph` command.
#[derive(Debug)]
pub struct Graph {
    /// Output format.
    pub picture: GraphFormat,
}

/// Format of a drawn graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// Text for a terminal.
    Text,
    /// The DOT language of `GraphViz`.
    Dot,
    /// The language of Mermaid.
    Mermaid,
    /// JSON for programs.
    Json,
}

impl Graph {
    pub(super) fn run(
        &self,
        scope: &ProjectSelector,
        engine: &Settings,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project(scope, engine, StoreMode::Check, &[])?;
        let graph = graph::Graph::of(&project);
        match self.picture {
            GraphFormat::Text => print(&graph.text()),
            GraphFormat::Dot => print(&graph.dot()),
            GraphFormat::Mermaid => print(&graph.mermaid()),
            GraphFormat::Json => print_json(&serde_json::json!({
                "version": 1,
                "project": project.name,
                "levels": graph.levels(),
                "edges": graph.edges(),
                "longest_chain": graph.longest_chain(),
            })),
        }
        Ok(CommandOutcome::Ok)
    }
}
