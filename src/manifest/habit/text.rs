//! Errors in a text in double quotes: its escapes, and the lines of a multi-line text.

use super::{
    Found,
    token::{Kind, Token, is_newline},
};
use crate::manifest::parse_hint::{Habit, ParseHint};

/// Returns the first part of a text that is not valid KDL.
pub(super) fn oddity(token: &Token<'_>) -> Option<Found> {
    if !token.is(Kind::Text) {
        return None;
    }
    let hashes = token.text.bytes().take_while(|byte| *byte == b'#').count();
    let body = &token.text[hashes..token.text.len() - hashes];
    let at = token.at + hashes;
    let odd = match body.strip_prefix("\"\"\"") {
        Some(rest) => several(rest.strip_suffix("\"\"\"")?, hashes > 0, at + 3, token),
        None => None,
    };
    odd.or_else(|| (hashes == 0).then(|| escapes(body, at))?)
}

#[expect(clippy::unnecessary_wraps, reason = "each is its caller's answer")]
fn at(from: usize, length: usize, habit: Habit, write: Option<String>) -> Option<Found> {
    Some(Found {
        from,
        length,
        slip: ParseHint::Habit(habit, write),
        is_silent: false,
    })
}

/// Checks the lines between `"""` and `"""`, which begin at `start`.
fn several(body: &str, is_raw: bool, start: usize, token: &Token<'_>) -> Option<Found> {
    let line = token.text.find(is_newline).unwrap_or(token.text.len());
    if !body.starts_with(is_newline) {
        let is_short = !body.contains(is_newline) && !body.contains(['"', '\\']);
        let write = is_short.then(|| format!("\"{body}\""));
        return at(token.at, line, Habit::FirstLine, write);
    }
    let last = body.rfind(is_newline)?;
    let last = last + body[last..].chars().next()?.len_utf8();
    let closing = &body[last..];
    if !closing.trim().is_empty() {
        let from = start + last + (closing.len() - closing.trim_start().len());
        return at(from, closing.trim().len(), Habit::LastLine, None);
    }
    let mut begins = 0;
    let mut goes_on = false;
    for line in body.split_inclusive(is_newline) {
        let said = line.trim_end();
        if !said.is_empty() && !line.starts_with(closing) && !goes_on {
            let blank = said.len() - said.trim_start().len();
            let from = start + begins + blank;
            return at(from, said.len() - blank, Habit::Indent, None);
        }
        goes_on = said.ends_with('\\') && !is_raw;
        begins += line.len();
    }
    None
}

/// Returns the first backslash that does not begin an escape.
fn escapes(body: &str, start: usize) -> Option<Found> {
    let mut rest = body.char_indices().peekable();
    while let Some((from, next)) = rest.next() {
        if next != '\\' {
            continue;
        }
        let (_, escaped) = rest.next()?;
        let is_known = matches!(escaped, 'n' | 'r' | 't' | '\\' | '"' | 'b' | 'f' | 's')
            || escaped.is_whitespace()
            || escaped == 'u' && is_code(&body[from + 2..]);
        if !is_known {
            let inside = body.trim_matches('"');
            let is_short = inside.len() < 60 && !inside.contains(is_newline);
            let write = (is_short && escaped != 'u').then(|| format!("#\"{inside}\"#"));
            let habit = Habit::Escape(escaped);
            return at(start + from, 1 + escaped.len_utf8(), habit, write);
        }
    }
    None
}

/// Returns whether the text begins with a code point, such as `{1F600}`, of up to six hexadecimal
/// digits.
fn is_code(rest: &str) -> bool {
    let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    inside.is_some_and(|(digits, _)| {
        (1..=6).contains(&digits.len())
            && u32::from_str_radix(digits, 16).is_ok_and(|code| char::from_u32(code).is_some())
    })
}
