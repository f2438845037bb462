//! Why a question got no proper answer, in words for a person.
//!
//! Whether waiting helps is said here too; what to do with it is the gate's affair.

use std::{io, time::Duration};

use thiserror::Error;

use super::super::ProbeResult;

/// Why a question got no proper answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// The name in an address is not known here.
    #[error("the name `{0}` cannot be looked up")]
    NoSuchName(String),
    /// The host is there, and nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// The network has no way to the host.
    #[error("no route to {0}")]
    Unreachable(&'static str),
    /// Nothing came back at all.
    #[error("no connection within {}", words(*.0))]
    NoConnection(Duration),
    /// The connection is accepted, and then nothing.
    #[error("connected, but no answer within {}", words(*.0))]
    Silent(Duration),
    /// The connection ended before the answer did.
    #[error("connection closed before an answer")]
    Closed,
    /// The connection broke in another way, in the system's words.
    #[error("{0}")]
    Broken(io::ErrorKind),
    /// Something answers in another language than the one asked in.
    #[error("something answers, but it is not {0}")]
    WrongProtocol(&'static str),
    /// The handshake failed, for the reason given.
    #[error("TLS: {0}")]
    Handshake(String),
    /// The question itself is wrong, so that asking again cannot help.
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
        // A server may object to us only after the handshake: for want of a certificate of ours.
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
    fn the_end_of_patience_is_named() {
        let said = |ms| ProbeError::Silent(Duration::from_millis(ms)).to_string();
        assert_eq!(said(1000), "connected, but no answer within 1 s");
        assert_eq!(said(1500), "connected, but no answer within 1500 ms");
    }

    #[test]
    fn a_late_objection_is_passed_on() {
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
    fn only_a_mistaken_question_ends_the_wait() {
        let never = ProbeResult::from(ProbeError::Mistaken("no".into()));
        assert_eq!(never, ProbeResult::Impossible("no".into()));
        let refused = ProbeResult::from(ProbeError::from(io::Error::from(
            io::ErrorKind::ConnectionRefused,
        )));
        assert_eq!(refused, ProbeResult::Pending("connection refused".into()));
    }
}
