//! Whether anybody is connected to a container, by the tables of the kernel in its network namespace.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Duration,
};

use bollard::models::ContainerInspectResponse;
use tokio::time::sleep;

use super::{Docker, container};
use crate::name::ContainerName;

/// For so long nobody may have been connected: a client that has looked the name up just before it
/// moved connects within this time.
const QUIET: Duration = Duration::from_millis(100);
/// The first pause while clients are connected; each one is twice the pause before it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// States in `/proc/net/tcp`: a listening socket, and connections in which a request may be open.
const LISTENING: &str = "0A";
const CONNECTED: [&str; 4] = ["01", "03", "04", "08"];

/// Ends when no client is connected to a container any longer; never where that cannot be known, as
/// on another machine than the engine's, or without permission.
pub(super) async fn gone(docker: &Docker, name: &ContainerName) {
    if watch(docker, name).await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// `None`: it cannot be known.
async fn watch(docker: &Docker, name: &ContainerName) -> Option<()> {
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
    let addresses = addresses(&found);
    let mut pause = FIRST_PAUSE;
    loop {
        if has_clients(&process, &addresses)? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            sleep(QUIET).await;
            if !has_clients(&process, &addresses)? {
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

/// Whether anybody may be connected to the namespace of a process.
fn has_clients(process: &Path, addresses: &BTreeSet<IpAddr>) -> Option<bool> {
    let read = |table: &str| fs::read_to_string(process.join("net").join(table)).ok();
    let (tcp, udp) = (read("tcp")?, read("udp")?);
    // Without IPv6 there are no tables of it.
    let (tcp6, udp6) = (
        read("tcp6").unwrap_or_default(),
        read("udp6").unwrap_or_default(),
    );
    let tcp: Vec<Socket<'_>> = sockets(&tcp).chain(sockets(&tcp6)).collect();
    let mut udp = sockets(&udp).chain(sockets(&udp6));
    // Datagrams come without a connection. The engine's name server has a socket, too.
    Some(is_connected(&tcp, addresses) || udp.any(|it| !it.address.is_loopback()))
}

/// Whether somebody has a connection to a port on which something listens.
fn is_connected(sockets: &[Socket<'_>], addresses: &BTreeSet<IpAddr>) -> bool {
    let listening = sockets.iter().filter(|it| it.state == LISTENING);
    let ports: BTreeSet<&str> = listening.map(|it| it.port).collect();
    sockets.iter().any(|it| {
        let accepted = CONNECTED.contains(&it.state) && ports.contains(it.port);
        accepted && addresses.contains(&it.address)
    })
}

/// A row of a table of sockets: its own end.
struct Socket<'a> {
    address: IpAddr,
    port: &'a str,
    state: &'a str,
}

fn sockets(table: &str) -> impl Iterator<Item = Socket<'_>> {
    table.lines().skip(1).filter_map(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        Some(Socket {
            address: address_of(address)?,
            port,
            state,
        })
    })
}

/// An address as the kernel prints it: words of 32 bits, each in the byte order of the machine.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |from: usize| -> Option<[u8; 4]> {
        let digits = text.get(from..from + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(Ipv6Addr::from(bytes).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";
    const LISTENS: &str = "00000000:1F90 00000000:0000 0A";

    /// Whether rows `local remote state` are of a namespace with clients.
    fn check(rows: &[&str], expected: bool) {
        let rows = rows
            .iter()
            .map(|row| format!("   0: {row} 00000000:00000000\n"));
        let table = format!("{HEAD}{}", rows.collect::<String>());
        let sockets: Vec<Socket<'_>> = sockets(&table).collect();
        let addresses = BTreeSet::from(["172.18.0.3".parse().unwrap()]);
        assert_eq!(is_connected(&sockets, &addresses), expected, "{table}");
    }

    #[test]
    fn connections_to_a_listening_port_are_clients() {
        check(&[LISTENS], false);
        check(&[LISTENS, "030012AC:1F90 020012AC:C350 01"], true);
        // Its own connection to something else.
        check(&[LISTENS, "030012AC:C350 020012AC:1538 01"], false);
        // One that has ended.
        check(&[LISTENS, "030012AC:1F90 020012AC:C350 06"], false);
        let mapped =
            "0000000000000000FFFF0000030012AC:1F90 0000000000000000FFFF0000020012AC:C350 01";
        check(&[LISTENS, mapped], true);
    }

    #[test]
    fn connections_within_a_container_or_to_a_former_address_are_no_clients() {
        check(&[LISTENS, "0100007F:1F90 0100007F:C350 01"], false);
        check(&[LISTENS, "030013AC:1F90 020013AC:C350 01"], false);
    }
}
