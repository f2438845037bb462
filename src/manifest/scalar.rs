//! Reads one value as one type: the types that a text, a number or a boolean may be read as.
//!
//! Types are not guessed: a text is never read as a number, unless it contains the value of a
//! variable.

use std::{fmt, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::{
    Template,
    context::LowerContext,
    node::{Scalar, Text, Value},
};
use crate::{
    diagnostic::{ValueError, did_you_mean},
    name::{
        CertificateName, ConfigName, ContainerName, EngineVolumeName, ImageRef, NameError,
        NetworkName, ProjectName, SecretName, ServiceName, VolumeName,
    },
    span::Spanned,
    unit::{ByteSize, UnitError, parse_duration},
};

/// A type that can be read from one value.
pub(super) trait Read: Sized {
    /// Reads the value, or reports the error.
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self>;
}

impl Value {
    fn described(&self) -> String {
        match self {
            Self::Text(text) => format!("the text `{}`", text.template),
            Self::Integer(number) => format!("the number `{number}`"),
            Self::Float(number) => format!("the number `{number}`"),
            Self::Bool(truth) => format!("`#{truth}`"),
            Self::Null => "`#null`".to_owned(),
            Self::Broken => "a text".to_owned(),
        }
    }
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type<T>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    wanted: &str,
    help: Option<String>,
) -> Option<T> {
    if scalar.value == Value::Broken {
        return None;
    }
    scope.mistake(ValueError::WrongType {
        wanted: wanted.to_owned(),
        found: scalar.value.described(),
        at: scalar.span,
        help,
    });
    None
}

/// Reports a text that does not have the expected format.
pub(super) fn invalid<T>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    wanted: &str,
    help: Option<&str>,
) -> Option<T> {
    if scalar.value == Value::Broken {
        return None;
    }
    scope.mistake(ValueError::Invalid {
        wanted: wanted.to_owned(),
        found: match &scalar.value {
            Value::Text(text) => text.template.to_string(),
            _ => scope.written(scalar.span).to_owned(),
        },
        at: scalar.span,
        help: help.map(str::to_owned),
    });
    None
}

impl Read for Template {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        if let Value::Text(text) = &scalar.value {
            return Some(text.template.clone());
        }
        let written = scope.written(scalar.span).trim_start_matches('#');
        let help = format!("put it in quotes: `\"{written}\"`");
        wrong_type(scalar, scope, "a text", Some(help))
    }
}

impl Read for String {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        let template = Template::read(scalar, scope)?;
        if let Some(plain) = template.as_plain() {
            return Some(plain.to_owned());
        }
        let name = template
            .secrets()
            .next()
            .map(ToString::to_string)
            .unwrap_or_default();
        scope.mistake(ValueError::SecretNotAllowed {
            name,
            at: scalar.span,
        });
        None
    }
}

/// Parses a text that contains the value of a variable.
fn computed<T: FromStr>(text: &Text) -> Option<T> {
    text.computed
        .then(|| text.template.as_plain())??
        .trim()
        .parse()
        .ok()
}

impl Read for bool {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        match &scalar.value {
            Value::Bool(truth) => return Some(*truth),
            Value::Text(text) => {
                if let Some(truth) = computed(text) {
                    return Some(truth);
                }
            }
            _ => {}
        }
        let help = meant(scalar, scope).map(|truth| format!("write `#{truth}`"));
        wrong_type(scalar, scope, "`#true` or `#false`", help)
    }
}

/// Returns the boolean that was meant in the notation of another language.
fn meant(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<bool> {
    let written = scope.written(scalar.span).trim_matches('"').to_lowercase();
    match written.as_str() {
        "1" | "enabled" | "on" | "t" | "true" | "y" | "yes" => Some(true),
        "0" | "disabled" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Reads an integer in a range; `what` describes it in the message.
pub(super) fn whole<T: TryFrom<i128>>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    what: &str,
    range: RangeInclusive<i128>,
) -> Option<T> {
    let number = match &scalar.value {
        Value::Integer(number) => *number,
        Value::Text(text) => match computed(text) {
            Some(number) => number,
            None => return wrong_type(scalar, scope, "a whole number", unquoted(text)),
        },
        _ => return wrong_type(scalar, scope, "a whole number", None),
    };
    let read = range
        .contains(&number)
        .then(|| T::try_from(number).ok())
        .flatten();
    if read.is_none() {
        out_of_range(scalar, scope, what, &range, &number);
    }
    read
}

fn out_of_range<T: fmt::Display>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    what: &str,
    range: &RangeInclusive<T>,
    found: &T,
) {
    scope.mistake(ValueError::OutOfRange {
        what: what.to_owned(),
        low: range.start().to_string(),
        high: range.end().to_string(),
        found: found.to_string(),
        at: scalar.span,
    });
}

fn unquoted(text: &Text) -> Option<String> {
    let plain = text.template.as_plain()?;
    plain
        .parse::<f64>()
        .is_ok()
        .then(|| format!("write it without quotes: `{plain}`"))
}

/// Maximum number of processors that is plausible.
const PROCESSORS: f64 = 4096.0;

/// A number of processors, which may be fractional.
#[derive(Debug, Clone, Copy)]
pub(super) struct Processors(pub f64);

impl Read for Processors {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        let number = match &scalar.value {
            Value::Integer(number) => i32::try_from(*number).map_or(f64::INFINITY, f64::from),
            Value::Float(number) => *number,
            Value::Text(text) => match computed(text) {
                Some(number) => number,
                None => return wrong_type(scalar, scope, "a number", unquoted(text)),
            },
            _ => return wrong_type(scalar, scope, "a number", None),
        };
        // The engine uses units of 0.01 processors.
        let range = 0.01..=PROCESSORS;
        if range.contains(&number) {
            return Some(Self(number));
        }
        out_of_range(scalar, scope, "a number of processors", &range, &number);
        None
    }
}

/// Permission bits, written in octal.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileMode(pub u32);

impl Read for FileMode {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        let written = scope.written(scalar.span);
        let mode = match &scalar.value {
            Value::Integer(number) if written.starts_with("0o") => u32::try_from(*number).ok(),
            Value::Text(text) if text.computed => {
                let digits = text.template.as_plain().unwrap_or_default();
                u32::from_str_radix(digits.trim_start_matches("0o"), 8).ok()
            }
            _ => None,
        };
        mode.filter(|mode| *mode <= 0o7777).map(Self).or_else(|| {
            let help = "permissions are written in octal: `mode=0o440`";
            invalid(scalar, scope, "a set of permissions", Some(help))
        })
    }
}

fn united<T>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    wanted: &'static str,
    parse: fn(&str) -> Result<T, UnitError>,
) -> Option<T> {
    let text = match &scalar.value {
        Value::Text(_) => String::read(scalar, scope)?,
        Value::Integer(_) | Value::Float(_) => scope.written(scalar.span).to_owned(),
        _ => return wrong_type(scalar, scope, wanted, None),
    };
    parse(&text)
        .map_err(|error| {
            scope.mistake(ValueError::Unit {
                message: error.to_string(),
                at: scalar.span,
                wanted,
                help: Some(error.help()),
            });
        })
        .ok()
}

impl Read for Duration {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        united(scalar, scope, "a duration", parse_duration)
    }
}

impl Read for ByteSize {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        united(scalar, scope, "a size", str::parse)
    }
}

/// A path of this machine, absolute.
impl Read for PathBuf {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        let path = String::read(scalar, scope)?;
        if path.is_empty() {
            return invalid(scalar, scope, "a path", None);
        }
        Some(scope.absolute(&path, scalar.span))
    }
}

/// A path inside a container, absolute and without a trailing slash.
#[derive(Debug, Clone)]
pub(super) struct ContainerPath(pub String);

impl Read for ContainerPath {
    fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
        let path = String::read(scalar, scope)?;
        if !path.starts_with('/') {
            let help = "paths inside a container are absolute".to_owned();
            scope.mistake(ValueError::RelativePath {
                path,
                at: scalar.span,
                help: Some(help),
            });
            return None;
        }
        let trimmed = path.trim_end_matches('/');
        Some(Self(if trimmed.is_empty() {
            "/".to_owned()
        } else {
            trimmed.to_owned()
        }))
    }
}

/// Reads a text by [`FromStr`], with its expected format and an example for the message.
pub(super) fn parsed<T: FromStr>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    wanted: &str,
    help: Option<&str>,
) -> Option<T> {
    let text = String::read(scalar, scope)?;
    text.parse()
        .ok()
        .or_else(|| invalid(scalar, scope, wanted, help))
}

fn named<N>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    wanted: &str,
    new: fn(String) -> Result<N, NameError>,
) -> Option<N> {
    let help = match wanted {
        "a project's name" => {
            "lowercase letters and digits, separated by `_`, `__` or any number of `-`"
        }
        "a service's name" => {
            "letters and digits, separated by `.`, `_`, `__` or any number of `-`"
        }
        "an image" => "an image looks like `registry/name:tag` or `name@sha256:…`",
        _ => "letters, digits, `-`, `_` and `.`, beginning with a letter or a digit",
    };
    new(String::read(scalar, scope)?)
        .map_err(|cause| {
            scope.mistake(ValueError::InvalidName {
                cause,
                at: scalar.span,
                wanted: wanted.to_owned(),
                help: Some(help.to_owned()),
            });
        })
        .ok()
}

macro_rules! names {
    ($($name:ident: $wanted:literal;)*) => {$(
        impl Read for $name {
            fn read(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Self> {
                named(scalar, scope, $wanted, Self::new)
            }
        }
    )*};
}

names! {
    CertificateName: "a certificate's name";
    ConfigName: "a config's name";
    ContainerName: "a container's name";
    EngineVolumeName: "a volume's name";
    ImageRef: "an image";
    NetworkName: "a network's name";
    ProjectName: "a project's name";
    SecretName: "a secret's name";
    ServiceName: "a service's name";
    VolumeName: "a volume's name";
}

/// Reads one of a few words.
pub(super) fn one_of<T: Clone>(
    scalar: &Scalar,
    scope: &LowerContext<'_>,
    what: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let found = String::read(scalar, scope)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == found) {
        return Some(meaning.clone());
    }
    let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let near = did_you_mean(&found, words.iter().map(|(word, _)| *word));
    let all = format!("one of {}", known.join(", "));
    let help = near.map_or_else(|| all.clone(), |near| format!("{near} {all}"));
    scope.mistake(ValueError::UnknownValue {
        what: what.to_owned(),
        found,
        at: scalar.span,
        help: Some(help),
    });
    None
}

/// Reads a value, with its span.
pub(super) fn placed<T: Read>(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Spanned<T>> {
    T::read(scalar, scope).map(|value| Spanned::new(value, scalar.span))
}
