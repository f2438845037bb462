//! Converts a build into the attributes of the builder's Dockerfile front-end.
//!
//! The keys are those of BuildKit's `dockerfile.v0`, which every engine since 18.09 includes. No
//! front-end image is ever pulled. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry};

use crate::{
    plan::BuildImage,
    project::{Build, build_inputs::remote, hosts},
    state::label,
};

/// The build as the builder's request describes it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) attributes: HashMap<String, String>,
    /// Folders of this machine, by the builder's name for them.
    pub(super) folders: BTreeMap<String, PathBuf>,
    /// Permissions beyond those that every build has.
    pub(super) entitlements: Vec<String>,
    pub(super) cache: CacheOptions,
}

/// The error for a sealed build argument, of which only the digest is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SealedArg(pub(super) String);

const CONTEXT: &str = "context";
/// The builder's name for the Dockerfile's folder.
pub(super) const DOCKERFILE: &str = "dockerfile";

impl Wanted {
    /// Converts a request. `dockerfile` is the path to read the Dockerfile from. It differs from
    /// the request's path if the Dockerfile is inline in the manifest.
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
        // A relative Dockerfile is part of the remote context.
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
                // The prefix distinguishes a context that is named `dockerfile` from the real one.
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
            // The front-end has no value for `default`.
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
            let hosts: Vec<_> = hosts::lines(&build.extra_hosts)
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
        // The front-end reads the imports from here, and the solver from the request itself.
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

/// Parses `type=registry,ref=…`, or only the reference.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{ImageRef, ProjectName, ServiceName},
        project::hosts::Addresses,
        secret::Text,
    };

    fn request() -> BuildImage {
        let build = Build {
            context: "/here".into(),
            dockerfile: "/elsewhere/Dockerfile.web".into(),
            inline: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: false,
            contexts: BTreeMap::new(),
            network: None,
            pull: false,
            no_cache: false,
            platforms: Vec::new(),
            labels: BTreeMap::new(),
            tags: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            extra_hosts: BTreeMap::new(),
            shm_size: None,
        };
        BuildImage {
            project: ProjectName::new("shop").unwrap(),
            service: ServiceName::new("web").unwrap(),
            build,
            platform: None,
            tags: vec![ImageRef::new("shop-web:1").unwrap()],
        }
    }

    fn wanted(request: &BuildImage) -> (Vec<String>, Wanted) {
        let wanted = Wanted::new(request, &request.build.dockerfile).unwrap();
        let attributes: BTreeMap<_, _> = wanted.attributes.iter().collect();
        let lines = attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        (lines.collect(), wanted)
    }

    #[test]
    fn plain_build_sets_minimal_attributes() {
        let (lines, wanted) = wanted(&request());
        assert_eq!(
            lines,
            ["filename=Dockerfile.web", "label:io.cimandat.project=shop"]
        );
        let folders: Vec<_> = wanted.folders.into_iter().collect();
        assert_eq!(
            folders,
            [
                ("context".to_owned(), PathBuf::from("/here")),
                ("dockerfile".to_owned(), PathBuf::from("/elsewhere")),
            ]
        );
    }

    #[test]
    fn every_option_has_its_attribute() {
        let mut request = request();
        request.platform = Some("linux/arm64".to_owned());
        let build = &mut request.build;
        build.target = Some("runner".to_owned());
        build.args.insert("A".to_owned(), Text::from("1"));
        build.labels.insert("l".to_owned(), "2".to_owned());
        build
            .contexts
            .insert("base".to_owned(), "docker-image://debian".to_owned());
        build.contexts.insert("more".to_owned(), "/more".to_owned());
        build.network = Some("host".to_owned());
        build.pull = true;
        build.no_cache = true;
        build.cache_from = vec!["r/x:cache".to_owned(), "type=local,src=/c".to_owned()];
        build
            .extra_hosts
            .insert("a".to_owned(), Addresses(vec!["10.0.0.1".to_owned()]));
        build
            .extra_hosts
            .insert("b".to_owned(), Addresses(vec!["10.0.0.2".to_owned()]));
        build.shm_size = Some(1 << 20);
        let (lines, wanted) = wanted(&request);
        assert_eq!(
            lines,
            [
                "add-hosts=a=10.0.0.1,b=10.0.0.2",
                "build-arg:A=1",
                "cache-imports=[{\"Attrs\":{\"ref\":\"r/x:cache\"},\"Type\":\"registry\"},\
                 {\"Attrs\":{\"src\":\"/c\"},\"Type\":\"local\"}]",
                "context:base=docker-image://debian",
                "context:more=local:named-more",
                "filename=Dockerfile.web",
                "force-network-mode=host",
                "image-resolve-mode=pull",
                "label:io.cimandat.project=shop",
                "label:l=2",
                "no-cache=",
                "platform=linux/arm64",
                "shm-size=1048576",
                "target=runner",
            ]
        );
        assert_eq!(wanted.entitlements, ["network.host"]);
        assert_eq!(wanted.folders["named-more"], PathBuf::from("/more"));
    }

    #[test]
    fn remote_context_provides_dockerfile_unless_local_given() {
        let mut request = request();
        request.build.context = "https://host/x.git#main".into();
        let (lines, _) = wanted(&request);
        assert_eq!(
            lines[..2],
            [
                "context=https://host/x.git#main",
                "dockerfilekey=dockerfile"
            ]
        );
        request.build.dockerfile = "sub/Dockerfile".into();
        let (lines, wanted) = wanted(&request);
        assert_eq!(lines[1], "filename=sub/Dockerfile");
        assert!(wanted.folders.is_empty());
    }

    #[test]
    fn sealed_build_argument_without_value_is_refused() {
        let mut request = request();
        let (shown, digest) = ("${secret:a}".to_owned(), "0".to_owned());
        let value = None;
        let text = Text::Sealed {
            shown,
            digest,
            value,
        };
        request.build.args.insert("A".to_owned(), text);
        let refused = Wanted::new(&request, Path::new("/Dockerfile")).unwrap_err();
        assert_eq!(refused, SealedArg("A".to_owned()));
    }
}
