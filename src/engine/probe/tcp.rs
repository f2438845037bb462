//! TCP connections, and the timeout on all use of a connection.
//!
//! A plain connection is also the simplest probe. This module knows no protocol above TCP.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::{super::ProbeResult, error::ProbeError};

/// A target with a deadline, for one probe.
#[derive(Debug)]
pub struct Connection {
    addresses: Vec<SocketAddr>,
    opened: Instant,
    patience: Duration,
}

impl Connection {
    /// Targets one address. The timeout starts now.
    pub fn to(address: SocketAddr, patience: Duration) -> Self {
        Self {
            addresses: vec![address],
            opened: Instant::now(),
            patience,
        }
    }

    /// Targets the addresses that a name resolves to on this host. The timeout starts now, before
    /// the name is resolved.
    pub async fn by_name(host: &str, port: u16, patience: Duration) -> Result<Self, ProbeError> {
        let opened = Instant::now();
        let addresses = timeout_at(opened + patience, lookup_host((host, port)))
            .await
            .map_err(|_| ProbeError::NoConnection(patience))?
            .map_err(|_| ProbeError::NoSuchName(host.to_owned()))?
            .collect();
        Ok(Self {
            addresses,
            opened,
            patience,
        })
    }

    /// Connects to the first address that accepts.
    pub async fn connect(&self) -> Result<TcpStream, ProbeError> {
        let stream = timeout_at(self.deadline(), TcpStream::connect(&self.addresses[..]))
            .await
            .map_err(|_| ProbeError::NoConnection(self.patience))??;
        // On the loopback address, the system may choose for the local end the same port that
        // nothing listens on. The socket then connects to itself (RFC 9293, simultaneous open).
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(ProbeError::Refused);
        }
        // A probe is one small packet, which must not wait for a second one. If the system refuses
        // the option, the probe is only slower.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Runs an exchange until the deadline.
    pub async fn hear<T>(
        &self,
        talk: impl Future<Output = Result<T, ProbeError>>,
    ) -> Result<T, ProbeError> {
        timeout_at(self.deadline(), talk)
            .await
            .map_err(|_| ProbeError::Silent(self.patience))?
    }

    /// The IP address, as a certificate would name it if the server has no other name.
    pub fn host(&self) -> String {
        self.addresses
            .first()
            .map(|address| address.ip().to_string())
            .unwrap_or_default()
    }

    /// Address and port, for the authority of a request.
    pub fn authority(&self) -> String {
        self.addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// Time since the timeout started.
    pub fn took(&self) -> Duration {
        self.opened.elapsed()
    }

    fn deadline(&self) -> Instant {
        self.opened + self.patience
    }
}

/// Passes if the connection is accepted.
pub async fn ask(line: &Connection) -> Result<ProbeResult, ProbeError> {
    line.connect().await?;
    Ok(ProbeResult::Passed(format!(
        "connected in {} ms",
        line.took().as_millis()
    )))
}
