//! Derives the cause of a failed build from the builder's message and the failed step. Pure.

use super::progress::Failed;
use crate::engine::EngineError;

/// Prefixes about the builder's internal calls, which do not help a user; the cause follows.
const PREFIXES: [&str; 3] = [
    "failed to solve: ",
    "failed to solve with frontend dockerfile.v0: ",
    "failed to create LLB definition: ",
];

/// Prefix of the name of the step that looks up a base image; the image's name follows.
const BASE_IMAGE: &str = "[internal] load metadata for ";

/// Returns the error for a failed build.
pub(super) fn failure(service: &str, message: &str, failed: Option<Failed>) -> EngineError {
    let mut cause = message;
    while let Some(rest) = PREFIXES
        .iter()
        .find_map(|prefix| cause.strip_prefix(prefix))
    {
        cause = rest;
    }
    if cause.contains("no space left on device") {
        return EngineError::DiskFull {
            cause: cause.to_owned(),
        };
    }
    let failed = failed.unwrap_or_default();
    if let Some(image) = failed.step.strip_prefix(BASE_IMAGE) {
        return no_image(image, cause);
    }
    EngineError::Build {
        service: service.to_owned(),
        step: failed.step,
        cause: cause.to_owned(),
        output: failed.output,
    }
}

fn no_image(image: &str, cause: &str) -> EngineError {
    let lookup = format!("failed to resolve source metadata for {image}: ");
    let cause = cause.split_once(&lookup).map_or(cause, |(_, cause)| cause);
    // The name as a user writes it in a Dockerfile.
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    EngineError::NoImage {
        image: image.strip_prefix("library/").unwrap_or(image).to_owned(),
        cause: cause
            .strip_prefix("failed to do request: ")
            .unwrap_or(cause)
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(step: &str, output: &[&str]) -> Failed {
        Failed {
            step: step.to_owned(),
            output: output.iter().map(|&line| line.to_owned()).collect(),
        }
    }

    #[test]
    fn failed_step_is_reported_with_its_output() {
        let message = "failed to solve: process \"/bin/sh -c exit 3\" did not complete \
                       successfully: exit code: 3";
        let error = failure("web", message, Some(failed("[2/3] RUN exit 3", &["no"])));
        assert_eq!(error.output(), ["no"]);
        assert_eq!(
            error.to_string(),
            "the build of `web` failed at `[2/3] RUN exit 3`: process \"/bin/sh -c exit 3\" did \
             not complete successfully: exit code: 3"
        );
    }

    #[test]
    fn failure_before_any_step_drops_builder_prefixes() {
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB \
                       definition: dockerfile parse error line 2: unknown instruction: NONSENSE";
        let EngineError::Build { step, cause, .. } = failure("web", message, None) else {
            panic!("it is the build that failed")
        };
        assert_eq!(step, "");
        assert_eq!(
            cause,
            "dockerfile parse error line 2: unknown instruction: NONSENSE"
        );
    }

    #[test]
    fn unavailable_base_image_is_not_a_build_error() {
        let message = "failed to solve: nowhere/never:1: failed to resolve source metadata for \
                       docker.io/nowhere/never:1: failed to do request: Head \"https://r/v2\": no \
                       such host";
        let step = failed(
            "[internal] load metadata for docker.io/nowhere/never:1",
            &[],
        );
        assert_eq!(
            failure("web", message, Some(step)),
            EngineError::NoImage {
                image: "nowhere/never:1".to_owned(),
                cause: "Head \"https://r/v2\": no such host".to_owned(),
            }
        );
    }

    #[test]
    fn full_disk_is_reported_as_disk_full() {
        let message = "failed to solve: write /x: no space left on device";
        let cause = "write /x: no space left on device".to_owned();
        assert_eq!(
            failure("web", message, None),
            EngineError::DiskFull { cause }
        );
    }
}
