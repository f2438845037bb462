//! Variables in strings: `${NAME}` and its forms are replaced by their values.
//!
//! Parsing first, evaluation second: a malformed text is a mistake even where its value would not
//! be needed, an unset variable only where it is. Values are not interpolated again, and secrets
//! stay symbolic: this file never sees one.

use std::{collections::BTreeSet, fmt, iter::Peekable, ops::Range, str::CharIndices};

use thiserror::Error;

use super::Environment;
use crate::name::{NameError, SecretName};

/// Deepest nesting of `${A:-${B:-…}}`; bounds the recursion on hostile input.
const DEEPEST: usize = 32;

/// A string of a manifest after interpolation: text, and secrets by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    variables: BTreeSet<String>,
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// The value of this secret.
    Secret(SecretName),
}

impl Template {
    /// The value of one secret and nothing else.
    #[must_use]
    pub fn secret(name: SecretName) -> Self {
        Self {
            pieces: vec![Piece::Secret(name)],
            variables: BTreeSet::new(),
        }
    }

    /// In their order; never two texts in a row, never an empty text.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The string, if no secret is part of it.
    #[must_use]
    pub fn as_plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The secrets that are part of it, in their order.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Secret(name) => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// The variables that were looked at to make it.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }
}

impl From<&str> for Template {
    /// A text that is taken as it is, without interpolation.
    fn from(text: &str) -> Self {
        let mut pieces = Vec::new();
        push(&mut pieces, text);
        let variables = BTreeSet::new();
        Self { pieces, variables }
    }
}

impl fmt::Display for Template {
    /// With each secret by its name: `postgresql://u:${secret:db}@db/x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Secret(name) => write!(f, "${{secret:{name}}}")?,
            }
        }
        Ok(())
    }
}

/// A mistake in a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct InterpolationError {
    /// Where, in bytes of the text.
    pub range: Range<usize>,
    /// What.
    pub kind: InterpolationErrorKind,
}

/// What can be wrong with a text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InterpolationErrorKind {
    /// No source has the variable, and the text has no default.
    #[error("variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// `${NAME:?message}`, and it is not set (or empty).
    #[error("variable `{name}` is required: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The manifest's own words.
        message: String,
    },
    /// `${` without its `}`.
    #[error("`${{` has no closing `}}`")]
    Unclosed,
    /// `${}` or `${:-x}`.
    #[error("`${{` is not followed by the name of a variable")]
    Nameless,
    /// Something behind the name that is not an operator.
    #[error("`{found}` cannot follow the name of a variable")]
    UnknownOperator {
        /// The first character of it.
        found: char,
    },
    /// A `$` that begins nothing.
    #[error("a single `$` begins a variable, and none follows")]
    LoneDollar,
    /// `${secret:…}` with what cannot be a name.
    #[error("`${{secret:…}}` needs the name of a secret: {cause}")]
    SecretName {
        /// Why it cannot.
        cause: NameError,
    },
    /// Nested deeper than anybody can read.
    #[error("variables are nested more than {DEEPEST} deep")]
    TooDeep,
}

impl InterpolationErrorKind {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unset { name } => format!(
                "set it in the environment or in an env-file, or give it a default: \
                 `${{{name}:-value}}`"
            ),
            Self::Required { name, .. } => {
                format!("set `{name}` in the environment or in an env-file")
            }
            Self::Unclosed => "close it with `}`, or write `$$` for a dollar sign".to_owned(),
            Self::Nameless | Self::LoneDollar => "write `$$` for a dollar sign".to_owned(),
            Self::UnknownOperator { .. } => {
                "the operators are `:-`, `-` (default), `:?`, `?` (required), `:+`, `+` \
                 (alternative)"
                    .to_owned()
            }
            Self::SecretName { .. } | Self::TooDeep => return None,
        })
    }
}

/// Replaces the variables of a text by their values.
///
/// The forms are `${A}` and `$A`; `${A:-x}` (`x` when unset or empty), `${A-x}` (when unset);
/// `${A:?x}`, `${A?x}` (a mistake with the message `x`); `${A:+x}`, `${A+x}` (`x` when set);
/// `${secret:NAME}`; `$$` for a dollar sign. The right side may hold variables itself, and braces
/// as long as they are balanced.
///
/// # Errors
/// All mistakes of the text, in its order.
pub fn interpolate(
    text: &str,
    environment: &Environment,
) -> Result<Template, Vec<InterpolationError>> {
    interpolate_with(text, &|name| {
        environment.get(name).map(|(value, _)| value.to_owned())
    })
}

/// As [`interpolate`], with any source of values.
pub(super) fn interpolate_with(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Template, Vec<InterpolationError>> {
    let mut parser = Parser::new(text);
    let parts = parser.parts(None, 0);
    let mut evaluation = Evaluation {
        lookup,
        variables: BTreeSet::new(),
        errors: parser.errors,
    };
    let mut pieces = Vec::new();
    evaluation.all(&parts, &mut pieces);
    if evaluation.errors.is_empty() {
        let variables = evaluation.variables;
        return Ok(Template { pieces, variables });
    }
    evaluation.errors.sort_by_key(|error| error.range.start);
    Err(evaluation.errors)
}

enum Part {
    Text(String),
    Secret(SecretName),
    Variable {
        name: String,
        range: Range<usize>,
        form: Option<Form>,
    },
}

/// An operator with its right side.
struct Form {
    operator: Operator,
    /// With a colon: an empty value counts as unset.
    empty_is_unset: bool,
    right: Vec<Part>,
}

#[derive(Clone, Copy)]
enum Operator {
    Default,
    Required,
    Alternative,
}

struct Parser<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    errors: Vec<InterpolationError>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
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

    /// To the end of the text; or, inside of a `${` at `opened`, to its `}` (which is eaten).
    fn parts(&mut self, opened: Option<usize>, depth: usize) -> Vec<Part> {
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

    /// Behind a `$` at `start`.
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
        if depth >= DEEPEST {
            self.fail(start, InterpolationErrorKind::TooDeep);
            self.rest.by_ref().for_each(drop);
            return None;
        }
        let name = self.name();
        if name.is_empty() {
            let unclosed = self.peek().is_none();
            self.recover(start, depth, |_| {
                if unclosed {
                    InterpolationErrorKind::Unclosed
                } else {
                    InterpolationErrorKind::Nameless
                }
            });
            return None;
        }
        self.braced(start, name, depth)
    }

    /// Behind `${NAME`.
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
                self.recover(start, depth, |_| InterpolationErrorKind::UnknownOperator {
                    found,
                });
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

    /// Behind `${secret:`.
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

    /// Notes a mistake and passes over the rest of its braces, with no mistakes from inside.
    fn recover(
        &mut self,
        start: usize,
        depth: usize,
        kind: impl Fn(&Self) -> InterpolationErrorKind,
    ) {
        let known = self.errors.len();
        self.parts(Some(start), depth + 1);
        self.errors.truncate(known);
        let kind = kind(self);
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

struct Evaluation<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    variables: BTreeSet<String>,
    errors: Vec<InterpolationError>,
}

impl Evaluation<'_> {
    fn all(&mut self, parts: &[Part], into: &mut Vec<Piece>) {
        for part in parts {
            match part {
                Part::Text(text) => push(into, text),
                Part::Secret(name) => into.push(Piece::Secret(name.clone())),
                Part::Variable { name, range, form } => {
                    self.variable(name, range, form.as_ref(), into);
                }
            }
        }
    }

    fn variable(
        &mut self,
        name: &str,
        range: &Range<usize>,
        form: Option<&Form>,
        into: &mut Vec<Piece>,
    ) {
        self.variables.insert(name.to_owned());
        let value = (self.lookup)(name);
        let Some(form) = form else {
            match value {
                Some(value) => push(into, &value),
                None => self.fail(
                    range,
                    InterpolationErrorKind::Unset {
                        name: name.to_owned(),
                    },
                ),
            }
            return;
        };
        let value = value.filter(|value| !(form.empty_is_unset && value.is_empty()));
        match (form.operator, value) {
            (Operator::Default | Operator::Required, Some(value)) => push(into, &value),
            (Operator::Default, None) | (Operator::Alternative, Some(_)) => {
                self.all(&form.right, into);
            }
            (Operator::Alternative, None) => {}
            (Operator::Required, None) => {
                let mut message = Vec::new();
                self.all(&form.right, &mut message);
                let message = Template {
                    pieces: message,
                    variables: BTreeSet::new(),
                };
                let (name, message) = (name.to_owned(), message.to_string());
                self.fail(range, InterpolationErrorKind::Required { name, message });
            }
        }
    }

    fn fail(&mut self, range: &Range<usize>, kind: InterpolationErrorKind) {
        let range = range.clone();
        self.errors.push(InterpolationError { range, kind });
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        Environment::new(BTreeMap::from([
            ("SET".to_owned(), "value".to_owned()),
            ("EMPTY".to_owned(), String::new()),
            ("DOLLAR".to_owned(), "${SET}".to_owned()),
        ]))
    }

    fn check(text: &str, expected: &str) {
        let template = interpolate(text, &environment()).unwrap();
        assert_eq!(template.to_string(), expected, "{text}");
    }

    fn check_mistakes(text: &str, expected: &[(&str, &str)]) {
        let errors = interpolate(text, &environment()).unwrap_err();
        let found: Vec<_> = errors
            .iter()
            .map(|error| (&text[error.range.clone()], error.to_string()))
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(at, what)| (*at, what.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form_has_its_meaning() {
        check("a ${SET} b $SET-c", "a value b value-c");
        check("${SET:-d} ${EMPTY:-d} ${UNSET:-d}", "value d d");
        check("${SET-d} ${EMPTY-d} ${UNSET-d}", "value  d");
        check("${SET:+a} ${EMPTY:+a} ${UNSET:+a}", "a  ");
        check("${SET+a} ${EMPTY+a} ${UNSET+a}", "a a ");
        check("${SET:?m} ${EMPTY?m}", "value ");
        check("$$SET $${SET} 5$$", "$SET ${SET} 5$");
        check("${UNSET:-${EMPTY:-${SET}}}", "value");
        check("${UNSET:-a$$b:-c}", "a$b:-c");
        check("${UNSET:-{\"a\":{}}}", "{\"a\":{}}");
        check("${secret:-x} ${UNSET-${secret:db}}", "x ${secret:db}");
    }

    #[test]
    fn a_value_is_not_interpolated_again() {
        check("${DOLLAR}", "${SET}");
    }

    #[test]
    fn an_unused_default_need_not_have_its_variables() {
        check("${SET:-${NOWHERE}}", "value");
        let template = interpolate("${SET:-${NOWHERE}} $EMPTY", &environment()).unwrap();
        assert_eq!(
            template.variables().iter().collect::<Vec<_>>(),
            ["EMPTY", "SET"]
        );
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        check_mistakes(
            "x ${A} $B y",
            &[
                ("${A}", "variable `A` is not set"),
                ("$B", "variable `B` is not set"),
            ],
        );
        check_mistakes(
            "${EMPTY:?need ${SET}} ${A?}",
            &[
                (
                    "${EMPTY:?need ${SET}}",
                    "variable `EMPTY` is required: need value",
                ),
                ("${A?}", "variable `A` is required: "),
            ],
        );
        check_mistakes("a ${SET", &[("${SET", "`${` has no closing `}`")]);
        check_mistakes("a ${SET:-b", &[("${SET:-b", "`${` has no closing `}`")]);
        check_mistakes("${", &[("${", "`${` has no closing `}`")]);
        check_mistakes(
            "${} ${1}",
            &[
                ("${}", "`${` is not followed by the name of a variable"),
                ("${1}", "`${` is not followed by the name of a variable"),
            ],
        );
        check_mistakes(
            "${SET!x} ${SET:x}",
            &[
                ("${SET!x}", "`!` cannot follow the name of a variable"),
                ("${SET:x}", "`:` cannot follow the name of a variable"),
            ],
        );
        check_mistakes(
            "5$ is $1",
            &[
                ("$", "a single `$` begins a variable, and none follows"),
                ("$", "a single `$` begins a variable, and none follows"),
            ],
        );
        check_mistakes(
            "${secret:a b}",
            &[(
                "${secret:a b}",
                "`${secret:…}` needs the name of a secret: ` ` cannot stand at position 2 of the \
                 name `a b`",
            )],
        );
    }

    #[test]
    fn nesting_has_a_bound() {
        let text = "${A:-".repeat(100_000);
        let errors = interpolate(&text, &environment()).unwrap_err();
        assert!(
            errors
                .iter()
                .any(|e| e.kind == InterpolationErrorKind::TooDeep)
        );
    }

    #[test]
    fn a_secret_stays_symbolic() {
        let template = interpolate("u:${secret:db}@h", &environment()).unwrap();
        assert_eq!(template.as_plain(), None);
        assert_eq!(
            template.pieces(),
            [
                Piece::Text("u:".into()),
                Piece::Secret(SecretName::new("db").unwrap()),
                Piece::Text("@h".into()),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r"([${}:?+a-zA-Z_-]|\$\{|secret:|.)*") {
            if let Err(errors) = interpolate(&text, &environment()) {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(text.get(error.range).is_some());
                }
            }
        }

        #[test]
        fn a_text_without_a_dollar_is_itself(text in "[^$]*") {
            let template = interpolate(&text, &environment()).unwrap();
            prop_assert_eq!(template.as_plain(), Some(text.as_str()));
        }

        #[test]
        fn a_text_with_doubled_dollars_is_itself(text in ".*") {
            let template = interpolate(&text.replace('$', "$$"), &environment()).unwrap();
            prop_assert_eq!(template.as_plain(), Some(text.as_str()));
        }
    }
}
