//! Grammar of texts with variables: text to parts.
//!
//! The parser knows no values of variables. The evaluation in `interpolate` looks them up.

use std::{iter::Peekable, ops::Range, str::CharIndices};

use super::mistake::{InterpolationError, InterpolationErrorKind};
use crate::name::SecretName;

/// Maximum nesting of `${A:-${B:-…}}`; bounds the recursion on hostile input.
pub(super) const MAX_DEPTH: usize = 32;

/// A part of a text.
pub(super) enum Part {
    Text(String),
    Secret(SecretName),
    Variable {
        name: String,
        range: Range<usize>,
        form: Option<Form>,
    },
}

/// An operator with its right-hand side.
pub(super) struct Form {
    pub(super) operator: Operator,
    /// The operator has a colon: an empty value counts as unset.
    pub(super) empty_is_unset: bool,
    pub(super) right: Vec<Part>,
}

#[derive(Clone, Copy)]
pub(super) enum Operator {
    Default,
    Required,
    Alternative,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    pub(super) errors: Vec<InterpolationError>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            rest: text.char_indices().peekable(),
            errors: Vec::new(),
        }
    }

    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, character)| *character)
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, found)| *found == wanted).is_some()
    }

    fn fail(&mut self, start: usize, kind: InterpolationErrorKind) {
        let range = start..self.position();
        self.errors.push(InterpolationError { range, kind });
    }

    /// Parses to the end of the text or, inside a `${` at `opened`, to its `}` (which is consumed).
    pub(super) fn parts(&mut self, opened: Option<usize>, depth: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut braces = 0_usize;
        while let Some((start, character)) = self.rest.next() {
            match character {
                '$' => {
                    if self.eat('$') {
                        text.push('$');
                    } else {
                        if !text.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut text)));
                        }
                        parts.extend(self.variable(start, depth));
                    }
                    continue;
                }
                '}' if opened.is_some() && braces == 0 => {
                    parts.push(Part::Text(text));
                    return parts;
                }
                '{' => braces += 1,
                '}' => braces = braces.saturating_sub(1),
                _ => {}
            }
            text.push(character);
        }
        parts.push(Part::Text(text));
        if let Some(start) = opened {
            self.fail(start, InterpolationErrorKind::Unclosed);
        }
        parts
    }

    /// Parses what follows a `$` at `start`.
    fn variable(&mut self, start: usize, depth: usize) -> Option<Part> {
        if !self.eat('{') {
            let name = self.name();
            if name.is_empty() {
                self.fail(start, InterpolationErrorKind::LoneDollar);
                return None;
            }
            let range = start..self.position();
            let form = None;
            return Some(Part::Variable { name, range, form });
        }
        if depth >= MAX_DEPTH {
            self.fail(start, InterpolationErrorKind::TooDeep);
            self.rest.by_ref().for_each(drop);
            return None;
        }
        let name = self.name();
        if name.is_empty() {
            let kind = match self.peek() {
                None => InterpolationErrorKind::Unclosed,
                Some(_) => InterpolationErrorKind::Nameless,
            };
            self.recover(start, depth, kind);
            return None;
        }
        self.braced(start, name, depth)
    }

    /// Parses what follows `${NAME`.
    fn braced(&mut self, start: usize, name: String, depth: usize) -> Option<Part> {
        if self.eat('}') {
            let range = start..self.position();
            let form = None;
            return Some(Part::Variable { name, range, form });
        }
        let colon = self.eat(':');
        let operator = match self.peek() {
            Some('-') => Operator::Default,
            Some('?') => Operator::Required,
            Some('+') => Operator::Alternative,
            Some(_) if colon && name == "secret" => return self.secret(start),
            None => {
                self.fail(start, InterpolationErrorKind::Unclosed);
                return None;
            }
            Some(found) => {
                let found = if colon { ':' } else { found };
                let kind = InterpolationErrorKind::UnknownOperator { found };
                self.recover(start, depth, kind);
                return None;
            }
        };
        self.rest.next();
        let right = self.parts(Some(start), depth + 1);
        let range = start..self.position();
        let form = Some(Form {
            operator,
            empty_is_unset: colon,
            right,
        });
        Some(Part::Variable { name, range, form })
    }

    /// Parses what follows `${secret:`.
    fn secret(&mut self, start: usize) -> Option<Part> {
        let from = self.position();
        while self.rest.next_if(|(_, found)| *found != '}').is_some() {}
        let name = &self.text[from..self.position()];
        if !self.eat('}') {
            self.fail(start, InterpolationErrorKind::Unclosed);
            return None;
        }
        match SecretName::new(name) {
            Ok(name) => Some(Part::Secret(name)),
            Err(cause) => {
                self.fail(start, InterpolationErrorKind::SecretName { cause });
                None
            }
        }
    }

    /// Reports an error and skips the rest of the braces, without the errors inside them.
    fn recover(&mut self, start: usize, depth: usize, kind: InterpolationErrorKind) {
        let known = self.errors.len();
        self.parts(Some(start), depth + 1);
        self.errors.truncate(known);
        self.fail(start, kind);
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some((_, character)) = self.rest.next_if(|(_, character)| {
            character.is_ascii_alphabetic()
                || *character == '_'
                || character.is_ascii_digit() && !name.is_empty()
        }) {
            name.push(character);
        }
        name
    }
}
