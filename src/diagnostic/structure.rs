//! Does the language have this, at this place?

use miette::Diagnostic;
use thiserror::Error;

use crate::span::Span;

/// A mistake in the shape of a node.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum SchemaError {
    /// A node that the language does not have at this place.
    #[error("there is no node `{name}` in {place}")]
    #[diagnostic(code(manifest::unknown_node))]
    UnknownNode {
        /// What was written.
        name: String,
        /// What it stands in: `a service`, `the top level`, …
        place: String,
        /// Its name.
        #[label("unknown node")]
        at: Span,
        /// What was meant.
        #[help]
        help: Option<String>,
    },
    /// A property that the node does not have.
    #[error("`{node}` has no property `{name}`")]
    #[diagnostic(code(manifest::unknown_property))]
    UnknownProperty {
        /// The node.
        node: String,
        /// What was written.
        name: String,
        /// The property.
        #[label("unknown property")]
        at: Span,
        /// What was meant.
        #[help]
        help: Option<String>,
    },
    /// An argument that the node needs.
    #[error("`{node}` needs {wanted}")]
    #[diagnostic(code(manifest::missing_argument))]
    MissingArgument {
        /// The node.
        node: String,
        /// What is missing: `a name`, …
        wanted: String,
        /// The node's name.
        #[label("missing here")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// An argument too many.
    #[error("`{node}` takes {takes}")]
    #[diagnostic(code(manifest::extra_argument))]
    ExtraArgument {
        /// The node.
        node: String,
        /// How many it takes: `one argument`, …
        takes: String,
        /// The first too many.
        #[label("one too many")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A property given twice.
    #[error("the property `{name}` is given twice")]
    #[diagnostic(code(manifest::repeated_property), help("leave one of them out"))]
    RepeatedProperty {
        /// The property.
        name: String,
        /// The second.
        #[label(primary, "given again")]
        at: Span,
        /// The first.
        #[label("first given here")]
        first: Span,
    },
    /// A node given twice that may stand once.
    #[error("`{name}` stands twice in {place}")]
    #[diagnostic(code(manifest::repeated_node), help("leave one of them out"))]
    RepeatedNode {
        /// The node.
        name: String,
        /// What it stands in.
        place: String,
        /// The second.
        #[label(primary, "stands again")]
        at: Span,
        /// The first.
        #[label("first stands here")]
        first: Span,
    },
    /// A block where there can be none.
    #[error("`{node}` has no children")]
    #[diagnostic(code(manifest::unexpected_children))]
    UnexpectedChildren {
        /// The node.
        node: String,
        /// The node's name.
        #[label("has a block in braces")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A block that says nothing.
    #[error("`{node}` needs {wanted}")]
    #[diagnostic(code(manifest::missing_child))]
    MissingChild {
        /// The node.
        node: String,
        /// What is missing.
        wanted: String,
        /// The node's name.
        #[label("says nothing")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// A word in parentheses that is neither `(remove)` nor `(replace)`, or not at this place.
    #[error("`({word})` means nothing here")]
    #[diagnostic(code(manifest::unknown_annotation))]
    UnknownAnnotation {
        /// The word.
        word: String,
        /// Where.
        #[label("unknown annotation")]
        at: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// Something to remove that was never there.
    #[error("there is no inherited `{name}` to remove")]
    #[diagnostic(
        code(manifest::nothing_to_remove),
        help("`(remove)` takes away what a template, `defaults` or an earlier file has given")
    )]
    NothingToRemove {
        /// What should go.
        name: String,
        /// Where.
        #[label("removes nothing")]
        at: Span,
    },
    /// Two things that exclude each other.
    #[error("{one} and {other} exclude each other")]
    #[diagnostic(code(manifest::conflict))]
    Conflict {
        /// The first.
        one: String,
        /// The second.
        other: String,
        /// The second.
        #[label(primary, "cannot stand with the other")]
        at: Span,
        /// The first.
        #[label("the other")]
        first: Span,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
}
