//! Usual slips in writing KDL, each with its remedy.
//!
//! Knows what people write, not how the parser works, whose own words nobody is shown.

use crate::{diagnostic::ReadingMistake, span::Span};

/// A usual slip in writing KDL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slip {
    Keyword(String),
    UnknownKeyword(String),
    Unclosed,
    UnclosedLines,
    Unquoted(String),
    NoValue,
    BraceOpen,
    BraceClose,
    Deep,
    /// Something that another language has, and what to write instead.
    Habit(Habit, Option<String>),
    /// A whole text of another language.
    Language(&'static str),
    /// Nobody knows what was meant.
    Unreadable,
}

/// Something that another language has, and KDL has not.
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

impl Slip {
    /// Whether text and code, or comments and code, have changed places behind it.
    pub fn is_lost(&self) -> bool {
        let comment = Self::Habit(Habit::OpenComment, None);
        matches!(self, Self::Unclosed | Self::UnclosedLines) || *self == comment
    }

    /// Told as a mistake at a place.
    pub fn mistake(self, at: Span) -> ReadingMistake {
        if let Self::Language(language) = self {
            return ReadingMistake::OtherLanguage { language, at };
        }
        let (message, label, help) = self.told();
        ReadingMistake::Syntax {
            message,
            label,
            at,
            help,
        }
    }

    /// Message, label and help.
    fn told(self) -> (String, String, Option<String>) {
        let told = |message: &str, label: &str, help: Option<&str>| {
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
            Self::Unclosed => told(
                "a text has no closing quote",
                "begins here",
                Some("close it on the same line; a text of several lines stands between `\"\"\"`"),
            ),
            Self::UnclosedLines => told(
                "a text of several lines is not closed",
                "begins here",
                Some("close it with `\"\"\"` on a line of its own"),
            ),
            Self::Unquoted(word) => (
                format!("`{word}` is neither a number nor a text"),
                "begins like a number".to_owned(),
                Some(number(&word)),
            ),
            Self::NoValue => told(
                "a property has no value",
                "a value belongs here",
                Some("write `name=\"value\"`, without spaces around the `=`"),
            ),
            Self::BraceOpen => told(
                "a block is not closed",
                "opened here",
                Some("close it with `}`"),
            ),
            Self::BraceClose => told("a `}` closes nothing", "one too many", None),
            Self::Deep => told(
                "blocks or comments are nested too deep",
                "one too deep",
                None,
            ),
            Self::Habit(habit, write) => habit.told(write),
            Self::Language(_) | Self::Unreadable => told(
                "this is not written in KDL",
                "cannot be read",
                Some(
                    "a node has a name, then values and properties, then perhaps a block: `port \
                     8080 to=80`",
                ),
            ),
        }
    }
}

/// What to write instead of a word that begins like a number.
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
    /// Whether the way out is another way to write the whole line.
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

    fn told(&self, write: Option<String>) -> (String, String, Option<String>) {
        let (message, label) = self.shown();
        let (before, otherwise) = self.remedy();
        let help = match write {
            Some(write) if before.is_empty() => format!("write `{write}`"),
            Some(write) => format!("{before}: `{write}`"),
            None => otherwise.to_owned(),
        };
        (message, label.to_owned(), Some(help))
    }

    /// Message and label.
    fn shown(&self) -> (String, &'static str) {
        let (message, label) = match self {
            Self::Bare(word) => return (format!("`{word}` needs quotes"), "without quotes"),
            Self::Escape(letter) => {
                return (format!("`\\{letter}` is no escape"), "in this text");
            }
            Self::Invisible(letter) => {
                let code = u32::from(*letter);
                return (
                    format!("a text has a character that nobody sees: U+{code:04X}"),
                    "here",
                );
            }
            Self::Name(word) => {
                return (
                    format!("`{word}` cannot be the name of a node"),
                    "not a name",
                );
            }
            Self::Stray(bracket) => return (format!("`{bracket}` closes nothing"), "one too many"),
            Self::Quotes(quote) => return (format!("`{quote}` is no quote"), "other quotes"),
            Self::Adjacent => ("two values have no space between them", "begins here"),
            Self::AfterBlock => ("something follows a block on its line", "here"),
            Self::BraceBelow => ("a block begins on the line of its node", "a line too late"),
            Self::Brackets => ("a list has no brackets", "begins here"),
            Self::Colon => ("a name has no colon behind it", "a colon"),
            Self::Commas => ("no comma stands between values", "a comma"),
            Self::Comment => ("a comment does not begin with `#`", "a comment"),
            Self::Dash => ("an item of a list has no dash", "a dash"),
            Self::Equals => ("a node has no `=` behind its name", "not here"),
            Self::FirstLine => (
                "a text begins on the line of its `\"\"\"`",
                "several lines begin here",
            ),
            Self::HereDocument => (
                "a text of several lines stands between `\"\"\"`",
                "begins here",
            ),
            Self::Indent => (
                "a line of a text begins further left than its closing `\"\"\"`",
                "this line",
            ),
            Self::LastLine => (
                "a text ends on the line of its closing `\"\"\"`",
                "before the end",
            ),
            Self::NoName => ("a block has no node", "of which node?"),
            Self::OldRaw => ("a raw text has no `r` before it", "as in KDL 1"),
            Self::OpenComment => ("a comment is not closed", "begins here"),
            Self::Parentheses => ("values do not stand in parentheses", "begin here"),
            Self::Spaced => ("a property has no spaces around its `=`", "of a property"),
            Self::Variable => (
                "a text with a variable in it needs quotes",
                "without quotes",
            ),
        };
        (message.to_owned(), label)
    }

    /// What is said before the line to write, if more than `write`; and what is said when there is
    /// no such line.
    fn remedy(&self) -> (&'static str, &'static str) {
        match self {
            Self::AfterBlock => ("", "begin a new line, or put a `;` between"),
            Self::BraceBelow => ("", "put it at the end of the line above"),
            Self::Brackets => (
                "its items follow one another",
                "its items follow one another: `command \"node\" \"server.js\"`",
            ),
            Self::Commas | Self::Parentheses => (
                "a space is enough",
                "a space is enough: `command \"node\" \"server.js\"`",
            ),
            Self::Colon => (
                "",
                "a value follows after a space, and a block in braces: `image \"nginx\"`, `env { … }`",
            ),
            Self::Dash => (
                "each item is a node of its own",
                "each item is a node of its own: `port 8080`",
            ),
            Self::Equals => (
                "an argument follows after a space",
                "an argument follows after a space: `image \"nginx\"`",
            ),
            Self::Escape('u') => ("", "the code stands in braces: `\\u{41}`"),
            Self::Escape(_) => (
                "in a raw text backslashes stand for themselves",
                "a backslash is written `\\\\`; in a raw text, `#\"\\d\"#`, it stands for itself",
            ),
            Self::FirstLine => (
                "a text of one line has one quote",
                "the text begins on the next line, and the closing `\"\"\"` has a line of its own",
            ),
            Self::HereDocument => (
                "",
                "end the line with `\"\"\"`, and put the closing `\"\"\"` on a line of its own",
            ),
            Self::Indent => (
                "",
                "indent it as far, or move the closing `\"\"\"` to the left",
            ),
            Self::Invisible(_) => ("", "take it out"),
            Self::LastLine => ("", "put the closing `\"\"\"` on a line of its own"),
            Self::Name(_) | Self::NoName => ("", "a node begins with its name: `port 8080`"),
            Self::OldRaw => ("", "write `#\"…\"#`"),
            Self::OpenComment => ("", "close it with `*/`"),
            Self::Stray(_) => (
                "",
                "take it out, or put the text that it is part of into quotes",
            ),
            Self::Spaced => ("", "write `name=\"value\"`"),
            Self::Adjacent => ("", "put a space between"),
            Self::Bare(_) | Self::Comment | Self::Quotes(_) | Self::Variable => {
                ("", "put the text into double quotes")
            }
        }
    }
}
