//! Interpolation of variables in strings: `${NAME}` and its forms are replaced by their values.
//!
//! Parsing comes first, evaluation second. A malformed text is an error even where its value is not
//! needed; an unset variable is an error only where its value is needed. Values are not
//! interpolated again. Secrets stay symbolic: this file never has a secret's value.

use std::{collections::BTreeSet, ops::Range};

use super::{
    Environment,
    expression::{Form, Operator, Parser, Part},
    mistake::{InterpolationError, InterpolationErrorKind},
    template::{Segment, Template, push},
};

/// Replaces the variables of a text with their values.
///
/// The forms are `${A}` and `$A`; `${A:-x}` (`x` when unset or empty), `${A-x}` (when unset);
/// `${A:?x}`, `${A?x}` (an error with the message `x`); `${A:+x}`, `${A+x}` (`x` when set);
/// `${secret:NAME}`; `$$` for a dollar sign. The right-hand side may contain variables, and braces
/// if they are balanced.
///
/// # Errors
/// All errors of the text, in source order.
pub fn interpolate(
    text: &str,
    environment: &Environment,
) -> Result<Template, Vec<InterpolationError>> {
    interpolate_with(text, &|name| {
        environment.get(name).map(|(value, _)| value.to_owned())
    })
}

/// Interpolates as [`interpolate`] does, with any source of values.
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

struct Evaluation<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    variables: BTreeSet<String>,
    errors: Vec<InterpolationError>,
}

impl Evaluation<'_> {
    fn all(&mut self, parts: &[Part], into: &mut Vec<Segment>) {
        for part in parts {
            match part {
                Part::Text(text) => push(into, text),
                Part::Secret(name) => into.push(Segment::Secret(name.clone())),
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
        into: &mut Vec<Segment>,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::name::SecretName;

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
    fn interpolation_supports_all_forms() {
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
    fn interpolated_value_is_not_interpolated_again() {
        check("${DOLLAR}", "${SET}");
    }

    #[test]
    fn interpolation_unused_default_ignores_unset_variables() {
        check("${SET:-${NOWHERE}}", "value");
        let template = interpolate("${SET:-${NOWHERE}} $EMPTY", &environment()).unwrap();
        assert_eq!(
            template.variables().iter().collect::<Vec<_>>(),
            ["EMPTY", "SET"]
        );
    }

    #[test]
    fn interpolation_errors_have_exact_ranges() {
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
                "`${secret:…}` needs the name of a secret: ` ` is not allowed at position 2 of the \
                 name `a b`",
            )],
        );
    }

    #[test]
    fn interpolation_nesting_is_bounded() {
        let text = "${A:-".repeat(100_000);
        let errors = interpolate(&text, &environment()).unwrap_err();
        assert!(
            errors
                .iter()
                .any(|e| e.kind == InterpolationErrorKind::TooDeep)
        );
    }

    #[test]
    fn interpolation_keeps_secrets_symbolic() {
        let template = interpolate("u:${secret:db}@h", &environment()).unwrap();
        assert_eq!(template.as_plain(), None);
        assert_eq!(
            template.pieces(),
            [
                Segment::Text("u:".into()),
                Segment::Secret(SecretName::new("db").unwrap()),
                Segment::Text("@h".into()),
            ]
        );
    }

    proptest! {
        #[test]
        fn interpolation_never_panics(text in r"([${}:?+a-zA-Z_-]|\$\{|secret:|.)*") {
            if let Err(errors) = interpolate(&text, &environment()) {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(text.get(error.range).is_some());
                }
            }
        }

        #[test]
        fn interpolation_without_dollar_is_identity(text in "[^$]*") {
            let template = interpolate(&text, &environment()).unwrap();
            prop_assert_eq!(template.as_plain(), Some(text.as_str()));
        }

        #[test]
        fn interpolation_unescapes_doubled_dollars(text in ".*") {
            let template = interpolate(&text.replace('$', "$$"), &environment()).unwrap();
            prop_assert_eq!(template.as_plain(), Some(text.as_str()));
        }
    }
}
