//! Source texts, and locations in them.
//!
//! All texts of one load share one address space, one after the other. A [`Span`] therefore needs
//! no reference to its file, and spans sort in the order in which the texts were read. This module
//! does not read files and does not depend on a language.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use miette::{
    MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents as MietteContents,
};

/// A location in one of the texts of a [`Sources`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: usize,
    length: usize,
}

impl Span {
    /// Creates a span from its first byte in the address space of its [`Sources`], and its length
    /// in bytes.
    #[must_use]
    pub const fn new(start: usize, length: usize) -> Self {
        Self { start, length }
    }

    /// Returns the first byte in the address space of its [`Sources`].
    #[must_use]
    pub const fn start(self) -> usize {
        self.start
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        self.length
    }

    /// Returns the end of the span, exclusive.
    #[must_use]
    pub const fn end(self) -> usize {
        self.start + self.length
    }

    /// Returns the smallest span that covers both. Both must be in the same text.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        let start = self.start.min(other.start);
        Self::new(start, self.end().max(other.end()) - start)
    }
}

impl From<Span> for SourceSpan {
    fn from(span: Span) -> Self {
        Self::new(span.start.into(), span.length)
    }
}

/// A value with its location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Location of the value.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Creates a value with its location.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Replaces the value and keeps the location.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(change(self.value), self.span)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A source text with its path.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    shown: String,
    text: String,
    start: usize,
}

impl Source {
    /// Absolute path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path as printed in messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Position of the first byte in the address space.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Returns the folder to which relative paths in the text refer.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// A position in a text. Lines and columns are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// All texts of one load, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text. Returns the position of its first byte in the address space.
    pub fn add(&mut self, path: PathBuf, shown: String, text: String) -> usize {
        // One byte stays free between two texts, so that the end of one is not the start of the
        // next.
        let start = self.0.last().map_or(0, |last| last.end() + 1);
        self.0.push(Source {
            path,
            shown,
            text,
            start,
        });
        start
    }

    /// Returns the text that contains a span.
    #[must_use]
    pub fn of(&self, span: Span) -> Option<&Source> {
        let after = self.0.partition_point(|source| source.start <= span.start);
        let source = self.0.get(after.checked_sub(1)?)?;
        (span.end() <= source.end()).then_some(source)
    }

    /// Returns the characters that a span covers.
    #[must_use]
    pub fn text(&self, span: Span) -> Option<&str> {
        let source = self.of(span)?;
        source
            .text
            .get(span.start - source.start..span.end() - source.start)
    }

    /// Returns the position at which a span starts.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let source = self.of(span)?;
        let before = source.text.get(..span.start - source.start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    /// Returns the texts, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }
}

impl SourceCode for Sources {
    /// Returns the lines around a span. Fails for a span across several texts, so that the renderer
    /// shows its labels separately.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn MietteContents<'a> + 'a>, MietteError> {
        let source = self
            .of(Span::new(span.offset(), span.len()))
            .ok_or(MietteError::OutOfBounds)?;
        let local = SourceSpan::new((span.offset() - source.start).into(), span.len());
        let contents = source.text.read_span(&local, before, after)?;
        let lines = contents.span();
        Ok(Box::new(MietteSpanContents::new_named(
            source.shown.clone(),
            contents.data(),
            SourceSpan::new((lines.offset() + source.start).into(), lines.len()),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Sources {
        let mut sources = Sources::default();
        assert_eq!(
            sources.add("/a.kdl".into(), "a.kdl".into(), "ä\nbc".into()),
            0
        );
        assert_eq!(sources.add("/b.kdl".into(), "b.kdl".into(), "de".into()), 6);
        sources
    }

    #[test]
    fn span_maps_to_text_and_position() {
        let sources = two();
        let span = Span::new(4, 1);
        assert_eq!(sources.text(span), Some("c"));
        assert_eq!(
            sources.position(span),
            Some(Position { line: 2, column: 2 })
        );
        assert_eq!(
            sources.of(Span::new(6, 2)).map(Source::shown),
            Some("b.kdl")
        );
        assert_eq!(sources.text(Span::new(2, 1)), Some("\n"));
        assert_eq!(
            sources.position(Span::new(2, 0)),
            Some(Position { line: 1, column: 2 })
        );
    }

    #[test]
    fn span_across_two_texts_is_rejected() {
        let sources = two();
        assert!(sources.of(Span::new(4, 4)).is_none());
        assert!(
            sources
                .read_span(&SourceSpan::new(4.into(), 4), 0, 0)
                .is_err()
        );
    }
}
