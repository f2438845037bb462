//! Why the old and the new container of a service do not run at the same time, and what would have to
//! change for that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{NetworkName, ServiceName};

/// Why two containers of a service do not run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum OverlapConflict {
    /// The manifest says so.
    Asked,
    /// Both publish the same port of the host, and the new one cannot be proven without it.
    Port {
        /// Which.
        port: u16,
        /// What it depends on and cannot reach over an internal network; empty: it has no
        /// internal network at all.
        unreached: Vec<ServiceName>,
    },
    /// Both have the same address in a network.
    Address {
        /// Which; a hardware address too.
        address: String,
    },
    /// A container cannot be given its address again in a network in which it is found by name.
    Network {
        /// By the manifest's name.
        network: NetworkName,
        /// It is not made by us.
        external: bool,
    },
    /// Both can write to the same files.
    Mount {
        /// The volume, the folder of the host, or the place of a nameless volume.
        name: String,
        /// The manifest's name of the volume, where it is a declared one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
    },
    /// It is in the network of the host.
    HostNetwork,
    /// It shares namespaces or mounts with another container.
    Shares {
        /// That one's service, or a container that is not of the project.
        with: String,
    },
    /// Its container's name is fixed.
    Name {
        /// As the manifest says.
        name: String,
    },
    /// Its host name is one of the names by which it is found: the engine resolves it from the start
    /// on, and not only when the new container is ready.
    HostName {
        /// As the manifest says.
        name: String,
    },
    /// Another service, or another replica, takes over what the old one holds.
    HandsOver {
        /// Who takes it.
        to: ServiceName,
        /// Which replica of the same service; `None`: another service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replica: Option<u32>,
    },
}

impl OverlapConflict {
    /// What has to change in the manifest so that the new container can start first.
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
    /// A fragment that follows on `as`.
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
            Self::Name { name } => write!(f, "its container is always called `{name}`"),
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
