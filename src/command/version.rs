//! `cimandat version`: prints the versions of this program and of a reachable engine.

use super::{CommandError, CommandOutcome, DataFormat, print, print_json};
use crate::engine::docker::{Docker, Settings};

/// The `version` command.
#[derive(Debug)]
pub struct Version {
    /// Output format.
    pub format: DataFormat,
}

impl Version {
    pub(super) async fn run(&self, engine: &Settings) -> Result<CommandOutcome, CommandError> {
        let own = env!("CARGO_PKG_VERSION");
        let found = match Docker::connect(engine).await {
            Ok(docker) => docker.info().await.cloned(),
            Err(error) => Err(error),
        };
        match self.format {
            DataFormat::Json => print_json(&serde_json::json!({
                "version": 1,
                "cimandat": own,
                "engine": found.as_ref().ok(),
                "engine_error": found.as_ref().err().map(ToString::to_string),
            })),
            DataFormat::Text => {
                let engine = match found {
                    Ok(info) => format!(
                        "engine {} (API {}, {}/{}) at {}",
                        info.version, info.api, info.os, info.arch, info.address
                    ),
                    Err(error) => error.to_string(),
                };
                print(&format!("cimandat {own}\n{engine}\n"));
            }
        }
        Ok(CommandOutcome::Ok)
    }
}
