//! Errors of a probe, as messages for a user.
//!
//! This module also says whether waiting can help. The gate decides what to do with that.

use std::{io, time::Duration};

use thiserror::Error;

use super::super::ProbeResult;

/// The reason why a probe got no valid answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// The host name in an address cannot be resolved.
    #[error("the name `{0}` cannot be looked up")]
    NoSuchName(String),
    /// The host is reachable, but nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// There is no route to the host.
    #[error("no route to {0}")]
    Unreachable(&'static str),
    /// The connection was not accepted within the timeout.
    #[error("no connection within {}", words(*.0))]
    NoConnection(Duration),
    /// The connection was accepted, but no answer followed within the timeout.
    #[error("connected, but no answer within {}", words(*.0))]
    Silent(Duration),
    /// The connection ended before the answer was complete.
    #[error("connection closed before an answer")]
    Closed,
    /// The connection broke for another reason of the operating system.
    #[error("{0}")]
    Broken(io::ErrorKind),
    /// The answer is not in the expected protocol.
    #[error("something answers, but it is not {0}")]
    WrongProtocol(&'static str),
    /// The TLS handshake failed, with the reason.
    #[error("TLS: {0}")]
    Handshake(String),
    /// The probe itself is invalid, so that a retry cannot help.
    #[error("{0}")]
    Mistaken(String),
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&io::Error> for ProbeError {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        // A server may reject this client only after the handshake, for example for a missing
        // client certificate.
        if let Some(error) = cause.map(rustls::Error::to_string) {
            return Self::Handshake(error);
        }
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::HostUnreachable => Self::Unreachable("the host"),
            Kind::NetworkUnreachable => Self::Unreachable("the network"),
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected => Self::Closed,
            kind => Self::Broken(kind),
        }
    }
}

impl From<ProbeError> for ProbeResult {
    fn from(trouble: ProbeError) -> Self {
        let said = trouble.to_string();
        match trouble {
            ProbeError::Mistaken(_) => Self::Impossible(said),
            _ => Self::Pending(said),
        }
    }
}

/// `1 s`, `250 ms`.
fn words(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (seconds, 0) if seconds > 0 => format!("{seconds} s"),
        _ => format!("{} ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_error_names_the_duration() {
        let said = |ms| ProbeError::Silent(Duration::from_millis(ms)).to_string();
        assert_eq!(said(1000), "connected, but no answer within 1 s");
        assert_eq!(said(1500), "connected, but no answer within 1500 ms");
    }

    #[test]
    fn late_tls_alert_is_reported() {
        let alert = rustls::AlertDescription::CertificateRequired;
        let error = rustls::Error::AlertReceived(alert);
        let trouble = ProbeError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        let said = trouble.to_string();
        assert!(
            said.starts_with("TLS: ") && said.contains("ertificate"),
            "{said}"
        );
    }

    #[test]
    fn only_an_invalid_probe_is_impossible() {
        let never = ProbeResult::from(ProbeError::Mistaken("no".into()));
        assert_eq!(never, ProbeResult::Impossible("no".into()));
        let refused = ProbeResult::from(ProbeError::from(io::Error::from(
            io::ErrorKind::ConnectionRefused,
        )));
        assert_eq!(refused, ProbeResult::Pending("connection refused".into()));
    }
}
