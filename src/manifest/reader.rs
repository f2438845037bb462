//! Reads the elements of a node: each argument, property and child is returned once, and elements
//! that are not requested are errors.
//!
//! The properties that a node may have are those that its lowering requests, so there is no second
//! list to maintain.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    context::LowerContext,
    merge_rule,
    node::{Node, Scalar, plain},
    scalar::{FileMode, Read, one_of, placed, whole},
};
use crate::{
    diagnostic::{SchemaError, did_you_mean},
    span::{Span, Spanned},
};

/// A node that is being read.
pub(super) struct Reader<'a> {
    pub scope: &'a LowerContext<'a>,
    node: &'a Node,
    /// Number of arguments that were returned.
    taken: usize,
    /// Properties that were requested.
    asked: Vec<&'static str>,
    /// Whether all other properties were requested.
    open: bool,
    block: bool,
}

impl<'a> Reader<'a> {
    pub fn new(node: &'a Node, scope: &'a LowerContext<'a>) -> Self {
        Self {
            scope,
            node,
            taken: 0,
            asked: Vec::new(),
            open: false,
            block: false,
        }
    }

    /// The node's name.
    pub fn name(&self) -> &'a str {
        &self.node.name.value
    }

    /// Returns the span of the node's name.
    pub fn span(&self) -> Span {
        self.node.name.span
    }

    /// Returns the next argument as written; `None` if there is none.
    pub fn next(&mut self) -> Option<&'a Scalar> {
        let scalar = self.node.arguments.get(self.taken)?;
        self.taken += 1;
        Some(scalar)
    }

    /// Returns the next argument; a missing argument is an error.
    pub fn needed(&mut self, wanted: &str) -> Option<&'a Scalar> {
        let next = self.next();
        if next.is_none() {
            self.missing(wanted, None);
        }
        next
    }

    /// Reports a missing argument.
    pub fn missing(&self, wanted: &str, help: Option<&str>) {
        self.scope.mistake(SchemaError::MissingArgument {
            node: self.node.name.value.clone(),
            wanted: wanted.to_owned(),
            at: self.node.head(),
            help: help.map(str::to_owned),
        });
    }

    /// Returns the next argument as a type; a missing argument is an error.
    pub fn argument<T: Read>(&mut self, wanted: &str) -> Option<Spanned<T>> {
        placed(self.needed(wanted)?, self.scope)
    }

    /// Returns the next argument as a type, if there is one.
    pub fn optional<T: Read>(&mut self) -> Option<Spanned<T>> {
        placed(self.next()?, self.scope)
    }

    /// Returns all remaining arguments; at least one is required.
    pub fn all<T: Read>(&mut self, wanted: &str) -> Vec<Spanned<T>> {
        let mut all: Vec<_> = self.argument(wanted).into_iter().collect();
        while let Some(scalar) = self.next() {
            all.extend(placed(scalar, self.scope));
        }
        all
    }

    /// Returns a property as written.
    pub fn raw(&mut self, name: &'static str) -> Option<&'a Scalar> {
        self.asked.push(name);
        self.node.property(name)
    }

    /// Returns a property as a type, with its span.
    pub fn placed<T: Read>(&mut self, name: &'static str) -> Option<Spanned<T>> {
        placed(self.raw(name)?, self.scope)
    }

    /// Returns a property as a type.
    pub fn property<T: Read>(&mut self, name: &'static str) -> Option<T> {
        self.placed(name).map(|found| found.value)
    }

    /// Returns a boolean property; `false` if it is not given.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.property(name).unwrap_or(false)
    }

    /// Returns a property that is an integer in a range.
    pub fn number<T: TryFrom<i128>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i128>,
    ) -> Option<T> {
        whole(self.raw(name)?, self.scope, &format!("`{name}`"), range)
    }

    /// Returns a property that is one of a few words.
    pub fn word<T: Clone>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        one_of(self.raw(name)?, self.scope, &format!("`{name}`"), words)
    }

    /// Returns the user ID, the group ID and the permission bits of a file.
    pub fn ownership(&mut self) -> (Option<u32>, Option<u32>, Option<u32>) {
        const IDS: RangeInclusive<i128> = 0..=u32::MAX as i128;
        let mode = self.property::<FileMode>("mode").map(|mode| mode.0);
        (self.number("uid", IDS), self.number("gid", IDS), mode)
    }

    /// Returns all properties that were not requested: their names are chosen by the user.
    pub fn others<T: Read>(&mut self) -> BTreeMap<String, Spanned<T>> {
        self.open = true;
        let own = self.node.properties.iter();
        own.filter(|(name, _)| !self.asked.contains(&name.value.as_str()))
            .filter_map(|(name, scalar)| Some((name.value.clone(), placed(scalar, self.scope)?)))
            .collect()
    }

    /// Returns all properties as written: their names are chosen by the user.
    pub fn open(&mut self) -> &'a [(Spanned<String>, Scalar)] {
        self.open = true;
        &self.node.properties
    }

    /// Returns the nodes of the block; empty if there is no block.
    pub fn children(&mut self) -> &'a [Node] {
        self.block = true;
        self.node.children()
    }

    /// Reports all elements that were not requested.
    pub fn end(self) {
        self.extra_argument();
        self.unknown_properties();
        if self.node.children.is_some() && !self.block {
            self.scope.mistake(SchemaError::UnexpectedChildren {
                node: self.node.name.value.clone(),
                at: self.node.name.span,
                help: (!self.asked.is_empty()).then(|| self.takes()),
            });
        }
    }

    fn extra_argument(&self) {
        let Some(extra) = self.node.arguments.get(self.taken) else {
            return;
        };
        let takes = match self.taken {
            0 => "no argument".to_owned(),
            1 => "one argument".to_owned(),
            count => format!("{count} arguments"),
        };
        let usual = || (!self.asked.is_empty()).then(|| self.takes());
        self.scope.mistake(SchemaError::ExtraArgument {
            node: self.node.name.value.clone(),
            takes,
            at: extra.span,
            help: self.next_node(extra).or_else(usual),
        });
    }

    /// Returns help for a node that was read as an argument of the one before it.
    fn next_node(&self, extra: &Scalar) -> Option<String> {
        let word = plain(extra)?;
        let is_node = self.scope.written(extra.span) == word && merge_rule::rule(word).is_some();
        is_node.then(|| format!("nodes on one line have a `;` between them: `…; {word} …`"))
    }

    fn unknown_properties(&self) {
        if self.open {
            return;
        }
        for (name, _) in &self.node.properties {
            if self.asked.contains(&name.value.as_str()) {
                continue;
            }
            let help = did_you_mean(&name.value, self.asked.iter().copied())
                .or_else(|| (!self.asked.is_empty()).then(|| self.takes()));
            self.scope.mistake(SchemaError::UnknownProperty {
                node: self.node.name.value.clone(),
                name: name.value.clone(),
                at: name.span,
                help,
            });
        }
    }

    fn takes(&self) -> String {
        let mut names: Vec<_> = self.asked.iter().map(|name| format!("`{name}=`")).collect();
        names.sort();
        names.dedup();
        format!("its properties are {}", names.join(", "))
    }
}

/// Reports a node that is not allowed at its place.
pub(super) fn unknown_node(node: &Node, place: &str, known: &[&str], scope: &LowerContext<'_>) {
    let help = did_you_mean(&node.name.value, known.iter().copied()).or_else(|| {
        let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        (known.len() <= 16).then(|| format!("known are {}", names.join(", ")))
    });
    scope.mistake(SchemaError::UnknownNode {
        name: node.name.value.clone(),
        place: place.to_owned(),
        at: node.name.span,
        help,
    });
}

/// Returns the values without their spans.
pub(super) fn texts<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|found| found.value).collect()
}
