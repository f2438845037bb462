//! `cimandat build`: builds the images whose inputs changed, and nothing else.

use std::sync::Arc;

use super::{
    CommandError, CommandOutcome, Console, ProjectSelector, deployment, event_bridge::EventBridge,
    load,
};
use crate::project::vault::StoreMode;
use crate::{
    engine::docker::{Docker, Settings},
    event::{Change, Outcome, Purpose, ServiceSummary},
    name::ServiceName,
    plan::{self, BuildPolicy, Options, Subject},
    project::{ImageSource, PullPolicy},
    run::{self, FailurePolicy, Run},
};

/// The `build` command.
#[derive(Debug)]
pub struct Build {
    /// Services to build; empty: all.
    pub services: Vec<ServiceName>,
    /// Do not use cached layers.
    pub no_cache: bool,
    /// Always look for newer base images in the registry.
    pub pull: bool,
}

impl Build {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let engine = Arc::new(Docker::connect(settings).await?);
        let mut project = load::project(scope, settings, StoreMode::ReadOnly, &self.services)?;
        for service in project.services.values_mut() {
            // Only images that are built here matter, so other images are not pulled again.
            service.pull = PullPolicy::Missing;
            if let ImageSource::Build(build) = &mut service.image {
                build.no_cache |= self.no_cache;
                build.pull |= self.pull;
            }
        }
        let again = self.no_cache || self.pull;
        let options = Options {
            services: self.services.into_iter().collect(),
            build: if again {
                BuildPolicy::Always
            } else {
                BuildPolicy::Missing
            },
            ..Options::default()
        };
        let options = load::with_tags(&project, options)?;
        let state = deployment::observe(engine.as_ref(), &project, &options).await?;
        let services = if options.services.is_empty() {
            project.services.keys().cloned().collect()
        } else {
            options.services.clone()
        };
        let built = services
            .iter()
            .filter(|name| options.tags.contains_key(*name))
            .cloned();
        let plan = plan::images(&project, &state, &options, &built.collect());
        let plan = plan.map_err(CommandError::Refused)?;
        let settings = run::Settings {
            project: project.name.clone(),
            verb: "build".to_owned(),
            services: participants(&plan),
            purpose: Purpose::Project,
            origin: state,
            on_failure: FailurePolicy::Leave,
            stabilization: run::Stabilization::NONE,
            deadline: None,
            journal: None,
            keep_failed: false,
            images_at_a_time: None,
        };
        let mut interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        let mut relay = EventBridge::new(console);
        let run = relay.run_final(engine, Run::new(plan, settings), &mut interrupts);
        let outcome = Box::pin(run).await;
        Ok(match outcome.outcome {
            verdict @ (Outcome::Converged | Outcome::Unchanged) => CommandOutcome::Run(verdict),
            verdict => CommandOutcome::images(verdict),
        })
    }
}

fn participants(plan: &plan::Plan) -> Vec<ServiceSummary> {
    let of = |step: &plan::Step| match &step.subject {
        Subject::Image { name } => Some(ServiceSummary {
            service: name.clone(),
            job: false,
            replicas: 1,
            change: Change::NoOp,
            depends_on: Vec::new(),
            containers: Vec::new(),
        }),
        _ => None,
    };
    plan.steps.iter().filter_map(of).collect()
}
