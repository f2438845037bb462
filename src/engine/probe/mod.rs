//! Native clients for readiness probes: connect to a container's address, send one request, read
//! one answer.
//!
//! Supports TCP, HTTP, PostgreSQL, Redis and the gRPC health service, each optionally over TLS.
//! This module never retries, sleeps or decides when to probe again. No secret gets into a result.

mod error;
mod grpc;
mod http;
mod postgres;
mod redirect;
mod redis;
mod tcp;
mod tls;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use self::{http::HttpRequest, tcp::Connection, tls::TlsMode};
use super::ProbeResult;
use crate::project::{Probe, StatusSet};

/// Probes `address`, with `patience` as the timeout for the connection and the answer together.
///
/// Returns `None` if the probe does not use the network (`exec`, `log`, `file`, `healthcheck`,
/// `exit`, `started`).
pub async fn ask(address: IpAddr, probe: &Probe, patience: Duration) -> Option<ProbeResult> {
    let line = |port: u16| Connection::to(SocketAddr::new(address, port), patience);
    let heard = match probe {
        Probe::Tcp { port } => tcp::ask(&line(*port)).await,
        Probe::Http { port, tls, .. } => {
            let wrap = TlsMode::from(tls.as_ref());
            let question = HttpRequest::of(probe, SocketAddr::new(address, *port), wrap)?;
            http::ask(&line(*port), &question).await
        }
        Probe::Postgres {
            port,
            user,
            database,
            tls,
        } => postgres::ask(&line(*port), user, database, tls.as_ref().into()).await,
        Probe::Redis {
            port,
            user,
            password,
            tls,
        } => {
            let password = password.as_ref().and_then(|password| password.expose());
            let login = password.map(|password| redis::Login {
                user: user.as_deref(),
                password,
            });
            redis::ask(&line(*port), login, tls.as_ref().into()).await
        }
        Probe::Grpc { port, service, tls } => {
            grpc::ask(&line(*port), service, tls.as_ref().into()).await
        }
        Probe::Exec { .. }
        | Probe::Log { .. }
        | Probe::File { .. }
        | Probe::Healthcheck
        | Probe::Exit
        | Probe::Started => return None,
    };
    Some(heard.unwrap_or_else(ProbeResult::from))
}

/// Requests an `http://` or `https://` URL as a visitor on this host would: the name is resolved on
/// this host, and the certificate must be one that this host trusts. `patience` is the timeout.
pub async fn check_http(
    url: &str,
    status: &StatusSet,
    contains: Option<&str>,
    patience: Duration,
) -> ProbeResult {
    http::check(url, status, contains, patience)
        .await
        .unwrap_or_else(ProbeResult::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers spawn these futures. A future that is not `Send` would break the callers, not this
    /// module.
    #[test]
    fn probe_futures_are_send() {
        fn sendable(_: &impl Send) {}
        sendable(&ask(
            IpAddr::from([127, 0, 0, 1]),
            &Probe::Exit,
            Duration::ZERO,
        ));
        sendable(&check_http("", &StatusSet::default(), None, Duration::ZERO));
    }

    #[tokio::test]
    async fn probe_without_network_returns_none() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let log = Probe::Log {
            pattern: "ready".into(),
            times: 1,
        };
        assert_eq!(ask(address, &log, Duration::from_secs(1)).await, None);
        assert_eq!(
            ask(address, &Probe::Healthcheck, Duration::ZERO).await,
            None
        );
    }
}
