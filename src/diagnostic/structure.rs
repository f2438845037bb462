//! Errors in the structure of nodes: names, arguments, properties and blocks.

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// An error in the structure of a node.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum SchemaError {
    /// The language does not have this node at this place.
    #[error("there is no node `{name}` in {place}")]
    #[diagnostic(code(manifest::unknown_node))]
    UnknownNode {
        /// Name that was written.
        name: String,
        /// Parent of the node: `a service`, `the top level`, …
        place: String,
        /// Span of the node's name.
        #[label("unknown node")]
        at: Span,
        /// Suggested name, if any.
        #[help]
        help: Option<String>,
    },
    /// The node does not have this property.
    #[error("`{node}` has no property `{name}`")]
    #[diagnostic(code(manifest::unknown_property))]
    UnknownProperty {
        /// Name of the node.
        node: String,
        /// Name that was written.
        name: String,
        /// Span of the property's name.
        #[label("unknown property")]
        at: Span,
        /// Suggested name, if any.
        #[help]
        help: Option<String>,
    },
    /// A required argument is missing.
    #[error("`{node}` needs {wanted}")]
    #[diagnostic(code(manifest::missing_argument))]
    MissingArgument {
        /// Name of the node.
        node: String,
        /// Description of the missing argument: `a name`, …
        wanted: String,
        /// Span of the node.
        #[label("missing here")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// The node has too many arguments.
    #[error("`{node}` takes {takes}")]
    #[diagnostic(code(manifest::extra_argument))]
    ExtraArgument {
        /// Name of the node.
        node: String,
        /// Number of arguments that the node takes: `one argument`, …
        takes: String,
        /// Span of the first extra argument.
        #[label("one too many")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A property is given twice.
    #[error("the property `{name}` is given twice")]
    #[diagnostic(code(manifest::repeated_property), help("leave one of them out"))]
    RepeatedProperty {
        /// Name of the property.
        name: String,
        /// Span of the second property.
        #[label(primary, "given again")]
        at: Span,
        /// Span of the first property.
        #[label("first given here")]
        first: Span,
    },
    /// A node that is allowed only once is given twice.
    #[error("`{name}` appears twice in {place}")]
    #[diagnostic(code(manifest::repeated_node), help("leave one of them out"))]
    RepeatedNode {
        /// Name of the node.
        name: String,
        /// Parent of the node.
        place: String,
        /// Span of the second node.
        #[label(primary, "appears again")]
        at: Span,
        /// Span of the first node.
        #[label("first appears here")]
        first: Span,
    },
    /// The node has a block, and no block is allowed.
    #[error("`{node}` has no children")]
    #[diagnostic(code(manifest::unexpected_children))]
    UnexpectedChildren {
        /// Name of the node.
        node: String,
        /// Span of the node's name.
        #[label("has a block in braces")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A required child is missing.
    #[error("`{node}` needs {wanted}")]
    #[diagnostic(code(manifest::missing_child))]
    MissingChild {
        /// Name of the node.
        node: String,
        /// Description of the missing child.
        wanted: String,
        /// Span of the node's name.
        #[label("is empty")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// An annotation that is neither `(remove)` nor `(replace)`, or is not allowed at this place.
    #[error("`({word})` is not allowed here")]
    #[diagnostic(code(manifest::unknown_annotation))]
    UnknownAnnotation {
        /// Word in the parentheses.
        word: String,
        /// Span of the annotation.
        #[label("unknown annotation")]
        at: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
    /// A `(remove)` without an inherited node to remove.
    #[error("there is no inherited `{name}` to remove")]
    #[diagnostic(
        code(manifest::nothing_to_remove),
        help("`(remove)` removes what a template, `defaults` or an earlier file sets")
    )]
    NothingToRemove {
        /// Name of the node to remove.
        name: String,
        /// Span of the node.
        #[label("removes nothing")]
        at: Span,
    },
    /// Two settings exclude each other.
    #[error("{one} and {other} exclude each other")]
    #[diagnostic(code(manifest::conflict))]
    Conflict {
        /// Description of the first setting.
        one: String,
        /// Description of the second setting.
        other: String,
        /// Span of the second setting.
        #[label(primary, "conflicts with the other")]
        at: Span,
        /// Span of the first setting.
        #[label("the other")]
        first: Span,
        /// Suggested fix.
        #[help]
        help: Option<String>,
    },
}
