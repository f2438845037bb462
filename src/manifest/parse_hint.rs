//! Common errors in writing KDL, each with a suggested fix.
//!
//! This file is about what people write, not about how the parser works. The parser's own messages
//! are never shown.

use crate::{diagnostic::ParseError, span::Span};

/// A common error in writing KDL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParseHint {
    Keyword(String),
    UnknownKeyword(String),
    Unclosed,
    UnclosedLines,
    Unquoted(String),
    NoValue,
    BraceOpen,
    BraceClose,
    Deep,
    /// Syntax of another language, with the line to write instead.
    Habit(Habit, Option<String>),
    /// A whole text in another language; has the name of the language.
    Language(&'static str),
    /// An error of unknown cause.
    Unreadable,
}

/// Syntax that another language has and KDL does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Habit {
    Adjacent,
    AfterBlock,
    Bare(String),
    BraceBelow,
    Brackets,
    Colon,
    Commas,
    Comment,
    Dash,
    Equals,
    Escape(char),
    FirstLine,
    HereDocument,
    Indent,
    Invisible(char),
    LastLine,
    Name(String),
    NoName,
    OldRaw,
    OpenComment,
    Parentheses,
    Quotes(char),
    Spaced,
    Stray(String),
    Variable,
}

impl ParseHint {
    /// Returns whether text and code, or comments and code, can no longer be told apart after the
    /// error.
    pub fn is_lost(&self) -> bool {
        let comment = Self::Habit(Habit::OpenComment, None);
        matches!(self, Self::Unclosed | Self::UnclosedLines) || *self == comment
    }

    /// Returns the error at a span.
    pub fn mistake(self, at: Span) -> ParseError {
        if let Self::Language(language) = self {
            return ParseError::OtherLanguage { language, at };
        }
        let (message, label, help) = self.parts();
        ParseError::Syntax {
            message,
            label,
            at,
            help,
        }
    }

    /// Returns the message, the label and the help.
    fn parts(self) -> (String, String, Option<String>) {
        let texts = |message: &str, label: &str, help: Option<&str>| {
            let help = help.map(str::to_owned);
            (message.to_owned(), label.to_owned(), help)
        };
        match self {
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
            Self::Unclosed => texts(
                "a text has no closing quote",
                "begins here",
                Some("close it on the same line; a multi-line string is enclosed by `\"\"\"`"),
            ),
            Self::UnclosedLines => texts(
                "a multi-line text is not closed",
                "begins here",
                Some("close it with `\"\"\"` on a line of its own"),
            ),
            Self::Unquoted(word) => (
                format!("`{word}` is neither a number nor a text"),
                "begins like a number".to_owned(),
                Some(number(&word)),
            ),
            Self::NoValue => texts(
                "a property has no value",
                "a value belongs here",
                Some("write `name=\"value\"`, without spaces around the `=`"),
            ),
            Self::BraceOpen => texts(
                "a block is not closed",
                "opened here",
                Some("close it with `}`"),
            ),
            Self::BraceClose => texts("a `}` closes nothing", "one too many", None),
            Self::Deep => texts(
                "blocks or comments are nested too deep",
                "one too deep",
                None,
            ),
            Self::Habit(habit, write) => habit.parts(write),
            Self::Language(_) | Self::Unreadable => texts(
                "this is not valid KDL",
                "cannot be parsed",
                Some(
                    "a node is a name, followed by values, properties and an optional block: `port \
                     8080 to=80`",
                ),
            ),
        }
    }
}

/// Returns help for a word that begins like a number.
fn number(word: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(fraction) = word.strip_prefix('.').filter(|rest| digits(rest)) {
        return format!("write `0.{fraction}`");
    }
    if let Some(whole) = word.strip_suffix('.').filter(|rest| digits(rest)) {
        return format!("write `{whole}.0`");
    }
    if word.starts_with("0o") && digits(&word[2..]) {
        return "the digits of an octal number are 0 to 7".to_owned();
    }
    if digits(word) {
        return "the number is too large".to_owned();
    }
    format!("put it in quotes: `\"{word}\"`")
}

impl Habit {
    /// Returns whether the fix is a rewrite of the whole line.
    pub fn is_of_line(&self) -> bool {
        matches!(
            self,
            Self::Adjacent
                | Self::Bare(_)
                | Self::Brackets
                | Self::Colon
                | Self::Commas
                | Self::Dash
                | Self::Equals
                | Self::OldRaw
                | Self::Parentheses
                | Self::Quotes(_)
                | Self::Spaced
                | Self::Variable
        )
    }

    fn parts(&self, write: Option<String>) -> (String, String, Option<String>) {
        let (message, label) = self.shown();
        let (before, otherwise) = self.remedy();
        let help = match write {
            Some(write) if before.is_empty() => format!("write `{write}`"),
            Some(write) => format!("{before}: `{write}`"),
            None => otherwise.to_owned(),
        };
        (message, label.to_owned(), Some(help))
    }

    /// Returns the message and the label.
    fn shown(&self) -> (String, &'static str) {
        let (message, label) = match self {
            Self::Bare(word) => return (format!("`{word}` must be quoted"), "without quotes"),
            Self::Escape(letter) => {
                let message = format!("`\\{letter}` is not an escape sequence");
                return (message, "in this text");
            }
            Self::Invisible(letter) => {
                let code = u32::from(*letter);
                let message = format!("the invisible character U+{code:04X} is not allowed");
                return (message, "here");
            }
            Self::Name(word) => {
                return (
                    format!("`{word}` cannot be the name of a node"),
                    "not a name",
                );
            }
            Self::Stray(bracket) => return (format!("unmatched `{bracket}`"), "not opened"),
            Self::Quotes(quote) => {
                return (format!("`{quote}` does not quote a text"), "other quotes");
            }
            Self::Adjacent => ("a space is missing between two values", "begins here"),
            Self::AfterBlock => ("a block must be followed by a new line", "on the same line"),
            Self::BraceBelow => (
                "the `{` of a block must be on the line of its node",
                "on the next line",
            ),
            Self::Brackets => ("a list is written without brackets", "begins here"),
            Self::Colon => ("the name of a node has no colon", "unexpected colon"),
            Self::Commas => (
                "values are separated by spaces, not by commas",
                "unexpected comma",
            ),
            Self::Comment => ("a comment starts with `//`, not with `#`", "comment"),
            Self::Dash => ("an item of a list has no dash", "unexpected dash"),
            Self::Equals => ("a node has no `=` behind its name", "not here"),
            Self::FirstLine => (
                "a multi-line text must start on the line below its `\"\"\"`",
                "on the same line",
            ),
            Self::HereDocument => ("here-documents are not part of KDL", "begins here"),
            Self::Indent => (
                "a line of a multi-line text is indented less than its closing `\"\"\"`",
                "this line",
            ),
            Self::LastLine => (
                "the closing `\"\"\"` of a multi-line text must be on its own line",
                "on the same line",
            ),
            Self::NoName => ("a block without the name of a node", "which node?"),
            Self::OldRaw => ("a raw text has no `r` before it", "as in KDL 1"),
            Self::OpenComment => ("a comment is not closed", "begins here"),
            Self::Parentheses => ("values are written without parentheses", "begin here"),
            Self::Spaced => ("a property has no spaces around its `=`", "of a property"),
            Self::Variable => (
                "a text that contains a variable must be quoted",
                "without quotes",
            ),
        };
        (message.to_owned(), label)
    }

    /// Returns the words that precede the line to write, if more than `write`, and the help for the
    /// case that there is no such line.
    fn remedy(&self) -> (&'static str, &'static str) {
        match self {
            Self::Adjacent => ("", "put a space between them"),
            Self::AfterBlock => ("", "start a new line, or put a `;` in between"),
            Self::BraceBelow => ("", "put it at the end of the line above"),
            Self::Brackets | Self::Commas | Self::Parentheses => {
                ("", "write `command \"node\" \"server.js\"`")
            }
            Self::Colon => ("", "write `image \"nginx\"`, and a block as `env { … }`"),
            Self::Dash => ("", "repeat the node for each item: `port 8080`"),
            Self::Equals => (
                "an argument follows after a space",
                "an argument follows after a space: `image \"nginx\"`",
            ),
            Self::Escape('u') => ("", "write the code in braces: `\\u{41}`"),
            Self::Escape(_) => (
                "in a raw text, backslashes stand for themselves",
                "write `\\\\` for a backslash, or use a raw text: `#\"\\d\"#`",
            ),
            Self::FirstLine => (
                "write a text of one line with one quote",
                "start the text on the next line, and put the closing `\"\"\"` on its own line",
            ),
            Self::HereDocument => (
                "",
                "use a multi-line text: end the line with `\"\"\"`, and put the closing `\"\"\"` on \
                 its own line",
            ),
            Self::Indent => (
                "",
                "indent the line as far, or move the closing `\"\"\"` to the left",
            ),
            Self::Invisible(_) => ("", "delete it"),
            Self::LastLine => ("", "put a line break before it"),
            Self::Name(_) | Self::NoName => ("", "start a node with its name: `port 8080`"),
            Self::OldRaw => ("", "write `#\"…\"#`"),
            Self::OpenComment => ("", "close it with `*/`"),
            Self::Stray(_) => ("", "delete it, or quote the text that contains it"),
            Self::Spaced => ("", "write `name=\"value\"`"),
            Self::Bare(_) | Self::Comment | Self::Quotes(_) | Self::Variable => {
                ("", "put the text into double quotes")
            }
        }
    }
}
