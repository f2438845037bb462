//! `build`: how a service's image is built.

use std::{collections::BTreeMap, path::PathBuf};

use super::Template;
use crate::{
    name::{ImageRef, SecretName},
    span::{Span, Spanned},
    unit::ByteSize,
};

/// How an image is built.
#[derive(Debug, Clone)]
pub struct Build {
    /// The whole node's name.
    pub span: Span,
    /// What is sent to the builder.
    pub context: Spanned<Context>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<Spanned<String>>,
    /// The Dockerfile's text, when it stands in the manifest.
    pub inline: Option<Spanned<String>>,
    /// The stage that is built.
    pub target: Option<Spanned<String>>,
    /// Build arguments; one without a value is taken from the environment.
    pub args: BTreeMap<String, Spanned<Option<Template>>>,
    /// Secrets of `RUN --mount=type=secret`, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// `RUN --mount=type=ssh` gets the agent of the one who runs `cimandat`.
    pub ssh: bool,
    /// Named contexts.
    pub contexts: BTreeMap<String, Spanned<Context>>,
    /// Network of the `RUN` steps.
    pub network: Option<Spanned<String>>,
    /// Always ask the registry for the base images.
    pub pull: Option<bool>,
    /// Use no cached layer.
    pub no_cache: Option<bool>,
    /// Platforms, if not the service's own.
    pub platforms: Vec<Spanned<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// More names for the image.
    pub tags: Vec<Spanned<ImageRef>>,
    /// Sources of cached layers.
    pub cache_from: Vec<String>,
    /// Where cached layers go.
    pub cache_to: Vec<String>,
    /// More lines of `/etc/hosts` in `RUN` steps, host to address.
    pub extra_hosts: BTreeMap<String, String>,
    /// Size of `/dev/shm` in `RUN` steps.
    pub shm_size: Option<ByteSize>,
}

/// What a builder is given to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A folder of this machine, absolute.
    Folder(PathBuf),
    /// An address that the builder understands itself (`https://…`, `docker-image://…`).
    Remote(String),
}

/// A secret of a build.
#[derive(Debug, Clone)]
pub struct BuildSecret {
    /// Where it is declared.
    pub span: Span,
    /// Where the value is.
    pub source: Spanned<BuildSecretSource>,
    /// Whether it is a mistake when it is not there; yes unless said otherwise.
    pub required: bool,
}

/// Where a build secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildSecretSource {
    /// A file, absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// One of the project's secrets.
    Secret(SecretName),
}
