//! How many containers something happens to, in the words that plans and the ends of runs share.

use std::collections::BTreeMap;

use super::Change;

/// Each change with what it is called before and after it, in the order in which people read them.
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
    /// What it is called after it: `created`.
    #[must_use]
    pub fn done(self) -> &'static str {
        let words = WORDS.iter().find(|(change, ..)| *change == self);
        words.map_or("", |(_, _, done)| done)
    }
}

/// How many containers something happens to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Change, usize>);

impl Counts {
    /// Of one change.
    #[must_use]
    pub fn of(&self, change: Change) -> usize {
        self.0.get(&change).copied().unwrap_or(0)
    }

    /// Of everything.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// `1 to create, 5 unchanged`; empty for no containers.
    #[must_use]
    pub fn to_do(&self) -> String {
        self.parts(|(_, to_do, _)| (*to_do).to_owned())
    }

    /// `1 created, 5 unchanged`, with what `more` says behind the word of a change.
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
    fn counts_read_alike_before_and_after() {
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
