//! Whether anybody is connected to a container, by the tables of the kernel in its network namespace.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

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
    let pid = found.state?.pid?;
    let process = Path::new("/proc").join(pid.to_string());
    // A local socket may lead to an engine in a virtual machine, whose processes are others.
    let owner = fs::read_to_string(process.join("cgroup")).ok()?;
    if !owner.contains(found.id?.as_str()) {
        return None;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        if has_clients(&process)? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            sleep(QUIET).await;
            if !has_clients(&process)? {
                return Some(());
            }
        }
    }
}

/// Whether anybody may be connected to the namespace of a process.
fn has_clients(process: &Path) -> Option<bool> {
    let read = |table: &str| fs::read_to_string(process.join("net").join(table)).ok();
    let (tcp, udp) = (read("tcp")?, read("udp")?);
    // Without IPv6 there are no tables of it.
    let (tcp6, udp6) = (
        read("tcp6").unwrap_or_default(),
        read("udp6").unwrap_or_default(),
    );
    let tcp: Vec<Socket<'_>> = sockets(&tcp).chain(sockets(&tcp6)).collect();
    let mut udp = sockets(&udp).chain(sockets(&udp6));
    // Datagrams come without a connection.
    Some(is_connected(&tcp) || udp.any(|it| !it.is_loopback()))
}

/// Whether somebody else has a connection to a port on which something listens.
fn is_connected(sockets: &[Socket<'_>]) -> bool {
    let listening = sockets.iter().filter(|it| it.state == LISTENING);
    let ports: BTreeSet<&str> = listening.map(|it| it.port).collect();
    sockets
        .iter()
        .any(|it| CONNECTED.contains(&it.state) && ports.contains(it.port) && !it.is_loopback())
}

/// A row of a table of sockets.
struct Socket<'a> {
    address: &'a str,
    port: &'a str,
    state: &'a str,
}

impl Socket<'_> {
    /// Whether its own address is one of 127.0.0.0/8, which the engine's name server has too, or `::1`.
    fn is_loopback(&self) -> bool {
        // Words of 32 bits in the order of the machine, with the first byte last.
        let v4 = |word: &str| word.ends_with("7F");
        match self.address.split_at_checked(24) {
            None => v4(self.address),
            Some(("0000000000000000FFFF0000", word)) => v4(word),
            Some((high, low)) => high.bytes().all(|it| it == b'0') && low == "01000000",
        }
    }
}

fn sockets(table: &str) -> impl Iterator<Item = Socket<'_>> {
    table.lines().skip(1).filter_map(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        Some(Socket {
            address,
            port,
            state,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

    /// Whether rows `local remote state` are of a namespace with clients.
    fn check(rows: &[&str], expected: bool) {
        let rows = rows
            .iter()
            .map(|row| format!("   0: {row} 00000000:00000000\n"));
        let table = format!("{HEAD}{}", rows.collect::<String>());
        let sockets: Vec<Socket<'_>> = sockets(&table).collect();
        assert_eq!(is_connected(&sockets), expected, "{table}");
    }

    #[test]
    fn connections_to_a_listening_port_are_clients() {
        let listens = "00000000:1F90 00000000:0000 0A";
        check(&[listens], false);
        check(&[listens, "030012AC:1F90 020012AC:C350 01"], true);
        // Its own connection to something else.
        check(&[listens, "030012AC:C350 020012AC:1538 01"], false);
        // One that has ended.
        check(&[listens, "030012AC:1F90 020012AC:C350 06"], false);
    }

    #[test]
    fn connections_within_a_container_are_no_clients() {
        let listens =
            "00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A";
        check(&[listens, "0100007F:1F90 0100007F:C350 01"], false);
        let mapped =
            "0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C350 01";
        check(&[listens, mapped], false);
        let own = "00000000000000000000000001000000:1F90 00000000000000000000000001000000:C350 01";
        check(&[listens, own], false);
        let client =
            "0000000000000000FFFF0000030012AC:1F90 0000000000000000FFFF0000020012AC:C350 01";
        check(&[listens, client], true);
    }
}
