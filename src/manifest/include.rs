//! Reads the files of a manifest: the files named by the user, the files that they include, and
//! files of variables.
//!
//! Included files are weaker: the nodes of a file are merged over those that it includes.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    environment::{Environment, Layer, interpolate},
    load::{FILE_NAME, Files, Request, is_no_file, normal, standard_input},
    node::{Node, Value},
    syntax,
};
use crate::{
    diagnostic::{ManifestError, ParseError, did_you_mean},
    span::{Source, Sources, Span},
};

/// Nodes of one file, as they were written.
pub(super) struct RawFile {
    /// Offset of the file's first byte.
    pub start: usize,
    pub nodes: Vec<Node<String>>,
}

/// State of reading the files.
pub(super) struct Reading<'a> {
    request: &'a Request,
    disk: &'a dyn Files,
    pub sources: Sources,
    pub environment: Environment,
    /// Files, weakest first.
    pub layers: Vec<RawFile>,
    /// Paths, in the order in which the files were opened.
    pub files: Vec<PathBuf>,
    pub mistakes: Vec<ManifestError>,
    /// Whether every file could be read.
    pub complete: bool,
    /// Files that are being read, outermost first.
    open: Vec<PathBuf>,
}

/// Reason that a file is read.
#[derive(Clone, Copy)]
enum IncludedFrom {
    Option(&'static str),
    Node(Span),
    /// `.env`, which is read because of its name.
    Place,
}

impl<'a> Reading<'a> {
    pub fn new(request: &'a Request, disk: &'a dyn Files) -> Self {
        Self {
            request,
            disk,
            sources: Sources::default(),
            environment: Environment::new(request.variables.clone()),
            layers: Vec::new(),
            files: Vec::new(),
            mistakes: Vec::new(),
            complete: true,
            open: Vec::new(),
        }
    }

    /// Reads all named files, and the files that they include.
    pub fn all(mut self, paths: &[PathBuf]) -> Self {
        if let Some(folder) = paths.first().and_then(|first| first.parent()) {
            let path = folder.join(".env");
            // `.env` is optional, but if it exists it must be readable.
            match self.disk.read(&path) {
                Ok(text) => self.variables(Layer::Default, &path, &text),
                Err(error) if is_no_file(&error) => {}
                Err(error) => self.no_variables(&path, &error, IncludedFrom::Place),
            }
        }
        for path in &self.request.env_files {
            let path = normal(&self.request.current.join(path));
            match self.disk.read(&path) {
                Ok(text) => self.variables(Layer::CommandLine, &path, &text),
                Err(error) => self.no_variables(&path, &error, IncludedFrom::Option("--env-file")),
            }
        }
        for path in paths {
            self.file(path.clone(), IncludedFrom::Option("-f"));
        }
        self
    }

    fn file(&mut self, path: PathBuf, namer: IncludedFrom) {
        if let (true, IncludedFrom::Node(at)) = (self.open.contains(&path), namer) {
            let path = self.shown(&path);
            self.complete = false;
            return self
                .mistakes
                .push(ParseError::IncludeCycle { path, at }.into());
        }
        if self.files.contains(&path) {
            return;
        }
        let text = match self.text(&path) {
            Ok(text) => text,
            Err(error) => return self.unreadable(&path, &error, namer),
        };
        self.files.push(path.clone());
        let start = self
            .sources
            .add(path.clone(), self.shown(&path), text.clone());
        let nodes = match syntax::parse(&text, start) {
            Ok(nodes) => nodes,
            Err(mistakes) => {
                self.complete = false;
                return self
                    .mistakes
                    .extend(mistakes.into_iter().map(ManifestError::from));
            }
        };
        let mut repeated = Vec::new();
        for node in &nodes {
            syntax::repeated(node, &mut repeated);
        }
        self.mistakes
            .extend(repeated.into_iter().map(ManifestError::from));
        self.open.push(path);
        for node in &nodes {
            self.follow(node);
        }
        self.open.pop();
        self.layers.push(RawFile { start, nodes });
    }

    /// Reads the file that an `include` or an `env-file` names. The shape of the node is checked
    /// later, with all others.
    fn follow(&mut self, node: &Node<String>) {
        let Some(argument) = node.arguments.first() else {
            return;
        };
        let Value::Text(text) = &argument.value else {
            return;
        };
        // Errors in the variables are reported when all variables are filled in.
        let Ok(template) = interpolate(text, &self.environment) else {
            return;
        };
        let Some(name) = template.as_plain() else {
            return;
        };
        let folder = self.open.last().and_then(|open| open.parent());
        let path = normal(&folder.unwrap_or(&self.request.current).join(name));
        match node.name.value.as_str() {
            "include" => self.file(path, IncludedFrom::Node(argument.span)),
            "env-file" => {
                let optional = node.properties.iter().any(|(name, scalar)| {
                    name.value == "optional" && scalar.value == Value::Bool(true)
                });
                match self.disk.read(&path) {
                    Ok(text) => self.variables(Layer::Manifest, &path, &text),
                    Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.no_variables(&path, &error, IncludedFrom::Node(argument.span));
                    }
                }
            }
            _ => {}
        }
    }

    fn variables(&mut self, layer: Layer, path: &Path, text: &str) {
        let errors = self.environment.add(layer, path, text);
        let start = self
            .sources
            .add(path.to_owned(), self.shown(path), text.to_owned());
        for error in errors {
            let offset = offset(text, error.line, error.column);
            let length = text[offset..].chars().next().map_or(0, char::len_utf8);
            let mistake = ParseError::EnvFile {
                message: error.to_string(),
                at: Span::new(start + offset, length),
                help: error.kind.help(),
            };
            self.mistakes.push(mistake.into());
        }
    }

    /// Returns the text of a file, or the text from standard input.
    fn text(&self, path: &Path) -> io::Result<String> {
        match &self.request.standard_input {
            Some(text) if *path == standard_input(&self.request.current) => Ok(text.clone()),
            _ => self.disk.read(path),
        }
    }

    fn no_variables(&mut self, path: &Path, error: &io::Error, namer: IncludedFrom) {
        self.environment.lacks_a_file();
        self.unreadable(path, error, namer);
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error, namer: IncludedFrom) {
        self.complete = false;
        let cause = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::InvalidData => "not a text in UTF-8".to_owned(),
            io::ErrorKind::IsADirectory => "it is a folder, not a file".to_owned(),
            _ => error.to_string(),
        };
        let shown = self.shown(path);
        let mistake = match namer {
            IncludedFrom::Option(option) => ParseError::Unreadable {
                help: match error.kind() {
                    io::ErrorKind::IsADirectory if option == "-f" => {
                        let file = self.shown(&path.join(FILE_NAME));
                        format!("name the file in it: `-f {file}`")
                    }
                    _ => format!("check the path given with `{option}`"),
                },
                path: shown,
                cause,
            },
            IncludedFrom::Place => ParseError::Unreadable {
                path: shown,
                cause,
                help: "it is read because it is in the folder of the manifest".to_owned(),
            },
            IncludedFrom::Node(at) => {
                let known: Vec<_> = self.sources.iter().map(Source::shown).collect();
                let help = did_you_mean(&shown, known).unwrap_or_else(|| {
                    "a relative path is relative to the folder of the file that contains it"
                        .to_owned()
                });
                ParseError::UnreadableInclude {
                    path: shown,
                    cause,
                    at,
                    help: Some(help),
                }
            }
        };
        self.mistakes.push(mistake.into());
    }

    /// Formats a path for messages: relative to the current folder if it is below that folder.
    fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(&self.request.current) {
            Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
            below => below.unwrap_or(path).display().to_string(),
        }
    }
}

/// Returns the byte offset of a line and a column. Both are counted from 1, the column in
/// characters.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum::<usize>();
    let within = text[start..].char_indices().nth(column.saturating_sub(1));
    within.map_or(text.len(), |(at, _)| start + at)
}
