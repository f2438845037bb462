//! Parser for files of variables (`.env`), in the grammar of Compose.
//!
//! The parser maps text to entries. The caller knows the layer and the path of the file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Environment,
    interpolate::interpolate_with,
    mistake::{DotenvError, DotenvErrorKind},
};

/// One variable of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the variable.
    pub name: String,
    /// Value; `None` for a name alone, which keeps the value that the variable already has.
    pub value: Option<String>,
    /// Line number, counted from 1.
    pub line: usize,
}

/// Content of a file of variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Variables that were read without an error.
    pub entries: Vec<Entry>,
    /// Variables that have a line, but no value because of an error in it.
    pub broken: BTreeSet<String>,
    /// All errors of the file, in source order.
    pub errors: Vec<DotenvError>,
}

/// Parses a file of variables. Lines without an error are read even if other lines have errors.
///
/// A line is empty, a comment, or one of `NAME=value`, `NAME: value` and `NAME` alone. Each of the
/// three forms may follow `export`. `'…'` is literal, except for `\'`. `"…"` has the escapes `\n`,
/// `\r`, `\t`, `\"`, `\\` and `\$`. Both may span several lines. A value without quotes ends at the
/// end of the line or at ` #`. Variables are replaced in values that are not in single quotes. They
/// are looked up in the process environment, then in earlier lines, then in the other layers of
/// `environment`.
pub fn parse(text: &str, environment: &Environment) -> Contents {
    let mut reader = Reader::new(text, environment);
    while reader.at < text.len() {
        if let Err(error) = reader.line() {
            let is_unclosed = matches!(error.kind, DotenvErrorKind::Unclosed { .. });
            reader.note(error);
            reader.is_lost |= is_unclosed;
            reader.skip_line();
        }
    }
    reader.contents
}

/// Parses a file of variables as the engine's own command line does: everything after the first `=`
/// is the value, including quotes and dollar signs.
pub fn parse_raw(text: &str) -> Contents {
    let mut contents = Contents::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        let number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        let bad = if name.is_empty() {
            Some('=')
        } else {
            name.chars().find(|found| found.is_whitespace())
        };
        match bad {
            Some(found) => contents.errors.push(DotenvError {
                line: number,
                column: 1,
                kind: DotenvErrorKind::NoName { found },
            }),
            None => contents.entries.push(Entry {
                name: name.to_owned(),
                value,
                line: number,
            }),
        }
    }
    contents
}

struct Reader<'a> {
    text: &'a str,
    environment: &'a Environment,
    /// Current position, in bytes.
    at: usize,
    /// Variables of the lines so far.
    known: BTreeMap<String, String>,
    contents: Contents,
    /// Whether a quote was not closed. The rest may be text or lines, so its errors are not
    /// reported.
    is_lost: bool,
}

/// A value with its escapes resolved, and the position in the file of each of its bytes.
#[derive(Default)]
struct Unescaped {
    text: String,
    places: Vec<usize>,
}

impl Unescaped {
    fn push(&mut self, text: &str, place: usize) {
        self.text.push_str(text);
        self.places.resize(self.text.len(), place);
    }
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, environment: &'a Environment) -> Self {
        let byte_order_mark = '\u{feff}';
        let at = if text.starts_with(byte_order_mark) {
            byte_order_mark.len_utf8()
        } else {
            0
        };
        Self {
            text,
            environment,
            at,
            known: BTreeMap::new(),
            contents: Contents::default(),
            is_lost: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += found.len_utf8();
        Some(found)
    }

    fn skip(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.bump();
        }
        &self.text[start..self.at]
    }

    fn skip_line(&mut self) {
        self.skip(|c| c != '\n');
        self.bump();
    }

    fn error(&self, at: usize, kind: DotenvErrorKind) -> DotenvError {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        DotenvError {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            kind,
        }
    }

    fn note(&mut self, error: DotenvError) {
        if !self.is_lost {
            self.contents.errors.push(error);
        }
    }

    fn line(&mut self) -> Result<(), DotenvError> {
        self.skip(char::is_whitespace);
        match self.peek() {
            None => return Ok(()),
            Some('#') => {
                self.skip_line();
                return Ok(());
            }
            Some(_) => {}
        }
        let start = self.at;
        let mut name = self.name();
        let blank = self.skip(is_blank);
        if name == "export" && !blank.is_empty() && self.peek().is_some_and(is_name) {
            name = self.name();
            self.skip(is_blank);
        }
        if name.is_empty() {
            let found = self.peek().unwrap_or('=');
            return Err(self.error(self.at, DotenvErrorKind::NoName { found }));
        }
        let line = self.error(start, DotenvErrorKind::Secret).line;
        // The name is removed when its value has been read.
        self.contents.broken.insert(name.to_owned());
        let value = match self.peek() {
            Some('=' | ':') => {
                self.bump();
                self.skip(is_blank);
                let Some(value) = self.value()? else {
                    return Ok(());
                };
                Some(value)
            }
            None | Some('\n' | '\r') => None,
            Some('#') if !blank.is_empty() => {
                self.skip_line();
                None
            }
            Some(found) => {
                let name = name.to_owned();
                return Err(self.error(self.at, DotenvErrorKind::NoEquals { name, found }));
            }
        };
        if let Some(value) = &value {
            self.known.insert(name.to_owned(), value.clone());
        }
        self.contents.broken.remove(name);
        let name = name.to_owned();
        self.contents.entries.push(Entry { name, value, line });
        Ok(())
    }

    fn name(&mut self) -> &'a str {
        self.skip(is_name)
    }

    /// Returns `None` if the value has errors, which are already reported.
    fn value(&mut self) -> Result<Option<String>, DotenvError> {
        let start = self.at;
        match self.peek() {
            Some('\'') => {
                self.bump();
                let value = self.literal();
                self.close(start, '\'')?;
                Ok(Some(value))
            }
            Some('"') => {
                self.bump();
                let cooked = self.escaped();
                self.close(start, '"')?;
                Ok(self.interpolated(&cooked))
            }
            _ => {
                let line = self.skip(|c| c != '\n');
                let mut cooked = Unescaped::default();
                for (place, character) in without_comment(line).char_indices() {
                    cooked.push(character.encode_utf8(&mut [0; 4]), start + place);
                }
                Ok(self.interpolated(&cooked))
            }
        }
    }

    /// Reads up to the closing single quote, which is not consumed. A backslash before any
    /// character other than the quote is literal, and so is that character.
    fn literal(&mut self) -> String {
        let mut value = String::new();
        while let Some(character) = self.peek().filter(|c| *c != '\'') {
            self.bump();
            if character != '\\' {
                value.push(character);
                continue;
            }
            let escaped = self.bump();
            if escaped != Some('\'') {
                value.push('\\');
            }
            value.extend(escaped);
        }
        value
    }

    /// Reads up to the closing double quote, which is not consumed.
    fn escaped(&mut self) -> Unescaped {
        let mut cooked = Unescaped::default();
        while let Some(character) = self.peek().filter(|c| *c != '"') {
            let place = self.at;
            self.bump();
            if character != '\\' {
                cooked.push(character.encode_utf8(&mut [0; 4]), place);
                continue;
            }
            match self.bump() {
                Some('n') => cooked.push("\n", place),
                Some('r') => cooked.push("\r", place),
                Some('t') => cooked.push("\t", place),
                Some('"') => cooked.push("\"", place),
                Some('\\') | None => cooked.push("\\", place),
                // Interpolation requires `$$` for a literal dollar sign.
                Some('$') => cooked.push("$$", place),
                Some(other) => {
                    cooked.push("\\", place);
                    cooked.push(other.encode_utf8(&mut [0; 4]), place);
                }
            }
        }
        cooked
    }

    /// Consumes the closing quote, and what may follow it on its line.
    fn close(&mut self, opened: usize, quote: char) -> Result<(), DotenvError> {
        if self.bump().is_none() {
            // The lines after the opening quote can still be read.
            self.at = opened;
            return Err(self.error(opened, DotenvErrorKind::Unclosed { quote }));
        }
        self.skip(is_blank);
        match self.peek() {
            None | Some('\n' | '#') => {
                self.skip_line();
                Ok(())
            }
            Some(found) => Err(self.error(self.at, DotenvErrorKind::Trailing { found, quote })),
        }
    }

    /// Interpolates the value. Reports its errors, except those that an earlier line caused.
    fn interpolated(&mut self, cooked: &Unescaped) -> Option<String> {
        let lookup = |name: &str| {
            let process = self.environment.process().get(name);
            let found = process.or_else(|| self.known.get(name)).cloned();
            found.or_else(|| {
                let (value, _) = self.environment.get(name)?;
                Some(value.to_owned())
            })
        };
        let place = |at: usize| cooked.places.get(at).copied().unwrap_or(self.at);
        let errors = match interpolate_with(&cooked.text, &lookup) {
            Ok(template) => match template.as_plain() {
                Some(value) => return Some(value.to_owned()),
                None => vec![self.error(place(0), DotenvErrorKind::Secret)],
            },
            Err(errors) => errors
                .into_iter()
                .filter(|error| {
                    let unset = error.kind.unset();
                    !unset.is_some_and(|name| {
                        self.contents.broken.contains(name) || self.environment.is_in_doubt(name)
                    })
                })
                .map(|error| {
                    let kind = DotenvErrorKind::Interpolation(error.kind);
                    self.error(place(error.range.start), kind)
                })
                .collect(),
        };
        for error in errors {
            self.note(error);
        }
        None
    }
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() && character != '\n'
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '[' | ']')
}

/// Returns the rest of a line without a comment that follows a blank.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '#' && before.is_whitespace() && at > 0 {
            return line[..at].trim_end();
        }
        before = character;
    }
    line.trim_end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        let process = [("SET", "value"), ("HOME", "/root")];
        let owned = process.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment::new(owned.into())
    }

    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let contents = parse(text, &environment());
        assert_eq!(contents.errors, [], "{text}");
        let entries = contents.entries;
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_deref()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    fn check_mistakes(text: &str, expected: &[&str]) {
        let found: Vec<_> = parse(text, &environment())
            .errors
            .iter()
            .map(|error| format!("{}:{} {error}", error.line, error.column))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn dotenv_line_forms_are_parsed() {
        check(
            "A=1\n\n# no\nexport B = 2\nC: 3",
            &[("A", Some("1")), ("B", Some("2")), ("C", Some("3"))],
        );
        check(
            "A\nexport B\nexport=x # y",
            &[("A", None), ("B", None), ("export", Some("x"))],
        );
        check(
            "A=\nB='' \nC=\"\"\r\nD=d\r\n",
            &[
                ("A", Some("")),
                ("B", Some("")),
                ("C", Some("")),
                ("D", Some("d")),
            ],
        );
        check("\u{feff}a.b-c[0]=x", &[("a.b-c[0]", Some("x"))]);
    }

    #[test]
    fn dotenv_quotes_and_comments_are_parsed() {
        check(
            "A=x y # z\nB=x#y\nC=#y\nD='x # y' # z\nE=\"x # y\"",
            &[
                ("A", Some("x y")),
                ("B", Some("x#y")),
                ("C", Some("#y")),
                ("D", Some("x # y")),
                ("E", Some("x # y")),
            ],
        );
        check(
            "A='one\ntwo $SET \\n'\nB=\"one\ntwo\\t\\\"\\q\"",
            &[
                ("A", Some("one\ntwo $SET \\n")),
                ("B", Some("one\ntwo\t\"\\q")),
            ],
        );
    }

    #[test]
    fn dotenv_variables_resolve_from_process_then_earlier_lines() {
        check(
            "A=$SET\nB=\"${A}-${NO:-d} \\$A $$A\"\nHOME=/x\nC=$HOME",
            &[
                ("A", Some("value")),
                ("B", Some("value-d $A $A")),
                ("HOME", Some("/x")),
                ("C", Some("/root")),
            ],
        );
    }

    #[test]
    fn dotenv_errors_have_line_and_column() {
        check_mistakes(
            "A=1\n=2\nB C\nD='x' y",
            &[
                "2:1 `=` cannot begin the name of a variable",
                "3:3 `C` cannot follow the name `B`",
                "4:7 `y` cannot follow a closing quote",
            ],
        );
        check_mistakes(
            "A=\"é\\t${NO}\"\nB='x",
            &[
                "1:7 variable `NO` is not set",
                "2:3 the quote `'` is never closed",
            ],
        );
        check_mistakes(
            "A=${secret:x}",
            &["1:3 a secret cannot be part of a variable"],
        );
    }

    #[test]
    fn dotenv_single_quotes_allow_escaped_quote() {
        check(
            "A='Let\\'s go!' # now\nB='\\''\nC='x\\\\'",
            &[
                ("A", Some("Let's go!")),
                ("B", Some("'")),
                ("C", Some("x\\\\")),
            ],
        );
    }

    #[test]
    fn dotenv_invalid_line_does_not_affect_other_lines() {
        let contents = parse(
            "A=1\nB='x' y\nC=${NO}\nD=$B-$C\nE=$A\nF G\nH='x\nI=2\n=3",
            &environment(),
        );
        let found: Vec<_> = contents
            .entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(found, ["A", "E", "I"]);
        let broken: Vec<_> = contents.broken.iter().map(String::as_str).collect();
        assert_eq!(broken, ["B", "C", "D", "F", "H"]);
        let lines: Vec<_> = contents.errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 3, 6, 7]);
    }

    #[test]
    fn raw_env_file_keeps_values_verbatim() {
        let entries = parse_raw("A=\"$x\" # y\n#c\nB\n").entries;
        let values: Vec<_> = entries.iter().map(|e| e.value.as_deref()).collect();
        assert_eq!(values, [Some("\"$x\" # y"), None]);
        assert_eq!(parse_raw("A B=1\n=2").errors.len(), 2);
    }

    proptest! {
        #[test]
        fn dotenv_parser_never_panics(text in r#"([A-Z]=|[ '"\\$#{}\n\r]|.)*"#) {
            let _ = parse(&text, &environment());
            let _ = parse_raw(&text);
        }

        #[test]
        fn dotenv_single_quoted_value_is_literal(value in "([^'\\\\]|\\\\[^'])*") {
            let text = format!("A='{value}'\nB=2");
            let contents = parse(&text, &environment());
            prop_assert_eq!(contents.errors, []);
            prop_assert_eq!(contents.entries[0].value.as_deref(), Some(value.as_str()));
            prop_assert_eq!(contents.entries.len(), 2);
        }

        #[test]
        fn dotenv_single_quotes_can_hold_any_value(value in "[^\\\\]*") {
            let text = format!("A='{}'\nB=2", value.replace('\'', "\\'"));
            let contents = parse(&text, &environment());
            prop_assert_eq!(contents.errors, []);
            prop_assert_eq!(contents.entries[0].value.as_deref(), Some(value.as_str()));
            prop_assert_eq!(contents.entries.len(), 2);
        }
    }
}
