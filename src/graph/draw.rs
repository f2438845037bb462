//! Renders the graph as text for a terminal, as DOT, and as Mermaid.

use std::fmt::Write;

use super::{Graph, Node};
use crate::name::ServiceName;

impl Graph {
    /// Renders the levels from first to last, each service with its gate and its dependencies.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let levels = self.levels();
        for (index, level) in levels.iter().enumerate() {
            let _ = writeln!(text, "{}", if index == 0 { "first" } else { "then" });
            for service in level {
                let job = self.index.contains_key(&Node::Job(service.clone()));
                let mut waits: Vec<&str> = self
                    .edges()
                    .into_iter()
                    .filter(|(from, to)| to.service() == service && from.service() != service)
                    .map(|(from, _)| from.service().as_str())
                    .collect();
                waits.dedup();
                let _ = write!(text, "  {service}{}", if job { " (job)" } else { "" });
                if let Some(probes) = self.gates.get(service) {
                    let _ = write!(text, "  gate: {}", probes.join(" and "));
                }
                if !waits.is_empty() {
                    let _ = write!(text, "  after {}", waits.join(", "));
                }
                text.push('\n');
            }
        }
        let chain = self.longest_chain();
        if chain.len() > 1 {
            let chain: Vec<&str> = chain.iter().map(ServiceName::as_str).collect();
            let _ = writeln!(text, "longest chain: {}", chain.join(" → "));
        }
        text
    }

    /// Renders the graph in the DOT language of `GraphViz`.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph project {\n  rankdir=LR;\n");
        for node in self.index.keys() {
            let (shape, label) = self.look(node);
            let shape = match shape {
                Shape::Box => "box",
                Shape::Round => "ellipse",
                Shape::Diamond => "diamond",
            };
            let label = label.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(
                text,
                "  \"{}\" [shape={shape}, label=\"{label}\"];",
                id(node)
            );
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  \"{}\" -> \"{}\";", id(from), id(to));
        }
        text.push_str("}\n");
        text
    }

    /// Renders the graph as a Mermaid flowchart.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for node in self.index.keys() {
            let (shape, label) = self.look(node);
            let (open, close) = match shape {
                Shape::Box => ("[", "]"),
                Shape::Round => ("(", ")"),
                Shape::Diamond => ("{", "}"),
            };
            let label = label.replace('"', "#quot;");
            let _ = writeln!(text, "  {}{open}\"{label}\"{close}", self.short(node));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  {} --> {}", self.short(from), self.short(to));
        }
        text
    }

    fn look(&self, node: &Node) -> (Shape, String) {
        match node {
            Node::Service(name) => (Shape::Box, name.to_string()),
            Node::Job(name) => (Shape::Round, format!("{name} (job)")),
            Node::Gate(name) => (
                Shape::Diamond,
                self.gates
                    .get(name)
                    .map_or_else(String::new, |g| g.join(" and ")),
            ),
        }
    }

    /// Returns the id of a node: its number, because Mermaid accepts few characters in an id.
    fn short(&self, node: &Node) -> String {
        let place = self
            .index
            .keys()
            .position(|known| known == node)
            .unwrap_or_default();
        format!("n{place}")
    }
}

enum Shape {
    Box,
    Round,
    Diamond,
}

fn id(node: &Node) -> String {
    match node {
        Node::Service(name) | Node::Job(name) => name.to_string(),
        Node::Gate(name) => format!("{name}?"),
    }
}
