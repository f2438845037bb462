//! Resolves the environment and the labels of a container, including those from files.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{cleaned, resolver::Resolver};
use crate::{
    diagnostic::ResolveError,
    manifest::{
        EnvValue, Service,
        environment::{DotenvError, Entry, parse, parse_raw},
    },
    project::link::dangling,
    secret::Text,
    span::{Span, Spanned},
};

/// The syntax of a file of variables or labels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// With quotes and variables.
    Dotenv,
    /// Verbatim values.
    Raw,
}

impl Resolver<'_> {
    /// Resolves the environment. Variables in the manifest override those from files, and later
    /// files override earlier ones.
    pub(super) fn environment(&mut self, service: &Service) -> BTreeMap<String, Text> {
        let mut environment = BTreeMap::new();
        for file in &service.env_files {
            let grammar = if file.raw {
                Grammar::Raw
            } else {
                Grammar::Dotenv
            };
            let path = cleaned(&file.path.value);
            if file.optional && !path.exists() {
                continue;
            }
            let entries = self.entries("env-file", &path, grammar, file.path.span);
            environment.extend(entries.into_iter().map(|(k, v)| (k, Text::Plain(v))));
        }
        environment.extend(self.variables(&service.env));
        environment
    }

    /// Resolves variables. A pass-through variable is omitted if it is not set.
    pub(super) fn variables(
        &mut self,
        given: &BTreeMap<String, Spanned<EnvValue>>,
    ) -> BTreeMap<String, Text> {
        let mut variables = BTreeMap::new();
        for (name, value) in given {
            let text = match &value.value {
                EnvValue::Value(template) => self.text(template, value.span),
                EnvValue::PassThrough => self.variable(name).map(Text::Plain),
            };
            if let Some(text) = text {
                variables.insert(name.clone(), text);
            }
        }
        variables
    }

    /// Resolves the labels. Labels in the manifest override those from files.
    pub(super) fn labels(&mut self, service: &Service) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for file in &service.label_files {
            let path = cleaned(&file.value);
            labels.extend(self.entries("label-file", &path, Grammar::Dotenv, file.span));
        }
        labels.extend(service.labels.clone());
        labels
    }

    fn entries(
        &mut self,
        what: &'static str,
        path: &Path,
        grammar: Grammar,
        at: Span,
    ) -> BTreeMap<String, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.unreadable(what, path, &error, at);
                return BTreeMap::new();
            }
        };
        let read = match grammar {
            Grammar::Dotenv => parse(&text, &self.manifest.environment),
            Grammar::Raw => parse_raw(&text),
        };
        for error in &read.errors {
            self.refuse_line(path, error, at);
        }
        let entries = read.entries.into_iter();
        entries
            .filter_map(|Entry { name, value, .. }| {
                let value = value.or_else(|| self.variable(&name))?;
                Some((name, value))
            })
            .collect()
    }

    fn unreadable(&mut self, what: &'static str, path: &Path, error: &io::Error, at: Span) {
        if error.kind() != io::ErrorKind::NotFound && dangling(path).is_none() {
            self.fail(ResolveError::MissingPath {
                what,
                path: path.display().to_string(),
                cause: format!("cannot be read: {error}"),
                at,
                help: None,
            });
            return;
        }
        let optional = "create it, or mark it optional: `optional=#true`";
        let help = (what == "env-file").then(|| optional.to_owned());
        self.missing(what, path, at, help);
    }

    fn refuse_line(&mut self, path: &Path, error: &DotenvError, at: Span) {
        self.fail(ResolveError::EnvFile {
            path: path.display().to_string(),
            line: error.line,
            column: error.column,
            cause: error.to_string(),
            at,
            help: error.kind.help(),
        });
    }
}
