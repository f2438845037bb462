//! Merges the layers of a service: defaults, templates, the service itself, and the same service in
//! later files.
//!
//! The merge works on nodes, before they are lowered to types. So it has one rule for each node
//! (see `merge_rule`) and not one for each field.

use super::{
    context::LowerContext,
    merge_rule::{MergeRule, rule},
    node::{Node, Scalar, Text, Value, plain},
    port,
    reader::Reader,
};
use crate::diagnostic::{ReferenceError, SchemaError, suggest};

/// A node, or a part of one, with the key by which it is merged.
#[derive(Debug, Clone)]
pub(super) struct Item {
    key: String,
    rule: Option<MergeRule>,
    action: Action,
    pub node: Node,
}

/// Effect of a node on the layers below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Lay,
    Remove,
    Replace,
}

/// Annotations that are allowed in parentheses before a node's name.
const ANNOTATIONS: [&str; 2] = ["remove", "replace"];

/// Splits a body into its items. A node that is given twice is an error; `place` names the body in
/// the message.
pub(super) fn explode(body: &[Node], place: &str, scope: &LowerContext<'_>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for node in body {
        for item in parts(node, scope) {
            let several = matches!(
                item.rule,
                None | Some(MergeRule::Lists | MergeRule::Port | MergeRule::Together)
            );
            let twin = items.iter().find(|other| other.key == item.key);
            if let (Some(twin), false) = (twin, several) {
                item.clashes(twin, place, scope);
            } else {
                items.push(item);
            }
        }
    }
    items
}

/// Merges the layers, which are ordered weakest first.
pub(super) fn merge(
    layers: impl IntoIterator<Item = Vec<Item>>,
    scope: &LowerContext<'_>,
) -> Vec<Node> {
    let mut merged: Vec<Item> = Vec::new();
    for layer in layers {
        let below = merged.clone();
        for item in &layer {
            match item.action {
                Action::Remove => remove(&mut merged, item, scope),
                Action::Replace => merged.retain(|other| other.node.name != item.node.name),
                Action::Lay => {}
            }
        }
        for item in layer
            .into_iter()
            .filter(|item| item.action != Action::Remove)
        {
            let under = below.iter().find(|other| other.key == item.key);
            match under {
                Some(under) if item.rule == Some(MergeRule::Deep) && item.action == Action::Lay => {
                    let node = lay(&under.node, &item.node, scope);
                    merged.retain(|other| other.key != item.key);
                    merged.push(Item { node, ..item });
                }
                _ => {
                    // Several items of one layer may have the same key; only those of the layers
                    // below are replaced.
                    merged.retain(|other| {
                        other.key != item.key
                            || !below
                                .iter()
                                .any(|under| under.node.head() == other.node.head())
                    });
                    merged.push(item);
                }
            }
        }
    }
    merged.into_iter().map(|item| item.node).collect()
}

fn remove(merged: &mut Vec<Item>, item: &Item, scope: &LowerContext<'_>) {
    let all = item.node.arguments.is_empty() && item.node.properties.is_empty();
    let before = merged.len();
    merged.retain(|other| {
        let same = other.node.name.value == item.node.name.value;
        !(other.key == item.key || all && same)
    });
    if merged.len() == before {
        scope.mistake(SchemaError::NothingToRemove {
            name: item.shown(),
            at: item.node.head(),
        });
    }
}

/// Merges one node over another: its arguments, if it has any, and its properties and children one
/// by one. A logging driver with another name replaces the node below completely.
pub(super) fn lay(under: &Node, over: &Node, scope: &LowerContext<'_>) -> Node {
    let mut laid = over.clone();
    if over.arguments.is_empty() {
        laid.arguments.clone_from(&under.arguments);
    } else if over.name.value == "logging" && under.first_text() != over.first_text() {
        return laid;
    }
    for (name, value) in &under.properties {
        if over.property(&name.value).is_none() {
            laid.properties.push((name.clone(), value.clone()));
        }
    }
    laid.children = match (&under.children, &over.children) {
        (Some(below), Some(above)) => Some(lay_children(below, above, scope)),
        (below, above) => above.clone().or_else(|| below.clone()),
    };
    laid
}

fn lay_children(below: &[Node], above: &[Node], scope: &LowerContext<'_>) -> Vec<Node> {
    let same =
        |a: &Node, b: &Node| a.name.value == b.name.value && a.first_text() == b.first_text();
    let mut laid = below.to_vec();
    for node in above {
        laid.retain(|other| !same(other, node));
        let (action, node) = annotated(node, scope);
        if action == Action::Replace {
            laid.retain(|other| other.name.value != node.name.value);
        }
        if action != Action::Remove {
            laid.push(node);
        }
    }
    laid
}

/// Splits off the annotation of a node.
pub(super) fn annotated(node: &Node, scope: &LowerContext<'_>) -> (Action, Node) {
    let mut node = node.clone();
    let action = match node.annotation.take() {
        None => Action::Lay,
        Some(word) if word.value == "remove" => Action::Remove,
        Some(word) if word.value == "replace" => Action::Replace,
        Some(word) => {
            let near =
                suggest(&word.value, ANNOTATIONS).map(|near| format!("did you mean `({near})`?"));
            scope.mistake(SchemaError::UnknownAnnotation {
                help: near.or_else(|| {
                    Some("`(remove)` and `(replace)` act on what was inherited".to_owned())
                }),
                word: word.value,
                at: word.span,
            });
            Action::Lay
        }
    };
    (action, node)
}

impl Item {
    /// Reports that this item and its twin are in one layer.
    fn clashes(&self, twin: &Self, place: &str, scope: &LowerContext<'_>) {
        let (at, first) = (self.node.head(), twin.node.head());
        let place = place.to_owned();
        if self.rule == Some(MergeRule::Target) {
            let target = self.key.trim_start_matches("mount ").to_owned();
            return scope.mistake(ReferenceError::MountClash {
                target,
                place,
                at,
                first,
            });
        }
        let name = self.shown();
        scope.mistake(SchemaError::RepeatedNode {
            name,
            place,
            at,
            first,
        });
    }

    /// Formats the item as in a manifest: `` env `A` ``, `limit`.
    fn shown(&self) -> String {
        let node = &self.node;
        let name = &node.name.value;
        match self.key.split_once(' ') {
            Some((_, part)) if !part.is_empty() => format!("{name} {part}"),
            _ => name.clone(),
        }
    }
}

fn parts(node: &Node, scope: &LowerContext<'_>) -> Vec<Item> {
    let (action, node) = annotated(node, scope);
    let name = node.name.value.clone();
    let rule = rule(&name);
    let item = |key: String, node: Node| Item {
        key,
        rule,
        action,
        node,
    };
    let keyed =
        |part: Option<&str>| part.map_or_else(|| name.clone(), |part| format!("{name} {part}"));
    match rule {
        Some(MergeRule::List) if !node.arguments.is_empty() => split(&node)
            .into_iter()
            .map(|part| item(keyed(Some(&key_of(&part))), part))
            .collect(),
        Some(MergeRule::First) => vec![item(keyed(Some(&key_of(&node))), node)],
        Some(MergeRule::Fields | MergeRule::Lists) => {
            fields(&node, rule == Some(MergeRule::Lists), scope)
                .into_iter()
                .map(|(field, part)| item(keyed(Some(&field)), part))
                .collect()
        }
        Some(MergeRule::Target) => {
            let path = node
                .arguments
                .last()
                .and_then(plain)
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned();
            vec![item(format!("mount {path}"), node)]
        }
        Some(MergeRule::Port) => vec![item(keyed(port::key(&node, scope).as_deref()), node)],
        _ => vec![item(name.clone(), node)],
    }
}

fn key_of(node: &Node) -> String {
    let Some(first) = node.arguments.first() else {
        return String::new();
    };
    // A value that is not plain text is equal only to itself.
    let unlike = || format!("@{}", first.span.start());
    plain(first).map_or_else(unlike, str::to_owned)
}

/// Splits a node into one for each argument, all with the same properties.
fn split(node: &Node) -> Vec<Node> {
    let one = |argument: &Scalar| Node {
        properties: node.properties.clone(),
        children: node.children.clone(),
        ..node.bare(Some(argument.clone()))
    };
    node.arguments.iter().map(one).collect()
}

/// Splits a node into one for each name. Each has one property, or with `several` any number of
/// properties of that name; a name without a value becomes an argument.
fn fields(node: &Node, several: bool, scope: &LowerContext<'_>) -> Vec<(String, Node)> {
    let mut fields = Vec::new();
    match node.arguments.as_slice() {
        [] => {}
        [name] => {
            fields.push((
                plain(name).unwrap_or_default().to_owned(),
                node.bare(Some(name.clone())),
            ));
        }
        [name, values @ ..] => {
            let key = plain(name).unwrap_or_default().to_owned();
            let mut part = node.bare(None);
            let (values, rest) = values.split_at(if several { values.len() } else { 1 });
            let values = values.iter().cloned();
            part.properties
                .extend(values.map(|value| (name.clone().map(|_| key.clone()), value)));
            part.arguments.extend(rest.first().cloned());
            fields.push((key, part));
        }
    }
    for (name, value) in &node.properties {
        let mut part = node.bare(None);
        part.properties.push((name.clone(), value.clone()));
        fields.push((name.value.clone(), part));
    }
    for child in node.children() {
        let mut reader = Reader::new(child, scope);
        let mut values: Vec<Scalar> = reader.next().cloned().into_iter().collect();
        while let (true, Some(value)) = (several, reader.next()) {
            values.push(value.clone());
        }
        reader.end();
        let mut part = node.bare(None);
        if values.is_empty() {
            part.arguments.push(name_as_argument(child));
        }
        let values = values.into_iter();
        part.properties
            .extend(values.map(|value| (child.name.clone(), value)));
        fields.push((child.name.value.clone(), part));
    }
    if fields.is_empty() {
        fields.push((String::new(), node.clone()));
    }
    fields
}

/// Returns the name of `env { NAME }` as the argument of `env "NAME"`.
fn name_as_argument(child: &Node) -> Scalar {
    child.name.clone().map(|name| {
        Value::Text(Text {
            template: name.as_str().into(),
            computed: false,
        })
    })
}
