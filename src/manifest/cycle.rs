//! Cycles in small graphs of names, with the span of each step.
//!
//! The graph of a deploy is in `graph`. This one is used before there is anything to deploy, and
//! keeps the spans for the error message.

use std::collections::{BTreeMap, BTreeSet};

use crate::span::Span;

/// Edges from each name to the names that it refers to, with the span of each reference.
pub(super) type Edges<'a> = BTreeMap<&'a str, Vec<(&'a str, Span)>>;

/// A step: from, to, and the span of the reference.
pub(super) type Step<'a> = (&'a str, &'a str, Span);

/// Returns the cycles of two names or more. For each name that is in no earlier cycle, the result
/// has the shortest cycle through that name, starting with it. Names are visited in alphabetical
/// order.
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

/// Formats a cycle as `` `a` → `b` → `a` ``.
pub(super) fn shown(circle: &[Step<'_>]) -> String {
    let mut names: Vec<_> = circle
        .iter()
        .map(|(from, _, _)| format!("`{from}`"))
        .collect();
    names.extend(circle.first().map(|(from, _, _)| format!("`{from}`")));
    names.join(" → ")
}

/// Returns the shortest path from a name back to itself, through at least one other name, by
/// breadth-first search.
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
    fn circles_cover_every_name_in_a_cycle() {
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
