//! `cimandat graph`: who waits for whom. Needs no engine.

use super::{CommandError, Done, Scope, load, say, say_json};
use crate::engine::docker::Settings;
use crate::graph;
use crate::project::vault::StoreMode;

/// Draw the graph.
#[derive(Debug)]
pub struct Graph {
    /// In which language.
    pub picture: Picture,
}

/// The language of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
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
    pub(super) fn run(&self, scope: &Scope, engine: &Settings) -> Result<Done, CommandError> {
        let project = load::project(scope, engine, StoreMode::Check, &[])?;
        let graph = graph::Graph::of(&project);
        match self.picture {
            Picture::Text => say(&graph.text()),
            Picture::Dot => say(&graph.dot()),
            Picture::Mermaid => say(&graph.mermaid()),
            Picture::Json => say_json(&serde_json::json!({
                "version": 1,
                "project": project.name,
                "levels": graph.levels(),
                "edges": graph.edges(),
                "longest_chain": graph.longest_chain(),
            })),
        }
        Ok(Done::Well)
    }
}
