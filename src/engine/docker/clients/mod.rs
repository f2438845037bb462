//! Whether anybody is connected to a container, by what the kernel knows of its network namespace.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, time::Duration};

use bollard::models::ContainerInspectResponse;
use tokio::time::sleep;

use self::{diagnosis::Diagnosis, tables::Tables};
use super::{Docker, container};
use crate::name::ContainerName;

#[cfg_attr(not(target_os = "linux"), path = "diagnosis_elsewhere.rs")]
mod diagnosis;
mod tables;

/// For so long nobody may have been connected: a client that has looked the name up just before it
/// moved connects within this time.
const QUIET: Duration = Duration::from_millis(100);
/// The first pause while clients are connected; each one is twice the pause before it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Ends when no client waits for anything of a container any longer; never where that cannot be known,
/// as on another machine than the engine's, or without permission.
///
/// A connection that has been idle for at least `idle` is no client: the next request may come on it in a
/// moment or never, and waiting longer does not make either more likely.
pub(super) async fn gone(docker: &Docker, name: &ContainerName, idle: Duration) {
    if watch(docker, name, idle).await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// `None`: it cannot be known.
async fn watch(docker: &Docker, name: &ContainerName, idle: Duration) -> Option<()> {
    if !docker.place.is_local() {
        return None;
    }
    let found = container::inspect(docker, "looking at container", name);
    let Some(found) = found.await.ok()? else {
        return Some(());
    };
    let pid = found.state.as_ref()?.pid?;
    let process = Path::new("/proc").join(pid.to_string());
    // A local socket may lead to an engine in a virtual machine, whose processes are others.
    let owner = fs::read_to_string(process.join("cgroup")).ok()?;
    if !owner.contains(found.id.as_deref()?) {
        return None;
    }
    let view = View {
        tables: Tables::of(&process),
        // Only root may ask how long a connection has been idle.
        diagnosis: Diagnosis::of(&process).ok(),
        addresses: addresses(&found),
        idle,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        if view.has_clients()? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            sleep(QUIET).await;
            if !view.has_clients()? {
                return Some(());
            }
        }
    }
}

/// The addresses that a container has. A connection to one that it had before is cut: its client is
/// gone.
fn addresses(found: &ContainerInspectResponse) -> BTreeSet<IpAddr> {
    let settings = found.network_settings.as_ref();
    let endpoints = settings.and_then(|it| it.networks.as_ref());
    let texts = endpoints
        .into_iter()
        .flat_map(|it| it.values())
        .flat_map(|it| {
            let both = [it.ip_address.as_deref(), it.global_ipv6_address.as_deref()];
            both.into_iter().flatten()
        });
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// What is looked at to find the clients of a container.
struct View {
    tables: Tables,
    diagnosis: Option<Diagnosis>,
    addresses: BTreeSet<IpAddr>,
    idle: Duration,
}

impl View {
    /// Whether anybody may be connected. `None`: it cannot be known.
    fn has_clients(&self) -> Option<bool> {
        // Datagrams come without a connection. The engine's name server has a socket, too.
        if self.tables.udp()?.iter().any(|it| !it.is_loopback()) {
            return Some(true);
        }
        let diagnosed = self.diagnosis.as_ref().and_then(|it| it.tcp().ok());
        let tcp = match diagnosed {
            Some(tcp) => tcp,
            None => self.tables.tcp()?,
        };
        Some(is_connected(&tcp, &self.addresses, self.idle))
    }
}

/// The near end of a TCP socket.
struct Socket {
    address: IpAddr,
    port: u16,
    state: State,
    /// For how long nothing was sent on it and nothing is to be answered, where that is so and known.
    idle: Option<Duration>,
}

/// What matters of the state of a socket.
#[derive(PartialEq, Eq)]
enum State {
    Listening,
    /// A request may be open.
    Connected,
    Other,
}

impl State {
    /// By its number in the kernel.
    fn of(number: u8) -> Self {
        match number {
            // Established; in the handshake; closed by the server only; closed by the client only.
            1 | 3 | 4 | 8 => Self::Connected,
            10 => Self::Listening,
            _ => Self::Other,
        }
    }
}

/// Whether somebody has a connection to a port on which something listens.
fn is_connected(sockets: &[Socket], addresses: &BTreeSet<IpAddr>, idle: Duration) -> bool {
    let listening = sockets.iter().filter(|it| it.state == State::Listening);
    let ports: BTreeSet<u16> = listening.map(|it| it.port).collect();
    sockets.iter().any(|it| {
        let accepted = it.state == State::Connected && ports.contains(&it.port);
        let is_idle = it.idle.is_some_and(|it| it >= idle);
        accepted && addresses.contains(&it.address) && !is_idle
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(250);

    fn socket(address: &str, port: u16, state: u8) -> Socket {
        Socket {
            address: address.parse().unwrap(),
            port,
            state: State::of(state),
            idle: None,
        }
    }

    /// Whether sockets beside one that listens on port 8080 are of a namespace with clients.
    fn check(sockets: impl IntoIterator<Item = Socket>, expected: bool) {
        let mut all = vec![socket("0.0.0.0", 8080, 10)];
        all.extend(sockets);
        let addresses = BTreeSet::from(["172.18.0.3".parse().unwrap()]);
        assert_eq!(is_connected(&all, &addresses, IDLE), expected);
    }

    #[test]
    fn connections_to_a_listening_port_are_clients() {
        check([], false);
        check([socket("172.18.0.3", 8080, 1)], true);
        // Its own connection to something else.
        check([socket("172.18.0.3", 50_000, 1)], false);
        // One that has ended.
        check([socket("172.18.0.3", 8080, 6)], false);
    }

    #[test]
    fn connections_within_a_container_or_to_a_former_address_are_no_clients() {
        check([socket("127.0.0.1", 8080, 1)], false);
        check([socket("172.19.0.3", 8080, 1)], false);
    }

    #[test]
    fn connections_that_are_idle_long_enough_are_no_clients() {
        let idle_for = |millis| Socket {
            idle: Some(Duration::from_millis(millis)),
            ..socket("172.18.0.3", 8080, 1)
        };
        check([idle_for(250)], false);
        check([idle_for(249)], true);
        check([idle_for(250), socket("172.18.0.3", 8080, 1)], true);
    }
}
