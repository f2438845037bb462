//! One deploy of a project, whatever its source: observe, plan, and execute under the lock with a
//! journal. A deploy that changes nothing needs neither lock nor journal.

use std::{collections::BTreeSet, sync::Arc};

use futures::{Stream, join, try_join};

use super::{
    CommandError, CommandOutcome, Console, event_bridge::EventBridge, history, session::Session,
    unfinished,
};
use crate::{
    engine::{EngineError, Query, StateStore},
    event::{Change, Outcome, Purpose, Replica, ServiceSummary},
    graph::Graph,
    journal::{self, Author, Collection, Page, Planned, Writer},
    name::ServiceName,
    plan::{self, DeploymentPlan, Options, Plan},
    project::{ImageSource, Kind, Project, RollbackScope, Service},
    run::{self, FailurePolicy, Run, Stabilization},
    state::State,
};

/// A deploy of a project.
pub(super) struct Deployment<E> {
    pub engine: Arc<E>,
    pub project: Project,
    pub options: Options,
    /// Name of the command: `up`, `rollback`, …
    pub verb: &'static str,
    /// Keep new containers that failed, stopped, for inspection.
    pub keep_failed: bool,
}

/// The planned changes. The images come first.
struct PlannedChange {
    state: State,
    images: Plan,
    deploy: DeploymentPlan,
}

impl PlannedChange {
    fn is_nothing(&self) -> bool {
        self.images.steps.is_empty() && self.deploy.plan.changes_nothing()
    }
}

impl<E: StateStore> Deployment<E> {
    /// Observes and plans. If nothing has to change and no other command is deploying, probes every
    /// gate and returns the outcome. `None`: there is something to do.
    pub async fn noop(
        &self,
        console: Console,
        interrupts: impl Stream<Item = ()>,
    ) -> Result<Option<CommandOutcome>, CommandError> {
        let (engine, project) = (self.engine.as_ref(), &self.project);
        let (state, pages) = observe_with_journal(engine, project, &self.options).await?;
        let standing = unfinished::standing_by(&pages, engine, &project.name).await;
        // During a deploy, or after an interrupted one, the state is intermediate and proves
        // nothing. A corrupt journal is reported by the session, which reads it under the lock.
        if state.locked || !matches!(standing, Ok((_, None))) {
            return Ok(None);
        }
        let wanted = self.plan(state)?;
        if !wanted.is_nothing() {
            return Ok(None);
        }
        let settings = self.settings(&wanted, FailurePolicy::Leave);
        let run = Run::new(wanted.deploy.plan, settings);
        let mut relay = EventBridge::new(console);
        let run = relay.run_final(Arc::clone(&self.engine), run, interrupts);
        Ok(Some(CommandOutcome::Run(Box::pin(run).await.outcome)))
    }

    /// Observes, plans, and executes the plan under the lock.
    pub async fn apply(
        &self,
        session: &mut Session<E>,
        author: impl Future<Output = Author>,
        relay: &mut EventBridge,
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let (wanted, author) = join!(self.wanted(session), author);
        let mut wanted = wanted?;
        if !wanted.images.steps.is_empty() {
            let settings = self.settings(&wanted, FailurePolicy::Leave);
            let images = (wanted.images, settings);
            let run = relay.run_preliminary(Arc::clone(&self.engine), images, &mut interrupts);
            let outcome = Box::pin(run).await;
            if !matches!(outcome.outcome, Outcome::Converged | Outcome::Unchanged) {
                return Ok(CommandOutcome::images(outcome.outcome));
            }
            wanted = self.wanted(session).await?;
        }
        let mut settings = self.settings(&wanted, on_failure(&self.project));
        settings.keep_failed = self.keep_failed;
        if !wanted.deploy.plan.changes_nothing() {
            settings.journal = Some(Writer::new(self.journal_entry(&wanted, author)));
        }
        let run = Run::new(wanted.deploy.plan, settings);
        let outcome = session.carry_out(relay, run, interrupts).await?;
        Ok(CommandOutcome::Run(outcome.outcome))
    }

    /// Observes under the lock, and plans.
    async fn wanted(&self, session: &Session<E>) -> Result<PlannedChange, CommandError> {
        let (engine, project) = (self.engine.as_ref(), &self.project);
        let query = Query {
            kept_images: true,
            ..query(project, &self.options)
        };
        let mut state = session.with_session_facts(engine.observe(&query).await?);
        note_jobs(engine, project, &self.options, &mut state).await?;
        let mut wanted = self.plan(state)?;
        let state = &mut wanted.state;
        wanted.deploy = looked_into(engine, project, &self.options, state, wanted.deploy).await?;
        Ok(wanted)
    }

    fn plan(&self, state: State) -> Result<PlannedChange, CommandError> {
        let (project, options) = (&self.project, &self.options);
        let services = selected(project, options);
        let images = plan::images(project, &state, options, &services);
        let images = images.map_err(CommandError::Refused)?;
        let deploy = plan::deploy(project, &state, options).map_err(CommandError::Refused)?;
        Ok(PlannedChange {
            state,
            images,
            deploy,
        })
    }

    fn settings(&self, wanted: &PlannedChange, on_failure: FailurePolicy) -> run::Settings {
        let state = wanted.state.clone();
        run_settings(self.verb, &self.project, &wanted.deploy, state, on_failure)
    }

    fn journal_entry(&self, wanted: &PlannedChange, author: Author) -> Planned {
        let (project, deploy) = (&self.project, &wanted.deploy);
        let made = plan::made(project, &wanted.state, deploy, &self.options.tags);
        let tags = made.values().filter_map(|made| {
            let tag = plan::tag_of(&project.name, &made.service, made.generation)?;
            Some((made.service.clone(), tag.to_string()))
        });
        Planned {
            generation: deploy.generation,
            verb: self.verb.to_owned(),
            author,
            plan: deploy.plan.clone(),
            origin: wanted.state.clone(),
            project: project.clone(),
            tags: tags.collect(),
            made,
        }
    }
}

impl CommandOutcome {
    /// Returns the outcome of a command whose images are unavailable.
    pub(super) fn images(verdict: Outcome) -> Self {
        match verdict {
            Outcome::Cancelled => Self::Run(verdict),
            _ => Self::ImageFailure,
        }
    }
}

/// Observes the part of the engine that concerns this project.
pub(super) async fn observe(
    engine: &impl StateStore,
    project: &Project,
    options: &Options,
) -> Result<State, CommandError> {
    let (state, _) = observe_with_journal(engine, project, options).await?;
    Ok(state)
}

/// As [`observe`], and returns the journal as well.
async fn observe_with_journal(
    engine: &impl StateStore,
    project: &Project,
    options: &Options,
) -> Result<(State, Vec<Page>), CommandError> {
    let (mut state, pages) = with_identities(engine, &query(project, options)).await?;
    note_jobs(engine, project, options, &mut state).await?;
    Ok((state, pages))
}

/// Builds the query for a project.
fn query(project: &Project, options: &Options) -> Query {
    let references = project
        .services
        .values()
        .filter_map(|service| match &service.image {
            ImageSource::Reference(image) => Some(image.clone()),
            ImageSource::Build(_) | ImageSource::Of(_) => None,
        });
    Query {
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
        kept_images: false,
        databases: BTreeSet::new(),
    }
}

/// Observes the engine, with the object ids that the last deploy recorded in the journal. Returns
/// the journal as well.
pub(super) async fn with_identities(
    engine: &impl StateStore,
    query: &Query,
) -> Result<(State, Vec<Page>), EngineError> {
    let (state, pages) = try_join!(
        engine.observe(query),
        engine.read_pages(&query.project, Collection::Journal),
    )?;
    let identities = journal::identities(&pages);
    Ok((
        State {
            identities,
            ..state
        },
        pages,
    ))
}

/// Reads the history if only the history can tell whether a job has to run.
async fn note_jobs(
    engine: &impl StateStore,
    project: &Project,
    options: &Options,
    state: &mut State,
) -> Result<(), CommandError> {
    let jobs = plan::jobs_in_question(project, state);
    if jobs.is_empty() {
        return Ok(());
    }
    let entries = history::entries(engine, &project.name).await?;
    for job in jobs.iter().filter_map(|name| project.services.get(name)) {
        let image = plan::image_of(project, &options.tags, job);
        let image = image.and_then(|image| state.images.get(&image));
        let image = image.map(|it| it.id.as_str());
        if let Some(record) = journal::job_record(&entries, job, image) {
            state.job_records.insert(job.name.clone(), record);
        } else if journal::is_unrecorded(&entries, &job.name, !state.containers.is_empty()) {
            state.unrecorded_jobs.insert(job.name.clone());
        }
    }
    Ok(())
}

/// Plans a deploy. If something changes, first inspects the data of the databases in question and
/// the kept images.
pub(super) async fn plan_with_databases(
    engine: &impl StateStore,
    project: &Project,
    options: &Options,
    state: &mut State,
) -> Result<DeploymentPlan, CommandError> {
    let deploy = plan::deploy(project, state, options).map_err(CommandError::Refused)?;
    looked_into(engine, project, options, state, deploy).await
}

/// Plans again if the plan depends on facts that have not been observed yet.
async fn looked_into(
    engine: &impl StateStore,
    project: &Project,
    options: &Options,
    state: &mut State,
    deploy: DeploymentPlan,
) -> Result<DeploymentPlan, CommandError> {
    if deploy.plan.changes_nothing() {
        return Ok(deploy);
    }
    let databases = plan::databases_in_question(project, state, options, &deploy);
    if databases.is_empty() && state.kept_images.is_some() {
        return Ok(deploy);
    }
    let query = Query {
        databases,
        kept_images: true,
        ..Query::of(project.name.clone())
    };
    let more = engine.observe(&query).await?;
    (state.databases, state.kept_images) = (more.databases, more.kept_images);
    plan::deploy(project, state, options).map_err(CommandError::Refused)
}

/// Returns the services that a deploy concerns.
pub(super) fn selected(project: &Project, options: &Options) -> BTreeSet<ServiceName> {
    if options.services.is_empty() {
        project.services.keys().cloned().collect()
    } else {
        Graph::of(project).with_dependencies(&options.named())
    }
}

fn run_settings(
    verb: &str,
    project: &Project,
    deploy: &DeploymentPlan,
    origin: State,
    on_failure: FailurePolicy,
) -> run::Settings {
    let update = deploy
        .decisions
        .iter()
        .any(|decision| decision.change == Change::Replace);
    let settle = match project.deploy.stabilize {
        _ if deploy.plan.changes_nothing() => Stabilization::NONE,
        Some(settle) => Stabilization::For(settle),
        None if update => Stabilization::ByEvidence,
        // A first deploy cannot be rolled back to anything, and the gates of its services decide.
        None => Stabilization::NONE,
    };
    run::Settings {
        project: project.name.clone(),
        verb: verb.to_owned(),
        services: participants(project, deploy),
        purpose: Purpose::Project,
        origin,
        on_failure,
        stabilization: settle,
        deadline: project.deploy.deadline,
        keep_failed: false,
        journal: None,
        images_at_a_time: None,
    }
}

/// Returns the manifest's policy for a failed deploy.
fn on_failure(project: &Project) -> FailurePolicy {
    match project.deploy.rollback {
        RollbackScope::All => FailurePolicy::RollbackAll,
        RollbackScope::Subtree => FailurePolicy::RollbackSubtree,
        RollbackScope::None => FailurePolicy::Leave,
    }
}

/// Lists all services in dependency order with their changes, followed by the services that were
/// removed from the manifest.
fn participants(project: &Project, deploy: &DeploymentPlan) -> Vec<ServiceSummary> {
    let order = Graph::of(project).order().unwrap_or_default();
    let asked: BTreeSet<&ServiceName> = deploy.decisions.iter().map(|it| &it.service).collect();
    let declared = order.iter().filter(|name| asked.contains(name));
    let orphans = asked.iter().copied();
    let orphans = orphans.filter(|name| !project.services.contains_key(*name));
    declared
        .chain(orphans)
        .map(|name| participant(name, project.services.get(name), deploy))
        .collect()
}

/// Summarizes the changes of one service; `service` is `None` if it was removed from the manifest.
fn participant(
    name: &ServiceName,
    service: Option<&Service>,
    deploy: &DeploymentPlan,
) -> ServiceSummary {
    let decisions = deploy.decisions.iter().filter(|it| it.service == *name);
    let containers: Vec<Replica> = decisions
        .map(|decision| Replica {
            replica: decision.replica,
            change: decision.change,
        })
        .collect();
    let changes = containers.iter().map(|it| it.change);
    // Surplus replicas that are removed do not count as a change of a declared service.
    let stays = changes.filter(|change| service.is_none() || *change != Change::Remove);
    ServiceSummary {
        service: name.clone(),
        job: service.is_some_and(|it| matches!(it.kind, Kind::Job { .. })),
        replicas: service.map_or(1, |it| it.replicas),
        change: stays.max().unwrap_or(Change::NoOp),
        depends_on: service.map_or_else(Vec::new, |it| it.depends_on.keys().cloned().collect()),
        containers,
    }
}
