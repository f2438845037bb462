//! Pulls an image from its registry.

use std::collections::BTreeMap;

use bollard::{
    errors::Error as Wire, models::CreateImageInfo, query_parameters::CreateImageOptionsBuilder,
};
use futures::StreamExt;
use tokio::sync::mpsc::UnboundedSender;

use super::{Docker, credentials};
use crate::{engine::EngineError, event::Progress, plan::PullImage};

/// Pulls an image and reports the progress.
pub(super) async fn pull(
    docker: &Docker,
    request: &PullImage,
    progress: &UnboundedSender<Progress>,
) -> Result<(), EngineError> {
    let reference = tagged(request.image.as_str());
    let credentials = credentials::of(docker, &reference).await?;
    let mut options = CreateImageOptionsBuilder::new().from_image(&reference);
    if let Some(platform) = &request.platform {
        options = options.platform(platform);
    }
    let client = docker
        .client
        .clone()
        .with_request_modifier(credentials::url_safe);
    let mut steps = client
        .create_image(Some(options.build()), None, credentials)
        .boxed();
    let mut layers = Layers::default();
    while let Some(step) = steps.next().await {
        let step = match step {
            Ok(step) => step,
            Err(wire) => return Err(failed(docker, request, wire).await),
        };
        if let Some(error) = step.error_detail.as_ref() {
            let error = error.message.clone().unwrap_or_default();
            return Err(failed(docker, request, Wire::DockerStreamError { error }).await);
        }
        if let Some(now) = layers.take(&step) {
            // An error means that the receiver is closed, so nothing is lost.
            let _ = progress.send(now);
        }
    }
    Ok(())
}

/// Converts an error of a pull. Any refusal by a registry means that the image is unavailable,
/// unless the engine already has it.
async fn failed(docker: &Docker, request: &PullImage, wire: Wire) -> EngineError {
    let image = request.image.to_string();
    let cause = match docker.doing("pulling image", &image).failed(wire) {
        EngineError::Api { message, .. } if is_away(&message) => {
            format!("its registry cannot be reached ({message})")
        }
        EngineError::Api { message, .. } => message,
        EngineError::NotFound { .. } | EngineError::NoImage { .. } => {
            "the registry does not have it".to_owned()
        }
        error => return error,
    };
    match docker.client.inspect_image(&image).await {
        Ok(_) => EngineError::NotRefreshed { image, cause },
        Err(_) => EngineError::NoImage { image, cause },
    }
}

/// Returns whether the engine reports that the registry is unreachable.
fn is_away(message: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "dial tcp",
        "no such host",
        "i/o timeout",
        "TLS handshake timeout",
        "context deadline exceeded",
        "Client.Timeout exceeded",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// Adds the tag `latest` to a reference without a tag. The engine would otherwise pull all tags.
fn tagged(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains(':') || last.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// The progress of each layer.
#[derive(Default)]
struct Layers {
    known: BTreeMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    done: u64,
    total: u64,
    complete: bool,
}

impl Layers {
    /// Applies a progress message. `None`: the message is not about a layer.
    fn take(&mut self, step: &CreateImageInfo) -> Option<Progress> {
        let status = step.status.as_deref()?;
        let id = step.id.as_deref()?;
        let complete = matches!(status, "Pull complete" | "Already exists");
        if !complete
            && !matches!(
                status,
                "Pulling fs layer" | "Waiting" | "Downloading" | "Download complete"
            )
        {
            return None;
        }
        let layer = self.known.entry(id.to_owned()).or_default();
        let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        if status == "Downloading"
            && let Some(detail) = &step.progress_detail
        {
            layer.done = bytes(detail.current).unwrap_or(layer.done);
            layer.total = bytes(detail.total).unwrap_or(layer.total);
        }
        if complete || status == "Download complete" {
            layer.done = layer.total;
        }
        layer.complete |= complete;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Progress::Pull {
            done: self.known.values().map(|layer| layer.done).sum(),
            total: self.known.values().map(|layer| layer.total).sum(),
            layers_done: count(self.known.values().filter(|layer| layer.complete).count()),
            layers: count(self.known.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untagged_reference_gets_latest_tag() {
        assert_eq!(tagged("debian"), "debian:latest");
        assert_eq!(tagged("debian:trixie"), "debian:trixie");
        assert_eq!(tagged("host:5000/debian"), "host:5000/debian:latest");
        assert_eq!(tagged("debian@sha256:0"), "debian@sha256:0");
    }

    #[test]
    fn pull_progress_sums_all_layers() {
        let mut layers = Layers::default();
        let mut take = |json: &str| layers.take(&serde_json::from_str(json).unwrap());
        assert_eq!(take(r#"{"status":"Pulling from x","id":"latest"}"#), None);
        take(r#"{"status":"Pulling fs layer","id":"a","progressDetail":{}}"#);
        take(r#"{"status":"Already exists","id":"b","progressDetail":{}}"#);
        assert_eq!(
            take(r#"{"status":"Downloading","id":"a","progressDetail":{"current":3,"total":9}}"#),
            Some(Progress::Pull {
                done: 3,
                total: 9,
                layers_done: 1,
                layers: 2
            })
        );
    }
}
