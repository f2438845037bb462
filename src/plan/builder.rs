//! A plan under construction. Steps are added under keys, so that other steps can refer to them
//! before they are numbered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Step, StepId, StepKind, Subject};
use crate::{
    graph,
    name::{ContainerName, ImageRef},
};

/// Identifier of a step while the plan is built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Image(String),
    Network(String),
    RemoveNetwork(String),
    Volume(String),
    Snapshot(String),
    RemoveSnapshot(String),
    Create(ContainerName),
    PreStop(ContainerName, usize),
    Stop(ContainerName),
    Repair(ContainerName, usize),
    /// A container is attached to its networks outside of a cutover.
    Attach(ContainerName),
    /// Traffic is switched to a new container.
    Cutover(ContainerName),
    /// An old container keeps running to finish its connections.
    Drain(String),
    Start(ContainerName),
    Gate(ContainerName),
    PostStart(ContainerName, usize),
    Verify(usize),
    Remove(ContainerName),
    Rename(ContainerName),
    Policy(ContainerName),
    Tag(ImageRef),
    Collect(ImageRef),
}

struct Entry {
    step: Step,
    needs: BTreeSet<Key>,
}

/// Steps by key, in the order in which they were added.
#[derive(Default)]
pub(super) struct PlanBuilder {
    entries: Vec<Entry>,
    places: BTreeMap<Key, usize>,
}

impl PlanBuilder {
    /// Adds a step, unless a step with its key exists.
    pub fn add(&mut self, key: Key, step: Step, needs: impl IntoIterator<Item = Key>) {
        if self.places.contains_key(&key) {
            return;
        }
        self.places.insert(key, self.entries.len());
        self.entries.push(Entry {
            step,
            needs: needs.into_iter().collect(),
        });
    }

    /// Returns whether a step with this key exists.
    pub fn has(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    /// Returns whether the plan contains no actions so far.
    pub fn is_empty_of_actions(&self) -> bool {
        !self
            .entries
            .iter()
            .any(|entry| matches!(entry.step.kind, StepKind::Action(_)))
    }

    /// Adds a dependency to a step, if both exist.
    pub fn needs(&mut self, key: &Key, need: Key) {
        if let Some(place) = self.places.get(key) {
            self.entries[*place].needs.insert(need);
        }
    }

    /// Adds a dependency to a step, if both exist and the dependency does not wait for the step.
    pub fn after_if_acyclic(&mut self, key: &Key, need: Key) {
        if !self.waits_for(&need, key) {
            self.needs(key, need);
        }
    }

    /// Returns whether a step depends on another one, directly or transitively.
    fn waits_for(&self, key: &Key, other: &Key) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![key];
        while let Some(key) = open.pop() {
            if key == other {
                return true;
            }
            let entry = self.places.get(key).and_then(|it| self.entries.get(*it));
            if let Some(entry) = entry.filter(|_| seen.insert(key)) {
                open.extend(&entry.needs);
            }
        }
        false
    }

    /// Limits the dependencies of a stop, and of the hooks before it, to these keys.
    pub fn reprioritize(&mut self, stop: &Key, needs: &BTreeSet<Key>) {
        let Some(place) = self.places.get(stop).copied() else {
            return;
        };
        let is_hook = |key: &&Key| matches!(key, Key::PreStop(..));
        let hooks: Vec<Key> = self.entries[place]
            .needs
            .iter()
            .filter(is_hook)
            .cloned()
            .collect();
        for hook in &hooks {
            if let Some(place) = self.places.get(hook) {
                self.entries[*place]
                    .needs
                    .retain(|need| needs.contains(need) || hooks.contains(need));
            }
        }
        self.entries[place].needs = needs.iter().cloned().chain(hooks).collect();
    }

    /// Numbers the steps so that each comes after its dependencies. Dependencies without a step are
    /// dropped.
    ///
    /// # Errors
    /// Returns the subjects of steps that depend on each other in a cycle.
    pub fn finish(self) -> Result<Plan, Vec<Subject>> {
        let needs: Vec<BTreeSet<usize>> = self
            .entries
            .iter()
            .map(|entry| {
                entry
                    .needs
                    .iter()
                    .filter_map(|key| self.places.get(key))
                    .copied()
                    .collect()
            })
            .collect();
        let order = graph::sort_by_needs(&needs).map_err(|stuck| {
            stuck
                .into_iter()
                .map(|place| self.entries[place].step.subject.clone())
                .collect::<Vec<_>>()
        })?;
        let mut number = vec![StepId(0); order.len()];
        for (index, place) in order.iter().enumerate() {
            number[*place] = StepId(index);
        }
        let mut steps: Vec<Option<Step>> = self.entries.into_iter().map(|e| Some(e.step)).collect();
        let steps = order
            .into_iter()
            .filter_map(|place| {
                let mut step = steps[place].take()?;
                step.requires = needs[place].iter().map(|need| number[*need]).collect();
                Some(step)
            })
            .collect();
        Ok(Plan { steps })
    }
}
