//! `image`, `image-of` and `build` in a service: the source of its image.

use super::{Build, ImageSource, build, context::LowerContext, node::Node, reader::Reader};
use crate::{
    diagnostic::SchemaError,
    name::{ImageRef, ServiceName},
    span::Spanned,
};

/// Returns whether no node sets the source of the image.
pub(super) fn is_silent(nodes: &[Node]) -> bool {
    let says = |node: &Node| matches!(node.name.value.as_str(), "image" | "image-of" | "build");
    !nodes.iter().any(says)
}

/// Partial source of an image, while its nodes are being read.
#[derive(Default)]
pub(super) struct Origin {
    image: Option<Spanned<ImageRef>>,
    of: Option<Spanned<ServiceName>>,
    build: Option<Build>,
}

impl Origin {
    /// Reads a node that sets the source of the image; returns whether it is one.
    pub fn takes(&mut self, node: &Node, scope: &LowerContext<'_>) -> bool {
        let mut reader = Reader::new(node, scope);
        match reader.name() {
            "image" => self.image = reader.argument("an image, such as `\"nginx:1.29\"`"),
            "image-of" => self.of = reader.argument("a service"),
            "build" => {
                self.build = build::lower(node, scope);
                return true;
            }
            _ => return false,
        }
        reader.end();
        true
    }

    /// Combines the nodes that were read into the source of the image.
    pub fn source(&mut self, nodes: &[Node], scope: &LowerContext<'_>) -> Option<ImageSource> {
        let find = |name: &str| nodes.iter().find(|node| node.name.value == name);
        let others = find("image").or_else(|| find("build"));
        if let (Some(of), Some(other)) = (find("image-of"), others) {
            let (one, two) = (of.name.span, other.name.span);
            scope.mistake(SchemaError::Conflict {
                one: "`image-of`".to_owned(),
                other: format!("`{}`", other.name.value),
                at: one.max(two),
                first: one.min(two),
                help: Some("the image comes from one place".to_owned()),
            });
        }
        let built = self.build.take().map(Box::new);
        match (built, self.image.take(), self.of.take()) {
            (Some(recipe), name, _) => Some(ImageSource::Build {
                build: recipe,
                name,
            }),
            (None, Some(image), _) => Some(ImageSource::Reference(image)),
            (None, None, of) => of.map(ImageSource::Of),
        }
    }
}
