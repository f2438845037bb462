//! The tree that a manifest is read into: nodes with arguments, properties and children.
//!
//! It is KDL's own shape without its spelling. The texts in it are `String` as they were written,
//! and [`Text`] when variables have been filled in.

use super::Template;
use crate::span::{Span, Spanned};

/// A node: `(annotation)name argument property=value { children }`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<T = Text> {
    pub annotation: Option<Spanned<String>>,
    pub name: Spanned<String>,
    pub arguments: Vec<Scalar<T>>,
    pub properties: Vec<(Spanned<String>, Scalar<T>)>,
    /// `None`: no block at all.
    pub children: Option<Vec<Node<T>>>,
}

/// A value and where it was written.
pub(super) type Scalar<T = Text> = Spanned<Value<T>>;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<T = Text> {
    Text(T),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Null,
    /// A text whose variables could not be filled in: a mistake has been noted, and nobody notes
    /// a second one for the value.
    Broken,
}

/// A text with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub template: Template,
    /// A variable had a part in it: such a text may stand for a number or a truth value, which a
    /// written one may not.
    pub computed: bool,
}

impl<T> Node<T> {
    /// The same node without its block.
    pub fn bare(&self, argument: Option<Scalar<T>>) -> Self {
        Self {
            annotation: self.annotation.clone(),
            name: self.name.clone(),
            arguments: argument.into_iter().collect(),
            properties: Vec::new(),
            children: None,
        }
    }

    /// From its name to its last value, without the block.
    pub fn head(&self) -> Span {
        let values = self.arguments.iter().map(|argument| argument.span);
        let properties = self.properties.iter().map(|(_, value)| value.span);
        values.chain(properties).fold(self.name.span, Span::to)
    }
}

impl Node {
    /// Its first argument, if it is a text without secrets.
    pub fn first_text(&self) -> Option<&str> {
        self.arguments.first().and_then(plain)
    }

    /// A property's value, if the node has it.
    pub fn property(&self, name: &str) -> Option<&Scalar> {
        let found = self.properties.iter().find(|(key, _)| key.value == name);
        found.map(|(_, value)| value)
    }

    /// Its children; none without a block.
    pub fn children(&self) -> &[Self] {
        self.children.as_deref().unwrap_or_default()
    }
}

/// A text without secrets.
pub(super) fn plain(scalar: &Scalar) -> Option<&str> {
    match &scalar.value {
        Value::Text(text) => text.template.as_plain(),
        _ => None,
    }
}
