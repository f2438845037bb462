//! All mistakes of one load, in source order, for people and for machines.

use std::{error::Error, fmt, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde::{Serialize, Serializer};

use super::ManifestError;
use crate::span::{Sources, Span};

/// One or more mistakes, and the texts in which they lie.
#[derive(Debug, Clone)]
pub struct Report {
    sources: Arc<Sources>,
    mistakes: Vec<ManifestError>,
}

/// How a report is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns; longer lines are broken.
    pub width: usize,
    /// With ANSI colours.
    pub colour: bool,
}

/// A mistake for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Stable: `manifest::unknown_node`, …
    pub code: String,
    /// As a person reads it.
    pub message: String,
    /// As it was named by who asked for it.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// The remedy.
    pub help: Option<String>,
}

impl Report {
    /// Puts mistakes in source order; what was found twice at one place is told once.
    ///
    /// `None` when there is no mistake.
    #[must_use]
    pub fn new(sources: Arc<Sources>, mut mistakes: Vec<ManifestError>) -> Option<Self> {
        // The sort is stable: of one place, what was found first is told first.
        mistakes.sort_by_key(|mistake| mistake.span().map(Span::start));
        let mut told: Vec<ManifestError> = Vec::with_capacity(mistakes.len());
        for mistake in mistakes {
            let before = told
                .iter()
                .rev()
                .take_while(|other| other.span() == mistake.span());
            if !before.into_iter().any(|other| *other == mistake) {
                told.push(mistake);
            }
        }
        (!told.is_empty()).then_some(Self {
            sources,
            mistakes: told,
        })
    }

    /// A single mistake.
    #[must_use]
    pub fn single(sources: Arc<Sources>, mistake: impl Into<ManifestError>) -> Self {
        Self {
            sources,
            mistakes: vec![mistake.into()],
        }
    }

    /// The mistakes, in source order; at least one.
    #[must_use]
    pub fn mistakes(&self) -> &[ManifestError] {
        &self.mistakes
    }

    /// Drawn for people, with a line at the end that counts.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let theme = if style.colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(style.width)
            .with_links(false)
            .without_syntax_highlighting();
        let mut text = String::new();
        for mistake in &self.mistakes {
            let placed = Placed {
                mistake,
                sources: &self.sources,
            };
            // Writing to a string fails only when the handler does; then the bare message stands.
            if handler.render_report(&mut text, &placed).is_err() {
                text.push_str(&mistake.to_string());
            }
            text.push('\n');
        }
        text.push_str(&self.to_string());
        text.push('\n');
        text
    }

    /// For machines.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.mistakes
            .iter()
            .map(|mistake| self.entry(mistake))
            .collect()
    }

    fn entry(&self, mistake: &ManifestError) -> Entry {
        let span = mistake.span();
        let position = span.and_then(|span| self.sources.position(span));
        Entry {
            code: mistake
                .code()
                .map(|code| code.to_string())
                .unwrap_or_default(),
            message: mistake.to_string(),
            file: span
                .and_then(|span| self.sources.of(span))
                .map(|source| source.shown().to_owned()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            help: mistake.help().map(|help| help.to_string()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => f.write_str("1 mistake"),
            count => write!(f, "{count} mistakes"),
        }
    }
}

impl Error for Report {}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries().serialize(serializer)
    }
}

/// A mistake together with the texts, as the drawing library wants it.
struct Placed<'a> {
    mistake: &'a ManifestError,
    sources: &'a Sources,
}

impl fmt::Debug for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistake.fmt(f)
    }
}

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.mistake, f)
    }
}

impl Error for Placed<'_> {}

impl Diagnostic for Placed<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.mistake.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        // Without a label the library would have nothing to show of the texts.
        self.mistake.span().map(|_| self.sources as &dyn SourceCode)
    }
}
