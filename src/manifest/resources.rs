//! Resources that a project declares besides its services: networks, volumes, secrets and configs.

use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive, path::PathBuf};

use super::{
    Template,
    context::LowerContext,
    map::pairs,
    node::{Node, Scalar},
    reader::{Reader, unknown_node},
    scalar::{Read, invalid, parsed, placed},
    subnet::Range,
};
use crate::{
    diagnostic::SchemaError,
    name::{ConfigName, EngineVolumeName, NetworkName, SecretName, VolumeName},
    span::{Span, Spanned},
};

/// A declared network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Name in the manifest.
    pub name: Spanned<NetworkName>,
    /// Name on the engine, if given (`name=`).
    pub engine_name: Option<Spanned<String>>,
    /// Whether the network already exists and is never created or removed by this tool.
    pub external: bool,
    /// Driver of the engine.
    pub driver: Option<Spanned<String>>,
    /// Whether the network has no access to other networks and no published ports.
    pub internal: Option<bool>,
    /// Whether containers outside of the project may be attached.
    pub attachable: Option<bool>,
    /// Whether IPv6 addresses are assigned, too.
    pub ipv6: Option<bool>,
    /// Whether services are found by their names, besides their aliases (`service-names=`).
    pub service_names: Option<bool>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Address pools of the network.
    pub subnets: Vec<Subnet>,
    /// Labels set by the user.
    pub labels: BTreeMap<String, String>,
}

/// An address pool of a network; its addresses are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Span of the declaration.
    pub span: Span,
    /// Address range in CIDR notation.
    pub subnet: String,
    /// Part of the range from which addresses are assigned, in CIDR notation.
    pub range: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
}

/// A declared volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Name in the manifest.
    pub name: Spanned<VolumeName>,
    /// Name on the engine, if given (`name=`).
    pub engine_name: Option<Spanned<String>>,
    /// Whether the volume already exists and is never created or removed by this tool.
    pub external: bool,
    /// Driver of the engine.
    pub driver: Option<Spanned<String>>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels set by the user.
    pub labels: BTreeMap<String, String>,
    /// Whether the volume is copied before an update and restored by a rollback
    /// (`snapshot="before-update"`).
    pub snapshot: bool,
    /// Whether several containers may write to the volume at the same time (`shared=#true`).
    pub shared: bool,
}

/// A declared secret.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Name in the manifest.
    pub name: Spanned<SecretName>,
    /// Source of the value.
    pub source: Spanned<SecretSource>,
}

/// Source of a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; the path is absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// A random value that is generated at the first deploy and kept.
    Generate(Generation),
}

/// Format of a generated secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Random bytes, as hexadecimal digits.
    Hex {
        /// Number of random bytes, 8 to 4096; the text has twice as many characters.
        bytes: Option<u32>,
    },
    /// Random characters of `A-Z`, `a-z`, `0-9`.
    Alphanumeric {
        /// Number of characters, 8 to 4096.
        length: Option<u32>,
    },
    /// Random bytes, in URL-safe base64 without padding.
    Base64Url {
        /// Number of random bytes, 8 to 4096.
        bytes: Option<u32>,
    },
}

/// A declared config.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name in the manifest.
    pub name: Spanned<ConfigName>,
    /// Source of the content.
    pub source: Spanned<ConfigSource>,
}

/// Source of a config's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file; the path is absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// Text in the manifest; may contain secrets.
    Content(Template),
}

/// Reads a declared `network`.
pub(super) fn network(node: &Node, scope: &LowerContext<'_>) -> Option<Network> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let external = reader.flag("external");
    let engine_name = reader.raw("name").and_then(|scalar| {
        let name = engine_name(scalar, scope)?;
        if !external && PREDEFINED.contains(&name.as_str()) {
            let help = "the engine has a network of this name itself";
            return invalid(scalar, scope, "a name for a network", Some(help));
        }
        Some(name)
    });
    let mut network = Network {
        name: name?,
        engine_name,
        external,
        driver: reader.placed("driver"),
        internal: reader.property("internal"),
        attachable: reader.property("attachable"),
        service_names: reader.property("service-names"),
        ipv6: reader.property("ipv6"),
        options: BTreeMap::new(),
        subnets: Vec::new(),
        labels: BTreeMap::new(),
    };
    if let Some(subnet) = reader.raw("subnet").and_then(|scalar| range(scalar, scope)) {
        network.subnets.push(Subnet {
            span: node.head(),
            subnet: subnet.to_string(),
            range: None,
            gateway: None,
        });
    }
    for child in reader.children() {
        match child.name.value.as_str() {
            "label" => network.labels.extend(pairs(child, scope)),
            "option" => network.options.extend(pairs(child, scope)),
            "subnet" => network.subnets.extend(subnet(child, scope)),
            _ => unknown_node(child, "a network", &["label", "option", "subnet"], scope),
        }
    }
    reader.end();
    Some(network)
}

/// Names of the networks that every engine has.
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];

/// Reads a name on the engine: any text that is not blank.
fn engine_name(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Spanned<String>> {
    let name = placed::<String>(scalar, scope)?;
    if name.trim().is_empty() {
        return invalid(scalar, scope, "a name", None);
    }
    Some(name)
}

fn subnet(node: &Node, scope: &LowerContext<'_>) -> Option<Subnet> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a range of addresses");
    let (part, gateway) = (reader.raw("range"), reader.raw("gateway"));
    reader.end();
    let subnet = range(written?, scope)?;
    let range = part.and_then(|scalar| {
        let found = range(scalar, scope)?;
        let inside = format!("a part of `{subnet}`");
        let checked = Some(found).filter(|found| subnet.covers(*found));
        checked.or_else(|| invalid(scalar, scope, &inside, None))
    });
    let gateway = gateway.and_then(|scalar| {
        let found = parsed::<IpAddr>(scalar, scope, "an IP address", None)?;
        let inside = format!("a host address in `{subnet}`");
        let usable = subnet.contains(found) && !subnet.is_reserved(found);
        let checked = Some(found).filter(|_| usable);
        checked.or_else(|| invalid(scalar, scope, &inside, None))
    });
    Some(Subnet {
        span: node.head(),
        subnet: subnet.to_string(),
        range: range.map(|range| range.to_string()),
        gateway: gateway.map(|address| address.to_string()),
    })
}

/// Reads a range, given as its first address and its prefix length.
fn range(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<Range> {
    let text = String::read(scalar, scope)?;
    let Ok(range) = text.parse::<Range>() else {
        let help = "such as `10.20.0.0/16`";
        return invalid(scalar, scope, "a range of addresses", Some(help));
    };
    let first = text.split('/').next().and_then(|first| first.parse().ok());
    if first == Some(range.first()) {
        return Some(range);
    }
    let help = format!("did you mean `{range}`?");
    invalid(scalar, scope, "the first address of a range", Some(&help))
}

/// Reads a declared `volume`.
pub(super) fn volume(node: &Node, scope: &LowerContext<'_>) -> Option<Volume> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let external = reader.flag("external");
    let driver: Option<Spanned<String>> = reader.placed("driver");
    // Other drivers have their own rules for names, and check them.
    let usual = !external && driver.as_ref().is_none_or(|driver| driver.value == "local");
    let engine_name = reader.raw("name").and_then(|scalar| {
        if usual {
            let name = placed::<EngineVolumeName>(scalar, scope)?;
            return Some(name.map(String::from));
        }
        engine_name(scalar, scope)
    });
    let mut volume = Volume {
        name: name?,
        engine_name,
        external,
        driver,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        snapshot: reader
            .word("snapshot", &[("before-update", true), ("never", false)])
            .unwrap_or(false),
        shared: reader.flag("shared"),
    };
    for child in reader.children() {
        match child.name.value.as_str() {
            "label" => volume.labels.extend(pairs(child, scope)),
            "option" => volume.options.extend(pairs(child, scope)),
            _ => unknown_node(child, "a volume", &["label", "option"], scope),
        }
    }
    reader.end();
    if volume.shared && volume.snapshot {
        shared_snapshot(node, scope);
    }
    Some(volume)
}

/// Reports a volume that is both shared and copied by snapshots: it is copied while no container
/// writes to it, so two generations cannot write to it at the same time.
fn shared_snapshot(node: &Node, scope: &LowerContext<'_>) {
    let place = |wanted: &str| {
        let mut properties = node.properties.iter();
        properties.find(|(name, _)| name.value == wanted)
    };
    if let (Some((one, first)), Some((other, second))) = (place("snapshot"), place("shared")) {
        scope.mistake(SchemaError::Conflict {
            one: format!("`{}=`", one.value),
            other: format!("`{}=`", other.value),
            at: second.span,
            first: first.span,
            help: Some("a volume is copied while no container writes to it".to_owned()),
        });
    }
}

/// Reads a declared `secret`.
pub(super) fn secret(node: &Node, scope: &LowerContext<'_>) -> Option<Secret> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let file = reader
        .placed("file")
        .map(|path: Spanned<PathBuf>| path.map(SecretSource::File));
    let env = reader
        .placed("env")
        .map(|name: Spanned<String>| name.map(SecretSource::Env));
    let generate = generation(&mut reader).map(|found| found.map(SecretSource::Generate));
    let source = single(
        node,
        &["file", "env", "generate"],
        [file, env, generate],
        &reader,
    );
    reader.end();
    Some(Secret {
        name: name?,
        source: source?,
    })
}

#[derive(Clone, Copy)]
enum Alphabet {
    Hex,
    Alphanumeric,
    Base64Url,
}

fn generation(reader: &mut Reader<'_>) -> Option<Spanned<Generation>> {
    const ALPHABETS: &[(&str, Alphabet)] = &[
        ("hex", Alphabet::Hex),
        ("alphanumeric", Alphabet::Alphanumeric),
        ("base64url", Alphabet::Base64Url),
    ];
    // Fewer than 8 are too easy to guess; 4096 are more than any program accepts.
    const SIZES: RangeInclusive<i128> = 8..=4096;
    let span = reader.raw("generate")?.span;
    let alphabet = reader.word("generate", ALPHABETS)?;
    // Only one of the two is requested, so that the other is reported as unknown.
    let generation = match alphabet {
        Alphabet::Hex => Generation::Hex {
            bytes: reader.number("bytes", SIZES),
        },
        Alphabet::Alphanumeric => Generation::Alphanumeric {
            length: reader.number("length", SIZES),
        },
        Alphabet::Base64Url => Generation::Base64Url {
            bytes: reader.number("bytes", SIZES),
        },
    };
    Some(Spanned::new(generation, span))
}

/// Returns the one required source out of several possible ones.
fn single<T>(
    node: &Node,
    names: &[&str],
    sources: [Option<Spanned<T>>; 3],
    reader: &Reader<'_>,
) -> Option<Spanned<T>> {
    let given: Vec<_> = node
        .properties
        .iter()
        .filter(|(name, _)| names.contains(&name.value.as_str()))
        .collect();
    match given.as_slice() {
        [] => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}=`")).collect();
            reader.missing("a source", Some(&format!("one of {}", names.join(", "))));
            None
        }
        [_] => sources.into_iter().flatten().next(),
        [(one, first), (other, second), ..] => {
            reader.scope.mistake(SchemaError::Conflict {
                one: format!("`{}=`", one.value),
                other: format!("`{}=`", other.value),
                at: second.span,
                first: first.span,
                help: Some("it comes from one place".to_owned()),
            });
            None
        }
    }
}

/// Reads a declared `config`.
pub(super) fn config(node: &Node, scope: &LowerContext<'_>) -> Option<Config> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument("a name");
    let file = reader
        .placed("file")
        .map(|path: Spanned<PathBuf>| path.map(ConfigSource::File));
    let env = reader
        .placed("env")
        .map(|name: Spanned<String>| name.map(ConfigSource::Env));
    let content = reader
        .placed("content")
        .map(|text: Spanned<Template>| text.map(ConfigSource::Content));
    let source = single(
        node,
        &["file", "env", "content"],
        [file, env, content],
        &reader,
    );
    reader.end();
    Some(Config {
        name: name?,
        source: source?,
    })
}
