//! The tables of sockets in `/proc/PID/net`, which every user may read.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use super::{Socket, State};

/// The tables of one network namespace.
pub(super) struct Tables {
    folder: PathBuf,
}

impl Tables {
    /// Returns the tables of the namespace of a process, given the process's folder in `/proc`.
    pub(super) fn of(process: &Path) -> Self {
        Self {
            folder: process.join("net"),
        }
    }

    /// Returns the TCP sockets. `None`: the tables cannot be read.
    pub(super) fn tcp(&self) -> Option<Vec<Socket>> {
        self.rows("tcp")
    }

    /// Returns the local addresses of the UDP sockets. `None`: the tables cannot be read.
    pub(super) fn udp(&self) -> Option<Vec<IpAddr>> {
        let rows = self.rows("udp")?;
        Some(rows.into_iter().map(|it| it.address).collect())
    }

    fn rows(&self, protocol: &str) -> Option<Vec<Socket>> {
        let v4 = fs::read_to_string(self.folder.join(protocol)).ok()?;
        // Without IPv6, the kernel has no IPv6 table.
        let v6 = fs::read_to_string(self.folder.join(format!("{protocol}6"))).unwrap_or_default();
        Some(sockets(&v4).chain(sockets(&v6)).collect())
    }
}

fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().skip(1).filter_map(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        Some(Socket {
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            state: State::of(u8::from_str_radix(state, 16).ok()?),
            idle: None,
        })
    })
}

/// Parses an address as the kernel prints it: words of 32 bits, each in the byte order of the
/// machine.
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

    #[test]
    fn table_rows_parse_ipv4_and_ipv6_addresses() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000
   1: 030012AC:1F90 020012AC:C350 01 00000000:00000000
   2: 0000000000000000FFFF0000030012AC:1F90 0000000000000000FFFF0000020012AC:C350 06 00000000:00000000
";
        let rows: Vec<_> = sockets(table).collect();
        let ends: Vec<_> = rows
            .iter()
            .map(|it| (it.address.to_string(), it.port))
            .collect();
        let expected = [
            ("0.0.0.0", 8080),
            ("172.18.0.3", 8080),
            ("172.18.0.3", 8080),
        ];
        assert_eq!(
            ends,
            expected.map(|(address, port)| (address.to_owned(), port))
        );
        assert!(rows[0].state == State::Listening);
        assert!(rows[1].state == State::Connected);
        assert!(rows[2].state == State::Other);
    }
}
