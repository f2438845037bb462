//! The docker configuration, which selects the engine.
//!
//! Reads `config.json` and the stored contexts of a given folder. Reads no environment variables
//! and opens no connection.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The relevant parts of `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Configuration {
    /// The context that is used when none is named explicitly.
    pub(super) current_context: Option<String>,
    /// Credentials in the file itself, by registry.
    pub(super) auths: BTreeMap<String, StoredAuth>,
    /// The credential helper for every registry.
    pub(super) creds_store: Option<String>,
    /// Credential helpers by registry.
    pub(super) cred_helpers: BTreeMap<String, String>,
}

/// Stored credentials of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "lowercase")]
pub(super) struct StoredAuth {
    /// Base64 of `user:password`.
    pub(super) auth: Option<String>,
    /// A token instead of a password.
    pub(super) identitytoken: Option<String>,
    /// The user name in plain text, as some tools write it.
    pub(super) username: Option<String>,
    /// The password in plain text, as some tools write it.
    pub(super) password: Option<String>,
}

/// The engine endpoint of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    /// `unix://…`, `tcp://…`, `ssh://…`.
    pub(super) host: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, when there is one.
    pub(super) tls: Option<PathBuf>,
    /// Whether the check of the server's certificate is disabled.
    pub(super) skip_verify: bool,
}

impl Configuration {
    /// Reads `config.json` of a folder. A folder without the file yields an empty configuration.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join("config.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("`{}` cannot be read: {error}", path.display())),
        };
        serde_json::from_slice(&text)
            .map_err(|error| format!("`{}` cannot be understood: {error}", path.display()))
    }
}

impl Context {
    /// Reads a stored context by name.
    pub(super) fn read(folder: &Path, name: &str) -> Result<Self, String> {
        let id = folder_of(name);
        let path = folder.join("contexts/meta").join(&id).join("meta.json");
        let text = fs::read(&path).map_err(|error| {
            format!(
                "the docker context `{name}` cannot be read from `{}`: {error}",
                path.display()
            )
        })?;
        let meta: Meta = serde_json::from_slice(&text)
            .map_err(|error| format!("`{}` cannot be understood: {error}", path.display()))?;
        let endpoint = meta
            .endpoints
            .docker
            .ok_or_else(|| format!("the docker context `{name}` names no engine"))?;
        let tls = folder.join("contexts/tls").join(&id).join("docker");
        Ok(Self {
            host: endpoint.host,
            tls: tls.is_dir().then_some(tls),
            skip_verify: endpoint.skip_verify,
        })
    }
}

/// The folder of a context: the SHA-256 of its name.
fn folder_of(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    hash.iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_verify: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_configuration_file_reads_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            Configuration::read(folder.path()),
            Ok(Configuration::default())
        );
    }

    #[test]
    fn context_is_found_by_digest_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let id = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
        let meta = folder.path().join("contexts/meta").join(id);
        fs::create_dir_all(&meta).unwrap();
        fs::write(
            meta.join("meta.json"),
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://me@far","SkipTLSVerify":false}}}"#,
        )
        .unwrap();
        let context = Context::read(folder.path(), "far").unwrap();
        assert_eq!(context.host, "ssh://me@far");
        assert_eq!(context.tls, None);
        let missing = Context::read(folder.path(), "near").unwrap_err();
        assert!(missing.contains("`near`"), "{missing}");
    }
}
