//! Finds the engine and connects to it.
//!
//! The environment is passed in as a [`Settings`] value; this module reads no variables. One round
//! trip (`/_ping`, under 1 ms on a local socket) proves that an engine answers.

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

/// Timeout in seconds until a response begins. Generous: a longer operation reports its progress in
/// a stream.
const TIMEOUT: u64 = 120;

/// The socket of a default engine installation.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// Settings of the environment that concern the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `DOCKER_HOST`; empty counts as not set.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`; empty counts as not set.
    pub context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` is set to a nonempty value.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_CONFIG`.
    pub config_dir: Option<PathBuf>,
    /// The user's home folder, for `~/.docker`.
    pub home: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    pub ssh_agent: Option<PathBuf>,
    /// `CIMANDAT_CRASH`: the request at which this program aborts, to test recovery.
    pub crash: Option<Crash>,
}

impl Settings {
    /// Returns whether the selected engine is on this machine, judging only by its address. `false`
    /// if the settings select no valid address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        EngineEndpoint::find(self).is_ok_and(|place| place.is_local())
    }

    /// Returns the folder of the docker configuration.
    pub(super) fn configuration_folder(&self) -> Option<PathBuf> {
        match &self.config_dir {
            Some(folder) => Some(folder.clone()),
            None => self.home.as_ref().map(|home| home.join(".docker")),
        }
    }
}

/// The address of the engine, and the reason for choosing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EngineEndpoint {
    /// `unix://…`, `tcp://…`, `ssh://…`.
    pub(super) address: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS.
    pub(super) tls: Option<PathBuf>,
    /// The reason for the address, as a sentence fragment.
    pub(super) chosen: String,
}

impl EngineEndpoint {
    /// Selects the address in the order of the docker command: `DOCKER_HOST`, the named context,
    /// the current context of the configuration, the default socket.
    pub(super) fn find(settings: &Settings) -> Result<Self, EngineError> {
        let said = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(address) = said(&settings.host) {
            let tls = settings.tls_verify && !address.starts_with("unix://");
            return Ok(Self {
                tls: tls.then(|| settings.cert_folder()),
                address: normal(address),
                chosen: "set by `DOCKER_HOST`".to_owned(),
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

    /// Returns whether the engine's processes may run on this machine. Only a local socket implies
    /// that.
    pub(super) fn is_local(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// Returns the host part of the address, on which published ports are reachable.
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

    /// Returns the error for an engine that does not answer.
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
                    // Another part of the process may have installed a provider already, which then
                    // stays.
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

/// Turns a bare path into the address of a socket.
fn normal(address: String) -> String {
    if address.starts_with('/') {
        format!("unix://{address}")
    } else {
        address
    }
}

fn misconfigured(by: &str, cause: String) -> EngineError {
    EngineError::Unreachable {
        address: "the configured address".to_owned(),
        cause,
        help: format!("correct what {by} says, or point `DOCKER_HOST` at the engine to use"),
    }
}

impl Docker {
    /// Finds the engine and pings it.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when no engine answers, with the address that was tried and the
    /// reason; [`EngineError::PermissionDenied`] when the socket exists but this user may not use
    /// it.
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
    fn docker_host_takes_precedence_over_context() {
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
    fn configuration_file_selects_context() {
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
    fn empty_settings_select_default_socket() {
        let place = EngineEndpoint::find(&Settings::default()).unwrap();
        assert_eq!(place.address, DEFAULT_SOCKET);
        assert!(place.is_local());
    }

    #[test]
    fn published_ports_use_host_of_engine_address() {
        assert_eq!(place("unix:///run/docker.sock").host(), "127.0.0.1");
        assert_eq!(place("tcp://far:2375").host(), "far");
        assert_eq!(place("tcp://[fd00::1]:2375").host(), "fd00::1");
        assert_eq!(place("ssh://me@far:22/run/docker.sock").host(), "far");
    }

    #[tokio::test]
    async fn missing_engine_error_names_its_address() {
        let settings = Settings {
            host: Some("unix:///nowhere/docker.sock".into()),
            ..Settings::default()
        };
        let Err(error) = Docker::connect(&settings).await else {
            panic!("an engine at a path that does not exist");
        };
        assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("unix:///nowhere/docker.sock"));
        assert!(error.help().unwrap().contains("set by `DOCKER_HOST`"));
    }
}
