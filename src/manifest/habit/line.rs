//! Lines with their tokens and nodes, and the first thing on a line that is not KDL.

use super::{
    Found, rewrite, text,
    token::{Kind, Token},
};
use crate::manifest::{
    merge_rule::{self, MergeRule},
    parse_hint::{Habit, ParseHint},
};

/// Maximum number of tokens in a list in brackets.
const LIST: usize = 400;

/// Tokens between two line ends; a list in brackets may span several lines.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    /// At least one token.
    pub tokens: Vec<Token<'a>>,
    /// Source text, from the first to the last token.
    source: &'a str,
    /// Number of characters before the first token.
    pub indent: usize,
}

/// Returns all lines that have tokens.
pub(super) fn lines<'a>(text: &'a str, tokens: &[Token<'a>]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let mut current: Vec<Token<'a>> = Vec::new();
    let mut joined = 0;
    for (index, token) in tokens.iter().enumerate() {
        if matches!(token.kind, Kind::OpenBracket | Kind::OpenParenthesis) {
            joined = joined.max(list(&tokens[index..]).map_or(0, |length| index + length));
        }
        if !token.is(Kind::Newline) {
            current.push(*token);
        } else if index >= joined {
            lines.extend(Line::new(text, std::mem::take(&mut current)));
        }
    }
    lines.extend(Line::new(text, current));
    lines
}

/// Returns the number of tokens up to the bracket that closes the first one. A list contains no
/// blocks.
fn list(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().take(LIST).enumerate() {
        match token.kind {
            Kind::OpenBracket | Kind::OpenParenthesis => depth += 1,
            Kind::CloseBracket | Kind::CloseParenthesis => depth -= 1,
            Kind::Open | Kind::Close | Kind::Semicolon => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// Returns a finding if the whole text is written in another language.
pub(super) fn language(lines: &[Line<'_>]) -> Option<Found> {
    let first = lines.first()?;
    if first.tokens[0].is(Kind::Open) {
        let slip = ParseHint::Language("JSON");
        return Some(found(&first.tokens[0], slip, false));
    }
    let header = lines.iter().find(|line| line.is_header())?;
    let (first, last) = (header.tokens.first()?, header.tokens.last()?);
    Some(Found {
        from: first.at,
        length: last.end() - first.at,
        slip: ParseHint::Language("TOML"),
        is_silent: false,
    })
}

/// Rewrites a block by indentation, in braces or as one node for each item; `None` if the result is
/// too long to show.
pub(super) fn block(name: &str, below: &[Line<'_>]) -> Option<String> {
    let indent = below.first()?.indent;
    if below.iter().any(|line| line.indent != indent) {
        return None;
    }
    let written = below
        .iter()
        .map(|line| rewrite::line(&line.tokens, Some(name)));
    let written: Vec<String> = written.collect::<Option<_>>()?;
    let of_items = below.iter().all(Line::is_item) && !rewrite::has_pairs(name);
    let text = match merge_rule::rule(name) {
        Some(MergeRule::Once | MergeRule::List) if of_items => {
            let values = written.iter().map(|line| &line[name.len()..]);
            format!("{name}{}", values.collect::<String>())
        }
        _ if of_items => written.join("; "),
        _ => format!("{name} {{ {} }}", written.join("; ")),
    };
    (text.len() <= rewrite::LONGEST).then_some(text)
}

fn found(token: &Token<'_>, slip: ParseHint, is_silent: bool) -> Found {
    Found {
        from: token.at,
        length: token.text.len(),
        slip,
        is_silent,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "each is its caller's answer")]
fn habit(token: &Token<'_>, habit: Habit) -> Option<Found> {
    Some(found(token, ParseHint::Habit(habit, None), false))
}

/// Creates a finding for text that the parser accepts with another meaning.
#[expect(clippy::unnecessary_wraps, reason = "each is its caller's answer")]
fn silent(token: &Token<'_>, habit: Habit) -> Option<Found> {
    Some(found(token, ParseHint::Habit(habit, None), true))
}

/// Position of a token in a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    BehindName,
    Value,
    BehindBlock,
}

impl<'a> Line<'a> {
    fn new(text: &'a str, tokens: Vec<Token<'a>>) -> Option<Self> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let before = &text[..first.at];
        let start = before.rfind(super::token::is_newline).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        let indent = before[start..].chars().count();
        let source = &text[first.at..last.end()];
        Some(Self {
            tokens,
            source,
            indent,
        })
    }

    /// Returns the name of the first node.
    pub fn name(&self) -> &'a str {
        self.tokens[0].text
    }

    /// Returns whether the line is a YAML list item.
    pub fn is_item(&self) -> bool {
        self.tokens[0].is_word("-")
    }

    pub fn has_braces(&self) -> bool {
        self.tokens
            .iter()
            .any(|token| matches!(token.kind, Kind::Open | Kind::Close))
    }

    /// Returns whether the line is `[section]` or `[[section]]`.
    fn is_header(&self) -> bool {
        use Kind::{CloseBracket, OpenBracket, Word};
        let kinds: Vec<Kind> = self.tokens.iter().map(|token| token.kind).collect();
        matches!(
            kinds.as_slice(),
            [OpenBracket, Word, CloseBracket]
                | [OpenBracket, OpenBracket, Word, CloseBracket, CloseBracket]
        ) && !self.tokens.iter().any(|token| token.text.contains(','))
    }

    /// Returns the first thing on the line that is not KDL, or that the parser accepts with another
    /// meaning.
    pub fn oddity(&self) -> Option<Found> {
        let mut place = Place::Start;
        let mut parentheses = 0_usize;
        for (index, token) in self.tokens.iter().enumerate() {
            let rest = &self.tokens[index..];
            let before = index.checked_sub(1).map(|before| &self.tokens[before]);
            let odd = match place {
                Place::Start => self.begins(rest),
                Place::BehindName => behind_name(before, rest).or_else(|| self.value(before, rest)),
                Place::Value => self.value(before, rest),
                Place::BehindBlock => behind_block(token),
            };
            if odd.is_some() {
                return odd;
            }
            match token.kind {
                Kind::OpenParenthesis => parentheses += 1,
                Kind::CloseParenthesis if parentheses > 0 => parentheses -= 1,
                // A list in brackets is reported at its opening bracket.
                Kind::CloseParenthesis | Kind::CloseBracket => {
                    return habit(token, Habit::Stray(token.text.to_owned()));
                }
                _ => {}
            }
            place = match (token.kind, place) {
                (Kind::Close, _) => Place::BehindBlock,
                (Kind::Newline, place) => place,
                // A name may have an annotation in parentheses before it.
                (Kind::Open | Kind::Semicolon, _)
                | (Kind::OpenParenthesis | Kind::CloseParenthesis, Place::Start) => Place::Start,
                (_, Place::Start) if before.is_some_and(|it| it.is(Kind::OpenParenthesis)) => place,
                (_, Place::Start) => Place::BehindName,
                _ => Place::Value,
            };
        }
        None
    }

    /// Checks the name of a node.
    fn begins(&self, rest: &[Token<'a>]) -> Option<Found> {
        let token = &rest[0];
        let next = rest.get(1);
        let colon = next.filter(|next| next.is(Kind::Word) && next.text.starts_with(':'));
        match token.kind {
            Kind::Word if token.text == "-" => silent(token, Habit::Dash),
            Kind::Word if token.text.starts_with('#') => Some(self.comment(token)),
            Kind::Word | Kind::Text if colon.is_some() => silent(colon?, Habit::Colon),
            Kind::Word => name(token),
            Kind::OpenBracket => habit(token, Habit::Brackets),
            Kind::Open => habit(token, Habit::NoName),
            Kind::Equals => habit(token, Habit::Name(token.text.to_owned())),
            Kind::Semicolon
            | Kind::Close
            | Kind::Newline
            | Kind::OpenParenthesis
            | Kind::CloseParenthesis
            | Kind::CloseBracket => None,
            _ => self.quoted(token),
        }
    }

    /// Checks a value, or the name of a property.
    fn value(&self, before: Option<&Token<'a>>, rest: &[Token<'a>]) -> Option<Found> {
        let token = &rest[0];
        if before.is_some_and(|before| is_adjacent(before, token)) {
            return habit(token, Habit::Adjacent);
        }
        match token.kind {
            Kind::Word if token.text.starts_with('#') => self.keyword(token, rest.get(1)),
            Kind::Word => property(rest).or_else(|| word(token)),
            Kind::Text => property(rest).or_else(|| text::oddity(token)),
            Kind::OpenBracket => habit(token, Habit::Brackets),
            Kind::OpenParenthesis if !is_annotation(rest) => habit(token, Habit::Parentheses),
            Kind::Equals if before.is_some_and(|it| it.is(Kind::Equals)) => {
                habit(token, Habit::Equals)
            }
            _ => self.quoted(token),
        }
    }

    fn quoted(&self, token: &Token<'a>) -> Option<Found> {
        match token.kind {
            Kind::Text => text::oddity(token),
            Kind::Unclosed if token.text.contains("\"\"\"") => {
                Some(found(token, ParseHint::UnclosedLines, false))
            }
            Kind::Unclosed => Some(found(token, ParseHint::Unclosed, false)),
            Kind::OtherQuotes => {
                let quote = token.text.chars().next()?;
                silent(token, Habit::Quotes(quote))
            }
            Kind::OldRaw => habit(token, Habit::OldRaw),
            Kind::HereDocument => {
                let line = token.text.lines().next()?;
                let mut found = silent(token, Habit::HereDocument)?;
                found.length = line.len();
                Some(found)
            }
            Kind::OtherComment => Some(self.comment(token)),
            Kind::OpenComment => habit(token, Habit::OpenComment),
            _ => None,
        }
    }

    /// Creates a finding for a comment of another language, from its `#` to the end of the line.
    fn comment(&self, token: &Token<'a>) -> Found {
        let rest = &self.source[token.at - self.tokens[0].at..];
        let said = rest.trim_start_matches('#').trim();
        Found {
            from: token.at,
            length: rest.len(),
            slip: ParseHint::Habit(Habit::Comment, Some(format!("// {said}"))),
            is_silent: false,
        }
    }

    fn keyword(&self, token: &Token<'a>, next: Option<&Token<'a>>) -> Option<Found> {
        const MEANT: [&str; 12] = [
            "f", "false", "n", "nil", "no", "none", "null", "off", "on", "t", "true", "yes",
        ];
        let word = &token.text[1..];
        if matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan") {
            return None;
        }
        let goes_on = next.is_some_and(|next| next.is(Kind::Word));
        if MEANT.contains(&word.to_lowercase().as_str()) && !goes_on {
            let slip = ParseHint::UnknownKeyword(token.text.to_owned());
            return Some(found(token, slip, false));
        }
        Some(self.comment(token))
    }
}

fn name(token: &Token<'_>) -> Option<Found> {
    let text = token.text;
    let colon = text.find(':').filter(|colon| {
        let is_last = *colon > 0 && colon + 1 == text.len();
        is_last || rewrite::is_known(&text[..*colon])
    });
    if let Some(colon) = colon {
        return Some(Found {
            from: token.at + colon,
            length: 1,
            slip: ParseHint::Habit(Habit::Colon, None),
            is_silent: true,
        });
    }
    if is_like_a_number(text) || text.contains(['/', '\\', '#']) || is_keyword(text) {
        return habit(token, Habit::Name(text.to_owned()));
    }
    None
}

fn behind_name(before: Option<&Token<'_>>, rest: &[Token<'_>]) -> Option<Found> {
    let token = &rest[0];
    let is_adjacent = before.is_some_and(|before| before.end() == token.at);
    match token.kind {
        Kind::Equals => habit(token, Habit::Equals),
        Kind::OpenParenthesis if is_adjacent => habit(token, Habit::Parentheses),
        _ => None,
    }
}

fn behind_block(token: &Token<'_>) -> Option<Found> {
    match token.kind {
        Kind::Newline | Kind::Semicolon | Kind::Close => None,
        Kind::Word if token.text.starts_with(',') => silent(token, Habit::Commas),
        Kind::OtherComment => habit(token, Habit::Comment),
        _ => habit(token, Habit::AfterBlock),
    }
}

/// Returns whether two words or texts have no space between them.
fn is_adjacent(before: &Token<'_>, token: &Token<'_>) -> bool {
    let is_value = |token: &Token<'_>| {
        let kinds = [Kind::Word, Kind::Text, Kind::OldRaw, Kind::OtherQuotes];
        kinds.contains(&token.kind) && !token.text.starts_with(',')
    };
    before.end() == token.at && is_value(before) && is_value(token)
}

/// Returns whether the tokens are an annotation right before a value: `(u8)10`.
fn is_annotation(rest: &[Token<'_>]) -> bool {
    let [open, word, close, value, ..] = rest else {
        return false;
    };
    word.is(Kind::Word)
        && close.is(Kind::CloseParenthesis)
        && close.end() == value.at
        && open.end() == word.at
        && word.end() == close.at
}

/// Checks the name of a property. Its value must follow without a space.
fn property(rest: &[Token<'_>]) -> Option<Found> {
    let [name, equals, value @ ..] = rest else {
        return None;
    };
    if !equals.is(Kind::Equals) {
        return None;
    }
    let ends = |token: &Token<'_>| {
        matches!(
            token.kind,
            Kind::Newline | Kind::Semicolon | Kind::Open | Kind::Close | Kind::OtherComment
        )
    };
    let value = value.first().filter(|value| !ends(value));
    let Some(value) = value else {
        return Some(Found {
            from: equals.end(),
            length: 0,
            slip: ParseHint::NoValue,
            is_silent: false,
        });
    };
    if name.end() == equals.at && equals.end() == value.at {
        return None;
    }
    habit(equals, Habit::Spaced)
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan")
}

/// Returns whether the word begins like a number, which an unquoted text must not.
fn is_like_a_number(word: &str) -> bool {
    let bare = word.strip_prefix(['+', '-']).unwrap_or(word);
    let bare = bare.strip_prefix('.').unwrap_or(bare);
    bare.starts_with(|first: char| first.is_ascii_digit())
}

fn word(token: &Token<'_>) -> Option<Found> {
    let text = token.text;
    let bare = text.trim_end_matches(',');
    if bare.contains("${") {
        return silent(token, Habit::Variable);
    }
    if bare.contains("://") {
        return silent(token, Habit::Bare(bare.to_owned()));
    }
    if bare.len() < text.len() {
        return silent(token, Habit::Commas);
    }
    if is_keyword(text) {
        return Some(found(token, ParseHint::Keyword(text.to_owned()), false));
    }
    if is_like_a_number(text) {
        let slip = ParseHint::Unquoted(text.to_owned());
        return (!rewrite::is_number(text)).then(|| found(token, slip, false));
    }
    if text.contains(['/', '\\', '#']) {
        return habit(token, Habit::Bare(text.to_owned()));
    }
    None
}
