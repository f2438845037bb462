//! The top level: lowers the nodes of all files to the parts of a manifest.

use std::{collections::BTreeMap, path::Path};

use super::{
    Certificate, Check, Config, Deploy, Network, Secret, Service, Volume, certificate,
    context::LowerContext,
    deploy,
    interpolate::Layer,
    merge::{self, Action},
    merge_rule,
    node::Node,
    reader::{Reader, unknown_node},
    resources,
    services::Services,
};
use crate::{
    diagnostic::{ReferenceError, SchemaError},
    name::{
        CertificateName, ConfigName, NetworkName, ProjectName, SecretName, ServiceName, VolumeName,
    },
    span::{Span, Spanned},
};

/// Nodes of the top level.
pub(super) const NODES: &[&str] = &[
    "certificate",
    "config",
    "defaults",
    "deploy",
    "env-file",
    "include",
    "job",
    "network",
    "project",
    "secret",
    "service",
    "template",
    "verify",
    "volume",
];

/// Parts of a manifest.
#[derive(Debug)]
pub(super) struct Declarations {
    /// Project name; `None` if it is not set and the folder's name cannot be made into one.
    pub project: Option<ProjectName>,
    pub networks: BTreeMap<NetworkName, Network>,
    pub volumes: BTreeMap<VolumeName, Volume>,
    pub secrets: BTreeMap<SecretName, Secret>,
    pub configs: BTreeMap<ConfigName, Config>,
    pub certificates: BTreeMap<CertificateName, Certificate>,
    pub services: BTreeMap<ServiceName, Service>,
    pub deploy: Deploy,
    pub verify: Vec<Spanned<Check>>,
    /// Names that are declared, even if the rest of the declaration cannot be read.
    pub declared: Declared,
}

/// Declared names, by kind.
pub(super) type Declared = BTreeMap<&'static str, BTreeMap<String, Span>>;

/// A node of the top level, from the strongest file that declares it.
struct Pending {
    node: Node,
    file: usize,
}

/// Nodes that are declared once by kind and name (`network "data"`), or once by kind (`deploy`).
#[derive(Default)]
struct RawDeclarations {
    by_kind: BTreeMap<&'static str, BTreeMap<String, Pending>>,
}

/// Lowers the nodes of all files, which are ordered weakest first.
pub(super) fn lower(layers: &[Layer], directory: &Path, scope: &LowerContext<'_>) -> Declarations {
    let mut held = RawDeclarations::default();
    let mut services = Services::default();
    for (file, layer) in layers.iter().enumerate() {
        for node in &layer.nodes {
            match node.name.value.as_str() {
                "service" | "job" | "template" | "defaults" => services.take(node, file, scope),
                "include" => checked(node, &[], scope),
                "env-file" => checked(node, &["optional"], scope),
                _ => held.take(node, file, scope),
            }
        }
    }
    let services = services.lower(scope);
    let mut declared = services.declared;
    held.declare(&mut declared);
    Declarations {
        project: held.project(directory, scope),
        networks: held.all("network", |node| {
            resources::network(node, scope).map(|found| (found.name.value.clone(), found))
        }),
        volumes: held.all("volume", |node| {
            resources::volume(node, scope).map(|found| (found.name.value.clone(), found))
        }),
        secrets: held.all("secret", |node| {
            resources::secret(node, scope).map(|found| (found.name.value.clone(), found))
        }),
        configs: held.all("config", |node| {
            resources::config(node, scope).map(|found| (found.name.value.clone(), found))
        }),
        certificates: held.all("certificate", |node| {
            certificate::lower(node, scope).map(|found| (found.name.value.clone(), found))
        }),
        services: services.services,
        deploy: held
            .one("deploy")
            .map(|node| deploy::lower(node, scope))
            .unwrap_or_default(),
        verify: held
            .one("verify")
            .map(|node| deploy::verify(node, scope))
            .unwrap_or_default(),
        declared,
    }
}

/// Checks a node that names a file; the file itself is already read.
fn checked(node: &Node, properties: &[&'static str], scope: &LowerContext<'_>) {
    let mut reader = Reader::new(node, scope);
    reader.argument::<String>("a path");
    for name in properties {
        reader.property::<bool>(name);
    }
    reader.end();
}

impl RawDeclarations {
    fn take(&mut self, node: &Node, file: usize, scope: &LowerContext<'_>) {
        let Some(kind) = NODES.iter().copied().find(|kind| *kind == node.name.value) else {
            return stray(node, scope);
        };
        let named = !matches!(kind, "project" | "deploy" | "verify");
        let key = if named {
            node.first_text().unwrap_or_default()
        } else {
            ""
        };
        let (action, node) = merge::annotated(node, scope);
        let known = self.by_kind.entry(kind).or_default();
        let below = known.remove(key);
        if let Some(twin) = below.as_ref().filter(|below| below.file == file) {
            repeated(kind, key, &node, &twin.node, scope);
        }
        let node = match (action, below) {
            (Action::Remove, Some(_)) => return,
            (Action::Remove, None) => {
                let name = format!("{kind} {key}").trim_end().to_owned();
                let at = node.head();
                return scope.mistake(SchemaError::NothingToRemove { name, at });
            }
            // A later file extends a network, a volume or `deploy`; it replaces a secret and any
            // other kind.
            (Action::Lay, Some(below)) if matches!(kind, "network" | "volume" | "deploy") => {
                merge::lay(&below.node, &node, scope)
            }
            _ => node,
        };
        known.insert(key.to_owned(), Pending { node, file });
    }

    fn one(&self, kind: &str) -> Option<&Node> {
        self.by_kind
            .get(kind)?
            .values()
            .next()
            .map(|held| &held.node)
    }

    fn all<N: Ord, T>(
        &self,
        kind: &str,
        lower: impl Fn(&Node) -> Option<(N, T)>,
    ) -> BTreeMap<N, T> {
        let nodes = self
            .by_kind
            .get(kind)
            .into_iter()
            .flat_map(BTreeMap::values);
        nodes.filter_map(|held| lower(&held.node)).collect()
    }

    fn declare(&self, declared: &mut Declared) {
        for (kind, known) in &self.by_kind {
            let names = known
                .iter()
                .map(|(name, held)| (name.clone(), held.node.head()));
            declared.entry(*kind).or_default().extend(names);
        }
    }

    fn project(&self, directory: &Path, scope: &LowerContext<'_>) -> Option<ProjectName> {
        if let Some(node) = self.one("project") {
            let mut reader = Reader::new(node, scope);
            let name = reader.argument::<ProjectName>("a name");
            reader.end();
            if let Some(name) = name {
                return Some(name.value);
            }
        }
        from_folder(directory)
    }
}

/// Derives a project name from the name of its folder: letters and digits, and the separators
/// between them. A mixed run of separators is reduced to its first character.
fn from_folder(directory: &Path) -> Option<ProjectName> {
    let folder = directory
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let mut valid = String::new();
    let mut between = String::new();
    for letter in folder.chars() {
        match letter {
            '-' | '_' => between.push(letter),
            _ if letter.is_ascii_alphanumeric() => {
                if !valid.is_empty() {
                    valid.push_str(separator(&between));
                }
                between.clear();
                valid.push(letter);
            }
            _ => {}
        }
    }
    valid.truncate(63);
    ProjectName::new(valid.trim_end_matches(['-', '_'])).ok()
}

/// Returns the separator that a project name may have between two letters.
fn separator(found: &str) -> &str {
    let alike = found.bytes().all(|byte| byte == b'-') || matches!(found, "_" | "__");
    if alike { found } else { &found[..1] }
}

/// Reports a node that the top level does not have.
fn stray(node: &Node, scope: &LowerContext<'_>) {
    if merge_rule::rule(&node.name.value).is_none() {
        return unknown_node(node, "a manifest", NODES, scope);
    }
    scope.mistake(SchemaError::UnknownNode {
        name: node.name.value.clone(),
        place: "a manifest".to_owned(),
        at: node.name.span,
        help: Some("it belongs in the block of a `service`, a `template` or `defaults`".to_owned()),
    });
}

/// Reports a second declaration in one file.
pub(super) fn repeated(
    kind: &'static str,
    name: &str,
    again: &Node,
    first: &Node,
    scope: &LowerContext<'_>,
) {
    let (at, first) = (again.head(), first.head());
    if name.is_empty() {
        return scope.mistake(SchemaError::RepeatedNode {
            name: kind.to_owned(),
            place: "one file".to_owned(),
            at,
            first,
        });
    }
    scope.mistake(ReferenceError::Duplicate {
        kind,
        name: name.to_owned(),
        at,
        first,
        help: Some("a second one in another file (`-f`) is laid over the first".to_owned()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &str, expected: Option<&str>) {
        let name = from_folder(&Path::new("/srv").join(folder));
        assert_eq!(name.as_ref().map(ProjectName::as_str), expected, "{folder}");
    }

    #[test]
    fn project_name_derives_from_folder_name() {
        check("My Shop", Some("myshop"));
        check("Übungs-Größe", Some("bungs-gre"));
        check("pp_-_test_", Some("pp_test"));
        check("a - b", Some("a-b"));
        check("a -_ b", Some("a-b"));
        check("a___b--c", Some("a_b--c"));
        check("--x--", Some("x"));
        check(&format!("{}-é-y", "x".repeat(62)), Some(&"x".repeat(62)));
        check("日本", None);
        check("..", None);
    }
}
