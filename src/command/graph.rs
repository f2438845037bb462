//! `cimandat graph`: who waits for whom. Needs no engine.

use super::{CommandError, CommandOutcome, ProjectSelector, load, print, print_json};
use crate::engine::docker::Settings;
use crate::graph;
use crate::project::vault::StoreMode;

/// Draw the graph.
#[derive(Debug)]
pub struct Graph {
    /// In which language.
    pub picture: GraphFormat,
}

/// The language of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// For a terminal.
    Text,
    /// For `GraphViz`.
    Dot,
    /// For Mermaid.
    Mermaid,
    /// For programs.
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
