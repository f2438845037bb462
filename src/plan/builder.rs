//! A plan in the making: steps under keys, so that they can be named before they are numbered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Step, StepId, StepKind, Subject};
use crate::{
    graph,
    name::{ContainerName, ImageRef},
};

/// By what a step is known while a plan is made.
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
    /// A kept container gets its networks back.
    Attach(ContainerName),
    /// Traffic is switched to a new container.
    Cutover(ContainerName),
    /// An old container goes on for a while.
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
    /// Adds a step, unless there is one under its key.
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

    /// Whether there is a step under this key.
    pub fn has(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    /// Whether nothing is changed so far.
    pub fn is_empty_of_actions(&self) -> bool {
        !self
            .entries
            .iter()
            .any(|entry| matches!(entry.step.kind, StepKind::Action(_)))
    }

    /// Lets a step wait for one more, where both exist.
    pub fn needs(&mut self, key: &Key, need: Key) {
        if let Some(place) = self.places.get(key) {
            self.entries[*place].needs.insert(need);
        }
    }

    /// Lets a step wait for one more, where both exist and the other does not wait for it.
    pub fn after_if_acyclic(&mut self, key: &Key, need: Key) {
        if !self.waits_for(&need, key) {
            self.needs(key, need);
        }
    }

    /// Whether a step waits for another one, directly or not.
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

    /// Lets a step, and the hooks before it, wait for nothing but these.
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

    /// Numbers the steps so that each comes after what it needs; needs without a step fall away.
    ///
    /// # Errors
    /// With the objects of steps that wait for each other in a circle.
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
