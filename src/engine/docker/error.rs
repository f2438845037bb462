//! Converts the client library's errors into [`EngineError`].
//!
//! The library's types do not leave the `docker` module. The engine distinguishes its errors only
//! by status and text, so the conversion inspects the text.

use std::{error::Error as _, io};

use bollard::errors::Error as Wire;

use super::{connect::EngineEndpoint, explain::explained};
use crate::engine::EngineError;

/// A running operation, for the message of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'a> {
    /// The endpoint of the engine.
    pub(super) place: &'a EngineEndpoint,
    /// The verb, for example `creating container`.
    pub(super) verb: &'a str,
    /// The object's name on the engine.
    pub(super) object: &'a str,
}

impl Operation<'_> {
    /// Converts an error of the client library.
    pub(super) fn failed(self, wire: Wire) -> EngineError {
        match wire {
            Wire::DockerResponseServerError {
                status_code,
                message,
            } => self.answered(status_code, message),
            Wire::DockerStreamError { error } => self.answered(0, error),
            wire if cannot_connect(&wire) => connecting(self.place, &wire),
            Wire::RequestTimeoutError => self.broke("the engine did not answer in time".to_owned()),
            wire => self.broke(chain(&wire)),
        }
    }

    /// Converts an error response of the engine.
    pub(super) fn answered(self, status: u16, message: String) -> EngineError {
        if message.contains("no space left on device") {
            return EngineError::DiskFull { cause: message };
        }
        if let Some(path) = after(&message, "bind source path does not exist: ") {
            return EngineError::BindSourceMissing { path };
        }
        if let Some(image) = after(&message, "No such image: ") {
            return EngineError::NoImage {
                image,
                cause: "it is not on the engine".to_owned(),
            };
        }
        if status == 404 && names_a_missing_thing(&message, self.object) {
            return EngineError::NotFound {
                what: format!("`{}`", self.object),
            };
        }
        self.refused(status, message)
    }

    /// Returns an API error with a message.
    pub(super) fn refused(self, status: u16, message: String) -> EngineError {
        EngineError::Api {
            verb: self.verb.to_owned(),
            object: self.object.to_owned(),
            status,
            message: explained(message),
        }
    }

    /// Returns the error for a failed connection, or for unusable data from it.
    pub(super) fn broke(self, cause: String) -> EngineError {
        EngineError::Transport {
            verb: self.verb.to_owned(),
            object: self.object.to_owned(),
            cause,
        }
    }
}

/// Returns the HTTP status of an error, if the engine sent one.
pub(super) fn status(wire: &Wire) -> Option<u16> {
    match wire {
        Wire::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Converts status 404 into `None`. Other results are unchanged.
pub(super) fn present<T>(result: Result<T, Wire>) -> Result<Option<T>, Wire> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(wire) if status(&wire) == Some(404) => Ok(None),
        Err(wire) => Err(wire),
    }
}

/// Converts an error that occurred while connecting.
pub(super) fn connecting(place: &EngineEndpoint, wire: &Wire) -> EngineError {
    if denied(wire) {
        return EngineError::PermissionDenied {
            address: place.address.clone(),
        };
    }
    place.unreachable(match wire {
        Wire::SocketNotFoundError(path) => format!("there is no socket at `{path}`"),
        Wire::CertPathError { path } => {
            format!("the certificate `{}` cannot be read", path.display())
        }
        Wire::UnsupportedURISchemeError { .. } => {
            "only `unix://`, `tcp://` and `ssh://` are known".to_owned()
        }
        Wire::DockerResponseServerError { message, .. } => message.clone(),
        wire => chain(wire),
    })
}

/// Like [`connecting`], for a connection that this crate opens itself.
pub(super) fn dialling(place: &EngineEndpoint, cause: &io::Error) -> EngineError {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => EngineError::PermissionDenied {
            address: place.address.clone(),
        },
        _ => place.unreachable(chain(cause)),
    }
}

fn cannot_connect(wire: &Wire) -> bool {
    match wire {
        Wire::SocketNotFoundError(_) => true,
        Wire::HyperLegacyError { err } => err.is_connect(),
        _ => false,
    }
}

fn denied(wire: &Wire) -> bool {
    let mut cause = wire.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns an error with its causes, outermost first. A cause that is already quoted is not
/// repeated.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Returns the text after a phrase, up to the end of the line.
fn after(message: &str, phrase: &str) -> Option<String> {
    let (_, rest) = message.split_once(phrase)?;
    let rest = rest.lines().next().unwrap_or_default();
    Some(rest.trim().trim_matches(['"', '\'']).to_owned())
}

/// Returns whether a 404 is about the object itself. The engine also sends 404 for a program that
/// is missing inside a container. Only a message that names the object means that it does not
/// exist.
fn names_a_missing_thing(message: &str, object: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "no such container",
        "no such volume",
        "no such network",
        "not found",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
        && message.contains(&object.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(status: u16, message: &str) -> EngineError {
        let place = EngineEndpoint {
            address: "unix:///s".into(),
            tls: None,
            chosen: String::new(),
        };
        Operation {
            place: &place,
            verb: "creating container",
            object: "shop-web-1",
        }
        .answered(status, message.to_owned())
    }

    #[test]
    fn engine_messages_map_to_error_variants() {
        assert_eq!(
            meant(404, "No such image: web:2"),
            EngineError::NoImage {
                image: "web:2".into(),
                cause: "it is not on the engine".into()
            }
        );
        assert_eq!(
            meant(
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /a b"
            ),
            EngineError::BindSourceMissing {
                path: "/a b".into()
            }
        );
        assert!(matches!(
            meant(500, "write /var/lib: no space left on device"),
            EngineError::DiskFull { .. }
        ));
        assert!(matches!(
            meant(404, "No such container: shop-web-1"),
            EngineError::NotFound { .. }
        ));
        assert!(matches!(
            meant(404, "exec: \"x\": executable file not found in $PATH"),
            EngineError::Api { status: 404, .. }
        ));
    }
}
