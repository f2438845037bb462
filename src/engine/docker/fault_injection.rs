//! Aborts this program at a request to the engine, as `kill -9` would, to test the recovery.
//!
//! Fault injection that is not enabled has no effect on requests: the client library's own
//! transports are used.

use std::{
    fmt, process,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, errors::Error as Wire};
use hyper::{Method, Response, body::Incoming, header};

use super::{build, connect::EngineEndpoint};

/// The request at which this program aborts. Requests that change something (`POST`, `PUT`,
/// `DELETE`) are counted from 1, across the whole process. Requests on a build's own connections
/// are not counted.
#[derive(Debug, Clone)]
pub struct Crash {
    at: At,
    count: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Abort instead of sending this request.
    Before(u64),
    /// Abort when this request is answered, before the caller receives the answer.
    After(u64),
    /// Never abort; requests are only counted.
    Never,
}

impl FromStr for Crash {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let at = match text.split_once(':') {
            None if text == "count" => Some(At::Never),
            Some(("before", rest)) => number(rest).map(At::Before),
            Some(("after", rest)) => number(rest).map(At::After),
            _ => None,
        };
        Ok(Self {
            at: at.ok_or(Unreadable)?,
            count: Arc::default(),
        })
    }
}

/// The error for a text that is not a valid [`Crash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither `before:K`, `after:K` with K from 1, nor `count`")
    }
}

/// Two values are equal if they abort at the same request.
impl PartialEq for Crash {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Crash {}

impl Crash {
    /// Returns the number of changing requests so far. `None`: counting was not requested.
    #[must_use]
    pub fn counted(&self) -> Option<u64> {
        (self.at == At::Never).then(|| self.count.load(Ordering::Relaxed))
    }

    /// Returns a client that counts its requests.
    pub(super) fn client(
        &self,
        place: &EngineEndpoint,
        timeout: u64,
    ) -> Result<bollard::Docker, Wire> {
        let wire = build::Transport::new(place.address.clone(), place.tls.clone());
        let crash = self.clone();
        let transport = move |request: BollardRequest| {
            let (wire, crash) = (wire.clone(), crash.clone());
            async move { crash.carry(&wire, request).await }
        };
        let address = Some("http://docker");
        bollard::Docker::connect_with_custom_transport(
            transport,
            address,
            timeout,
            API_DEFAULT_VERSION,
        )
    }

    async fn carry(
        &self,
        wire: &build::Transport,
        mut request: BollardRequest,
    ) -> Result<Response<Incoming>, Wire> {
        let changing = [Method::POST, Method::PUT, Method::DELETE].contains(request.method());
        let number = changing.then(|| self.count.fetch_add(1, Ordering::Relaxed) + 1);
        if number.is_some_and(|number| self.at == At::Before(number)) {
            process::abort();
        }
        // A request that goes to the engine directly, and not through a proxy, names only the path.
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = path.into();
        }
        let host = header::HeaderValue::from_static("docker");
        request.headers_mut().insert(header::HOST, host);
        let answer = wire
            .send(request)
            .await
            .map_err(|err| Wire::IOError { err });
        if number.is_some_and(|number| self.at == At::After(number)) {
            process::abort();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<At> {
        text.parse::<Crash>().ok().map(|crash| crash.at)
    }

    #[test]
    fn crash_point_is_parsed() {
        assert_eq!(at("before:1"), Some(At::Before(1)));
        assert_eq!(at("after:12"), Some(At::After(12)));
        assert_eq!(at("count"), Some(At::Never));
    }

    #[test]
    fn invalid_crash_point_is_refused() {
        for text in [
            "", "before", "before:", "before:0", "after:x", "count:3", "during:3",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
