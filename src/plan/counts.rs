//! Number of containers per change, in the wording that plans and summaries of runs share.

use std::collections::BTreeMap;

use super::Change;

/// Wording of each change before and after it is applied, in display order.
const WORDS: [(Change, &str, &str); 7] = [
    (Change::Repair, "to repair", "repaired"),
    (Change::Create, "to create", "created"),
    (Change::Replace, "to replace", "replaced"),
    (Change::Start, "to start", "started"),
    (Change::Restart, "to restart", "restarted"),
    (Change::Remove, "to remove", "removed"),
    (Change::NoOp, "unchanged", "unchanged"),
];

impl Change {
    /// Returns the word for the applied change: `created`.
    #[must_use]
    pub fn done(self) -> &'static str {
        let words = WORDS.iter().find(|(change, ..)| *change == self);
        words.map_or("", |(_, _, done)| done)
    }
}

/// Number of containers per change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Change, usize>);

impl Counts {
    /// Returns the number of containers with this change.
    #[must_use]
    pub fn of(&self, change: Change) -> usize {
        self.0.get(&change).copied().unwrap_or(0)
    }

    /// Returns the number of all containers.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// Formats the counts of a plan: `1 to create, 5 unchanged`. The text is empty if there are no
    /// containers.
    #[must_use]
    pub fn to_do(&self) -> String {
        self.parts(|(_, to_do, _)| (*to_do).to_owned())
    }

    /// Formats the counts of a finished run: `1 created, 5 unchanged`. The text that `more` returns
    /// is appended to each change.
    #[must_use]
    pub fn done(&self, more: impl Fn(Change) -> String) -> String {
        self.parts(|(change, _, done)| format!("{done}{}", more(*change)))
    }

    fn parts(&self, word: impl Fn(&(Change, &str, &str)) -> String) -> String {
        let parts = WORDS.iter().filter_map(|words| {
            let number = self.of(words.0);
            (number > 0).then(|| format!("{number} {}", word(words)))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<Change> for Counts {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        let mut counts = Self::default();
        for change in changes {
            *counts.0.entry(change).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_format_planned_and_applied_changes() {
        let changes = [Change::NoOp, Change::Remove, Change::Create, Change::Create];
        let counts: Counts = changes.into_iter().collect();
        assert_eq!(counts.to_do(), "2 to create, 1 to remove, 1 unchanged");
        let named = |change| match change {
            Change::Remove => " (`api`)".to_owned(),
            _ => String::new(),
        };
        let done = "2 created, 1 removed (`api`), 1 unchanged";
        assert_eq!(counts.done(named), done);
        assert_eq!(
            (counts.all(), Counts::default().to_do()),
            (4, String::new())
        );
    }
}
