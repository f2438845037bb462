//! All errors of one load in source order, rendered for people or serialized for machines.

use std::{error::Error, fmt, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde::{Serialize, Serializer};

use super::ManifestError;
use crate::span::{Sources, Span};

/// One or more errors, with the source texts that they refer to.
#[derive(Debug, Clone)]
pub struct Report {
    sources: Arc<Sources>,
    mistakes: Vec<ManifestError>,
}

/// Rendering options of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Width in columns; longer lines are wrapped.
    pub width: usize,
    /// Whether ANSI colours are used.
    pub colour: bool,
}

/// An error in machine-readable form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Stable error code: `manifest::unknown_node`, …
    pub code: String,
    /// Message, as in the rendered report.
    pub message: String,
    /// File, as it was named by the user; `None` when the error is not located in a file.
    pub file: Option<String>,
    /// Line number, counted from 1.
    pub line: Option<usize>,
    /// Column in characters, counted from 1.
    pub column: Option<usize>,
    /// Suggested fix.
    pub help: Option<String>,
}

impl Report {
    /// Sorts errors in source order and removes duplicates at the same span.
    ///
    /// Returns `None` when there is no error.
    #[must_use]
    pub fn new(sources: Arc<Sources>, mut mistakes: Vec<ManifestError>) -> Option<Self> {
        // The sort is stable: errors at one span keep the order in which they were found.
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

    /// Returns a report of a single error.
    #[must_use]
    pub fn single(sources: Arc<Sources>, mistake: impl Into<ManifestError>) -> Self {
        Self {
            sources,
            mistakes: vec![mistake.into()],
        }
    }

    /// The errors, in source order; at least one.
    #[must_use]
    pub fn mistakes(&self) -> &[ManifestError] {
        &self.mistakes
    }

    /// Renders the report for people; the last line is the number of errors.
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
            // Writing to a string fails only when the handler does; then the bare message is used.
            if handler.render_report(&mut text, &placed).is_err() {
                text.push_str(&mistake.to_string());
            }
            text.push('\n');
        }
        text.push_str(&self.to_string());
        text.push('\n');
        text
    }

    /// Returns the errors in machine-readable form.
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
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl Error for Report {}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries().serialize(serializer)
    }
}

/// An error together with the source texts, as the rendering library requires.
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
        // Without a label, the library has no part of the source to show.
        self.mistake.span().map(|_| self.sources as &dyn SourceCode)
    }
}
