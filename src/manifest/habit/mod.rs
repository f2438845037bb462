//! Syntax of other languages (YAML, TOML, HCL, JSON, KDL 1) in a manifest, each with the KDL line
//! to write instead.
//!
//! The search works on the text, not on the parser's result: the parser stops at the first unknown
//! syntax, and accepts some of this syntax with another meaning.

mod line;
mod rewrite;
mod text;
mod token;

use self::{
    line::{Line, lines},
    rewrite::translated,
    token::{Kind, Token, tokens},
};
use super::parse_hint::{Habit, ParseHint};

/// A piece of another language's syntax in a manifest.
pub(super) struct Found {
    pub from: usize,
    pub length: usize,
    pub slip: ParseHint,
    /// Whether the parser accepts the text with another meaning, and reports no error.
    pub is_silent: bool,
}

/// Returns the syntax of other languages in a text, in source order, at most one for each line.
pub(super) fn find(text: &str) -> Vec<Found> {
    let tokens = tokens(text);
    let lines = lines(text, &tokens);
    if let Some(found) = line::language(&lines) {
        return vec![found];
    }
    let count = |kind| tokens.iter().filter(|token| token.is(kind)).count();
    let mut walk = Walk {
        lines,
        open: Vec::new(),
        missing: count(Kind::Open).saturating_sub(count(Kind::Close)),
        found: Vec::new(),
    };
    let mut index = 0;
    while index < walk.lines.len() {
        index += walk.line(index);
    }
    walk.close();
    let mut found = walk.found;
    found.extend(invisible(text));
    found.sort_by_key(|found| found.from);
    found
}

/// Returns the first character that the language forbids and that is invisible.
fn invisible(text: &str) -> Option<Found> {
    let forbidden = |(at, letter): &(usize, char)| {
        matches!(letter, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || *letter == '\u{feff}' && *at > 0
    };
    let (from, letter) = text.char_indices().find(forbidden)?;
    Some(Found {
        from,
        length: letter.len_utf8(),
        slip: ParseHint::Habit(Habit::Invisible(letter), None),
        is_silent: false,
    })
}

/// An open block.
struct Block<'a> {
    /// Name of the block's node, translated to this language.
    node: String,
    brace: Token<'a>,
    /// Indentation of the line that opened the block.
    indent: usize,
}

/// State of the pass over the lines.
struct Walk<'a> {
    lines: Vec<Line<'a>>,
    open: Vec<Block<'a>>,
    /// Number of blocks that are not closed.
    missing: usize,
    found: Vec<Found>,
}

impl<'a> Walk<'a> {
    fn parent(&self) -> Option<&str> {
        self.open.last().map(|block| block.node.as_str())
    }

    fn note(&mut self, token: &Token<'_>, slip: ParseHint, is_silent: bool) {
        self.found.push(Found {
            from: token.at,
            length: token.text.len(),
            slip,
            is_silent,
        });
    }

    /// Checks a line; returns how many lines were consumed.
    fn line(&mut self, index: usize) -> usize {
        let line = self.lines[index].clone();
        if let Some((brace, above)) = self.brace_below(index) {
            let write =
                rewrite::line(&above.tokens, self.parent()).map(|text| format!("{text} {{"));
            self.note(&brace, ParseHint::Habit(Habit::BraceBelow, write), false);
            self.blocks(&line, translated(above.name()));
            return 1;
        }
        if let Some((taken, write)) = self.indented(index) {
            let end = line.tokens[0].end();
            self.found.push(Found {
                from: end - 1,
                length: 1,
                slip: ParseHint::Habit(Habit::Colon, write),
                is_silent: true,
            });
            return taken;
        }
        if let Some(odd) = line.oddity() {
            let slip = match odd.slip {
                ParseHint::Habit(habit, None) if habit.is_of_line() => {
                    ParseHint::Habit(habit, rewrite::line(&line.tokens, self.parent()))
                }
                other => other,
            };
            self.found.push(Found { slip, ..odd });
        }
        self.blocks(&line, String::new());
        1
    }

    /// Returns the brace of a line whose node is on the line above, and that line.
    fn brace_below(&self, index: usize) -> Option<(Token<'a>, Line<'a>)> {
        let brace = *self.lines[index].tokens.first()?;
        let above = self.lines[..index].last()?;
        let last = above.tokens.last()?;
        let ended = matches!(last.kind, Kind::Open | Kind::Close | Kind::Semicolon);
        (brace.is(Kind::Open) && !ended).then(|| (brace, above.clone()))
    }

    /// Returns the number of lines of a block by indentation, and the same block with braces.
    fn indented(&self, index: usize) -> Option<(usize, Option<String>)> {
        let head = &self.lines[index];
        let [only] = head.tokens.as_slice() else {
            return None;
        };
        let name = only.text.strip_suffix(':')?;
        if !only.is(Kind::Word) || name.is_empty() {
            return None;
        }
        let below = self.lines[index + 1..].iter().take_while(|line| {
            let deeper = line.indent > head.indent;
            let item = line.indent == head.indent && line.is_item();
            (deeper || item) && !line.has_braces()
        });
        let below: Vec<_> = below.cloned().collect();
        if below.is_empty() {
            return None;
        }
        Some((1 + below.len(), line::block(&translated(name), &below)))
    }

    /// Tracks the braces of a line; `node` is the node whose block begins the line.
    fn blocks(&mut self, line: &Line<'a>, mut node: String) {
        let mut begins = node.is_empty();
        for (index, token) in line.tokens.iter().enumerate() {
            match token.kind {
                Kind::Open => {
                    self.open.push(Block {
                        node: std::mem::take(&mut node),
                        brace: *token,
                        indent: line.indent,
                    });
                    begins = true;
                }
                Kind::Close => {
                    self.shut(token, (index == 0).then_some(line.indent));
                    begins = true;
                }
                Kind::Semicolon => begins = true,
                Kind::Word | Kind::Text if begins => {
                    node = translated(rewrite::inner(token));
                    begins = false;
                }
                _ => {}
            }
        }
    }

    /// Closes a block. If the text lacks closing braces, blocks whose line is indented further than
    /// the brace are reported as not closed.
    fn shut(&mut self, brace: &Token<'a>, indent: Option<usize>) {
        while let Some(block) = self.open.pop() {
            let is_deeper = indent.is_some_and(|indent| block.indent > indent);
            if self.missing == 0 || !is_deeper || self.open.is_empty() {
                return;
            }
            self.missing -= 1;
            self.note(&block.brace, ParseHint::BraceOpen, false);
        }
        self.note(brace, ParseHint::BraceClose, false);
    }

    /// Reports the innermost block that is open at the end. After an unclosed quote or comment,
    /// braces cannot be counted, so nothing is reported.
    fn close(&mut self) {
        let mut found = self.found.iter();
        let is_lost = found.any(|found| found.slip.is_lost());
        if let (Some(block), false) = (self.open.pop(), is_lost) {
            self.note(&block.brace, ParseHint::BraceOpen, false);
        }
    }
}
