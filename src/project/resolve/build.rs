//! Resolves the build of an image. Every file that the build names must exist.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{cleaned, network::hosts, resolver::Resolver};
use crate::{
    diagnostic::{ResolveError, did_you_mean},
    manifest::{self, Context},
    name::ImageRef,
    project::{Build, BuildSecret, BuildSecretSource, link::dangling},
    secret::Text,
    span::{Span, Spanned},
};

/// Default name of the Dockerfile.
const DOCKERFILE: &str = "Dockerfile";

impl Resolver<'_> {
    /// Resolves a build. `name` is the name of the image, if the service sets one.
    pub(super) fn build(
        &mut self,
        build: &manifest::Build,
        name: Option<&Spanned<ImageRef>>,
    ) -> Option<Build> {
        let context = self.context(&build.context.value, "build context", build.context.span);
        let dockerfile = self.dockerfile(build);
        let contexts = self.contexts(build);
        let args = self.arguments(&build.args);
        let secrets = self.build_secrets(build);
        let strings = |given: &[Spanned<String>]| given.iter().map(|s| s.value.clone()).collect();
        Some(Build {
            context: PathBuf::from(context?),
            dockerfile: dockerfile?,
            inline: build.inline.as_ref().map(|text| text.value.clone()),
            target: build.target.as_ref().map(|stage| stage.value.clone()),
            args,
            secrets,
            ssh: build.ssh,
            contexts,
            network: build.network.as_ref().map(|network| network.value.clone()),
            pull: build.pull.unwrap_or(false),
            no_cache: build.no_cache.unwrap_or(false),
            platforms: strings(&build.platforms),
            labels: build.labels.clone(),
            tags: name
                .into_iter()
                .chain(&build.tags)
                .map(|tag| tag.value.clone())
                .collect(),
            cache_from: build.cache_from.clone(),
            cache_to: build.cache_to.clone(),
            extra_hosts: hosts(&build.extra_hosts),
            shm_size: build.shm_size.map(|size| size.0),
        })
    }

    fn context(&mut self, context: &Context, what: &'static str, at: Span) -> Option<String> {
        let folder = match context {
            Context::Remote(address) => return Some(address.clone()),
            Context::Folder(folder) => cleaned(folder),
        };
        if folder.is_dir() {
            return Some(folder.display().to_string());
        }
        if folder.exists() {
            self.fail(ResolveError::MissingPath {
                what,
                path: folder.display().to_string(),
                cause: "is not a folder".to_owned(),
                at,
                help: Some(
                    "name the folder that the build needs, and the file by `dockerfile=`"
                        .to_owned(),
                ),
            });
        } else {
            let help = "a path is relative to the folder of the file that contains it";
            self.missing(what, &folder, at, Some(help.to_owned()));
        }
        None
    }

    fn contexts(&mut self, build: &manifest::Build) -> BTreeMap<String, String> {
        let contexts = build.contexts.iter();
        contexts
            .filter_map(|(name, context)| {
                let found = self.context(&context.value, "named context", context.span)?;
                Some((name.clone(), found))
            })
            .collect()
    }

    /// The path of the Dockerfile; absolute, unless the builder fetches the context itself.
    fn dockerfile(&mut self, build: &manifest::Build) -> Option<PathBuf> {
        let given = build.dockerfile.as_ref();
        let name = given.map_or(DOCKERFILE, |given| given.value.as_str());
        let Context::Folder(context) = &build.context.value else {
            return Some(PathBuf::from(name));
        };
        let context = cleaned(context);
        let path = cleaned(&context.join(name));
        // A missing context is already reported.
        if build.inline.is_some() || path.is_file() || !context.is_dir() {
            return Some(path);
        }
        let at = given.map_or(build.context.span, |given| given.span);
        self.missing("Dockerfile", &path, at, other_dockerfile(name, &context));
        None
    }

    /// Resolves the build arguments. An argument without a value is omitted if no variable sets it.
    fn arguments(
        &mut self,
        given: &BTreeMap<String, Spanned<Option<manifest::Template>>>,
    ) -> BTreeMap<String, Text> {
        let mut arguments = BTreeMap::new();
        for (name, value) in given {
            let text = match &value.value {
                Some(template) => self.text(template, value.span),
                None => self.variable(name).map(Text::Plain),
            };
            if let Some(text) = text {
                arguments.insert(name.clone(), text);
            }
        }
        arguments
    }

    fn build_secrets(&mut self, build: &manifest::Build) -> BTreeMap<String, BuildSecret> {
        let secrets = build.secrets.iter();
        secrets
            .filter_map(|(id, secret)| Some((id.clone(), self.build_secret(id, secret)?)))
            .collect()
    }

    /// Resolves a build secret; `None` if it has no value and is optional, or if the error is
    /// reported.
    fn build_secret(&mut self, id: &str, secret: &manifest::BuildSecret) -> Option<BuildSecret> {
        let found = match &secret.source.value {
            manifest::BuildSecretSource::File(path) => {
                let path = cleaned(path);
                if path.is_file() {
                    Ok(BuildSecretSource::File(path))
                } else {
                    let cause = dangling(&path).unwrap_or_else(|| "is not a file".to_owned());
                    Err(format!("`{}` {cause}", path.display()))
                }
            }
            manifest::BuildSecretSource::Env(variable) => match self.variable(variable) {
                Some(value) => {
                    let shown = format!("${{{variable}}}");
                    Ok(BuildSecretSource::Value(Text::sealed(shown, value)))
                }
                None => Err(format!("variable `{variable}` is not set")),
            },
            manifest::BuildSecretSource::Secret(name) => {
                let template = manifest::Template::secret(name.clone());
                let text = self.text(&template, secret.source.span)?;
                Ok(BuildSecretSource::Value(text))
            }
        };
        match found {
            Ok(source) => Some(BuildSecret {
                source,
                required: secret.required,
            }),
            Err(cause) => {
                if secret.required {
                    self.fail(ResolveError::BuildSecret {
                        id: id.to_owned(),
                        cause,
                        at: secret.source.span,
                    });
                }
                None
            }
        }
    }
}

/// Suggests the Dockerfile of the context that was probably meant.
fn other_dockerfile(name: &str, context: &Path) -> Option<String> {
    let files = context.read_dir().ok()?;
    let mut names: Vec<_> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter(|file| file.to_lowercase().contains("dockerfile"))
        .collect();
    names.sort();
    let near = did_you_mean(name, names.iter().map(String::as_str));
    near.or_else(|| {
        let first = names.first()?;
        Some(format!(
            "the context has `{first}`: name it by `dockerfile=\"{first}\"`"
        ))
    })
    .or_else(|| Some("`dockerfile=` is relative to the context".to_owned()))
}
