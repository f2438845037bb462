//! `cimandat rehearse`: carries out on a simulated engine what `up` would do, with what the user
//! lets go wrong, and shows what would happen.
//!
//! The world is seeded from what the real engine shows, which is only looked at; deploy, session,
//! journal and recovery are those of `up`.

mod crash_matrix;
mod fault;
mod inject;
mod report;
mod run;
mod setup;

use std::time::Duration;

pub use self::fault::Fault;
use self::setup::SimulationSetup;
use super::{
    CommandError, CommandOutcome, Console, ExecutionMode, OutputMode, ProjectSelector, eprint,
    print_json,
};
use crate::{
    engine::docker::Settings,
    plan::{DeploymentPlan, Options, Plan},
    project::Project,
};

/// Carry out on a simulated engine what `up` would do.
#[derive(Debug)]
pub struct Simulate {
    /// What `up` would be told.
    pub options: Options,
    /// The longest that any gate may take, instead of its own deadline.
    pub wait_timeout: Option<Duration>,
    /// Keep new containers that failed.
    pub keep_failed: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Begin with an empty engine; no other one is asked.
    pub from_nothing: bool,
    /// List the calls that change something.
    pub calls: bool,
    /// Kill it at each call in turn.
    pub crash_everywhere: bool,
}

/// What `up` would do with a deploy that was interrupted brought to its end first, as a simulated
/// engine shows it.
pub(super) async fn planned_after_recovery(
    options: Options,
    scope: &ProjectSelector,
    settings: &Settings,
    console: Console,
) -> Result<(Project, Plan, DeploymentPlan), CommandError> {
    let rehearse = Simulate {
        options,
        wait_timeout: None,
        keep_failed: false,
        faults: Vec::new(),
        from_nothing: false,
        calls: false,
        crash_everywhere: false,
    };
    let scene = Box::pin(SimulationSetup::look(&rehearse, scope, settings)).await?;
    let stage = ExecutionMode::Silent;
    let console = Console { stage, ..console };
    let planned = crash_matrix::on_own_thread(move || {
        let (images, deploy) = run::planned_after_recovery(&scene, console)?;
        Ok((scene.project, images, deploy))
    });
    planned.await
}

impl Simulate {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let scene = Box::pin(SimulationSetup::look(&self, scope, settings)).await?;
        if self.crash_everywhere {
            return crash_matrix::run(scene, console).await;
        }
        let stage = ExecutionMode::Simulated;
        let console = Console { stage, ..console };
        let calls = self.calls;
        let told = crash_matrix::on_own_thread(move || {
            let told = run::perform(&scene, console, None)?;
            if told.end.is_ok() {
                if console.progress == OutputMode::Json {
                    print_json(&report::json(&scene, &told, calls));
                } else {
                    eprint(&report::text(&scene, &told, calls));
                }
            }
            Ok(told)
        });
        told.await?.end
    }
}
