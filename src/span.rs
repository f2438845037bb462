//! Where something was written: the texts that were read, and places in them.
//!
//! All texts of one load lie behind one another in one address space, so that a [`Span`] needs no
//! file of its own and spans sort in the order in which the texts were read. Nothing here reads
//! files or knows a language.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use miette::{
    MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents as MietteContents,
};

/// A place in one of the texts of a [`Sources`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: usize,
    length: usize,
}

impl Span {
    /// A place by its first byte in the address space of its [`Sources`], and its length in bytes.
    #[must_use]
    pub const fn new(start: usize, length: usize) -> Self {
        Self { start, length }
    }

    /// Its first byte in the address space of its [`Sources`].
    #[must_use]
    pub const fn start(self) -> usize {
        self.start
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        self.length
    }

    /// The byte after its last.
    #[must_use]
    pub const fn end(self) -> usize {
        self.start + self.length
    }

    /// The smallest span that covers both; both must lie in the same text.
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

/// A value and the place where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Ties a value to its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
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

/// A text that was read, with the path under which people know it.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    shown: String,
    text: String,
    start: usize,
}

impl Source {
    /// Where it was read, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path as it is shown in messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where its first byte lies in the address space.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// The folder that relative paths in it start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// A place as people count: lines and columns from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// All texts of one load, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Takes a text in and says where its first byte lies.
    pub fn add(&mut self, path: PathBuf, shown: String, text: String) -> usize {
        // One byte stays free between two texts: the end of one is not the start of the next.
        let start = self.0.last().map_or(0, |last| last.end() + 1);
        self.0.push(Source {
            path,
            shown,
            text,
            start,
        });
        start
    }

    /// The text that a span lies in.
    #[must_use]
    pub fn of(&self, span: Span) -> Option<&Source> {
        let after = self.0.partition_point(|source| source.start <= span.start);
        let source = self.0.get(after.checked_sub(1)?)?;
        (span.end() <= source.end()).then_some(source)
    }

    /// The characters that a span covers.
    #[must_use]
    pub fn text(&self, span: Span) -> Option<&str> {
        let source = self.of(span)?;
        source
            .text
            .get(span.start - source.start..span.end() - source.start)
    }

    /// Where a span begins, as people count.
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

    /// The texts, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }
}

impl SourceCode for Sources {
    /// The lines around a span; an error for a span that reaches over more than one text, which
    /// is how the renderer learns to show such labels apart.
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
    fn a_span_finds_its_text_and_its_position() {
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
    fn a_span_over_two_texts_is_refused() {
        let sources = two();
        assert!(sources.of(Span::new(4, 4)).is_none());
        assert!(
            sources
                .read_span(&SourceSpan::new(4.into(), 4), 0, 0)
                .is_err()
        );
    }
}
