//! `cimandat plan`: what `up` would do, and why; changes nothing.

use super::{CommandError, DataFormat, Done, Scope, deployment, load, rotate, say, say_json};
use crate::project::vault::StoreMode;
use crate::{
    engine::docker::{Docker, Settings},
    plan::{self, Options, Shown},
};

/// Show what `up` would do.
#[derive(Debug)]
pub struct Plan {
    /// What `up` would be told.
    pub options: Options,
    /// Whether changes show in the exit code.
    pub exit_code: bool,
    /// In which form.
    pub format: DataFormat,
}

impl Plan {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
    ) -> Result<Done, CommandError> {
        let named: Vec<_> = self.options.named().into_iter().collect();
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let mut project = request.project(StoreMode::Look)?;
        let engine = Docker::connect(settings).await?;
        if let Some((rotated, _)) = request.unfinished(&engine, &project).await? {
            project = rotated;
        }
        let options = load::with_tags(&project, self.options)?;
        let mut state = deployment::observe(&engine, &project, &options).await?;
        let services = deployment::chosen(&project, &options);
        let images = plan::images(&project, &state, &options, &services);
        let images = images.map_err(CommandError::Refused)?;
        let deploy = deployment::planned(&engine, &project, &options, &mut state).await?;
        let shown = Shown::new(&project, &images, &deploy);
        match self.format {
            DataFormat::Text => say(&shown.text()),
            DataFormat::Json => say_json(&shown),
        }
        Ok(if self.exit_code && shown.changes {
            Done::Changes
        } else {
            Done::Well
        })
    }
}
