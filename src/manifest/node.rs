//! The node tree of a manifest: nodes with arguments, properties and children.
//!
//! The tree has the structure of KDL without its spelling. Its texts are `String` as written, and
//! [`Text`] when their variables are filled in.

use super::Template;
use crate::span::{Span, Spanned};

/// A node: `(annotation)name argument property=value { children }`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<T = Text> {
    pub annotation: Option<Spanned<String>>,
    pub name: Spanned<String>,
    pub arguments: Vec<Scalar<T>>,
    pub properties: Vec<(Spanned<String>, Scalar<T>)>,
    /// Nodes of the block; `None` if there is no block.
    pub children: Option<Vec<Node<T>>>,
}

/// A value with its span.
pub(super) type Scalar<T = Text> = Spanned<Value<T>>;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<T = Text> {
    Text(T),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Null,
    /// A text whose variables could not be filled in. Its error is already reported, so the value
    /// causes no second one.
    Broken,
}

/// A text with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub template: Template,
    /// Whether the text contains the value of a variable. Only such a text may be read as a number
    /// or a boolean; a literal text may not.
    pub computed: bool,
}

impl<T> Node<T> {
    /// Returns the same node without its properties and block, and with only this argument.
    pub fn bare(&self, argument: Option<Scalar<T>>) -> Self {
        Self {
            annotation: self.annotation.clone(),
            name: self.name.clone(),
            arguments: argument.into_iter().collect(),
            properties: Vec::new(),
            children: None,
        }
    }

    /// Returns the span from the name to the last value, without the block.
    pub fn head(&self) -> Span {
        let values = self.arguments.iter().map(|argument| argument.span);
        let properties = self.properties.iter().map(|(_, value)| value.span);
        values.chain(properties).fold(self.name.span, Span::to)
    }
}

impl Node {
    /// Returns the first argument, if it is a text without secrets.
    pub fn first_text(&self) -> Option<&str> {
        self.arguments.first().and_then(plain)
    }

    /// Returns a property's value, if the node has the property.
    pub fn property(&self, name: &str) -> Option<&Scalar> {
        let found = self.properties.iter().find(|(key, _)| key.value == name);
        found.map(|(_, value)| value)
    }

    /// Returns the nodes of the block; empty if there is no block.
    pub fn children(&self) -> &[Self] {
        self.children.as_deref().unwrap_or_default()
    }
}

/// Returns the text, if it is one without secrets.
pub(super) fn plain(scalar: &Scalar) -> Option<&str> {
    match &scalar.value {
        Value::Text(text) => text.template.as_plain(),
        _ => None,
    }
}
