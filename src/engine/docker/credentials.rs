//! Credentials of a registry, from the docker configuration or a credential helper.
//!
//! Credentials are sent only to the engine, with a pull or a build.

use std::{io, path::Path, process::Stdio};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bollard::{BollardRequest, auth::DockerCredentials};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    Docker,
    build::Login,
    context::{Configuration, StoredAuth},
};
use crate::{engine::EngineError, secret::Secret};

/// The key of Docker Hub's credentials in the configuration, unchanged since its first version.
const HUB: &str = "https://index.docker.io/v1/";

/// The registry host of Docker Hub's images.
const HUB_REGISTRY: &str = "registry-1.docker.io";

/// The request header with the credentials.
const HEADER: &str = "X-Registry-Auth";

/// Returns the credentials for an image's registry. `None`: there are none, and the registry may
/// not need any.
pub(super) async fn of(
    docker: &Docker,
    reference: &str,
) -> Result<Option<DockerCredentials>, EngineError> {
    let Some(folder) = docker.configuration.as_deref() else {
        return Ok(None);
    };
    find(folder, registry(reference)).await.map_err(|cause| {
        let doing = docker.doing("finding credentials for", reference);
        doing.broke(cause)
    })
}

/// Returns the login for a registry host that the builder fetches from.
///
/// Errors are not reported here: without a login, the registry refuses or serves anonymous clients.
pub(super) async fn login(folder: Option<&Path>, host: &str) -> Option<Login> {
    let registry = if host == HUB_REGISTRY { HUB } else { host };
    let found = find(folder?, registry).await.ok()??;
    Some(match found.identitytoken {
        Some(token) => Login {
            username: String::new(),
            password: Secret::new(token),
        },
        None => Login {
            username: found.username?,
            password: Secret::new(found.password?),
        },
    })
}

async fn find(folder: &Path, registry: &str) -> Result<Option<DockerCredentials>, String> {
    let configuration = Configuration::read(folder)?;
    let helper = configuration
        .cred_helpers
        .get(registry)
        .or(configuration.creds_store.as_ref());
    if let Some(helper) = helper
        && let Some(credentials) = ask(helper, registry).await?
    {
        return Ok(Some(credentials));
    }
    let stored = configuration.auths.iter().find_map(|(key, stored)| {
        (key == registry || host(key) == host(registry)).then_some(stored)
    });
    Ok(stored.and_then(|stored| from_file(stored, registry)))
}

/// The key of an image's registry in the configuration.
fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            if matches!(first, "docker.io" | "index.docker.io") {
                HUB
            } else {
                first
            }
        }
        _ => HUB,
    }
}

/// Returns the host of a key. Keys are written with and without a scheme and a path.
fn host(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or(key)
}

fn from_file(stored: &StoredAuth, registry: &str) -> Option<DockerCredentials> {
    let decoded = stored
        .auth
        .as_ref()
        .and_then(|auth| STANDARD.decode(auth).ok())
        .and_then(|pair| String::from_utf8(pair).ok());
    let pair = decoded
        .as_ref()
        .and_then(|pair| pair.trim_end_matches('\0').split_once(':'))
        .map(|(user, password)| (user.to_owned(), password.to_owned()))
        .or_else(|| Some((stored.username.clone()?, stored.password.clone()?)));
    if pair.is_none() && stored.identitytoken.is_none() {
        // `docker login` with a helper leaves an empty entry behind.
        return None;
    }
    let (username, password) = pair.unzip();
    Some(DockerCredentials {
        username,
        password,
        identitytoken: stored.identitytoken.clone(),
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    username: String,
    secret: String,
}

/// Runs a credential helper. `None`: the helper has no credentials for this registry.
async fn ask(helper: &str, registry: &str) -> Result<Option<DockerCredentials>, String> {
    let program = format!("docker-credential-{helper}");
    let run = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(registry.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output: Result<_, io::Error> = run.await;
    let output = output.map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("`{program}` failed: {}", said.trim()));
    }
    let given: Given = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`{program}` cannot be understood: {error}"))?;
    let server = Some(registry.to_owned());
    // A helper marks a token with this user name.
    Ok(Some(if given.username == "<token>" {
        DockerCredentials {
            identitytoken: Some(given.secret),
            serveraddress: server,
            ..DockerCredentials::default()
        }
    } else {
        DockerCredentials {
            username: Some(given.username),
            password: Some(given.secret),
            serveraddress: server,
            ..DockerCredentials::default()
        }
    }))
}

/// Encodes the credentials of a request in URL-safe base64, which the engine expects. The client
/// library uses standard base64, and the engine may then read a password with a `?` as no
/// credentials at all.
pub(super) fn url_safe(mut request: BollardRequest) -> BollardRequest {
    let header = request.headers().get(HEADER);
    let rewritten = header
        .and_then(|value| STANDARD.decode(value.as_bytes()).ok())
        .and_then(|json| URL_SAFE.encode(json).parse().ok());
    if let Some(value) = rewritten {
        request.headers_mut().insert(HEADER, value);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_is_parsed_from_image_reference() {
        assert_eq!(registry("debian:trixie"), HUB);
        assert_eq!(registry("library/debian"), HUB);
        assert_eq!(registry("docker.io/library/debian"), HUB);
        assert_eq!(registry("ghcr.io/a/b@sha256:0"), "ghcr.io");
        assert_eq!(registry("localhost/b"), "localhost");
        assert_eq!(registry("far:5000/b"), "far:5000");
    }

    #[test]
    fn stored_auth_entry_is_decoded() {
        let stored = StoredAuth {
            auth: Some(STANDARD.encode("me:pass:word")),
            ..StoredAuth::default()
        };
        let credentials = from_file(&stored, "ghcr.io").unwrap();
        assert_eq!(credentials.username.as_deref(), Some("me"));
        assert_eq!(credentials.password.as_deref(), Some("pass:word"));
        assert_eq!(from_file(&StoredAuth::default(), "ghcr.io"), None);
    }

    #[tokio::test]
    async fn missing_credential_helper_is_named_in_error() {
        let error = ask("of-nobody", "ghcr.io").await.unwrap_err();
        assert!(error.contains("docker-credential-of-nobody"), "{error}");
    }
}
