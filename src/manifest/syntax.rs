//! Parses KDL text to [`Node`]s: the only file that uses the KDL library.
//!
//! Of the library's own diagnostics only the span is used, and only if `habit` finds no known
//! error. This file does not know which nodes exist.

use std::thread;

use kdl::{KdlDiagnostic, KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};
use miette::SourceSpan;

use super::{
    habit::{self, Found},
    node::{Node, Scalar, Value},
    parse_hint::ParseHint,
};
use crate::{
    diagnostic::{ParseError, SchemaError},
    span::{Span, Spanned},
};

/// Stack size of the parser thread, in bytes. The parser recurses for each block and for each error
/// that it recovers from: a file in another language, passed as a manifest, has thousands. The
/// system allocates only the memory that is used.
const STACK: usize = 256 << 20;
/// Maximum nesting that is read; the language itself needs four levels.
const MAX_DEPTH: usize = 64;
/// Maximum number of syntax errors that are reported for one file. For a file in another language,
/// more would not help.
const MOST: usize = 10;

/// Parses a text whose first byte has the offset `start`.
///
/// # Errors
/// Known syntax of other languages; otherwise, the place where the parser stopped.
pub(super) fn parse(text: &str, start: usize) -> Result<Vec<Node<String>>, Vec<ParseError>> {
    let place = SourceLocation { text, start };
    if let Some(at) = too_deep(text) {
        return Err(vec![ParseHint::Deep.mistake(Span::new(start + at, 1))]);
    }
    let read = move || match KdlDocument::parse_v2(text) {
        Ok(document) => {
            let silent = habit::find(text)
                .into_iter()
                .filter(|found| found.is_silent);
            let mistakes = place.mistakes(silent);
            if mistakes.is_empty() {
                Ok(nodes(&document, place))
            } else {
                Err(mistakes)
            }
        }
        Err(error) => Err(place.retell(&error.diagnostics)),
    };
    if let Some((at, length)) = yaml_line(text) {
        let at = Span::new(start + at, length);
        return Err(vec![ParseError::Yaml { at }]);
    }
    thread::scope(|scope| {
        let spawned = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, read);
        // If no thread can be spawned, the parser uses the stack of the current thread.
        let Ok(spawned) = spawned else {
            return read();
        };
        spawned.join().unwrap_or_else(|_| {
            // The parser panicked.
            Err(vec![ParseHint::Unreadable.mistake(Span::new(start, 0))])
        })
    })
}

/// Returns the place where blocks or comments are nested too deep for the parser, which recurses
/// for each of them.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut comments) = (0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let mut followed = |wanted| bytes.next_if(|(_, next)| *next == wanted).is_some();
        match byte {
            // Braces in texts count, too; no text in a manifest has that many open braces.
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if followed(b'*') => comments += 1,
            b'*' if followed(b'/') => comments = comments.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH || comments > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// Returns the key on the first significant line, if that line is YAML.
fn yaml_line(text: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let said = line.trim_start();
        let from = at + (line.len() - said.len());
        at += line.len();
        if said.is_empty() || said.starts_with('#') || said.starts_with("---") {
            continue;
        }
        let key = said.trim_start_matches("- ");
        let from = from + (said.len() - key.len());
        let (name, rest) = key.split_once(':')?;
        let word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        let is_key = !name.is_empty() && name.chars().all(word);
        let ends = rest.is_empty() || rest.starts_with(char::is_whitespace);
        return (is_key && ends).then_some((from, name.len() + 1));
    }
    None
}

/// Reports properties that are given twice: the library keeps both, but a manifest may have
/// neither.
pub(super) fn repeated(node: &Node<String>, mistakes: &mut Vec<SchemaError>) {
    for (index, (name, _)) in node.properties.iter().enumerate() {
        let first = node.properties[..index]
            .iter()
            .find(|(other, _)| other.value == name.value);
        if let Some((first, _)) = first {
            mistakes.push(SchemaError::RepeatedProperty {
                name: name.value.clone(),
                at: name.span,
                first: first.span,
            });
        }
    }
    for child in node.children.iter().flatten() {
        repeated(child, mistakes);
    }
}

fn nodes(document: &KdlDocument, place: SourceLocation<'_>) -> Vec<Node<String>> {
    document
        .nodes()
        .iter()
        .map(|found| node(found, place))
        .collect()
}

fn node(found: &KdlNode, place: SourceLocation<'_>) -> Node<String> {
    let mut arguments = Vec::new();
    let mut properties = Vec::new();
    for entry in found.entries() {
        let value = scalar(entry, place);
        match entry.name() {
            Some(name) => properties.push((identifier(name, place), value)),
            None => arguments.push(value),
        }
    }
    Node {
        annotation: found.ty().map(|word| identifier(word, place)),
        name: identifier(found.name(), place),
        arguments,
        properties,
        children: found.children().map(|block| nodes(block, place)),
    }
}

fn identifier(found: &KdlIdentifier, place: SourceLocation<'_>) -> Spanned<String> {
    Spanned::new(found.value().to_owned(), place.span(found.span()))
}

fn scalar(entry: &KdlEntry, place: SourceLocation<'_>) -> Scalar<String> {
    let whole = place.span(entry.span());
    // The span of an entry begins at its name or type; the value is at its end.
    let length = entry
        .format()
        .map_or(whole.length(), |format| format.value_repr.len());
    let length = length.min(whole.length());
    let span = Span::new(whole.end() - length, length);
    let value = match entry.value() {
        KdlValue::String(text) => Value::Text(text.clone()),
        KdlValue::Integer(number) => Value::Integer(*number),
        KdlValue::Float(number) => Value::Float(*number),
        KdlValue::Bool(truth) => Value::Bool(*truth),
        KdlValue::Null => Value::Null,
    };
    Spanned::new(value, span)
}

/// A text, with its offset among all source texts.
#[derive(Clone, Copy)]
struct SourceLocation<'a> {
    text: &'a str,
    start: usize,
}

impl SourceLocation<'_> {
    fn span(self, found: SourceSpan) -> Span {
        let offset = found.offset().min(self.text.len());
        Span::new(
            self.start + offset,
            found.len().min(self.text.len() - offset),
        )
    }

    /// Returns the errors of a text that the parser could not read.
    fn retell(self, diagnostics: &[KdlDiagnostic]) -> Vec<ParseError> {
        let habits = self.mistakes(habit::find(self.text).into_iter());
        if !habits.is_empty() {
            return habits;
        }
        // No known syntax was found: only the span is the parser's.
        let first = diagnostics.first();
        let at = first.map_or(Span::new(self.start, 0), |first| self.span(first.span));
        vec![ParseHint::Unreadable.mistake(self.first_line(at))]
    }

    fn mistakes(self, found: impl Iterator<Item = Found>) -> Vec<ParseError> {
        let mut mistakes = Vec::new();
        for found in found.take(MOST) {
            let is_lost = found.slip.is_lost();
            let at = Span::new(self.start + found.from, found.length);
            mistakes.push(found.slip.mistake(at));
            if is_lost {
                break;
            }
        }
        mistakes
    }

    /// Returns the first line of a span.
    fn first_line(self, at: Span) -> Span {
        let from = at.start() - self.start;
        let text = &self.text[from..from + at.length()];
        let line = text.trim_start().lines().next().unwrap_or_default();
        let blank = text.len() - text.trim_start().len();
        Span::new(at.start() + blank, line.trim_end().len())
    }
}
