//! Usual slips in writing KDL, each with its remedy.
//!
//! Knows what people write, not how the parser works.

use crate::{diagnostic::ReadingMistake, span::Span};

/// A usual slip in writing KDL.
pub(super) enum Slip {
    Keyword(String),
    UnknownKeyword(String),
    Unclosed,
    Unquoted(String),
    NoValue,
    BraceOpen,
    BraceClose,
    Equals,
    Deep,
    Other(String, Option<String>),
}

impl Slip {
    /// What a found text and the parser's own words speak of.
    pub fn of(found: &str, message: String, help: Option<String>) -> Self {
        match found {
            "true" | "false" | "null" => return Self::Keyword(found.to_owned()),
            "{" => return Self::BraceOpen,
            "}" => return Self::BraceClose,
            "=" => return Self::Equals,
            "" if message == "Expected property value" => return Self::NoValue,
            _ => {}
        }
        if found.starts_with('#') && message == "Expected keyword" {
            return Self::UnknownKeyword(found.to_owned());
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

    /// Told as a mistake at a place.
    pub fn mistake(self, at: Span) -> ReadingMistake {
        let (message, label, help) = match self {
            Self::Keyword(word) => (
                format!("`{word}` is not a value"),
                "a bare word".to_owned(),
                Some(format!(
                    "write `#{word}`, or `\"{word}\"` if a text is meant"
                )),
            ),
            Self::UnknownKeyword(word) => (
                format!("`{word}` is not a keyword"),
                "unknown keyword".to_owned(),
                Some("the keywords are `#true`, `#false` and `#null`".to_owned()),
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
            Self::Deep => (
                "blocks or comments are nested too deep".to_owned(),
                "one too deep".to_owned(),
                None,
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
