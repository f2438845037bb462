//! What the engine's answers mean: every error of the client library becomes an [`EngineError`].
//!
//! The library's types go no further than this folder. The engine tells its errors apart by status
//! and by text only, so this is the one place where text is looked at.

use std::{error::Error as _, io};

use bollard::errors::Error as Wire;

use super::{connect::EngineEndpoint, explain::explained};
use crate::engine::EngineError;

/// What was being done, for the message of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'a> {
    /// The engine's place.
    pub(super) place: &'a EngineEndpoint,
    /// `creating container`.
    pub(super) verb: &'a str,
    /// Its name on the engine.
    pub(super) object: &'a str,
}

impl Operation<'_> {
    /// What an error of the library means here.
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

    /// The engine refuses, in its own words.
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

    /// A refusal with a message.
    pub(super) fn refused(self, status: u16, message: String) -> EngineError {
        EngineError::Api {
            verb: self.verb.to_owned(),
            object: self.object.to_owned(),
            status,
            message: explained(message),
        }
    }

    /// The connection, or what came through it, was no good.
    pub(super) fn broke(self, cause: String) -> EngineError {
        EngineError::Transport {
            verb: self.verb.to_owned(),
            object: self.object.to_owned(),
            cause,
        }
    }
}

/// The HTTP status of an error, when the engine gave one.
pub(super) fn status(wire: &Wire) -> Option<u16> {
    match wire {
        Wire::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// `None` for a thing that is not there, everything else as it is.
pub(super) fn present<T>(result: Result<T, Wire>) -> Result<Option<T>, Wire> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(wire) if status(&wire) == Some(404) => Ok(None),
        Err(wire) => Err(wire),
    }
}

/// What an error means when nobody has answered yet.
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

/// As [`connecting`], for a connection of our own.
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

/// An error with its causes, outermost first. A cause that its effect quotes is not said twice.
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

/// What stands behind a phrase, up to the end of the line.
fn after(message: &str, phrase: &str) -> Option<String> {
    let (_, rest) = message.split_once(phrase)?;
    let rest = rest.lines().next().unwrap_or_default();
    Some(rest.trim().trim_matches(['"', '\'']).to_owned())
}

/// A 404 is also given for a program that is missing inside a container: only those that name
/// the thing itself say that it is gone.
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
    fn the_engines_texts_are_understood() {
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
