//! A build in the builder's own words: the attributes of its Dockerfile front-end.
//!
//! The keys are those of BuildKit's `dockerfile.v0`, which every engine since 18.09 has built in;
//! no front-end image is ever pulled. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use crate::{
    plan::BuildImage,
    project::{Build, inputs::remote},
    state::label,
};

/// What the builder is asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) attributes: HashMap<String, String>,
    /// Folders of this machine, by the name that the builder asks for them by.
    pub(super) folders: BTreeMap<String, PathBuf>,
    /// More than a build may do unless it is said.
    pub(super) entitlements: Vec<String>,
    pub(super) cache: CacheOptions,
}

/// The value of a build argument is sealed, and only its record is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SealedArg(pub(super) String);

const CONTEXT: &str = "context";
/// The Dockerfile's folder, as the builder calls it.
pub(super) const DOCKERFILE: &str = "dockerfile";

impl Wanted {
    /// Puts a request into the builder's words. `dockerfile` is where the Dockerfile is to be
    /// read, which differs from the request's place when it stands in the manifest.
    pub(super) fn new(request: &BuildImage, dockerfile: &Path) -> Result<Self, SealedArg> {
        let build = &request.build;
        let mut wanted = Self::default();
        wanted.sources(build, dockerfile);
        wanted.options(request);
        for (name, value) in &build.args {
            let value = value.expose().ok_or_else(|| SealedArg(name.clone()))?;
            wanted.set(format!("build-arg:{name}"), value);
        }
        for (name, value) in &build.labels {
            wanted.set(format!("label:{name}"), value);
        }
        wanted.set(
            format!("label:{}", label::PROJECT),
            request.project.as_str(),
        );
        wanted.caches(build);
        Ok(wanted)
    }

    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.attributes.insert(key.into(), value.into());
    }

    fn sources(&mut self, build: &Build, dockerfile: &Path) {
        let away = remote(&build.context);
        if away {
            self.set(CONTEXT, build.context.to_string_lossy());
        } else {
            self.folders.insert(CONTEXT.into(), build.context.clone());
        }
        // A relative one is part of a remote context.
        if away && dockerfile.is_relative() {
            self.set("filename", dockerfile.to_string_lossy());
        } else {
            if away {
                self.set("dockerfilekey", DOCKERFILE);
            }
            let name = dockerfile.file_name().unwrap_or_default();
            self.set("filename", name.to_string_lossy());
            let folder = dockerfile.parent().unwrap_or(Path::new("/"));
            self.folders.insert(DOCKERFILE.into(), folder.to_owned());
        }
        for (name, place) in &build.contexts {
            let path = Path::new(place);
            if remote(path) {
                self.set(format!("context:{name}"), place);
            } else {
                // The prefix keeps a context that is called `dockerfile` apart from the real one.
                let folder = format!("named-{name}");
                self.set(format!("context:{name}"), format!("local:{folder}"));
                self.folders.insert(folder, path.to_owned());
            }
        }
    }

    fn options(&mut self, request: &BuildImage) {
        let build = &request.build;
        if let Some(target) = &build.target {
            self.set("target", target);
        }
        let platforms = if build.platforms.is_empty() {
            request.platform.clone().unwrap_or_default()
        } else {
            build.platforms.join(",")
        };
        if !platforms.is_empty() {
            self.set("platform", platforms);
        }
        if build.no_cache {
            self.set("no-cache", "");
        }
        if build.pull {
            self.set("image-resolve-mode", "pull");
        }
        if let Some(network) = &build.network {
            // The front-end knows `default` by no name.
            if network != "default" {
                self.set("force-network-mode", network);
            }
            if network == "host" {
                self.entitlements.push("network.host".to_owned());
            }
        }
        if let Some(size) = build.shm_size {
            self.set("shm-size", size.to_string());
        }
        if !build.extra_hosts.is_empty() {
            let hosts = build.extra_hosts.iter();
            let hosts: Vec<_> = hosts
                .map(|(host, address)| format!("{host}={address}"))
                .collect();
            self.set("add-hosts", hosts.join(","));
        }
    }

    fn caches(&mut self, build: &Build) {
        self.cache.imports = build.cache_from.iter().map(|text| cache(text)).collect();
        self.cache.exports = build.cache_to.iter().map(|text| cache(text)).collect();
        if self.cache.imports.is_empty() {
            return;
        }
        // The front-end takes them from here, the solver from the request itself.
        let imports = self
            .cache
            .imports
            .iter()
            .map(|import| serde_json::json!({ "Type": import.r#type, "Attrs": import.attrs }));
        self.set(
            "cache-imports",
            serde_json::Value::Array(imports.collect()).to_string(),
        );
    }
}

/// `type=registry,ref=…`, or only the reference.
fn cache(text: &str) -> CacheOptionsEntry {
    let mut attrs: HashMap<_, _> = text
        .split(',')
        .filter_map(|field| field.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    match attrs.remove("type") {
        Some(r#type) => CacheOptionsEntry { r#type, attrs },
        None => CacheOptionsEntry {
            r#type: "registry".to_owned(),
            attrs: HashMap::from([("ref".to_owned(), text.to_owned())]),
        },
    }
}
