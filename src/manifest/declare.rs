//! What a project declares besides its services: networks, volumes, secrets and configs.

use std::{collections::BTreeMap, path::PathBuf};

use super::Template;
use crate::{
    name::{ConfigName, NetworkName, SecretName, VolumeName},
    span::{Span, Spanned},
};

/// A declared network.
#[derive(Debug, Clone)]
pub struct Network {
    /// As the manifest calls it.
    pub name: Spanned<NetworkName>,
    /// As the engine calls it, if given (`name=`).
    pub engine_name: Option<Spanned<String>>,
    /// It exists already and is never made or removed by us.
    pub external: bool,
    /// Of the engine.
    pub driver: Option<Spanned<String>>,
    /// No way out, nothing published.
    pub internal: Option<bool>,
    /// Containers outside of the project may be attached.
    pub attachable: Option<bool>,
    /// IPv6 addresses are given too.
    pub ipv6: Option<bool>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Address pools.
    pub subnets: Vec<Subnet>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
}

/// One address pool of a network; checked to be well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Where it is declared.
    pub span: Span,
    /// In CIDR form.
    pub subnet: String,
    /// The part of it that addresses are given from, in CIDR form.
    pub range: Option<String>,
    /// The address of the gateway.
    pub gateway: Option<String>,
}

/// A declared volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// As the manifest calls it.
    pub name: Spanned<VolumeName>,
    /// As the engine calls it, if given (`name=`).
    pub engine_name: Option<Spanned<String>>,
    /// It exists already and is never made or removed by us.
    pub external: bool,
    /// Of the engine.
    pub driver: Option<Spanned<String>>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Copied before a switch, put back by a rollback (`snapshot="before-switch"`).
    pub snapshot: bool,
}

/// A declared secret.
#[derive(Debug, Clone)]
pub struct Secret {
    /// As the manifest calls it.
    pub name: Spanned<SecretName>,
    /// Where its value comes from.
    pub source: Spanned<SecretSource>,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// Made at the first deploy and kept.
    Generate(Generation),
}

/// How a secret's value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// So many random bytes, as hexadecimal digits.
    Hex {
        /// Random bytes; the text is twice as long.
        bytes: Option<u32>,
    },
    /// So many random characters of `A-Z`, `a-z`, `0-9`.
    Alphanumeric {
        /// Characters.
        length: Option<u32>,
    },
    /// So many random bytes, in URL-safe base64 without padding.
    Base64Url {
        /// Random bytes.
        bytes: Option<u32>,
    },
}

/// A declared config.
#[derive(Debug, Clone)]
pub struct Config {
    /// As the manifest calls it.
    pub name: Spanned<ConfigName>,
    /// Where its content comes from.
    pub source: Spanned<ConfigSource>,
}

/// Where a config's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file, absolute.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// The manifest itself; may hold secrets.
    Content(Template),
}
