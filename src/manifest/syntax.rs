//! KDL text to [`Node`]s: the only file that knows the KDL library.
//!
//! The library's own diagnostics are told again in our words, with the remedy where the slip is a
//! usual one. Nothing here knows which nodes exist.

use kdl::{KdlDiagnostic, KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};
use miette::SourceSpan;

use super::node::{Node, Scalar, Value};
use crate::{
    diagnostic::{ReadingMistake, StructureMistake},
    span::{Span, Spanned},
};

/// Reads a text whose first byte lies at `start`.
///
/// # Errors
/// Every mistake of the parser's, told again.
pub(super) fn parse(text: &str, start: usize) -> Result<Vec<Node<String>>, Vec<ReadingMistake>> {
    let place = Place { text, start };
    let document = KdlDocument::parse_v2(text);
    match document {
        Ok(document) => match yaml(&document, place) {
            Some(mistake) => Err(vec![mistake]),
            None => Ok(nodes(&document, place)),
        },
        Err(error) => Err(place.retell(&error.diagnostics)),
    }
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
        let mut mistakes: Vec<(usize, ReadingMistake)> = Vec::new();
        for diagnostic in diagnostics {
            let (from, length, slip) = self.slip(diagnostic);
            // The parser says some things twice, once from inside and once from outside.
            let echo = diagnostic.message.as_deref()
                == Some("Closing '}' was not found after nodes")
                || mistakes.iter().any(|(known, _)| *known == from);
            if echo && !mistakes.is_empty() {
                continue;
            }
            let last = matches!(slip, Slip::Unclosed);
            mistakes.push((from, slip.mistake(Span::new(self.start + from, length))));
            if last {
                // Behind a lost quote, text and code have changed places: all else is noise.
                break;
            }
        }
        mistakes.into_iter().map(|(_, mistake)| mistake).collect()
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

/// A usual slip in writing KDL.
enum Slip {
    Keyword(String),
    Unclosed,
    Unquoted(String),
    NoValue,
    BraceOpen,
    BraceClose,
    Equals,
    Other(String, Option<String>),
}

impl Slip {
    fn of(found: &str, message: String, help: Option<String>) -> Self {
        match found {
            "true" | "false" | "null" => return Self::Keyword(found.to_owned()),
            "{" => return Self::BraceOpen,
            "}" => return Self::BraceClose,
            "=" => return Self::Equals,
            "" if message == "Expected property value" => return Self::NoValue,
            _ => {}
        }
        let quotes = found.matches('"').count();
        let number = found.starts_with(|first: char| first.is_ascii_digit());
        if found.starts_with('"') && quotes == 1 {
            Self::Unclosed
        } else if number && quotes == 0 && !found.contains(char::is_whitespace) {
            Self::Unquoted(found.to_owned())
        } else {
            Self::Other(message, help)
        }
    }

    fn mistake(self, at: Span) -> ReadingMistake {
        let (message, label, help) = match self {
            Self::Keyword(word) => (
                format!("`{word}` is not a value"),
                "a bare word".to_owned(),
                Some(format!(
                    "write `#{word}`, or `\"{word}\"` if a text is meant"
                )),
            ),
            Self::Unclosed => (
                "a text has no closing quote".to_owned(),
                "begins here".to_owned(),
                Some(
                    "close it on the same line; a text of several lines stands between `\"\"\"`"
                        .to_owned(),
                ),
            ),
            Self::Unquoted(word) => (
                format!("`{word}` is neither a number nor a text"),
                "begins like a number".to_owned(),
                Some(format!("put it in quotes: `\"{word}\"`")),
            ),
            Self::NoValue => (
                "a property has no value".to_owned(),
                "a value belongs here".to_owned(),
                Some("write `name=\"value\"`, without spaces around the `=`".to_owned()),
            ),
            Self::BraceOpen => (
                "a block is not closed".to_owned(),
                "opened here".to_owned(),
                Some("close it with `}`".to_owned()),
            ),
            Self::BraceClose => (
                "a `}` closes nothing".to_owned(),
                "one too many".to_owned(),
                None,
            ),
            Self::Equals => (
                "a node has no `=` behind its name".to_owned(),
                "not here".to_owned(),
                Some("an argument follows after a space: `image \"nginx\"`".to_owned()),
            ),
            Self::Other(message, help) => (lowered(&message), "here".to_owned(), help),
        };
        ReadingMistake::Syntax {
            message,
            label,
            at,
            help,
        }
    }
}

fn lowered(message: &str) -> String {
    let mut characters = message.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}
