//! `build`: how a service's image is built.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Template,
    context::LowerContext,
    map::{open_pairs, pairs},
    network,
    node::Node,
    reader::{Reader, texts, unknown_node},
};
use crate::{
    diagnostic::SchemaError,
    name::{ImageRef, SecretName},
    span::{Span, Spanned},
    unit::ByteSize,
};

/// Build settings of an image.
#[derive(Debug, Clone)]
pub struct Build {
    /// Span of the `build` node's name.
    pub span: Span,
    /// Build context that is sent to the builder.
    pub context: Spanned<Context>,
    /// Path of the Dockerfile, relative to the context.
    pub dockerfile: Option<Spanned<String>>,
    /// Text of the Dockerfile, if it is inline in the manifest.
    pub inline: Option<Spanned<String>>,
    /// Build stage to build.
    pub target: Option<Spanned<String>>,
    /// Build arguments. An argument without a value is taken from the environment.
    pub args: BTreeMap<String, Spanned<Option<Template>>>,
    /// Secrets for `RUN --mount=type=secret`, by ID.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// `RUN --mount=type=ssh` uses the SSH agent of the user that runs `cimandat`.
    pub ssh: bool,
    /// Additional contexts, by name.
    pub contexts: BTreeMap<String, Spanned<Context>>,
    /// Network of the `RUN` steps.
    pub network: Option<Spanned<String>>,
    /// Whether the registry is always asked for newer base images.
    pub pull: Option<bool>,
    /// Whether the build ignores cached layers.
    pub no_cache: Option<bool>,
    /// Platforms, if they differ from the service's own.
    pub platforms: Vec<Spanned<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Additional names for the image.
    pub tags: Vec<Spanned<ImageRef>>,
    /// Sources of cached layers.
    pub cache_from: Vec<String>,
    /// Destinations of cached layers.
    pub cache_to: Vec<String>,
    /// Additional lines of `/etc/hosts` in `RUN` steps, from host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Size of `/dev/shm` in `RUN` steps.
    pub shm_size: Option<ByteSize>,
}

/// Build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A folder of this machine; the path is absolute.
    Folder(PathBuf),
    /// A URL that the builder resolves itself (`https://…`, `docker-image://…`).
    Remote(String),
}

/// A secret of a build.
#[derive(Debug, Clone)]
pub struct BuildSecret {
    /// Span of the declaration.
    pub span: Span,
    /// Source of the value.
    pub source: Spanned<BuildSecretSource>,
    /// Whether a missing value is an error; `true` by default.
    pub required: bool,
}

/// Source of a build secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildSecretSource {
    /// A file; the path is absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// One of the project's secrets.
    Secret(SecretName),
}

/// Nodes that are allowed in the block of a `build`.
const PARTS: &[&str] = &[
    "arg",
    "cache-from",
    "cache-to",
    "context",
    "extra-host",
    "inline",
    "label",
    "platform",
    "secret",
    "ssh",
    "tag",
];

/// Reads `build`.
pub(super) fn lower(node: &Node, scope: &LowerContext<'_>) -> Option<Build> {
    let mut reader = Reader::new(node, scope);
    let text = reader.argument::<String>("a folder")?;
    let mut build = Build {
        span: reader.span(),
        context: Spanned::new(context(&text, text.span, scope), text.span),
        dockerfile: reader.placed("dockerfile"),
        inline: None,
        target: reader.placed("target"),
        args: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ssh: false,
        contexts: BTreeMap::new(),
        network: reader.placed("network"),
        pull: reader.property("pull"),
        no_cache: reader.property("no-cache"),
        platforms: Vec::new(),
        labels: BTreeMap::new(),
        tags: Vec::new(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        extra_hosts: BTreeMap::new(),
        shm_size: reader.property("shm-size"),
    };
    for child in reader.children() {
        build.part(child, scope);
    }
    if let (Some(file), Some(inline)) = (&build.dockerfile, &build.inline) {
        scope.mistake(SchemaError::Conflict {
            one: "`dockerfile=`".to_owned(),
            other: "`inline`".to_owned(),
            at: inline.span,
            first: file.span,
            help: None,
        });
    }
    reader.end();
    Some(build)
}

/// Returns a remote context for a URL that the builder fetches itself, or otherwise a folder.
fn context(text: &str, span: Span, scope: &LowerContext<'_>) -> Context {
    let remote = text.contains("://") || text.starts_with("git@");
    if remote {
        Context::Remote(text.to_owned())
    } else {
        Context::Folder(scope.absolute(text, span))
    }
}

impl Build {
    fn part(&mut self, node: &Node, scope: &LowerContext<'_>) {
        let mut reader = Reader::new(node, scope);
        match node.name.value.as_str() {
            "arg" => return self.args.extend(open_pairs(node, scope)),
            "label" => return self.labels.extend(pairs(node, scope)),
            "extra-host" => return network::extra_hosts(node, &[], &mut self.extra_hosts, scope),
            "secret" => return self.secret(node, scope),
            "context" => self.context(&mut reader),
            "ssh" => self.ssh = true,
            "inline" => self.inline = reader.argument("the text of a Dockerfile"),
            "cache-from" => self.cache_from.extend(texts(reader.all("a source"))),
            "cache-to" => self.cache_to.extend(texts(reader.all("a destination"))),
            "platform" => self.platforms.extend(reader.all("a platform")),
            "tag" => self.tags.extend(reader.all("an image")),
            _ => return unknown_node(node, "`build`", PARTS, scope),
        }
        reader.end();
    }

    fn context(&mut self, reader: &mut Reader<'_>) {
        let name = reader.argument::<String>("a name and a context");
        let place = name
            .as_ref()
            .and_then(|_| reader.argument::<String>("a context"));
        if let (Some(name), Some(place)) = (name, place) {
            let found = context(&place.value, place.span, reader.scope);
            self.contexts
                .insert(name.value, Spanned::new(found, place.span));
        }
    }

    fn secret(&mut self, node: &Node, scope: &LowerContext<'_>) {
        let mut reader = Reader::new(node, scope);
        let span = node.head();
        let id = reader.argument::<String>("an id");
        let file = reader
            .placed("file")
            .map(|path: Spanned<PathBuf>| path.map(BuildSecretSource::File));
        let env = reader
            .placed("env")
            .map(|name: Spanned<String>| name.map(BuildSecretSource::Env));
        let secret = reader
            .placed("secret")
            .map(|name: Spanned<SecretName>| name.map(BuildSecretSource::Secret));
        let required = reader.property("required").unwrap_or(true);
        let given = ["file", "env", "secret"]
            .iter()
            .any(|name| node.property(name).is_some());
        if !given {
            reader.missing("a source", Some("`file=`, `env=` or `secret=`"));
        }
        reader.end();
        let mut sources: Vec<_> = [file, env, secret].into_iter().flatten().collect();
        sources.sort_by_key(|source| source.span);
        if let [first, second, ..] = sources.as_slice() {
            scope.mistake(SchemaError::Conflict {
                one: "one source".to_owned(),
                other: "a second one".to_owned(),
                at: second.span,
                first: first.span,
                help: Some("a secret comes from one place".to_owned()),
            });
        }
        if let (Some(id), Some(source)) = (id, sources.into_iter().next()) {
            self.secrets.insert(
                id.value,
                BuildSecret {
                    span,
                    source,
                    required,
                },
            );
        }
    }
}
