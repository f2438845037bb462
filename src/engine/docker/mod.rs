//! Docker Engine backend, over the engine's HTTP API.
//!
//! Types of the client library stay inside this module; the public interface uses the crate's own
//! types. This module makes no decisions: it observes, performs, probes and reports.

mod address;
mod binds;
pub mod build;
mod clients;
mod connect;
mod container;
mod container_status;
mod context;
mod create;
mod credentials;
mod cutover;
mod database;
mod error;
mod exec;
mod explain;
mod fault_injection;
mod image;
mod logs;
mod network;
mod observe;
mod perform;
mod ping;
mod port_owner;
mod probe;
mod pull;
mod runtime_config;
mod snapshot;
mod state_store;
mod subnet;
mod update;
mod users;
mod verify;
mod volume;
mod watch;

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex, time::Duration};

use futures::stream::BoxStream;
use tokio::sync::{OnceCell, mpsc::UnboundedSender};

use self::{connect::EngineEndpoint, error::Operation, ping::ServerInfo};
pub use self::{
    connect::Settings,
    fault_injection::{Crash, Unreadable},
};
use super::{
    ContainerEvent, Engine, EngineError, Inspection, LogLine, LogOptions, ProbeResult, Query,
};
use crate::{
    event::Progress,
    name::{ContainerName, ProjectName},
    plan::Action,
    project::{Check, Probe},
    state::{EngineInfo, State},
};

/// A connected Docker Engine, created by [`Docker::connect`].
#[derive(Debug)]
pub struct Docker {
    client: bollard::Docker,
    place: EngineEndpoint,
    /// The docker configuration, for credentials.
    configuration: Option<PathBuf>,
    /// The socket of the ssh agent, for builds that request it.
    ssh_agent: Option<PathBuf>,
    /// Server information from the ping in [`Docker::connect`].
    greeting: ServerInfo,
    /// Engine information, completed on first use because the processor may need another request.
    info: OnceCell<EngineInfo>,
    /// Exec ids of probe commands that exceeded their timeout, by container and command. A command
    /// is not started again before its last run has ended, so that runs do not pile up.
    unfinished: Mutex<BTreeMap<(String, Vec<String>), String>>,
    /// Held while a free address range is chosen and a network is created in it.
    ranges: tokio::sync::Mutex<()>,
    /// Held while an image is removed: Engine 20.10 fails with `unrecognized image ID` when two
    /// names of one image are removed at the same time.
    removing_image: tokio::sync::Mutex<()>,
}

impl Docker {
    fn new(
        client: bollard::Docker,
        place: EngineEndpoint,
        greeting: ServerInfo,
        settings: &Settings,
    ) -> Self {
        Self {
            client,
            place,
            configuration: settings.configuration_folder(),
            ssh_agent: settings.ssh_agent.clone(),
            greeting,
            info: OnceCell::new(),
            unfinished: Mutex::new(BTreeMap::new()),
            ranges: tokio::sync::Mutex::new(()),
            removing_image: tokio::sync::Mutex::new(()),
        }
    }

    /// Describes an operation, for its error messages.
    fn doing<'a>(&'a self, verb: &'a str, object: &'a str) -> Operation<'a> {
        Operation {
            place: &self.place,
            verb,
            object,
        }
    }

    /// Returns the engine's version, API version, platform and address.
    ///
    /// # Errors
    /// [`EngineError`] when the engine does not answer.
    pub async fn info(&self) -> Result<&EngineInfo, EngineError> {
        self.info
            .get_or_try_init(|| async {
                Ok(EngineInfo {
                    version: self.greeting.version.clone(),
                    api: self.greeting.api.clone(),
                    os: self.greeting.os.clone(),
                    arch: self.arch().await?,
                    address: self.place.address.clone(),
                })
            })
            .await
    }

    /// Returns the engine's processor architecture. A local engine is assumed to run on the
    /// architecture that this program was built for.
    async fn arch(&self) -> Result<String, EngineError> {
        if self.place.is_local() && cfg!(target_arch = "x86_64") {
            return Ok("amd64".to_owned());
        }
        if self.place.is_local() && cfg!(target_arch = "aarch64") {
            return Ok("arm64".to_owned());
        }
        let version = self.client.version().await.map_err(|wire| {
            let doing = self.doing("asking for the processor of", "the engine");
            doing.failed(wire)
        })?;
        Ok(version.arch.unwrap_or_default())
    }

    /// Returns the newest API version that the engine supports. Requests name no version, so the
    /// engine reads them as requests of this version.
    fn api(&self) -> Api {
        Api::parse(&self.greeting.api)
    }
}

/// A version of the engine's API. The oldest supported version is 1.41 (Engine 20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Api(u32, u32);

impl Api {
    /// The engine can create the missing source of a bind mount.
    const MAKES_BIND_SOURCES: Self = Self(1, 42);
    /// Annotations for the runtime.
    const ANNOTATIONS: Self = Self(1, 43);
    /// Several networks at create, a start interval of health checks, a fixed MAC address.
    const SEVERAL_NETWORKS: Self = Self(1, 44);
    /// A folder of a volume can be mounted.
    const SUBPATH: Self = Self(1, 45);
    /// The network of the default route can be selected.
    const GATEWAY_PRIORITY: Self = Self(1, 48);

    /// Parses `MAJOR.MINOR`. A part that is missing or unreadable counts as 0.
    fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        Self(parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

impl Engine for Docker {
    async fn observe(&self, query: &Query) -> Result<State, EngineError> {
        Box::pin(observe::observe(self, query)).await
    }

    async fn perform(
        &self,
        action: &Action,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), EngineError> {
        perform::perform(self, action, progress).await
    }

    async fn probe(
        &self,
        container: &ContainerName,
        probe: &Probe,
        patience: Duration,
    ) -> ProbeResult {
        probe::probe(self, container, probe, patience).await
    }

    async fn check(
        &self,
        container: Option<&ContainerName>,
        check: &Check,
        patience: Duration,
    ) -> ProbeResult {
        verify::check(self, container, check, patience).await
    }

    async fn inspect(
        &self,
        container: &ContainerName,
        lines: usize,
    ) -> Result<Inspection, EngineError> {
        logs::examine(self, container, lines).await
    }

    async fn clients_gone(&self, container: &ContainerName, idle: Option<Duration>) {
        clients::gone(self, container, idle).await;
    }

    async fn watch(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
        watch::watch(self, project).await
    }

    async fn logs(
        &self,
        container: &ContainerName,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        logs::logs(self, container, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(Api::parse("1.9") < Api::parse("1.41"));
        assert!(Api::parse("1.51") > Api::GATEWAY_PRIORITY);
        assert!(Api::parse("") < Api::parse("1.41"));
    }
}
