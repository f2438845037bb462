//! Reasons why the old and the new container of a service do not run at the same time, and changes
//! to the manifest that resolve them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{NetworkName, ServiceName};

/// Reason why two containers of a service do not run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum OverlapConflict {
    /// The manifest requests it.
    Asked,
    /// Both publish the same host port, and the new container cannot be proven without it.
    Port {
        /// Host port.
        port: u16,
        /// Dependencies that the container cannot reach over an internal network; empty if it has
        /// no internal network at all.
        unreached: Vec<ServiceName>,
    },
    /// Both have the same address in a network.
    Address {
        /// IP or MAC address.
        address: String,
    },
    /// The engine cannot assign a container its address again in a network that resolves the
    /// container by name.
    Network {
        /// Name in the manifest.
        network: NetworkName,
        /// Whether the network is external, that is, not created by `cimandat`.
        external: bool,
    },
    /// Both can write to the same files.
    Mount {
        /// The volume, the folder on the host, or the mount target of an anonymous volume.
        name: String,
        /// Name in the manifest, if the volume is declared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
    },
    /// The container uses the host's network.
    HostNetwork,
    /// The container shares namespaces or mounts with another container.
    Shares {
        /// Service of the other container, or a container outside of the project.
        with: String,
    },
    /// The name of the container is fixed.
    Name {
        /// Name in the manifest.
        name: String,
    },
    /// The host name is one of the names that the container is reached by. The engine resolves it
    /// from the start of the new container on, and not only once the container is ready.
    HostName {
        /// Host name in the manifest.
        name: String,
    },
    /// Another service, or another replica, takes over resources of the old container.
    HandsOver {
        /// Service that takes over.
        to: ServiceName,
        /// Replica of the same service; `None` for another service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replica: Option<u32>,
    },
}

impl OverlapConflict {
    /// Returns the change to the manifest that lets the new container start first, if there is one.
    #[must_use]
    pub fn improvement(&self) -> Option<String> {
        match self {
            Self::Port { unreached, .. } if unreached.is_empty() => Some(
                "attach it to an internal network, on which the new container is probed before it \
                 takes the port"
                    .to_owned(),
            ),
            Self::Port { unreached, .. } => {
                let names: Vec<String> = unreached.iter().map(|it| format!("`{it}`")).collect();
                let names = names.join(", ");
                Some(format!("share an internal network with {names}"))
            }
            Self::Network { external: true, .. } => {
                Some("write no `alias` for it on the external network".to_owned())
            }
            Self::Network { network, .. } => Some(format!(
                "`cimandat down` and `cimandat up` once, so that network `{network}` gets an \
                 address range"
            )),
            Self::Mount {
                volume: Some(name), ..
            } => Some(format!(
                "declare `volume \"{name}\" shared=#true`, but only if two containers may write to it \
                 at a time, as those of a database must not"
            )),
            Self::Address { .. } => Some("leave out the fixed address".to_owned()),
            Self::Name { .. } => Some("leave out `container-name`".to_owned()),
            Self::HostName { .. } => Some("leave out `hostname`".to_owned()),
            Self::Asked
            | Self::Mount { .. }
            | Self::HostNetwork
            | Self::Shares { .. }
            | Self::HandsOver { .. } => None,
        }
    }
}

impl fmt::Display for OverlapConflict {
    /// Formats the conflict as a sentence fragment that follows `as`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the manifest asks for it"),
            Self::Port { port, .. } => write!(f, "both publish port {port}"),
            Self::Address { address } => write!(f, "both have the address `{address}`"),
            Self::Network { network, .. } => {
                write!(
                    f,
                    "in network `{network}` the engine cannot give the old container its address again"
                )
            }
            Self::Mount { name, .. } => write!(f, "both can write to `{name}`"),
            Self::HostNetwork => f.write_str("it is in the host's network"),
            Self::Shares { with } => write!(f, "it shares a namespace or mounts with `{with}`"),
            Self::Name { name } => write!(f, "its container is always named `{name}`"),
            Self::HostName { name } => {
                write!(f, "its host name `{name}` resolves before it is ready")
            }
            Self::HandsOver { to, replica: None } => {
                write!(f, "service `{to}` takes over its port, address or volume")
            }
            Self::HandsOver {
                to,
                replica: Some(replica),
            } => write!(
                f,
                "replica `{to}-{replica}` takes over its port, address or volume"
            ),
        }
    }
}
