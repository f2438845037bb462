//! Connections: making one, and the bound on everything that is done with it.
//!
//! A plain connection is also the simplest probe. Knows no protocol above TCP.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::{super::ProbeResult, error::ProbeError};

/// Where to connect, and until when to wait; one for each question.
#[derive(Debug)]
pub struct Connection {
    addresses: Vec<SocketAddr>,
    opened: Instant,
    patience: Duration,
}

impl Connection {
    /// To one address. Patience is counted from here.
    pub fn to(address: SocketAddr, patience: Duration) -> Self {
        Self {
            addresses: vec![address],
            opened: Instant::now(),
            patience,
        }
    }

    /// To the addresses that a name has on this host. Patience is counted from here.
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
        // On the loopback address the system may choose, for our end, the very port that nobody
        // listens on: then it connects to itself (RFC 9293, simultaneous open).
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(ProbeError::Refused);
        }
        // A question is one small packet; it must not wait for a second one. Where the system
        // refuses that, the question is only slower.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Talks for as long as patience lasts.
    pub async fn hear<T>(
        &self,
        talk: impl Future<Output = Result<T, ProbeError>>,
    ) -> Result<T, ProbeError> {
        timeout_at(self.deadline(), talk)
            .await
            .map_err(|_| ProbeError::Silent(self.patience))?
    }

    /// The address, as a certificate would name it when the server has no other name.
    pub fn host(&self) -> String {
        self.addresses
            .first()
            .map(|address| address.ip().to_string())
            .unwrap_or_default()
    }

    /// Address and port, as a request names them.
    pub fn authority(&self) -> String {
        self.addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// How long it has taken until now.
    pub fn took(&self) -> Duration {
        self.opened.elapsed()
    }

    fn deadline(&self) -> Instant {
        self.opened + self.patience
    }
}

/// Ready when the connection is accepted.
pub async fn ask(line: &Connection) -> Result<ProbeResult, ProbeError> {
    line.connect().await?;
    Ok(ProbeResult::Passed(format!(
        "connected in {} ms",
        line.took().as_millis()
    )))
}
