//! Rewrites a line in the syntax of another language to KDL.

use super::token::{Kind, Token};
use crate::{
    diagnostic::suggest,
    manifest::{
        lower,
        merge_rule::{self, MergeRule},
    },
};

/// Maximum length of a suggested line, in bytes.
pub(super) const LONGEST: usize = 100;

/// Rewrites the tokens of a line to KDL; `None` if the result is ambiguous or too long.
pub(super) fn line(tokens: &[Token<'_>], parent: Option<&str>) -> Option<String> {
    let mut writer = Writer {
        text: String::new(),
        blocks: parent.into_iter().map(str::to_owned).collect(),
        outside: usize::from(parent.is_some()),
        node: None,
    };
    let mut rest = tokens;
    while !rest.is_empty() {
        let taken = writer.take(rest)?;
        rest = &rest[taken..];
    }
    (writer.text.len() <= LONGEST && !writer.text.contains('\n')).then_some(writer.text)
}

/// Translates the name of a node in another language to its name in a manifest.
pub(super) fn translated(name: &str) -> String {
    let bare = name.trim_end_matches([':', ',']).trim_matches('"');
    if is_known(bare) {
        return bare.to_owned();
    }
    let known = merge_rule::names()
        .into_iter()
        .chain(lower::NODES.iter().copied());
    suggest(bare, known).unwrap_or(bare).to_owned()
}

/// Returns whether the language has a node of this name.
pub(super) fn is_known(name: &str) -> bool {
    merge_rule::rule(name).is_some() || lower::NODES.contains(&name)
}

/// Returns whether a node's properties, and the nodes in its block, are names with text values.
pub(super) fn has_pairs(node: &str) -> bool {
    matches!(
        merge_rule::rule(node),
        Some(MergeRule::Fields | MergeRule::Lists)
    ) || matches!(node, "arg" | "header" | "option")
}

/// Returns whether a word is a valid KDL number.
pub(super) fn is_number(word: &str) -> bool {
    let bare = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digits = |text: &str, radix: u32| {
        text.starts_with(|first: char| first.is_digit(radix))
            && text.chars().all(|next| next.is_digit(radix) || next == '_')
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = bare.strip_prefix(prefix) {
            let plain = rest.replace('_', "");
            return digits(rest, radix) && i128::from_str_radix(&plain, radix).is_ok();
        }
    }
    let (mantissa, exponent) = match bare.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (bare, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent_is_good = exponent
        .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent), 10));
    let is_whole = fraction.is_none() && exponent.is_none();
    digits(whole, 10)
        && fraction.is_none_or(|fraction| digits(fraction, 10))
        && exponent_is_good
        && (!is_whole || word.replace('_', "").parse::<i128>().is_ok())
}

/// Quotes a text, as a raw text if necessary.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) {
        format!("#\"{text}\"#")
    } else {
        format!("\"{text}\"")
    }
}

struct Writer {
    text: String,
    /// Names of the nodes whose blocks are open.
    blocks: Vec<String>,
    /// Number of blocks that were open before the line.
    outside: usize,
    /// Node that is being written; `None` if a new node begins.
    node: Option<String>,
}

impl Writer {
    /// Writes the first element; returns the number of tokens consumed.
    fn take(&mut self, tokens: &[Token<'_>]) -> Option<usize> {
        let token = tokens.first()?;
        match token.kind {
            Kind::Newline | Kind::OtherComment => {}
            Kind::Semicolon => self.separate(),
            Kind::Open => {
                self.word("{");
                self.blocks.extend(self.node.take());
            }
            Kind::Close => {
                self.word("}");
                self.blocks.pop();
                self.node = None;
            }
            Kind::OpenParenthesis if self.node.is_none() => {
                let word = tokens.get(1)?.text;
                self.word(&format!("({word})"));
                return Some(3);
            }
            // A list item in a block of names with values is one of these pairs.
            Kind::Word if self.node.is_none() && token.text == "-" && self.in_pairs() => {}
            _ if self.node.is_none() => self.name(token),
            Kind::OpenBracket
            | Kind::CloseBracket
            | Kind::OpenParenthesis
            | Kind::CloseParenthesis
            | Kind::Equals => {}
            _ => return self.entry(tokens),
        }
        Some(1)
    }

    fn word(&mut self, word: &str) {
        if !self.text.is_empty() && !self.text.ends_with(')') {
            self.text.push(' ');
        }
        self.text.push_str(word);
    }

    fn separate(&mut self) {
        self.text.push(';');
        self.node = None;
    }

    fn parent(&self) -> Option<&str> {
        self.blocks.last().map(String::as_str)
    }

    fn in_pairs(&self) -> bool {
        self.parent().is_some_and(has_pairs)
    }

    fn name(&mut self, token: &Token<'_>) {
        if token.text.trim_matches([',', ':']).is_empty() {
            return;
        }
        // Other languages write a pair as the list item `"A=b"`.
        if let (true, Some((name, value))) = (self.in_pairs(), inner(token).split_once('=')) {
            self.word(&format!("{name} {}", quoted(value)));
            self.node = Some(name.to_owned());
            return;
        }
        let name = match self.parent() {
            // A list item is one more node of the list's name.
            Some(parent) if token.is_word("-") => translated(parent),
            _ if self.in_pairs() => inner(token).trim_end_matches([':', ',']).to_owned(),
            _ => translated(inner(token)),
        };
        let is_bare = name
            .chars()
            .all(|letter| letter.is_alphanumeric() || "_-.".contains(letter));
        let written = if is_bare { name.clone() } else { quoted(&name) };
        self.word(&written);
        self.node = Some(name);
    }

    /// Writes a value or a property.
    fn entry(&mut self, tokens: &[Token<'_>]) -> Option<usize> {
        let token = tokens.first()?;
        let node = self.node.clone()?;
        if let (Some(equals), Some(value)) = (tokens.get(1), tokens.get(2))
            && equals.is(Kind::Equals)
        {
            let value_text = value_of(value, has_pairs(&node))??;
            self.word(&format!("{}={value_text}", inner(token)));
            return Some(3);
        }
        if let Some(value) = value_of(token, self.in_pairs() || has_pairs(&node))? {
            self.word(&value);
        }
        let inline = self.blocks.len() > self.outside;
        if inline && token.text.ends_with(',') && begins_node(&tokens[1..]) {
            self.separate();
        }
        Some(1)
    }
}

/// Returns whether the tokens begin a node with `=` or a colon.
fn begins_node(tokens: &[Token<'_>]) -> bool {
    let [first, rest @ ..] = tokens else {
        return false;
    };
    let next = rest.first();
    first.is(Kind::Word) && first.text.ends_with(':')
        || next.is_some_and(|next| next.is(Kind::Equals) || next.is_word(":"))
}

/// Returns the text inside the quotes, or the word itself.
pub(super) fn inner<'a>(token: &Token<'a>) -> &'a str {
    let mut inside = token.text.chars();
    match token.kind {
        Kind::OtherQuotes => {
            inside.next();
            inside.next_back();
            inside.as_str()
        }
        Kind::Text if !token.text.starts_with('#') => token.text.trim_matches('"'),
        _ => token.text,
    }
}

/// Rewrites a value. The inner `None` means that nothing is written; the outer `None` means that
/// the value cannot be rewritten.
#[expect(
    clippy::option_option,
    reason = "nothing to write, and no way to write it"
)]
fn value_of(token: &Token<'_>, is_text: bool) -> Option<Option<String>> {
    Some(match token.kind {
        Kind::Word => {
            let word = token.text.trim_end_matches(',');
            match word {
                "" | ":" | "-" | ">" => None,
                "true" | "false" | "null" if !is_text => Some(format!("#{word}")),
                _ if word.starts_with('#') || is_number(word) && !is_text => Some(word.to_owned()),
                _ => Some(quoted(word)),
            }
        }
        Kind::Text => Some(token.text.to_owned()),
        Kind::OtherQuotes => Some(quoted(inner(token))),
        Kind::OldRaw => {
            let raw = &token.text[1..];
            Some(if raw.starts_with('#') {
                raw.to_owned()
            } else {
                format!("#{raw}#")
            })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::token::tokens, *};

    fn check(written: &str, parent: Option<&str>, expected: &str) {
        let found = line(&tokens(written), parent);
        assert_eq!(found.as_deref(), Some(expected), "{written}");
    }

    #[test]
    fn line_rewrites_foreign_syntax_to_kdl() {
        check(
            "depends_on: [redis, \"db\"]",
            None,
            "depends-on \"redis\" \"db\"",
        );
        check(
            "command = [\n 'node',\n 's.js',\n]",
            None,
            "command \"node\" \"s.js\"",
        );
        check("B=2", Some("env"), "B \"2\"");
        check("B: true,", Some("env"), "B \"true\"");
        check("tty: true", Some("service"), "tty #true");
        check(
            "env = { A = 1, B = \"2\" }",
            None,
            "env { A \"1\"; B \"2\" }",
        );
        check("\"image\": \"nginx\",", None, "image \"nginx\"");
        check("image(\"nginx\")", None, "image \"nginx\"");
        check(
            "bind ./www /www read-only=true",
            None,
            "bind \"./www\" \"/www\" read-only=#true",
        );
        check("- 80:80", Some("ports"), "port \"80:80\"");
        check("ready timeout = 5s {", None, "ready timeout=\"5s\" {");
        check("env A = 1", None, "env A=\"1\"");
        check("(remove)port 80", None, "(remove)port 80");
        check("label r\"a\" r#\"b\"c\"#", None, "label #\"a\"# #\"b\"c\"#");
        check("replicas = 3 # three", None, "replicas 3");
        check("- A=b", Some("env"), "A \"b\"");
        check("- \"A=b c\"", Some("env"), "A \"b c\"");
        check("env a/b=1", None, "env a/b=\"1\"");
    }

    #[test]
    fn is_number_accepts_only_kdl_numbers() {
        for good in [
            "1", "-1", "+1", "1_000", "0x1F", "0o17", "0b1", "1.5", "1e5", "1.5e-3",
        ] {
            assert!(is_number(good), "{good}");
        }
        for bad in [
            "",
            "-",
            "1.",
            ".5",
            "5s",
            "0o9",
            "0x",
            "1e",
            "1.2.3",
            "_1",
            "1__s",
            "80:80",
            "999999999999999999999999999999999999999999",
        ] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
