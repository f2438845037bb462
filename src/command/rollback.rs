//! `cimandat rollback`: deploys an earlier generation unchanged, with the same gates as any other
//! deploy.
//!
//! Needs no manifest and no build: the history contains the definition of the generation, its
//! containers are kept for a while, and its images for longer.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use jiff::Timestamp;

use super::{
    CommandError, CommandOutcome, Console, ProjectSelector,
    deployment::Deployment,
    event_bridge::EventBridge,
    history, identity, load,
    session::{LockRequest, Session},
};
use crate::{
    engine::{
        StateStore,
        docker::{Docker, Settings},
    },
    event::Outcome,
    journal::HistoryEntry,
    name::{ImageRef, ProjectName, ServiceName},
    plan::{Options, PreflightError},
    project::{
        ImageSource, Kind, Project, PullPolicy, Service,
        authority::Authority,
        unseal,
        vault::{SecretStore, StoreMode, StoreRoot},
    },
    run,
    state::State,
};

/// The `rollback` command.
#[derive(Debug)]
pub struct Rollback {
    /// Generation to deploy; `None`: the one before the current one.
    pub generation: Option<u64>,
    /// How long to wait for a lock that another process holds; zero: not at all.
    pub lock_timeout: Duration,
}

impl Rollback {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Arc::new(Docker::connect(settings).await?);
        let interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        self.on((&engine, &project), (scope, console), interrupts)
            .await
    }

    /// Runs the command on any engine, real or simulated.
    pub async fn on<E: StateStore>(
        &self,
        (engine, project): (&Arc<E>, &ProjectName),
        (scope, console): (&ProjectSelector, Console),
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let terms = LockRequest {
            scope,
            project,
            verb: "rollback",
            patience: self.lock_timeout,
            writes: true,
            all_goes: false,
            console,
        };
        let begun = Session::begin_unless(engine, terms, &mut interrupts).await?;
        let Some(mut session) = begun else {
            return Ok(CommandOutcome::Run(Outcome::Cancelled));
        };
        let done = self.deploy(engine, &mut session, (scope, console), &mut interrupts);
        let done = Box::pin(done).await;
        session.end(done).await
    }

    async fn deploy<E: StateStore>(
        &self,
        engine: &Arc<E>,
        session: &mut Session<E>,
        (scope, console): (&ProjectSelector, Console),
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        // An interrupted deploy is ended first, because its outcome determines the current
        // generation.
        if let Some(done) = session.recover_first(console, &mut interrupts).await? {
            return Ok(done);
        }
        let deployment = Deployment {
            project: self.target(engine.as_ref(), session.project()).await?,
            engine: Arc::clone(engine),
            options: Options {
                restart_kept: true,
                ..Options::default()
            },
            verb: "rollback",
            keep_failed: false,
        };
        let mut relay = EventBridge::new(console);
        let author = identity::author(scope, &deployment.project.directory);
        deployment
            .apply(session, author, &mut relay, &mut interrupts)
            .await
    }

    /// Returns the project as it was in the target generation.
    async fn target(
        &self,
        engine: &impl StateStore,
        project: &ProjectName,
    ) -> Result<Project, CommandError> {
        let entries = history::entries(engine, project).await?;
        let entry = self.choose(&entries).map_err(CommandError::Usage)?;
        let entries = std::slice::from_ref(entry);
        let state = engine.observe(&history::query(project, entries)).await?;
        let mut restored = restored(entry, &state).map_err(CommandError::Refused)?;
        let (root, look) = (StoreRoot::of(&restored), StoreMode::ReadOnly);
        let vault = SecretStore::new(&root, look);
        let authority = Authority::new(&root, project, look, Timestamp::now());
        unseal(&mut restored, &vault, &authority);
        Ok(restored)
    }

    fn choose<'a>(&self, entries: &'a [HistoryEntry]) -> Result<&'a HistoryEntry, String> {
        let committed = || entries.iter().filter(|entry| entry.committed());
        let known = || {
            let known: Vec<String> = committed().map(|it| it.generation.to_string()).collect();
            if known.is_empty() {
                "none is remembered".to_owned()
            } else {
                format!("remembered are {}", known.join(", "))
            }
        };
        match self.generation {
            Some(wanted) => committed()
                .find(|entry| entry.generation == wanted)
                .ok_or_else(|| {
                    format!(
                        "there is no generation {wanted} to roll back to; {}",
                        known()
                    )
                }),
            // After a partly committed deploy, the target is the generation before it.
            None => entries
                .iter()
                .rev()
                .skip_while(|entry| !entry.has_live_containers())
                .skip(1)
                .find(|entry| entry.committed())
                .ok_or_else(|| {
                    format!(
                        "there is no earlier generation to roll back to; {}",
                        known()
                    )
                }),
        }
    }
}

/// Restores the project of a history entry. Each image gets a reference that still resolves to it.
fn restored(entry: &HistoryEntry, state: &State) -> Result<Project, Vec<PreflightError>> {
    let mut project = entry.project.clone();
    project.services.retain(|name, service| {
        matches!(service.kind, Kind::Service) || job_completed(name, service, state)
    });
    let kept: Vec<ServiceName> = project.services.keys().cloned().collect();
    let mut refusals = Vec::new();
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, _| kept.contains(name));
        match image(entry, &service.name, state) {
            Some(image) => {
                service.image = ImageSource::Reference(image);
                service.pull = PullPolicy::Missing;
            }
            None => refusals.push(PreflightError::ImageLost {
                service: service.name.clone(),
                generation: entry.generation,
            }),
        }
    }
    if refusals.is_empty() {
        Ok(project)
    } else {
        Err(refusals)
    }
}

/// Whether a job of an earlier generation is part of its rollback. A completed job is never run
/// again, so it is included only if its container still exists as proof.
fn job_completed(name: &ServiceName, job: &Service, state: &State) -> bool {
    let desired = serde_json::to_value(job.spec_of(1)).unwrap_or_default();
    state.containers.values().any(|container| {
        let record = container.record.as_ref();
        container.service == *name
            && container.condition.exit_code == Some(0)
            && record.is_some_and(|record| record.spec == desired)
    })
}

/// Returns a reference to the image that a service had: the tag of its generation, its id, or a
/// registry digest.
fn image(entry: &HistoryEntry, service: &ServiceName, state: &State) -> Option<ImageRef> {
    let made = entry.made.values().find(|made| made.service == *service)?;
    let there = |name: &str| {
        let name = ImageRef::new(name).ok()?;
        let facts = state.images.get(&name)?;
        (facts.id == made.image).then_some(name)
    };
    let tag = entry.tags.get(service).and_then(|tag| there(tag));
    tag.or_else(|| there(&made.image)).or_else(|| {
        let mut pinned = made.digests.iter();
        pinned.find_map(|name| ImageRef::new(name.as_str()).ok())
    })
}
