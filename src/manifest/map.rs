//! Names with values, in each of their forms: `label "k" "v"`, `label k="v"`, `label { k "v" }`,
//! and `env "K"` for a name whose value is set elsewhere.

use std::collections::BTreeMap;

use super::{
    context::LowerContext,
    node::Node,
    reader::Reader,
    scalar::{Read, invalid, placed},
};
use crate::span::Spanned;

/// A name with its value, if any.
pub(super) type Pair<T> = (String, Spanned<Option<T>>);

/// Reads all pairs of a node; a name may have no value.
pub(super) fn open_pairs<T: Read>(node: &Node, scope: &LowerContext<'_>) -> Vec<Pair<T>> {
    let mut reader = Reader::new(node, scope);
    let mut pairs = Vec::new();
    if let Some(name) = reader.next() {
        let value = reader.next();
        match (key(name, scope), value) {
            (Some(key), Some(value)) => pairs.extend(valued(key, placed(value, scope))),
            (Some(key), None) => pairs.push((key, Spanned::new(None, name.span))),
            (None, _) => {}
        }
    }
    for (name, value) in reader.others() {
        pairs.extend(valued(name, Some(value)));
    }
    for child in reader.children() {
        let mut inner = Reader::new(child, scope);
        match inner.next() {
            Some(value) => pairs.extend(valued(child.name.value.clone(), placed(value, scope))),
            None => pairs.push((
                child.name.value.clone(),
                Spanned::new(None, child.name.span),
            )),
        }
        inner.end();
    }
    if pairs.is_empty() && node.arguments.is_empty() && node.properties.is_empty() {
        let name = &node.name.value;
        reader.missing(
            "a name and a value",
            Some(&format!("`{name} NAME=\"value\"`")),
        );
    }
    reader.end();
    pairs
}

/// Reads all pairs of a node; each name must have a value.
pub(super) fn pairs(node: &Node, scope: &LowerContext<'_>) -> BTreeMap<String, String> {
    let mut complete = BTreeMap::new();
    for (name, value) in open_pairs::<String>(node, scope) {
        match value.value {
            Some(text) => drop(complete.insert(name, text)),
            None => Reader::new(node, scope).missing(&format!("a value for `{name}`"), None),
        }
    }
    complete
}

fn valued<T>(name: String, value: Option<Spanned<T>>) -> Option<Pair<T>> {
    value.map(|value| (name, value.map(Some)))
}

fn key(scalar: &super::node::Scalar, scope: &LowerContext<'_>) -> Option<String> {
    let name = String::read(scalar, scope)?;
    if name.contains('=') {
        let help = "name and value are one property: `NAME=\"value\"`";
        return invalid(scalar, scope, "a name", Some(help));
    }
    Some(name)
}
