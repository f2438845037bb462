//! The first request to an engine: availability, version and clock.
//!
//! All of them are in the headers of the cheapest response (0.6 ms). The usual requests for the
//! version and the time take 8 ms each.

use std::time::Duration;

use hyper::HeaderMap;
use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::timeout;

use super::{build::Transport, connect::EngineEndpoint, error};
use crate::engine::EngineError;

/// Timeout of the first response, also for a distant engine and through ssh.
const PATIENCE: Duration = Duration::from_secs(15);

/// What an engine reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// The version, for example `28.5.2`; empty if the engine does not report it.
    pub(super) version: String,
    /// The newest supported API version, for example `1.51`.
    pub(super) api: String,
    /// The operating system, for example `linux`.
    pub(super) os: String,
    /// The engine's clock, in whole seconds.
    pub(super) clock: Option<Timestamp>,
}

/// Pings the engine at an endpoint.
pub(super) async fn greet(place: &EngineEndpoint) -> Result<ServerInfo, EngineError> {
    let wire = Transport::new(place.address.clone(), place.tls.clone());
    match timeout(PATIENCE, wire.ping()).await {
        Ok(Ok(headers)) => Ok(read(&headers)),
        Ok(Err(cause)) => Err(error::dialling(place, &cause)),
        Err(_) => Err(place.unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn read(headers: &HeaderMap) -> ServerInfo {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    // `Docker/28.5.2 (linux)`
    let server = text("Server");
    let version = server
        .split_once('/')
        .and_then(|(_, version)| version.split_whitespace().next());
    ServerInfo {
        version: version.unwrap_or_default().to_owned(),
        api: text("Api-Version"),
        os: text("Ostype"),
        clock: rfc2822::DateTimeParser::new()
            .parse_timestamp(text("Date"))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_headers_yield_server_info() {
        let headers = [
            ("Api-Version", "1.51"),
            ("Ostype", "linux"),
            ("Server", "Docker/28.5.2+dfsg4 (linux)"),
            ("Date", "Mon, 23 Nov 2026 09:16:20 GMT"),
        ];
        let headers = headers
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect();
        let greeting = ServerInfo {
            version: "28.5.2+dfsg4".into(),
            api: "1.51".into(),
            os: "linux".into(),
            clock: "2026-11-23T09:16:20Z".parse().ok(),
        };
        assert_eq!(read(&headers), greeting);
    }

    #[test]
    fn missing_headers_yield_empty_server_info() {
        assert_eq!(read(&HeaderMap::new()), ServerInfo::default());
    }
}
