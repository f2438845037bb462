//! `cimandat rehearse`: carries out on a simulated engine what `up` would do, with what the user
//! lets go wrong, and shows what would happen.
//!
//! The world is seeded from what the real engine shows, which is only looked at; deploy, session,
//! journal and recovery are those of `up`.

mod afterwards;
mod cue;
mod everywhere;
mod fault;
mod perform;
mod scene;

use std::time::Duration;

pub use self::fault::Fault;
use self::scene::Scene;
use super::{CommandError, Console, Done, Progress, Scope, Stage, say_json, warn};
use crate::{
    engine::docker::Settings,
    plan::{Deploy, Options, Plan},
    project::Project,
};

/// Carry out on a simulated engine what `up` would do.
#[derive(Debug)]
pub struct Rehearse {
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
    scope: &Scope,
    settings: &Settings,
    console: Console,
) -> Result<(Project, Plan, Deploy), CommandError> {
    let rehearse = Rehearse {
        options,
        wait_timeout: None,
        keep_failed: false,
        faults: Vec::new(),
        from_nothing: false,
        calls: false,
        crash_everywhere: false,
    };
    let scene = Box::pin(Scene::look(&rehearse, scope, settings)).await?;
    let stage = Stage::Trial;
    let console = Console { stage, ..console };
    let planned = everywhere::apart(move || {
        let (images, deploy) = perform::planned_after_recovery(&scene, console)?;
        Ok((scene.project, images, deploy))
    });
    planned.await
}

impl Rehearse {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let scene = Box::pin(Scene::look(&self, scope, settings)).await?;
        if self.crash_everywhere {
            return everywhere::run(scene, console).await;
        }
        let stage = Stage::Rehearsal;
        let console = Console { stage, ..console };
        let calls = self.calls;
        let told = everywhere::apart(move || {
            let told = perform::perform(&scene, console, None)?;
            if told.end.is_ok() {
                if console.progress == Progress::Json {
                    say_json(&afterwards::json(&scene, &told, calls));
                } else {
                    warn(&afterwards::text(&scene, &told, calls));
                }
            }
            Ok(told)
        });
        told.await?.end
    }
}
