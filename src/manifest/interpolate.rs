//! Interpolates the texts of a file: from nodes as written to nodes with their variables filled in.

use std::ops::Range;

use super::{
    Environment,
    context::LowerContext,
    environment::{InterpolationError, interpolate},
    include::RawFile,
    node::{Node, Scalar, Text, Value},
};
use crate::{
    diagnostic::ValueError,
    name::SecretName,
    span::{Span, Spanned},
};

/// Nodes of one file, with their variables filled in.
pub(super) struct Layer {
    /// Offset of the file's first byte.
    pub start: usize,
    pub nodes: Vec<Node>,
    /// Secrets that the texts refer to.
    pub secrets: Vec<Spanned<SecretName>>,
}

impl RawFile {
    /// Fills in all variables, and reports those that cannot be filled in.
    pub fn fill(&self, environment: &Environment, scope: &LowerContext<'_>) -> Layer {
        let mut filling = Interpolator {
            environment,
            scope,
            secrets: Vec::new(),
        };
        let nodes = self.nodes.iter().map(|node| filling.node(node)).collect();
        Layer {
            start: self.start,
            nodes,
            secrets: filling.secrets,
        }
    }
}

struct Interpolator<'a> {
    environment: &'a Environment,
    scope: &'a LowerContext<'a>,
    secrets: Vec<Spanned<SecretName>>,
}

impl Interpolator<'_> {
    fn node(&mut self, node: &Node<String>) -> Node {
        Node {
            annotation: node.annotation.clone(),
            name: node.name.clone(),
            arguments: node
                .arguments
                .iter()
                .map(|scalar| self.scalar(scalar))
                .collect(),
            properties: node
                .properties
                .iter()
                .map(|(name, scalar)| (name.clone(), self.scalar(scalar)))
                .collect(),
            children: node
                .children
                .as_ref()
                .map(|children| children.iter().map(|child| self.node(child)).collect()),
        }
    }

    fn scalar(&mut self, scalar: &Scalar<String>) -> Scalar {
        let value = match &scalar.value {
            Value::Text(text) => self.text(text, scalar.span),
            Value::Integer(number) => Value::Integer(*number),
            Value::Float(number) => Value::Float(*number),
            Value::Bool(truth) => Value::Bool(*truth),
            Value::Null => Value::Null,
            Value::Broken => Value::Broken,
        };
        Spanned::new(value, scalar.span)
    }

    fn text(&mut self, text: &str, span: Span) -> Value {
        match interpolate(text, self.environment) {
            Ok(template) => {
                self.scope.asked(template.variables());
                let secrets = template.secrets().cloned();
                self.secrets
                    .extend(secrets.map(|name| Spanned::new(name, span)));
                let computed = !template.variables().is_empty();
                Value::Text(Text { template, computed })
            }
            Err(errors) => {
                for error in &errors {
                    self.note(error, span);
                }
                Value::Broken
            }
        }
    }

    fn note(&self, error: &InterpolationError, span: Span) {
        if let Some(name) = error.kind.unset()
            && self.environment.is_in_doubt(name)
        {
            return;
        }
        let at = part(self.scope.written(span), span, &error.range);
        let message = error.to_string();
        let help = error.kind.help();
        self.scope.mistake(if error.kind.unset().is_some() {
            ValueError::UnsetVariable { message, at, help }
        } else {
            ValueError::Interpolation { message, at, help }
        });
    }
}

/// Returns the span of a part of a text. If the text has escapes or several lines, its offsets do
/// not match those of the file; then the result is the span of the whole text.
fn part(written: &str, whole: Span, range: &Range<usize>) -> Span {
    let hashes = written.bytes().take_while(|byte| *byte == b'#').count();
    let quoted = &written[hashes..];
    let opening = match quoted.strip_prefix('"') {
        Some(rest) if !rest.starts_with("\"\"") && (hashes > 0 || !rest.contains('\\')) => {
            hashes + 1
        }
        Some(_) => return whole,
        None => 0,
    };
    let part = Span::new(whole.start() + opening + range.start, range.len());
    if part.end() > whole.end() {
        whole
    } else {
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, range: Range<usize>, expected: &str) {
        let span = part(written, Span::new(0, written.len()), &range);
        assert_eq!(&written[span.start()..span.end()], expected);
    }

    #[test]
    fn part_maps_text_range_to_file_span() {
        check(r#""a ${B} c""#, 2..6, "${B}");
        check(r##"#"a ${B} c"#"##, 2..6, "${B}");
        check("$B", 0..2, "$B");
        check(r#""\t${B}""#, 1..5, r#""\t${B}""#);
    }
}
