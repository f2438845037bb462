//! `cimandat plan`: shows what `up` would do, and why. Changes nothing.

use super::{
    CommandError, CommandOutcome, Console, DataFormat, ProjectSelector, deployment, load, print,
    print_json, rotate, simulate,
    unfinished::{self, Unfinished},
};
use crate::{
    engine::docker::{Docker, Settings},
    plan::{self, Options, PlanView},
    project::{Project, vault::StoreMode},
};

/// The `plan` command.
#[derive(Debug)]
pub struct Plan {
    /// Options of `up`.
    pub options: Options,
    /// Return exit code 2 if there are changes.
    pub exit_code: bool,
    /// Output format.
    pub format: DataFormat,
}

impl Plan {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let named: Vec<_> = self.options.named().into_iter().collect();
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let project = request.project(StoreMode::ReadOnly)?;
        let engine = Docker::connect(settings).await?;
        let (last_deploy, unfinished) = unfinished::standing(&engine, &project.name).await?;
        let interrupted = unfinished.as_ref().is_some_and(Unfinished::is_interrupted);
        let shown = if interrupted {
            // An interrupted deploy leaves a mix of two generations, so the plan starts after its
            // recovery.
            let options = self.options.clone();
            let planned = simulate::planned_after_recovery(options, scope, settings, console);
            let (project, images, deploy) = Box::pin(planned).await?;
            PlanView::new(&project, &images, &deploy)
        } else {
            self.shown(&engine, request, (project, last_deploy)).await?
        };
        let changes = shown.changes || interrupted;
        match self.format {
            DataFormat::Text => {
                let first = unfinished.map(|it| format!("{}\n", it.text()));
                print(&format!("{}{}", first.unwrap_or_default(), shown.text()));
            }
            DataFormat::Json => match unfinished {
                None => print_json(&shown),
                Some(unfinished) => {
                    let mut value = serde_json::to_value(&shown).unwrap_or_default();
                    value["unfinished"] = unfinished.json();
                    print_json(&value);
                }
            },
        }
        Ok(if self.exit_code && changes {
            CommandOutcome::ChangesPending
        } else {
            CommandOutcome::Ok
        })
    }

    /// Plans from the observed state.
    async fn shown(
        &self,
        engine: &Docker,
        request: rotate::Request<'_>,
        (mut project, last_deploy): (Project, u64),
    ) -> Result<PlanView, CommandError> {
        if let Some((rotated, _)) = request.unfinished(engine, &project).await? {
            project = rotated;
        }
        let options = load::with_tags(&project, self.options.clone())?;
        let mut state = deployment::observe(engine, &project, &options).await?;
        state.last_deploy = last_deploy;
        let services = deployment::selected(&project, &options);
        let images = plan::images(&project, &state, &options, &services);
        let images = images.map_err(CommandError::Refused)?;
        let deploy =
            deployment::plan_with_databases(engine, &project, &options, &mut state).await?;
        Ok(PlanView::new(&project, &images, &deploy))
    }
}
