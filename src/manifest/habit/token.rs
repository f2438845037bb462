//! Tokenizer for KDL and for the syntax of similar languages.
//!
//! The tokenizer never fails: text that is not valid KDL becomes a token, too.

/// Kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text without quotes: a name, a number, a keyword.
    Word,
    /// A text in quotes, raw or not, of one or several lines.
    Text,
    /// A text in quotes that is never closed.
    Unclosed,
    /// A text in the quotes of another language.
    OtherQuotes,
    /// A raw text of KDL 1: `r"…"` or `r#"…"#`.
    OldRaw,
    /// A here-document, from `<<END` to the line `END`.
    HereDocument,
    /// A comment of another language: `# …`.
    OtherComment,
    /// A `/*` that is never closed.
    OpenComment,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    OpenParenthesis,
    CloseParenthesis,
    Equals,
    Semicolon,
    Newline,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Offset of the first byte.
    pub at: usize,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// Returns all tokens of a text, without KDL comments.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next() {
        tokens.push(token);
    }
    tokens
}

pub(super) fn is_newline(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Opening quotes of other languages and of word processors, each with its closing quotes.
const OTHER_QUOTES: [(char, &[char]); 5] = [
    ('\'', &['\'']),
    ('`', &['`']),
    ('“', &['”', '“']),
    ('„', &['“', '”']),
    ('‘', &['’', '‘']),
];

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn first(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Consumes the text up to `end` as a token.
    fn take(&mut self, kind: Kind, end: usize) -> Token<'a> {
        let at = std::mem::replace(&mut self.at, end);
        Token {
            kind,
            text: &self.text[at..end],
            at,
        }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(open) = self.skip_blanks() {
            return Some(open);
        }
        let first = self.first()?;
        let kind = match first {
            _ if is_newline(first) => Kind::Newline,
            '{' => Kind::Open,
            '}' => Kind::Close,
            '[' => Kind::OpenBracket,
            ']' => Kind::CloseBracket,
            '(' => Kind::OpenParenthesis,
            ')' => Kind::CloseParenthesis,
            '=' => Kind::Equals,
            ';' => Kind::Semicolon,
            '"' => return Some(self.quoted(0)),
            '#' => return Some(self.hashed()),
            _ => return Some(self.unquoted(first)),
        };
        Some(self.take(kind, self.at + first.len_utf8()))
    }

    /// Skips blanks, comments and line continuations. A comment that is never closed is a token.
    fn skip_blanks(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            let first = rest.chars().next()?;
            if rest.starts_with("//") {
                self.at += rest.find(is_newline).unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(length) = comment(rest) else {
                    let end = self.at + 2;
                    let open = self.take(Kind::OpenComment, end);
                    self.at = self.text.len();
                    return Some(open);
                };
                self.at += length;
            } else if rest.starts_with("/-") {
                self.at += 2;
            } else if let Some(length) = continuation(rest) {
                self.at += length;
            } else if first == '\u{feff}' || first.is_whitespace() && !is_newline(first) {
                self.at += first.len_utf8();
            } else {
                return None;
            }
        }
    }

    /// Consumes a text in double quotes after this number of hashes.
    fn quoted(&mut self, hashes: usize) -> Token<'a> {
        let body = &self.rest()[hashes..];
        let several = body.starts_with("\"\"\"");
        let quotes = if several { "\"\"\"" } else { "\"" };
        let closing = format!("{quotes}{}", "#".repeat(hashes));
        let mut at = quotes.len();
        while let Some(next) = body[at..].chars().next() {
            if body[at..].starts_with(&closing) {
                let end = self.at + hashes + at + closing.len();
                return self.take(Kind::Text, end);
            }
            if is_newline(next) && !several {
                break;
            }
            at += next.len_utf8();
            if next == '\\' && hashes == 0 {
                at += escaped(&body[at..]);
            }
        }
        // The token ends with its line, so that only this line is shown.
        let line = body.find(is_newline).unwrap_or(body.len());
        let end = self.at + hashes + line;
        let rest = self.at + hashes + at;
        let token = self.take(Kind::Unclosed, end);
        self.at = rest;
        token
    }

    /// Consumes a keyword, a raw text, or a comment of another language.
    fn hashed(&mut self) -> Token<'a> {
        let rest = self.rest();
        let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
        match rest[hashes..].chars().next() {
            Some('"') => self.quoted(hashes),
            Some(next) if hashes == 1 && (next.is_alphabetic() || next == '-') => {
                let end = self.at + 1 + word_length(&rest[1..]);
                self.take(Kind::Word, end)
            }
            _ => {
                let line = rest.find(is_newline).unwrap_or(rest.len());
                self.take(Kind::OtherComment, self.at + line)
            }
        }
    }

    fn unquoted(&mut self, first: char) -> Token<'a> {
        let rest = self.rest();
        let found = old_raw(rest)
            .map(|length| (Kind::OldRaw, length))
            .or_else(|| Some((Kind::HereDocument, here_document(rest)?)))
            .or_else(|| Some((Kind::OtherQuotes, other_quotes(rest, first)?)));
        let (kind, length) =
            found.unwrap_or_else(|| (Kind::Word, word_length(rest).max(first.len_utf8())));
        self.take(kind, self.at + length)
    }
}

/// Returns the length of a comment, which may be nested; `None` if it is never closed.
fn comment(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// Returns the length of a line continuation, from its backslash to the start of the next line.
fn continuation(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix('\\')?;
    let line = behind.find(is_newline)?;
    let blank = behind[..line].trim_start();
    let newline = behind[line..].chars().next()?.len_utf8();
    (blank.is_empty() || blank.starts_with("//")).then_some(1 + line + newline)
}

/// Returns the length of the text that a backslash escapes: one character, or all blanks.
fn escaped(rest: &str) -> usize {
    let blanks = rest.len() - rest.trim_start().len();
    let one = rest.chars().next().map_or(0, char::len_utf8);
    blanks.max(one)
}

fn old_raw(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix('r')?;
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    let body = behind[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", &behind[..hashes]);
    let length = body.find(&closing)?;
    Some(2 + hashes + length + closing.len())
}

fn here_document(rest: &str) -> Option<usize> {
    let behind = rest.strip_prefix("<<")?;
    let behind = behind.trim_start_matches(['-', '~']);
    let end = behind[..word_length(behind)].trim_matches(['\'', '"']);
    let usual = |letter: char| letter.is_alphanumeric() || letter == '_';
    if end.is_empty() || !end.chars().all(usual) {
        return None;
    }
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        at += line.len();
        if line.trim() == end {
            return Some(at - (line.len() - line.trim_end().len()));
        }
    }
    None
}

fn other_quotes(rest: &str, first: char) -> Option<usize> {
    let (_, closing) = OTHER_QUOTES.iter().find(|(open, _)| *open == first)?;
    let body = &rest[first.len_utf8()..];
    let body = &body[..body.find(is_newline).unwrap_or(body.len())];
    let (at, last) = body
        .char_indices()
        .find(|(_, next)| closing.contains(next))?;
    let behind = &body[at + last.len_utf8()..];
    let ends = |next: char| next.is_whitespace() || ",;:=)]}".contains(next);
    behind
        .chars()
        .next()
        .is_none_or(ends)
        .then(|| first.len_utf8() + at + last.len_utf8())
}

/// Returns the length of a word, including any `${…}`.
fn word_length(rest: &str) -> usize {
    let mut at = 0;
    let mut before = ' ';
    while let Some(next) = rest[at..].chars().next() {
        if next == '{' && before == '$' {
            let line = &rest[at..];
            let line = &line[..line.find(is_newline).unwrap_or(line.len())];
            match line.find('}') {
                Some(close) => at += close + 1,
                None => break,
            }
            before = '}';
            continue;
        }
        let ends = next.is_whitespace() || is_newline(next) || "{}[]();=\"".contains(next);
        // A `//` begins a comment, except in a URL.
        if ends || rest[at..].starts_with("//") && before != ':' && before != '/' {
            break;
        }
        at += next.len_utf8();
        before = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(Kind, &str)]) {
        let found: Vec<_> = tokens(text)
            .iter()
            .map(|token| (token.kind, token.text))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn tokens_split_kdl() {
        use Kind::{Close, Equals, Newline, Open, Semicolon, Text, Word};
        check(
            "a 1 b=\"x\" { c; } // d\n/* e /* f */ */ /-g #true",
            &[
                (Word, "a"),
                (Word, "1"),
                (Word, "b"),
                (Equals, "="),
                (Text, "\"x\""),
                (Open, "{"),
                (Word, "c"),
                (Semicolon, ";"),
                (Close, "}"),
                (Newline, "\n"),
                (Word, "g"),
                (Word, "#true"),
            ],
        );
        check(
            "\"a\\\"b\" #\"a\"b\"# a \\ // c\n b",
            &[
                (Text, "\"a\\\"b\""),
                (Text, "#\"a\"b\"#"),
                (Word, "a"),
                (Word, "b"),
            ],
        );
        check(
            "\"\"\"\n a\"\n \"\"\" \"\" \"a \\\n b\"",
            &[
                (Text, "\"\"\"\n a\"\n \"\"\""),
                (Text, "\"\""),
                (Text, "\"a \\\n b\""),
            ],
        );
    }

    #[test]
    fn tokens_split_foreign_syntax() {
        use Kind::{
            CloseBracket, HereDocument, Newline, OldRaw, OpenBracket, OpenComment, OtherComment,
            OtherQuotes, Text, Unclosed, Word,
        };
        check(
            "['a b', `c`] “d” don't",
            &[
                (OpenBracket, "["),
                (OtherQuotes, "'a b'"),
                (Word, ","),
                (OtherQuotes, "`c`"),
                (CloseBracket, "]"),
                (OtherQuotes, "“d”"),
                (Word, "don't"),
            ],
        );
        check(
            "r#\"a\"b\"# r\"c\" rest",
            &[(OldRaw, "r#\"a\"b\"#"), (OldRaw, "r\"c\""), (Word, "rest")],
        );
        check(
            "x <<-END\n a\n END\ny",
            &[
                (Word, "x"),
                (HereDocument, "<<-END\n a\n END"),
                (Newline, "\n"),
                (Word, "y"),
            ],
        );
        check(
            "# a\nb # c",
            &[
                (OtherComment, "# a"),
                (Newline, "\n"),
                (Word, "b"),
                (OtherComment, "# c"),
            ],
        );
        check(
            "a:${B:-c d} ./e http://f/g h//i",
            &[
                (Word, "a:${B:-c d}"),
                (Word, "./e"),
                (Word, "http://f/g"),
                (Word, "h"),
            ],
        );
        check("\"a\nb", &[(Unclosed, "\"a"), (Newline, "\n"), (Word, "b")]);
        check("\"\"\"\na", &[(Unclosed, "\"\"\"")]);
        check("\"a\" /* b", &[(Text, "\"a\""), (OpenComment, "/*")]);
    }

    proptest! {
        #[test]
        fn tokens_never_panic_or_stop(
            text in "([a-zé]|[ \n{}=#\"'\\\\/*$<\\[\\]();,:-]|\"\"\"|r#|<<E)*",
        ) {
            for token in tokens(&text) {
                prop_assert!(!token.text.is_empty());
                prop_assert_eq!(&text[token.at..token.end()], token.text);
            }
        }
    }
}
