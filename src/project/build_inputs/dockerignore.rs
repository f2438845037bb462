//! The patterns of a `.dockerignore`, with exactly the builder's semantics.
//!
//! The semantics differ from `.gitignore`: every pattern is anchored at the root of the context, a
//! match of a folder matches everything in it, and the last of several matches wins. The result
//! must equal that of the builder. Otherwise the digest of a build's inputs would cover other files
//! than those in the image. This module reads no files.

use regex::Regex;
use thiserror::Error;

/// A pattern that the builder would reject.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{pattern}` is not a pattern of files")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
}

/// An ordered list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    /// Whether the pattern starts with `!` and negates earlier matches.
    exception: bool,
    /// The components of the pattern, for [`Patterns::may_match_below`].
    parts: Vec<Part>,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// No special character: matches the path itself.
    Exact(String),
    /// A leading `**/`: matches the path itself, or its end. By far the most frequent pattern, and
    /// ten times as fast as a regular expression.
    Anywhere(String),
    Regex(Regex),
}

#[derive(Debug, Clone)]
enum Part {
    /// One component of a path.
    One(Matcher),
    /// Contains `**`: any number of components.
    Many,
}

/// The patterns that matched a folder. Its entries inherit these matches.
#[derive(Debug, Clone, Default)]
pub struct Matches {
    by_pattern: Vec<bool>,
    /// Whether the path is matched, after all patterns.
    pub matched: bool,
}

impl Patterns {
    /// Parses the lines of a `.dockerignore`. A line with `#` in the first column is a comment.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self::new(lines.map(|line| {
            let line = line.trim();
            match line.strip_prefix('!') {
                Some(pattern) => format!("!{}", anchored(pattern.trim())),
                None => anchored(line),
            }
        }))
    }

    /// Creates a list from parsed patterns, as the builder sends them.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PatternError> {
        let patterns = patterns.into_iter();
        patterns
            .filter_map(|pattern| Pattern::new(pattern.as_ref().trim()).transpose())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Matches one path, relative to the root, with `/` between its components.
    #[must_use]
    pub fn matches(&self, path: &str, parent: &Matches) -> Matches {
        let mut matched = false;
        let mut by_pattern = Vec::with_capacity(self.0.len());
        for (index, pattern) in self.0.iter().enumerate() {
            let inherited = parent.by_pattern.get(index).copied().unwrap_or(false);
            // A pattern that could not change the outcome is skipped.
            let hit = inherited || (pattern.exception == matched && pattern.matcher.matches(path));
            by_pattern.push(hit);
            if hit {
                matched = !pattern.exception;
            }
        }
        Matches {
            by_pattern,
            matched,
        }
    }

    /// Returns whether a pattern may match something below this folder without a match of the
    /// folder itself. `exceptions` selects the patterns with `!`. May return `true` wrongly, but
    /// never `false`.
    #[must_use]
    pub fn may_match_below(&self, folder: &str, exceptions: bool) -> bool {
        let patterns = self.0.iter();
        patterns
            .filter(|pattern| pattern.exception == exceptions)
            .any(|pattern| pattern.may_match_below(folder))
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Option<Self>, PatternError> {
        let (exception, pattern) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let refused = || PatternError {
            pattern: text.to_owned(),
        };
        if pattern.is_empty() {
            return Err(refused());
        }
        let pattern = clean(pattern);
        let part = |part: &str| {
            if part.contains("**") {
                Some(Part::Many)
            } else {
                Matcher::new(part).map(Part::One)
            }
        };
        Ok(Some(Self {
            exception,
            parts: pattern
                .split('/')
                .map(part)
                .collect::<Option<_>>()
                .ok_or_else(refused)?,
            matcher: Matcher::new(&pattern).ok_or_else(refused)?,
        }))
    }

    fn may_match_below(&self, folder: &str) -> bool {
        let mut parts = self.parts.iter();
        for component in folder.split('/') {
            match parts.next() {
                Some(Part::Many) => return true,
                Some(Part::One(matcher)) if matcher.matches(component) => {}
                _ => return false,
            }
        }
        parts.next().is_some()
    }
}

impl Matcher {
    fn new(pattern: &str) -> Option<Self> {
        let literal = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
        if literal(pattern) {
            return Some(Self::Exact(pattern.to_owned()));
        }
        if let Some(name) = pattern.strip_prefix("**/").filter(|name| literal(name)) {
            return Some(Self::Anywhere(name.to_owned()));
        }
        Regex::new(&translate(pattern)?).ok().map(Self::Regex)
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Anywhere(name) => path
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/')),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// Translates a pattern: `**` spans folders, `*` and `?` do not, `\` escapes the next character.
fn translate(pattern: &str) -> Option<String> {
    let mut regex = String::from("^(?s:");
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                characters.next_if_eq(&'/');
                regex.push_str(if characters.peek().is_none() {
                    ".*"
                } else {
                    "(.*/)?"
                });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => translate_class(&mut characters, &mut regex)?,
            '\\' => regex.push_str(&regex::escape(&characters.next()?.to_string())),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push_str(")$");
    Some(regex)
}

/// Translates a class after its `[`. A class without a `]` is invalid, and the pattern is rejected.
fn translate_class(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    regex: &mut String,
) -> Option<()> {
    regex.push('[');
    if characters.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    let mut empty = true;
    loop {
        match characters.next()? {
            ']' if !empty => break,
            ']' => return None,
            '-' if !empty && characters.peek() != Some(&']') => regex.push('-'),
            '\\' => regex.push_str(&escape_in_class(characters.next()?)),
            other => regex.push_str(&escape_in_class(other)),
        }
        empty = false;
    }
    regex.push(']');
    Some(())
}

fn escape_in_class(character: char) -> String {
    if character.is_ascii_punctuation() {
        format!("\\{character}")
    } else {
        character.to_string()
    }
}

/// Normalizes a line of the file: removes empty components, `.`, `..` and slashes at either end.
fn anchored(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    clean(pattern).trim_start_matches('/').to_owned()
}

/// Returns the shortest form of the same path, by its text alone.
fn clean(pattern: &str) -> String {
    let rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    match (rooted, path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => ".".to_owned(),
        (false, false) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(patterns: &str, path: &str) -> bool {
        let patterns = Patterns::parse(patterns).unwrap();
        let mut matches = Matches::default();
        for (end, _) in path
            .match_indices('/')
            .chain(std::iter::once((path.len(), "")))
        {
            matches = patterns.matches(&path[..end], &matches);
        }
        matches.matched
    }

    #[test]
    fn patterns_match_as_in_the_builder() {
        // (patterns, path, ignored)
        let cases = [
            ("node_modules", "node_modules/a/b.js", true),
            // Anchored at the root, unlike in git.
            ("node_modules", "sub/node_modules/a", false),
            ("**/node_modules", "sub/node_modules/a", true),
            ("**/node_modules", "node_modules", true),
            ("**/node_modules", "not_node_modules", false),
            ("**/a/b", "x/a/b/c", true),
            ("/dist/", "dist/x", true),
            ("./dist", "dist", true),
            ("a/../dist", "dist", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("*/temp*", "a/temporary.txt", true),
            ("*/*/temp*", "a/temporary.txt", false),
            ("**/*.go", "a/b/c.go", true),
            ("**", "anything/at/all", true),
            ("temp?", "temp1", true),
            ("temp?", "temp", false),
            ("docs/**/draft", "docs/draft", true),
            ("docs/**/draft", "docs/a/b/draft/x", true),
            ("docs/**", "docs/a", true),
            ("docs/**", "docs", false),
            // The last of several matches wins.
            ("*.md\n!README.md", "README.md", false),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            ("!README.md\n*.md", "README.md", true),
            // An exception reaches into an ignored folder, unlike in git.
            ("dist\n!dist/keep", "dist/keep", false),
            ("dist\n!dist/keep", "dist/other", true),
            ("*\n!src", "src/main.rs", false),
            ("*\n!src", "target", true),
            ("# a comment\n  spaced  ", "spaced", true),
            (" #not-a-comment", "#not-a-comment", true),
            ("\u{feff}a", "a", true),
            ("! b\nb", "b", true),
            ("[a-c].txt", "b.txt", true),
            ("[^a-c].txt", "b.txt", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a.b", "axb", false),
            ("a+(b)", "a+(b)", true),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(ignored(patterns, path), expected, "{patterns:?} on {path}");
        }
    }

    #[test]
    fn invalid_pattern_is_rejected() {
        for text in ["!", "[", "a[]b", "x\\"] {
            assert!(Patterns::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn folder_without_possible_matches_below_is_skipped() {
        let patterns = Patterns::parse("*\n!a/b/*.txt\n!**/deep").unwrap();
        assert!(patterns.may_match_below("a", true));
        assert!(patterns.may_match_below("x", true));
        let patterns = Patterns::parse("*\n!a/b/*.txt").unwrap();
        assert!(patterns.may_match_below("a/b", true));
        assert!(!patterns.may_match_below("x", true));
        assert!(!patterns.may_match_below("a/b/c.txt", true));
    }
}
