//! Circles in small graphs of names, with the place of each step.
//!
//! The real graph of a deploy is `graph`'s; this one lives before there is anything to deploy,
//! and keeps the places for the message.

use std::collections::{BTreeMap, BTreeSet};

use crate::span::Span;

/// For each name, the names it points to and where it says so.
pub(super) type Edges<'a> = BTreeMap<&'a str, Vec<(&'a str, Span)>>;

/// A step: from, to, and where it is written.
pub(super) type Step<'a> = (&'a str, &'a str, Span);

/// Circles of two names or more: for each name that is in none of those found before, the
/// shortest through it, beginning with it. Names go in the order of the alphabet.
pub(super) fn circles<'a>(edges: &Edges<'a>) -> Vec<Vec<Step<'a>>> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut circles = Vec::new();
    for start in edges.keys().copied() {
        if known.contains(start) {
            continue;
        }
        if let Some(circle) = shortest(edges, start) {
            known.extend(circle.iter().map(|(from, _, _)| *from));
            circles.push(circle);
        }
    }
    circles
}

/// `` `a` → `b` → `a` ``.
pub(super) fn shown(circle: &[Step<'_>]) -> String {
    let mut names: Vec<_> = circle
        .iter()
        .map(|(from, _, _)| format!("`{from}`"))
        .collect();
    names.extend(circle.first().map(|(from, _, _)| format!("`{from}`")));
    names.join(" → ")
}

/// The shortest way from a name back to itself, through at least one other: breadth first.
fn shortest<'a>(edges: &Edges<'a>, start: &'a str) -> Option<Vec<Step<'a>>> {
    let mut reached: BTreeMap<&str, Step<'a>> = BTreeMap::new();
    let mut front = vec![start];
    while !front.is_empty() {
        let mut next = Vec::new();
        for from in front {
            for (to, at) in edges.get(from).into_iter().flatten() {
                if *to == from || reached.contains_key(to) {
                    continue;
                }
                reached.insert(to, (from, to, *at));
                if *to == start {
                    return Some(trace(&reached, start));
                }
                next.push(*to);
            }
        }
        front = next;
    }
    None
}

fn trace<'a>(reached: &BTreeMap<&str, Step<'a>>, start: &str) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut at = start;
    while let Some(step) = reached.get(at) {
        steps.push(*step);
        at = step.0;
        if at == start {
            break;
        }
    }
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(&'static str, &[&'static str])], expected: &[&str]) {
        let edges: Edges = edges
            .iter()
            .map(|(from, to)| (*from, to.iter().map(|to| (*to, Span::default())).collect()))
            .collect();
        let found: Vec<_> = circles(&edges).iter().map(|circle| shown(circle)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_name_in_a_circle_is_in_one_that_is_told() {
        check(&[("a", &["b"]), ("b", &["c"]), ("c", &[])], &[]);
        check(
            &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])],
            &["`b` → `c` → `b`"],
        );
        check(
            &[("a", &["b", "c"]), ("b", &["a"]), ("c", &["a"])],
            &["`a` → `b` → `a`", "`c` → `a` → `c`"],
        );
        check(&[("a", &["a"])], &[]);
        check(
            &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])],
            &["`a` → `b` → `a`", "`c` → `d` → `c`"],
        );
    }
}
