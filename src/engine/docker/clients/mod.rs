//! Detects whether clients are connected to a container, from the kernel's data about its network
//! namespace.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, time::Duration};

use bollard::models::ContainerInspectResponse;
use tokio::time::sleep;

use self::{diagnosis::Diagnosis, tables::Tables};
use super::{Docker, container};
use crate::name::ContainerName;

#[cfg_attr(not(target_os = "linux"), path = "diagnosis_elsewhere.rs")]
mod diagnosis;
mod tables;

/// How long a container must have no clients. A client that resolved the name just before the
/// cutover connects within this time, on a machine with CPUs to spare.
const QUIET: Duration = Duration::from_millis(100);
/// The share of time, in percent, in which some process waits for a CPU, up to which `QUIET` is enough.
const CPU_PRESSURE: f64 = 25.0;
/// Where the kernel reports the CPU pressure.
const PRESSURE: &str = "/proc/pressure/cpu";
/// First pause while clients are connected. Each pause is twice the previous one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause while clients are connected.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Returns when no client is connected to a container. Never returns if that cannot be determined,
/// as on a machine other than the engine's, or without permission.
///
/// A connection that has been idle for at least `idle` does not count as a client. Its next request
/// may arrive in a moment or never, and waiting longer makes neither more likely. `None`: every
/// connection counts.
pub(super) async fn gone(docker: &Docker, name: &ContainerName, idle: Option<Duration>) {
    if watch(docker, name, idle).await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Returns when no client is connected. `None`: that cannot be determined.
async fn watch(docker: &Docker, name: &ContainerName, idle: Option<Duration>) -> Option<()> {
    if !docker.place.is_local() {
        return None;
    }
    let found = container::inspect(docker, "looking at container", name);
    let Some(found) = found.await.ok()? else {
        return Some(());
    };
    if !shares_kernel(&found) {
        return None;
    }
    let pid = found.state.as_ref()?.pid?;
    let process = Path::new("/proc").join(pid.to_string());
    // A local socket may lead to an engine in a virtual machine, which has different processes.
    let owner = fs::read_to_string(process.join("cgroup")).ok()?;
    if !owner.contains(found.id.as_deref()?) {
        return None;
    }
    let mut view = View {
        tables: Tables::of(&process),
        // Only root may query how long a connection has been idle.
        diagnosis: idle.and_then(|_| Diagnosis::of(&process).ok()),
        addresses: addresses(&found),
        idle,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        if view.has_clients()? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            sleep(quiet(&fs::read_to_string(PRESSURE).unwrap_or_default())).await;
            if !view.has_clients()? {
                return Some(());
            }
        }
    }
}

/// Returns how long a container must have no clients on a machine with this CPU pressure, as the kernel
/// reports it. Under pressure a client is delayed between the resolution of a name and the connection.
fn quiet(pressure: &str) -> Duration {
    let share = pressure.split_once("some avg10=");
    let share = share.and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
    let share = share.unwrap_or_default().clamp(0.0, 100.0);
    QUIET.mul_f64((share / CPU_PRESSURE).max(1.0))
}

/// Returns whether the sockets of a container are sockets of this kernel. A sandbox has a network stack
/// of its own.
fn shares_kernel(found: &ContainerInspectResponse) -> bool {
    let runtime = found
        .host_config
        .as_ref()
        .and_then(|it| it.runtime.as_deref());
    runtime.is_none_or(|it| matches!(it, "" | "runc" | "crun" | "io.containerd.runc.v2"))
}

/// Returns the current addresses of a container. A connection to a former address is broken, so it
/// has no client.
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

/// The data sources for the clients of a container.
struct View {
    tables: Tables,
    diagnosis: Option<Diagnosis>,
    addresses: BTreeSet<IpAddr>,
    idle: Option<Duration>,
}

impl View {
    /// Returns whether a client may be connected. `None`: that cannot be determined.
    fn has_clients(&mut self) -> Option<bool> {
        // Datagrams have no connections. The engine's name server also has a socket, on a loopback
        // address.
        if self.tables.udp()?.iter().any(|it| !it.is_loopback()) {
            return Some(true);
        }
        let diagnosed = self.diagnosis.as_ref().and_then(|it| it.tcp().ok());
        let tcp = if let Some(tcp) = diagnosed {
            tcp
        } else {
            // The rest of an answer may still be in the socket.
            self.diagnosis = None;
            self.tables.tcp()?
        };
        Some(is_connected(&tcp, &self.addresses, self.idle))
    }
}

/// The container's end of a TCP socket.
struct Socket {
    address: IpAddr,
    port: u16,
    state: State,
    /// How long nothing was sent while nothing was left to answer. `None`: the connection is not
    /// idle, or the time is unknown.
    idle: Option<Duration>,
}

/// The relevant part of a socket's state.
#[derive(PartialEq, Eq)]
enum State {
    Listening,
    /// A request may be open.
    Connected,
    Other,
}

impl State {
    /// Converts the kernel's number for a state.
    fn of(number: u8) -> Self {
        match number {
            // Established; in the handshake; closed by the server only; closed by the client only.
            1 | 3 | 4 | 8 => Self::Connected,
            10 => Self::Listening,
            _ => Self::Other,
        }
    }
}

/// Returns whether a client is connected to a port on which a program listens.
fn is_connected(sockets: &[Socket], addresses: &BTreeSet<IpAddr>, idle: Option<Duration>) -> bool {
    let listening = sockets.iter().filter(|it| it.state == State::Listening);
    let ports: BTreeSet<u16> = listening.map(|it| it.port).collect();
    sockets.iter().any(|it| {
        let accepted = it.state == State::Connected && ports.contains(&it.port);
        let is_idle = it.idle.zip(idle).is_some_and(|(its, enough)| its >= enough);
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

    /// Checks sockets in addition to one that listens on port 8080.
    fn check(sockets: impl IntoIterator<Item = Socket>, expected: bool) {
        let mut all = vec![socket("0.0.0.0", 8080, 10)];
        all.extend(sockets);
        let addresses = BTreeSet::from(["172.18.0.3".parse().unwrap()]);
        assert_eq!(is_connected(&all, &addresses, Some(IDLE)), expected);
    }

    #[test]
    fn quiet_time_grows_with_cpu_pressure() {
        let at = |share: &str| {
            let text =
                format!("some avg10={share} avg60=1.00 avg300=0.50 total=1\nfull avg10=0.00");
            quiet(&text).as_millis()
        };
        assert_eq!(
            ["0.00", "25.00", "50.00", "100.00"].map(at),
            [100, 100, 200, 400]
        );
        assert_eq!(quiet("").as_millis(), 100);
    }

    #[test]
    fn connection_to_listening_port_is_a_client() {
        check([], false);
        check([socket("172.18.0.3", 8080, 1)], true);
        // The container's own connection to another server.
        check([socket("172.18.0.3", 50_000, 1)], false);
        // A connection that has ended.
        check([socket("172.18.0.3", 8080, 6)], false);
    }

    #[test]
    fn loopback_and_former_address_connections_are_not_clients() {
        check([socket("127.0.0.1", 8080, 1)], false);
        check([socket("172.19.0.3", 8080, 1)], false);
    }

    #[test]
    fn idle_connection_is_not_a_client() {
        let idle_for = |millis| Socket {
            idle: Some(Duration::from_millis(millis)),
            ..socket("172.18.0.3", 8080, 1)
        };
        check([idle_for(250)], false);
        check([idle_for(249)], true);
        check([idle_for(250), socket("172.18.0.3", 8080, 1)], true);
    }
}
