//! Finds the engine and opens the way to it.
//!
//! What the environment says comes in as a [`Settings`] value; nothing here reads a variable. One
//! round trip (`/_ping`, under 1 ms on a local socket) proves that somebody answers.

use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, errors::Error as Wire};

use super::{
    Docker,
    context::{Configuration, Context},
    error,
    fault_injection::Crash,
    ping,
};
use crate::engine::EngineError;

/// Seconds until an answer begins. Generous: what takes longer than this says so by a stream.
const TIMEOUT: u64 = 120;

/// The socket of an engine that was installed as usual.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// What the environment says about the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `DOCKER_HOST`; empty counts as not set.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`; empty counts as not set.
    pub context: Option<String>,
    /// `DOCKER_TLS_VERIFY` is set to something.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_CONFIG`.
    pub config_dir: Option<PathBuf>,
    /// The user's home, for `~/.docker`.
    pub home: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    pub ssh_agent: Option<PathBuf>,
    /// `CIMANDAT_CRASH`: where this program is to end, to try what is left then.
    pub crash: Option<Crash>,
}

impl Settings {
    /// Whether the engine that would be asked is on this machine, as far as its address tells.
    #[must_use]
    pub fn is_local(&self) -> bool {
        EngineEndpoint::find(self).is_ok_and(|place| place.is_local())
    }

    /// The folder of the docker configuration.
    pub(super) fn configuration_folder(&self) -> Option<PathBuf> {
        match &self.config_dir {
            Some(folder) => Some(folder.clone()),
            None => self.home.as_ref().map(|home| home.join(".docker")),
        }
    }
}

/// Where the engine is, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EngineEndpoint {
    /// `unix://…`, `tcp://…`, `ssh://…`.
    pub(super) address: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS.
    pub(super) tls: Option<PathBuf>,
    /// Why there, in a fragment.
    pub(super) chosen: String,
}

impl EngineEndpoint {
    /// In the order of the docker command: `DOCKER_HOST`, the named context, the current context
    /// of the configuration, the default socket.
    pub(super) fn find(settings: &Settings) -> Result<Self, EngineError> {
        let said = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(address) = said(&settings.host) {
            let tls = settings.tls_verify && !address.starts_with("unix://");
            return Ok(Self {
                tls: tls.then(|| settings.cert_folder()),
                address: normal(address),
                chosen: "`DOCKER_HOST` says so".to_owned(),
            });
        }
        let folder = settings.configuration_folder();
        let (name, by) = match (said(&settings.context), &folder) {
            (Some(name), _) => (Some(name), "`DOCKER_CONTEXT`".to_owned()),
            (None, Some(folder)) => {
                let file = format!("`{}`", folder.join("config.json").display());
                let configuration =
                    Configuration::read(folder).map_err(|cause| misconfigured(&file, cause))?;
                (said(&configuration.current_context), file)
            }
            (None, None) => (None, String::new()),
        };
        match (name, folder) {
            (Some(name), Some(folder)) if name != "default" => {
                Self::of_context(&folder, &name, &by)
            }
            _ => Ok(Self {
                address: DEFAULT_SOCKET.to_owned(),
                tls: None,
                chosen: "the default, as neither `DOCKER_HOST` nor a docker context says \
                         otherwise"
                    .to_owned(),
            }),
        }
    }

    fn of_context(folder: &Path, name: &str, by: &str) -> Result<Self, EngineError> {
        let context = Context::read(folder, name).map_err(|cause| misconfigured(by, cause))?;
        if context.skip_verify {
            return Err(misconfigured(
                by,
                format!(
                    "the docker context `{name}` switches the check of the server's certificate \
                     off"
                ),
            ));
        }
        Ok(Self {
            address: normal(context.host),
            tls: context.tls,
            chosen: format!("the docker context `{name}`, named by {by}"),
        })
    }

    /// Whether the engine's processes may be those of this machine: only a local socket says so.
    pub(super) fn is_local(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// The host part of the address: where published ports are to be found.
    pub(super) fn host(&self) -> &str {
        let Some((scheme, rest)) = self.address.split_once("://") else {
            return "127.0.0.1";
        };
        if scheme == "unix" {
            return "127.0.0.1";
        }
        let rest = rest.split('/').next().unwrap_or(rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        match rest.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or(v6),
            None => rest.rsplit_once(':').map_or(rest, |(host, _)| host),
        }
    }

    /// The error for an engine that is not there.
    pub(super) fn unreachable(&self, cause: String) -> EngineError {
        EngineError::Unreachable {
            address: self.address.clone(),
            cause,
            help: format!(
                "looked only there ({}); start the engine, or point `DOCKER_HOST` at the one to \
                 use",
                self.chosen
            ),
        }
    }

    fn open(&self, crash: Option<&Crash>) -> Result<bollard::Docker, Wire> {
        if let Some(crash) = crash {
            return crash.client(self, TIMEOUT);
        }
        let address = self.address.as_str();
        match address.split_once("://").map_or("", |(scheme, _)| scheme) {
            "unix" => bollard::Docker::connect_with_unix(address, TIMEOUT, API_DEFAULT_VERSION),
            "ssh" => bollard::Docker::connect_with_ssh(address, TIMEOUT, API_DEFAULT_VERSION, None),
            "tcp" | "http" | "https" => match &self.tls {
                None if address.starts_with("https") => Err(Wire::CertPathError {
                    path: PathBuf::from("ca.pem"),
                }),
                None => bollard::Docker::connect_with_http(address, TIMEOUT, API_DEFAULT_VERSION),
                Some(folder) => {
                    // Somebody else may have chosen already; then that choice stands.
                    let _ = rustls::crypto::ring::default_provider().install_default();
                    bollard::Docker::connect_with_ssl(
                        address,
                        &folder.join("key.pem"),
                        &folder.join("cert.pem"),
                        &folder.join("ca.pem"),
                        TIMEOUT,
                        API_DEFAULT_VERSION,
                    )
                }
            },
            _ => Err(Wire::UnsupportedURISchemeError {
                uri: address.to_owned(),
            }),
        }
    }
}

impl Settings {
    fn cert_folder(&self) -> PathBuf {
        self.cert_path
            .clone()
            .or_else(|| self.configuration_folder())
            .unwrap_or_default()
    }
}

/// A bare path is a socket.
fn normal(address: String) -> String {
    if address.starts_with('/') {
        format!("unix://{address}")
    } else {
        address
    }
}

fn misconfigured(by: &str, cause: String) -> EngineError {
    EngineError::Unreachable {
        address: "the configured place".to_owned(),
        cause,
        help: format!("correct what {by} says, or point `DOCKER_HOST` at the engine to use"),
    }
}

impl Docker {
    /// Finds the engine and asks whether it is there.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when nothing answers, with the place that was tried and why;
    /// [`EngineError::Denied`] when the socket is there, but not for this user.
    pub async fn connect(settings: &Settings) -> Result<Self, EngineError> {
        let place = EngineEndpoint::find(settings)?;
        let client = place
            .open(settings.crash.as_ref())
            .map_err(|wire| error::connecting(&place, &wire))?;
        let greeting = ping::greet(&place).await?;
        Ok(Self::new(client, place, greeting, settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> EngineEndpoint {
        EngineEndpoint {
            address: address.to_owned(),
            tls: None,
            chosen: String::new(),
        }
    }

    #[test]
    fn the_host_variable_goes_before_everything() {
        let settings = Settings {
            host: Some("tcp://far:2376".into()),
            context: Some("other".into()),
            tls_verify: true,
            cert_path: Some("/certs".into()),
            ..Settings::default()
        };
        let place = EngineEndpoint::find(&settings).unwrap();
        assert_eq!(place.address, "tcp://far:2376");
        assert_eq!(place.tls, Some(PathBuf::from("/certs")));
    }

    #[test]
    fn the_configuration_names_a_context() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("config.json"),
            r#"{"currentContext":"far"}"#,
        )
        .unwrap();
        let settings = Settings {
            config_dir: Some(folder.path().to_owned()),
            ..Settings::default()
        };
        let error = EngineEndpoint::find(&settings).unwrap_err();
        assert!(
            error.to_string().contains("docker context `far`"),
            "{error}"
        );
        assert!(error.help().unwrap().contains("config.json"), "{error:?}");
    }

    #[test]
    fn nothing_said_means_the_default_socket() {
        let place = EngineEndpoint::find(&Settings::default()).unwrap();
        assert_eq!(place.address, DEFAULT_SOCKET);
        assert!(place.is_local());
    }

    #[test]
    fn published_ports_are_on_the_engines_host() {
        assert_eq!(place("unix:///run/docker.sock").host(), "127.0.0.1");
        assert_eq!(place("tcp://far:2375").host(), "far");
        assert_eq!(place("tcp://[fd00::1]:2375").host(), "fd00::1");
        assert_eq!(place("ssh://me@far:22/run/docker.sock").host(), "far");
    }

    #[tokio::test]
    async fn a_missing_engine_is_told_with_its_place() {
        let settings = Settings {
            host: Some("unix:///nowhere/docker.sock".into()),
            ..Settings::default()
        };
        let Err(error) = Docker::connect(&settings).await else {
            panic!("an engine at a path that does not exist");
        };
        assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("unix:///nowhere/docker.sock"));
        assert!(error.help().unwrap().contains("`DOCKER_HOST` says so"));
    }
}
