//! `cimandat simulate`: runs `up` on a simulated engine, with the faults that the user requested,
//! and reports the result.
//!
//! The simulation starts from the state of the real engine, which is only read. Deploy, session,
//! journal and recovery use the same code as `up`.

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

/// The `simulate` command.
#[derive(Debug)]
pub struct Simulate {
    /// Options of `up`.
    pub options: Options,
    /// Readiness timeout of every gate, in place of the gate's own.
    pub ready_timeout: Option<Duration>,
    /// Keep new containers that failed.
    pub keep_failed: bool,
    /// Faults to inject.
    pub faults: Vec<Fault>,
    /// Start with an empty engine, and do not contact the real one.
    pub empty: bool,
    /// List the calls that change something.
    pub list_calls: bool,
    /// Kill `cimandat` at each call in turn.
    pub crash_matrix: bool,
}

/// Plans `up` on a simulated engine after the recovery of an interrupted deploy.
pub(super) async fn planned_after_recovery(
    options: Options,
    scope: &ProjectSelector,
    settings: &Settings,
    console: Console,
) -> Result<(Project, Plan, DeploymentPlan), CommandError> {
    let simulate = Simulate {
        options,
        ready_timeout: None,
        keep_failed: false,
        faults: Vec::new(),
        empty: false,
        list_calls: false,
        crash_matrix: false,
    };
    let scene = Box::pin(SimulationSetup::look(&simulate, scope, settings)).await?;
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
        if self.crash_matrix {
            return crash_matrix::run(scene, console).await;
        }
        let stage = ExecutionMode::Simulated;
        let console = Console { stage, ..console };
        let calls = self.list_calls;
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
