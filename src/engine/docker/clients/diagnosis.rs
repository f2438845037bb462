//! Sockets of a network namespace, from the kernel's socket diagnosis (`sock_diag(7)`), with the
//! times of the last data.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
    time::Duration,
};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{Socket, State};

/// Large enough for every message of an answer: the kernel fills at most 32 KiB at a time.
const BUFFER: usize = 32 * 1024;

/// The states that matter. A busy server has thousands of sockets in `TIME_WAIT`.
const STATES: StateFlags = StateFlags::LISTEN
    .union(StateFlags::ESTABLISHED)
    .union(StateFlags::SYN_RECV)
    .union(StateFlags::FIN_WAIT1)
    .union(StateFlags::CLOSE_WAIT);

/// Offsets in `struct tcp_info`: milliseconds since data was last sent, milliseconds since data was
/// last received, and the number of received segments with data.
const LAST_SENT: usize = 44;
const LAST_RECEIVED: usize = 52;
const DATA_SEGMENTS_RECEIVED: usize = 152;

/// A netlink socket in one network namespace. A namespace cannot be queried from outside.
pub(super) struct Diagnosis {
    socket: OwnedFd,
}

impl Diagnosis {
    /// Opens a socket in the network namespace of a process, given the process's folder in `/proc`.
    ///
    /// # Errors
    ///
    /// The process has ended, or this user may not enter its namespace.
    pub(super) fn of(process: &Path) -> io::Result<Self> {
        let namespace = File::open(process.join("ns/net"))?;
        // A dedicated thread, which ends: a thread of the runtime would stay in the namespace.
        let opened = thread::Builder::new().spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
            let protocol = Some(netlink::SOCK_DIAG);
            socket_with(family, kind, SocketFlags::CLOEXEC, protocol)
        })?;
        let socket = opened
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))??;
        Ok(Self { socket })
    }

    /// Returns the TCP sockets.
    ///
    /// # Errors
    ///
    /// The kernel cannot list them.
    pub(super) fn tcp(&self) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        self.ask(AF_INET, SocketId::new_v4(), &mut sockets)?;
        self.ask(AF_INET6, SocketId::new_v6(), &mut sockets)?;
        Ok(sockets)
    }

    fn ask(&self, family: u8, socket_id: SocketId, sockets: &mut Vec<Socket>) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: STATES,
            socket_id,
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        loop {
            // The kernel answers before `send` returns, so `recv` never waits.
            let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match answer.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(it)) => {
                        sockets.push(socket(&it));
                    }
                    // A kernel without the diagnosis of TCP ends the list with its error code.
                    NetlinkPayload::Done(it) if it.code != 0 => {
                        return Err(io::Error::from_raw_os_error(it.code.abs()));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(it) => return Err(it.to_io()),
                    _ => {}
                }
                // Messages begin at multiples of four bytes.
                let taken = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
    }
}

fn socket(found: &InetResponse) -> Socket {
    let header = &found.header;
    Socket {
        address: header.socket_id.source_address.to_canonical(),
        port: header.socket_id.source_port,
        state: State::of(header.state),
        idle: idle(found),
    }
}

/// Returns how long a connection has been idle. A connection is idle if all received data was read,
/// all sent data was acknowledged, and the last data was an answer or no data was received.
///
/// The kernel counts in ticks of some milliseconds. If a request and the data before it fall into
/// one tick, their order is unknown, and the connection does not count as idle.
fn idle(found: &InetResponse) -> Option<Duration> {
    let queued = found.header.recv_queue > 0 || found.header.send_queue > 0;
    let info = found.nlas.iter().find_map(|it| match it {
        Nla::TcpInfo(bytes) => Some(bytes),
        _ => None,
    })?;
    let field = |at: usize| {
        let bytes = info.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    };
    let (sent, received) = (field(LAST_SENT)?, field(LAST_RECEIVED)?);
    let answered = sent < received || field(DATA_SEGMENTS_RECEIVED)? == 0;
    (answered && !queued).then(|| Duration::from_millis(sent.min(received).into()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Returns the server's end of a connection, as the kernel reports it for this process's
    /// namespace.
    fn near_end(diagnosis: &Diagnosis, port: u16) -> Socket {
        let mut found = diagnosis.tcp().unwrap();
        found.retain(|it| it.port == port && it.state == State::Connected);
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn connection_is_idle_only_after_answer() {
        // Only root may enter a namespace, even its own.
        let Ok(diagnosis) = Diagnosis::of(Path::new("/proc/self")) else {
            return;
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = diagnosis.tcp().unwrap();
        assert!(
            listening
                .iter()
                .any(|it| it.port == port && it.state == State::Listening)
        );

        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert!(near_end(&diagnosis, port).idle.is_some(), "nothing asked");
        // The first request is sent at once, and the second one immediately after the answer.
        for _ in 0..2 {
            client.write_all(b"question").unwrap();
            thread::sleep(Duration::from_millis(20));
            assert_eq!(near_end(&diagnosis, port).idle, None, "not read");
            server.read_exact(&mut [0; 8]).unwrap();
            assert_eq!(near_end(&diagnosis, port).idle, None, "not answered");
            server.write_all(b"answer").unwrap();
            client.read_exact(&mut [0; 6]).unwrap();
        }
        thread::sleep(Duration::from_millis(50));
        let idle = near_end(&diagnosis, port).idle.unwrap();
        assert!(idle >= Duration::from_millis(40), "{idle:?}");
    }
}
