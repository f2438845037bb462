//! KDL text to [`Node`]s: the only file that knows the KDL library.
//!
//! The library's own diagnostics are told again in our words, with the remedy where the slip is a
//! usual one. Nothing here knows which nodes exist.

use std::thread;

use kdl::{KdlDiagnostic, KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};
use miette::SourceSpan;

use super::{
    node::{Node, Scalar, Value},
    slip::Slip,
};
use crate::{
    diagnostic::{ReadingMistake, StructureMistake},
    span::{Span, Spanned},
};

/// The stack for the parser, in bytes. It calls itself for each block and for each mistake that it
/// recovers from: a file of another language, taken for a manifest, has thousands. Only what is
/// used of it is ever given by the system.
const STACK: usize = 256 << 20;
/// The deepest nesting that is read; the language itself needs four levels.
const DEEPEST: usize = 64;
/// The most mistakes of syntax that are told of one file: behind the first few, the parser has
/// lost its way.
const MOST: usize = 10;

/// Reads a text whose first byte lies at `start`.
///
/// # Errors
/// The first mistakes of the parser's, told again.
pub(super) fn parse(text: &str, start: usize) -> Result<Vec<Node<String>>, Vec<ReadingMistake>> {
    let place = Place { text, start };
    if let Some(at) = too_deep(text) {
        return Err(vec![Slip::Deep.mistake(Span::new(start + at, 1))]);
    }
    let read = move || match KdlDocument::parse_v2(text) {
        Ok(document) => match yaml(&document, place) {
            Some(mistake) => Err(vec![mistake]),
            None => Ok(nodes(&document, place)),
        },
        Err(error) => match yaml_line(text) {
            Some((at, length)) => Err(vec![ReadingMistake::Yaml {
                at: Span::new(start + at, length),
            }]),
            None => Err(place.retell(&error.diagnostics)),
        },
    };
    thread::scope(|scope| {
        let spawned = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, read);
        // Without a thread of its own the parser has the stack that there is.
        let Ok(spawned) = spawned else {
            return read();
        };
        spawned.join().unwrap_or_else(|_| {
            let whole = Span::new(start, 0);
            Err(vec![
                Slip::Other("the parser has given up".to_owned(), None).mistake(whole),
            ])
        })
    })
}

/// Where blocks or comments are nested too deep for the parser, which calls itself for each.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut comments) = (0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let mut followed = |wanted| bytes.next_if(|(_, next)| *next == wanted).is_some();
        match byte {
            // Braces in texts count too; no text of a manifest has so many of them open.
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if followed(b'*') => comments += 1,
            b'*' if followed(b'/') => comments = comments.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST || comments > DEEPEST {
            return Some(at);
        }
    }
    None
}

/// The key of the first line that says something, when it is one of YAML's.
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

/// Properties given twice: the library keeps both, and we accept neither.
pub(super) fn repeated(node: &Node<String>, mistakes: &mut Vec<StructureMistake>) {
    for (index, (name, _)) in node.properties.iter().enumerate() {
        let first = node.properties[..index]
            .iter()
            .find(|(other, _)| other.value == name.value);
        if let Some((first, _)) = first {
            mistakes.push(StructureMistake::RepeatedProperty {
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

/// YAML of the simple kind parses as KDL, with keys as names that end in a colon.
fn yaml(document: &KdlDocument, place: Place<'_>) -> Option<ReadingMistake> {
    let key = document
        .nodes()
        .iter()
        .find(|node| node.name().value().ends_with(':'))?;
    Some(ReadingMistake::Yaml {
        at: place.span(key.name().span()),
    })
}

fn nodes(document: &KdlDocument, place: Place<'_>) -> Vec<Node<String>> {
    document
        .nodes()
        .iter()
        .map(|found| node(found, place))
        .collect()
}

fn node(found: &KdlNode, place: Place<'_>) -> Node<String> {
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

fn identifier(found: &KdlIdentifier, place: Place<'_>) -> Spanned<String> {
    Spanned::new(found.value().to_owned(), place.span(found.span()))
}

fn scalar(entry: &KdlEntry, place: Place<'_>) -> Scalar<String> {
    let whole = place.span(entry.span());
    // The entry's span begins at its name or type; the value is what it ends with.
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

/// A text of the address space.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    start: usize,
}

impl Place<'_> {
    fn span(self, found: SourceSpan) -> Span {
        let offset = found.offset().min(self.text.len());
        Span::new(
            self.start + offset,
            found.len().min(self.text.len() - offset),
        )
    }

    fn retell(self, diagnostics: &[KdlDiagnostic]) -> Vec<ReadingMistake> {
        let mut slips: Vec<(usize, usize, Slip)> = Vec::new();
        for diagnostic in diagnostics {
            let (from, length, slip) = self.slip(diagnostic);
            // The parser says some things twice, once from inside and once from outside.
            let message = diagnostic.message.as_deref();
            let echo = message == Some("Closing '}' was not found after nodes")
                || slips.iter().any(|(known, _, _)| *known == from);
            if echo && !slips.is_empty() {
                continue;
            }
            slips.push((from, length, slip));
        }
        // Behind a lost quote, text and code have changed places: all else is noise.
        if let Some(lost) = slips
            .iter()
            .position(|(_, _, slip)| matches!(slip, Slip::Unclosed))
        {
            slips.truncate(lost + 1);
        }
        // The parser gives the block up at a stray `=`, and then misses its braces.
        if slips
            .iter()
            .any(|(_, _, slip)| matches!(slip, Slip::Equals))
        {
            slips.retain(|(_, _, slip)| !matches!(slip, Slip::BraceOpen | Slip::BraceClose));
        }
        slips.truncate(MOST);
        let place = |from, length| Span::new(self.start + from, length);
        slips
            .into_iter()
            .map(|(from, length, slip)| slip.mistake(place(from, length)))
            .collect()
    }

    /// What was probably meant, and where the slip begins and how long it is.
    fn slip(self, diagnostic: &KdlDiagnostic) -> (usize, usize, Slip) {
        let (mut from, mut length) = (diagnostic.span.offset(), diagnostic.span.len());
        let message = diagnostic.message.clone().unwrap_or_default();
        if message == "Expected property value" {
            // Reported from the start of the node: the slip is the word at the end.
            (from, length) = self.word_at(from + length);
        }
        let Some(found) = self.text.get(from..from + length) else {
            return (0, 0, Slip::Other(message, diagnostic.help.clone()));
        };
        let trimmed = found.trim_end();
        length = trimmed.len();
        (
            from,
            length,
            Slip::of(trimmed, message, diagnostic.help.clone()),
        )
    }

    /// The word around an offset.
    fn word_at(self, offset: usize) -> (usize, usize) {
        let edge = |character: char| character.is_whitespace() || "={}();\"".contains(character);
        let offset = self.text.floor_char_boundary(offset);
        let from = self.text[..offset].rfind(edge).map_or(0, |at| {
            at + self.text[at..].chars().next().map_or(1, char::len_utf8)
        });
        let to = self.text[offset..]
            .find(edge)
            .map_or(self.text.len(), |at| offset + at);
        (from, to - from)
    }
}
