//! The dependency graph: services, jobs and gates as nodes, based on petgraph.
//!
//! It does not depend on actions or on the engine. `plan` uses it for the order of steps, `command
//! graph` renders it.

mod draw;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{
    Direction,
    algo::{kosaraju_scc, toposort},
    graph::{DiGraph, NodeIndex},
};
use serde::Serialize;

use crate::{
    name::ServiceName,
    project::{Kind, Project, Until},
};

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "node", content = "service", rename_all = "lowercase")]
pub enum Node {
    /// The containers of a service run.
    Service(ServiceName),
    /// The container of a job runs.
    Job(ServiceName),
    /// The gate of a service or job has passed.
    Gate(ServiceName),
}

impl Node {
    /// Returns the service or job of the node.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Service(name) | Self::Job(name) | Self::Gate(name) => name,
        }
    }
}

/// The dependency graph of a project. An edge points from a node to a node that waits for it.
#[derive(Debug, Clone)]
pub struct Graph {
    inner: DiGraph<Node, ()>,
    index: BTreeMap<Node, NodeIndex>,
    gates: BTreeMap<ServiceName, Vec<String>>,
}

impl Graph {
    /// Builds the graph of a project. Ignores dependencies on services that are not part of the
    /// project: `resolve` has already checked the required ones.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let mut graph = Self {
            inner: DiGraph::new(),
            index: BTreeMap::new(),
            gates: BTreeMap::new(),
        };
        for service in project.services.values() {
            let name = service.name.clone();
            let node = match service.kind {
                Kind::Service => Node::Service(name.clone()),
                Kind::Job { .. } => Node::Job(name.clone()),
            };
            let probes = service
                .ready
                .probes
                .iter()
                .map(ToString::to_string)
                .collect();
            graph.gates.insert(name.clone(), probes);
            let runs = graph.node(node);
            let gate = graph.node(Node::Gate(name));
            graph.inner.add_edge(runs, gate, ());
        }
        for service in project.services.values() {
            let Some(waiting) = graph.runs(&service.name) else {
                continue;
            };
            for (dependency, condition) in &service.depends_on {
                let first = match condition.until {
                    Until::Started => graph.runs(dependency),
                    Until::Ready | Until::Completed => {
                        graph.index.get(&Node::Gate(dependency.clone())).copied()
                    }
                };
                if let Some(first) = first {
                    graph.inner.update_edge(first, waiting, ());
                }
            }
        }
        graph
    }

    fn node(&mut self, node: Node) -> NodeIndex {
        let inner = &mut self.inner;
        *self
            .index
            .entry(node.clone())
            .or_insert_with(|| inner.add_node(node))
    }

    fn runs(&self, service: &ServiceName) -> Option<NodeIndex> {
        let service = service.clone();
        self.index
            .get(&Node::Service(service.clone()))
            .or_else(|| self.index.get(&Node::Job(service)))
            .copied()
    }

    /// Returns the services in dependency order. Services of the same level are sorted by name.
    ///
    /// # Errors
    /// Returns the services of a cycle, if there is one.
    pub fn order(&self) -> Result<Vec<ServiceName>, Vec<ServiceName>> {
        if toposort(&self.inner, None).is_err() {
            let cycle = kosaraju_scc(&self.inner)
                .into_iter()
                .find(|group| group.len() > 1);
            let services: BTreeSet<_> = cycle
                .unwrap_or_default()
                .into_iter()
                .map(|node| self.inner[node].service().clone())
                .collect();
            return Err(services.into_iter().collect());
        }
        Ok(self.levels().into_iter().flatten().collect())
    }

    /// Returns the services by level. A service of a level depends on a service of the level
    /// before. The graph must not contain a cycle.
    #[must_use]
    pub fn levels(&self) -> Vec<Vec<ServiceName>> {
        let mut level: BTreeMap<&ServiceName, usize> = BTreeMap::new();
        for node in toposort(&self.inner, None).unwrap_or_default() {
            let service = self.inner[node].service();
            let own = self
                .inner
                .neighbors_directed(node, Direction::Incoming)
                .map(|before| self.inner[before].service())
                .filter(|before| *before != service)
                .filter_map(|before| level.get(before))
                .max()
                .map_or(0, |highest| highest + 1);
            let known = level.entry(service).or_insert(own);
            *known = own.max(*known);
        }
        let mut levels = vec![Vec::new(); level.values().max().map_or(0, |last| last + 1)];
        for (service, place) in level {
            levels[place].push(service.clone());
        }
        levels
    }

    /// Returns these services and their direct and indirect dependencies.
    #[must_use]
    pub fn with_dependencies<'a>(
        &self,
        services: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<ServiceName> {
        self.reach(services, Direction::Incoming)
    }

    /// Returns these services and their direct and indirect dependents.
    #[must_use]
    pub fn with_dependents<'a>(
        &self,
        services: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<ServiceName> {
        self.reach(services, Direction::Outgoing)
    }

    fn reach<'a>(
        &self,
        services: impl IntoIterator<Item = &'a ServiceName>,
        direction: Direction,
    ) -> BTreeSet<ServiceName> {
        let mut found: BTreeSet<NodeIndex> = BTreeSet::new();
        let mut open: Vec<NodeIndex> = services
            .into_iter()
            .filter_map(|service| self.runs(service))
            .collect();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(self.inner.neighbors_directed(node, direction));
            }
        }
        found
            .into_iter()
            .map(|node| self.inner[node].service().clone())
            .collect()
    }

    /// Returns the longest chain of services that depend on one another, from first to last. Of
    /// several longest chains, returns the first by name. The graph must not contain a cycle.
    #[must_use]
    pub fn longest_chain(&self) -> Vec<ServiceName> {
        let mut best: BTreeMap<NodeIndex, (usize, Option<NodeIndex>)> = BTreeMap::new();
        for node in toposort(&self.inner, None).unwrap_or_default() {
            let before = self
                .inner
                .neighbors_directed(node, Direction::Incoming)
                .filter_map(|before| best.get(&before).map(|(length, _)| (*length, before)))
                .max_by(|a, b| {
                    a.0.cmp(&b.0)
                        .then_with(|| self.inner[b.1].cmp(&self.inner[a.1]))
                });
            best.insert(
                node,
                before.map_or((1, None), |(length, at)| (length + 1, Some(at))),
            );
        }
        let last = best.iter().max_by(|a, b| {
            a.1.0
                .cmp(&b.1.0)
                .then_with(|| self.inner[*b.0].cmp(&self.inner[*a.0]))
        });
        let mut chain = Vec::new();
        let mut at = last.map(|(node, _)| *node);
        while let Some(node) = at {
            chain.push(self.inner[node].service().clone());
            at = best[&node].1;
        }
        chain.reverse();
        chain.dedup();
        chain
    }

    /// Returns the edges between nodes, sorted.
    #[must_use]
    pub fn edges(&self) -> Vec<(&Node, &Node)> {
        let mut edges: Vec<_> = self
            .inner
            .edge_indices()
            .filter_map(|edge| self.inner.edge_endpoints(edge))
            .map(|(from, to)| (&self.inner[from], &self.inner[to]))
            .collect();
        edges.sort();
        edges
    }
}

/// Sorts items so that each follows all items that it needs. Among items that could be next, the
/// smallest index comes first. `needs[i]` contains the indices of the items that item `i` needs.
///
/// # Errors
/// Returns the indices of the items in a cycle, and of those that need them.
pub fn sort_by_needs(needs: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut dependents = vec![Vec::new(); needs.len()];
    for (thing, needed) in needs.iter().enumerate() {
        for need in needed {
            dependents[*need].push(thing);
        }
    }
    let mut free: BTreeSet<usize> = (0..needs.len())
        .filter(|thing| missing[*thing] == 0)
        .collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(thing) = free.pop_first() {
        order.push(thing);
        for dependent in &dependents[thing] {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                free.insert(*dependent);
            }
        }
    }
    if order.len() == needs.len() {
        Ok(order)
    } else {
        Err((0..needs.len())
            .filter(|thing| missing[*thing] > 0)
            .collect())
    }
}
