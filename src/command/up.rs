//! `cimandat up`: from what is there to what the manifest says, or back.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    future::{Either, select},
};

use super::{CommandError, Console, Done, Logs, Scope, load, relay::Relay, rotate};
use crate::{
    engine::{
        Engine, EngineError, Query,
        docker::{Docker, Settings},
    },
    event::{Change, Participant, Verdict},
    graph::Graph,
    name::ServiceName,
    plan::{self, Deploy, Options},
    project::{ImageSource, Kind, Project, RollbackScope},
    run::{self, OnFailure, Run},
    state::State,
};

/// How long an update of something that runs has to stay well before it counts; a first deploy has
/// nothing to go back to, and its services' own gates decide.
const SETTLE_UPDATE: Duration = Duration::from_secs(5);

/// Deploy.
#[derive(Debug)]
pub struct Up {
    /// What it is told.
    pub options: Options,
    /// The longest that any gate may take, instead of its own deadline.
    pub wait_timeout: Option<Duration>,
    /// Follow the logs when all is ready.
    pub attach: bool,
    /// Secrets and certificates that get new values; with some, this is a rotation.
    pub rotate: BTreeSet<String>,
}

impl Up {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let named: Vec<_> = self.options.named().into_iter().collect();
        // The engine is asked for before a secret is made: without one nothing is to be left behind.
        let engine = Arc::new(Docker::connect(settings).await?);
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let (mut project, turn) = request.begin(engine.as_ref(), &self.rotate).await?;
        if let Some(within) = self.wait_timeout {
            project
                .services
                .values_mut()
                .for_each(|service| service.ready.within = within);
        }
        let options = load::with_tags(&project, self.options)?;
        let services = chosen(&project, &options);
        let mut state = observe(engine.as_ref(), &project, &options).await?;
        let images = plan::images(&project, &state, &options, &services);
        let images = images.map_err(CommandError::Refused)?;
        let mut deploy = plan::deploy(&project, &state, &options).map_err(CommandError::Refused)?;
        let mut interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        let mut relay = Relay::new(console);
        relay.before_the_end(turn.remark());
        let verb = if self.rotate.is_empty() {
            "up"
        } else {
            "rotate"
        };
        if !images.steps.is_empty() {
            let settings = run_settings(verb, &project, &deploy, state, OnFailure::Stay);
            let outcome = relay
                .first(Arc::clone(&engine), (images, settings), &mut interrupts)
                .await;
            if !matches!(outcome.verdict, Verdict::Converged | Verdict::Unchanged) {
                return Ok(Done::images(outcome.verdict));
            }
            state = observe(engine.as_ref(), &project, &options).await?;
            deploy = plan::deploy(&project, &state, &options).map_err(CommandError::Refused)?;
        }
        let settings = run_settings(verb, &project, &deploy, state, on_failure(&project));
        let run = Run::new(deploy.plan, settings);
        let outcome = relay.last(Arc::clone(&engine), run, &mut interrupts).await;
        turn.ended(outcome.verdict)?;
        let well = matches!(outcome.verdict, Verdict::Converged | Verdict::Unchanged);
        if well && self.attach {
            drop(relay);
            let logs = Logs::following(named);
            let shown = pin!(logs.show(engine.as_ref(), &project.name, console));
            // Ctrl-C ends the watching, not what is watched.
            return match select(shown, interrupts.next()).await {
                Either::Left((shown, _)) => shown,
                Either::Right(_) => Ok(Done::Run(outcome.verdict)),
            };
        }
        Ok(Done::Run(outcome.verdict))
    }
}

impl Done {
    /// How a command ended whose images could not be had.
    pub(super) fn images(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Interrupted => Self::Run(verdict),
            _ => Self::NoImages,
        }
    }
}

/// What the engine has, as far as this project is concerned.
pub(super) async fn observe(
    engine: &impl Engine,
    project: &Project,
    options: &Options,
) -> Result<State, EngineError> {
    let references = project
        .services
        .values()
        .filter_map(|service| match &service.image {
            ImageSource::Reference(image) => Some(image.clone()),
            ImageSource::Build(_) | ImageSource::Of(_) => None,
        });
    engine
        .observe(&Query {
            project: project.name.clone(),
            images: references.chain(options.tags.values().cloned()).collect(),
            networks: project
                .networks
                .values()
                .map(|it| it.engine_name.clone())
                .collect(),
            volumes: project
                .volumes
                .values()
                .map(|it| it.engine_name.clone())
                .collect(),
            own_images: false,
        })
        .await
}

/// The services that a deploy is about.
pub(super) fn chosen(project: &Project, options: &Options) -> BTreeSet<ServiceName> {
    if options.services.is_empty() {
        project.services.keys().cloned().collect()
    } else {
        Graph::of(project).with_dependencies(&options.named())
    }
}

fn run_settings(
    verb: &str,
    project: &Project,
    deploy: &Deploy,
    origin: State,
    on_failure: OnFailure,
) -> run::Settings {
    let update = deploy
        .decisions
        .iter()
        .any(|decision| decision.change == Change::Replace);
    let settle = match project.deploy.settle {
        _ if deploy.plan.changes_nothing() => Duration::ZERO,
        Some(settle) => settle,
        None if update => SETTLE_UPDATE,
        None => Duration::ZERO,
    };
    run::Settings {
        project: project.name.clone(),
        verb: verb.to_owned(),
        services: participants(project, deploy),
        origin,
        on_failure,
        settle,
        deadline: project.deploy.deadline,
        images_at_a_time: None,
    }
}

/// What the manifest wants to be done when something fails.
fn on_failure(project: &Project) -> OnFailure {
    match project.deploy.rollback {
        RollbackScope::All | RollbackScope::Subtree => OnFailure::GoBack,
        RollbackScope::None => OnFailure::Stay,
    }
}

/// All services in dependency order, each with what happens to it.
fn participants(project: &Project, deploy: &Deploy) -> Vec<Participant> {
    let order = Graph::of(project).order().unwrap_or_default();
    let asked: BTreeSet<&ServiceName> = deploy.decisions.iter().map(|it| &it.service).collect();
    order
        .iter()
        .filter(|name| asked.contains(name))
        .filter_map(|name| project.services.get(name))
        .map(|service| Participant {
            service: service.name.clone(),
            job: matches!(service.kind, Kind::Job { .. }),
            replicas: service.replicas,
            change: deploy
                .decisions
                .iter()
                .filter(|decision| decision.service == service.name)
                .map(|decision| decision.change)
                .max()
                .unwrap_or(Change::Keep),
            waits_for: service.depends_on.keys().cloned().collect(),
        })
        .collect()
}
