//! `cimandat down`: removes all objects of the project. Volumes are removed only on request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::Stream;

use super::{
    CommandError, CommandOutcome, Console, ProjectSelector,
    event_bridge::EventBridge,
    history, load,
    session::{LockRequest, Session},
};
use crate::{
    engine::{
        Query, StateStore,
        docker::{Docker, Settings},
    },
    event::{Change, Outcome, Purpose, Replica, ServiceSummary},
    name::{ImageRef, ProjectName, ServiceName},
    plan::{self, DownOptions, SharedVolume},
    project::{Kind, MountKind, Project, Service},
    run::{self, FailurePolicy, Run},
    state::State,
};

/// The `down` command.
#[derive(Debug)]
pub struct Down {
    /// Objects to remove.
    pub removal: DownOptions,
    /// How long to wait for a lock that another process holds; zero: not at all.
    pub lock_timeout: Duration,
}

impl Down {
    pub(super) async fn run(
        mut self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        if self.removal.services.is_empty()
            && let Ok(manifest) = load::manifest(scope)
        {
            self.removal.declared = manifest.services.keys().cloned().collect();
        }
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
            verb: "down",
            patience: self.lock_timeout,
            writes: false,
            all_goes: self.removal.services.is_empty(),
            console,
        };
        if !self.removal.services.is_empty() {
            let state = engine.observe(&Query::of(project.clone())).await?;
            load::refuse_strangers(scope, &state, &self.removal.services)?;
        }
        let begun = Session::begin_unless(engine, terms, &mut interrupts).await?;
        let Some(mut session) = begun else {
            return Ok(CommandOutcome::Run(Outcome::Cancelled));
        };
        let done = self.remove((engine, project), &mut session, console, &mut interrupts);
        let done = Box::pin(done).await;
        session.end(done).await
    }

    /// Returns the removal options, completed with tags and mounts that only the history knows.
    async fn recorded(
        &self,
        engine: &impl StateStore,
        project: &ProjectName,
    ) -> Result<DownOptions, CommandError> {
        let mut removal = self.removal.clone();
        let whole = removal.services.is_empty();
        if !whole && !removal.volumes {
            return Ok(removal);
        }
        let entries = history::entries(engine, project).await?;
        if whole {
            let tags = entries.iter().flat_map(|entry| entry.tags.values());
            removal.tags = tags
                .filter_map(|tag| ImageRef::new(tag.as_str()).ok())
                .collect();
        } else if let Some(current) = history::current(&entries) {
            removal.mounts = mounts(&current.project);
        }
        Ok(removal)
    }

    async fn remove<E: StateStore>(
        &self,
        (engine, project): (&Arc<E>, &ProjectName),
        session: &mut Session<E>,
        console: Console,
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let whole = self.removal.services.is_empty();
        if whole {
            session.mark_failed("taken down").await?;
        } else if let Some(done) = session.recover_first(console, &mut interrupts).await? {
            return Ok(done);
        }
        let query = Query {
            own_images: self.removal.images,
            kept_images: true,
            ..Query::of(project.clone())
        };
        let state = engine.observe(&query).await?;
        let removal = self.recorded(engine.as_ref(), project).await?;
        let plan = plan::down(project.as_str(), &state, &removal);
        let settings = run::Settings {
            verb: "down".to_owned(),
            services: participants(&state, &self.removal),
            purpose: if whole {
                Purpose::Project
            } else {
                Purpose::Services
            },
            on_failure: FailurePolicy::Continue,
            origin: state,
            stabilization: run::Stabilization::NONE,
            deadline: None,
            journal: None,
            keep_failed: false,
            images_at_a_time: None,
            project: project.clone(),
        };
        let mut relay = EventBridge::new(console);
        let shared = plan::shared_volumes(project.as_str(), &settings.origin, &removal);
        relay.on_finish(Box::new(move |_| kept(&shared)));
        let run = Run::new(plan, settings);
        let outcome = session.carry_out(&mut relay, run, interrupts).await?;
        if whole && matches!(outcome.outcome, Outcome::Converged | Outcome::Unchanged) {
            engine.remove_store(project).await?;
        }
        Ok(CommandOutcome::Run(outcome.outcome))
    }
}

/// Formats the note about shared volumes that are kept although their removal was requested.
fn kept(shared: &[SharedVolume]) -> Option<String> {
    let those = shared.iter().map(|volume| {
        let name = &volume.name;
        let users: Vec<String> = volume.users.iter().map(|it| format!("`{it}`")).collect();
        if users.is_empty() {
            format!("volume `{name}` is kept, as a container outside of the project uses it")
        } else {
            let verb = if users.len() == 1 { "uses" } else { "use" };
            let users = users.join(", ");
            format!("volume `{name}` is kept, as {users} {verb} it too")
        }
    });
    let those: Vec<String> = those.collect();
    (!those.is_empty()).then(|| those.join("; "))
}

/// Maps each service to the engine names of its named volumes.
fn mounts(project: &Project) -> BTreeMap<ServiceName, BTreeSet<String>> {
    let named = |service: &Service| {
        let mounts = service.container.mounts.iter();
        let names = mounts.filter_map(|mount| match &mount.kind {
            MountKind::Volume { engine_name, .. } => Some(engine_name.clone()),
            _ => None,
        });
        (service.name.clone(), names.collect())
    };
    project.services.values().map(named).collect()
}

fn participants(state: &State, removal: &DownOptions) -> Vec<ServiceSummary> {
    let services: BTreeSet<&ServiceName> = state
        .containers
        .values()
        .map(|container| &container.service)
        .filter(|name| removal.services.is_empty() || removal.services.contains(*name))
        .collect();
    services
        .into_iter()
        .map(|name| {
            let own = || state.containers.values().filter(|it| it.service == *name);
            let record = own().find_map(|container| container.record.as_ref());
            let change = Change::Remove;
            let containers = own().map(|container| Replica {
                replica: container.replica,
                change,
            });
            ServiceSummary {
                service: name.clone(),
                job: record.is_some_and(|record| matches!(record.kind, Kind::Job { .. })),
                replicas: own().map(|container| container.replica).max().unwrap_or(1),
                change,
                depends_on: Vec::new(),
                containers: containers.collect(),
            }
        })
        .collect()
}
