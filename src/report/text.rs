//! Text for terminals: display widths, truncation, cleaning, colours, and number formats.
//!
//! Independent of events. All widths are in terminal columns.

use std::{cmp::Ordering, time::Duration};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Distance of tab stops on terminals, in columns.
const TAB: usize = 8;

/// Returns the display width of a text.
#[must_use]
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Returns the text, truncated with `…` if it is wider than `columns`.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(character);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Pads the text with blanks to `columns`. A wider text stays as it is.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(blanks))
}

/// Breaks a line between words into lines of at most `columns`. Continuation lines are indented
/// below the first one. A word that is wider stays whole.
#[must_use]
pub fn wrap(line: &str, columns: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let mut lines = Vec::new();
    let mut current = " ".repeat(indent);
    let mut used = indent;
    let mut first = true;
    for word in line.split_whitespace() {
        let wide = width(&clean(word));
        if !first && used + 1 + wide > columns {
            lines.push(std::mem::replace(&mut current, " ".repeat(indent + 2)));
            used = indent + 2;
            first = true;
        }
        if !first {
            current.push(' ');
            used += 1;
        }
        current.push_str(word);
        used += wide;
        first = false;
    }
    lines.push(current);
    lines
}

/// Removes cursor movement and colours from a line of foreign output.
///
/// A line that was rewritten in place (`10%\r20%\r`) keeps its last state. Tabs become blanks.
#[must_use]
pub fn clean(line: &str) -> String {
    plain(line, false)
}

/// As [`clean`], but keeps colours.
#[must_use]
pub fn calm(line: &str) -> String {
    plain(line, true)
}

fn plain(line: &str, coloured: bool) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut column = 0;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                let escape = skip_escape(&mut characters);
                if coloured && is_colour(&escape) {
                    out.push(character);
                    out += &escape;
                }
            }
            '\t' => {
                let blanks = TAB - column % TAB;
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            '\n' => {
                out.push(' ');
                column += 1;
            }
            other if other.is_control() => {}
            other => {
                out.push(other);
                column += other.width().unwrap_or(0);
            }
        }
    }
    out
}

/// Whether an escape sequence only changes the appearance of characters.
fn is_colour(escape: &str) -> bool {
    let parameters = escape
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix('m'));
    parameters.is_some_and(|it| {
        it.chars()
            .all(|it| it.is_ascii_digit() || ";:".contains(it))
    })
}

/// Returns the sequence that resets the colours a line leaves active; empty if it leaves none.
#[must_use]
pub fn reset(line: &str) -> &'static str {
    let mut on = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            let escape = skip_escape(&mut characters);
            if is_colour(&escape) {
                on = !matches!(&*escape, "[m" | "[0m");
            }
        }
    }
    if on { "\u{1b}[0m" } else { "" }
}

/// Skips and returns the rest of an escape sequence: CSI up to its final byte, OSC up to its
/// terminator, or the one character of a short sequence (ECMA-48, 5.4 and 8.3.89).
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let Some(kind) = characters.next() else {
        return String::new();
    };
    let mut escape = String::from(kind);
    match kind {
        '[' => {
            for character in characters.by_ref() {
                escape.push(character);
                if matches!(character, '\u{40}'..='\u{7e}') {
                    break;
                }
            }
        }
        ']' => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' {
                    break;
                }
                if character == '\u{1b}' {
                    characters.next();
                    break;
                }
            }
        }
        _ => {}
    }
    escape
}

/// Compares two names for listing. Digits compare as numbers, so that `svc-2` sorts before
/// `svc-10`.
#[must_use]
pub fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while let (Some(a), Some(b)) = (left.chars().next(), right.chars().next()) {
        let order = if a.is_ascii_digit() && b.is_ascii_digit() {
            let ((a, after_a), (b, after_b)) = (number(left), number(right));
            (left, right) = (after_a, after_b);
            a.len().cmp(&b.len()).then(a.cmp(b))
        } else {
            (left, right) = (&left[a.len_utf8()..], &right[b.len_utf8()..]);
            a.cmp(&b)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then(one.cmp(other))
}

/// Splits the leading digits, without leading zeros, from the rest of a text.
fn number(text: &str) -> (&str, &str) {
    let end = text.find(|it: char| !it.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    (digits.trim_start_matches('0'), rest)
}

/// Formats an elapsed time, truncated and not rounded: `0.4 s`, `12.3 s`, `2 min 05 s`, `1 h 02
/// min`.
#[must_use]
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 100 {
        return format!("{seconds}.{} s", duration.subsec_millis() / 100);
    }
    if seconds < 3600 {
        return format!("{} min {:02} s", seconds / 60, seconds % 60);
    }
    format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
}

/// Formats a duration, rounded: `39 ms`, `1.0 s`, `2 min 05 s`.
#[must_use]
pub fn took(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        return format!("{} ms", duration.as_millis());
    }
    elapsed(duration + Duration::from_millis(50))
}

/// Formats a duration that is a limit: `60 s`, `1.5 s`, `250 ms`.
#[must_use]
pub fn limit(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        return format!("{} s", duration.as_secs());
    }
    if duration.as_secs() == 0 {
        return format!("{} ms", duration.as_millis());
    }
    format!("{} s", duration.as_secs_f64())
}

/// Formats a number of bytes in decimal units, as registries do: `812 B`, `4.1 kB`, `12.3 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    UNITS.iter().find(|(size, _)| count >= *size).map_or_else(
        || format!("{count} B"),
        |(size, unit)| format!("{}.{} {unit}", count / size, count % size * 10 / size),
    )
}

/// Formats a number with its noun: `1 service`, `2 services`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Meaning of a colour. A colour is never the only carrier of that meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// The terminal's default colour.
    Plain,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// The user should look at this.
    Odd,
    /// In progress.
    Busy,
    /// Less important.
    Dim,
}

/// Whether to print colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Print colours.
    pub colour: bool,
}

impl Paint {
    /// Returns the text in its colour. Measure and truncate before, because colour codes count as
    /// columns.
    #[must_use]
    pub fn tone(self, tone: Color, text: &str) -> String {
        let code = match tone {
            Color::Plain => "",
            Color::Good => "32",
            Color::Bad => "31;1",
            Color::Odd => "33",
            Color::Busy => "36",
            Color::Dim => "2",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_counts_columns_not_characters() {
        assert_eq!(cut("backend", 7), "backend");
        assert_eq!(cut("backend", 4), "bac…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("backend", 0), "");
    }

    #[test]
    fn clean_removes_cursor_movement() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m \u{1b}[2Aup"), "red up");
        assert_eq!(clean("10%\r20%\r30%\r\n"), "30%");
        assert_eq!(clean("a\tb"), "a       b");
        assert_eq!(clean("\u{1b}]0;title\u{7}text\u{8}"), "text");
        assert_eq!(clean("\u{1b}]8;;x\u{1b}\\link"), "link");
    }

    #[test]
    fn colours_are_reset_at_line_end() {
        assert_eq!(
            calm("\u{1b}[31mred\u{1b}[2A\tup\u{7}"),
            "\u{1b}[31mred     up"
        );
        assert_eq!(reset("\u{1b}[31mred"), "\u{1b}[0m");
        assert_eq!(reset("\u{1b}[0m\u{1b}[38;5;9mred"), "\u{1b}[0m");
        assert_eq!(reset("\u{1b}[31mred\u{1b}[0m"), "");
        assert_eq!(reset("\u{1b}[31mred\u{1b}[m \u{1b}[2A"), "");
        assert_eq!(reset("plain"), "");
    }

    #[test]
    fn wrap_keeps_words_whole() {
        assert_eq!(wrap("  one two three", 9), ["  one two", "    three"]);
        assert_eq!(wrap("incomprehensible x", 5), ["incomprehensible", "  x"]);
        assert_eq!(wrap("", 5), [""]);
        let painted = Paint { colour: true }.tone(Color::Bad, "one two");
        assert_eq!(wrap(&painted, 7), [painted.as_str()]);
    }

    #[test]
    fn natural_order_sorts_by_number() {
        let mut names = [
            "svc-10", "web", "svc-2", "svc", "svc-02", "svc-2b", "日2", "日10",
        ];
        names.sort_by(|a, b| natural(a, b));
        let sorted = [
            "svc", "svc-02", "svc-2", "svc-2b", "svc-10", "web", "日2", "日10",
        ];
        assert_eq!(names, sorted);
    }

    #[test]
    fn numbers_are_formatted_with_units() {
        assert_eq!(elapsed(Duration::from_millis(1299)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(elapsed(Duration::from_secs(3725)), "1 h 02 min");
        assert_eq!(took(Duration::from_millis(39)), "39 ms");
        assert_eq!(took(Duration::from_millis(968)), "1.0 s");
        assert_eq!(limit(Duration::from_mins(1)), "60 s");
        assert_eq!(limit(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(count(1, "service"), "1 service");
    }
}
