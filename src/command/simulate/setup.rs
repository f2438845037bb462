//! What a rehearsal begins with: the project, the world as it is, and what is to go wrong. The real
//! engine is looked at here, and nowhere else; nothing on it is changed.

use futures::try_join;

use super::{Fault, Simulate};
use crate::{
    command::{CommandError, ProjectSelector, deployment, identity, load, rotate},
    engine::{
        EngineError, StateStore,
        docker::{Docker, Settings},
        sim::{Latency, Seed, Sim},
    },
    journal::{Author, Collection, JournalState, replay},
    plan::Options,
    project::{ImageSource, Project, vault::StoreMode},
    state::{EngineInfo, Resource, State},
};

/// What a rehearsal begins with.
pub(super) struct SimulationSetup {
    pub scope: ProjectSelector,
    pub project: Project,
    pub options: Options,
    pub keep_failed: bool,
    pub seed: Seed,
    /// How the journal stands.
    pub standing: JournalState,
    pub author: Author,
    pub faults: Vec<Fault>,
}

impl SimulationSetup {
    /// Reads the manifest and looks at the engine.
    pub async fn look(
        rehearse: &Simulate,
        scope: &ProjectSelector,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        let named: Vec<_> = rehearse.options.named().into_iter().collect();
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let mut project = request.project(StoreMode::ReadOnly)?;
        let engine = if rehearse.from_nothing {
            None
        } else {
            let connected = Docker::connect(settings).await;
            Some(connected.map_err(with_hint)?)
        };
        if let Some(engine) = &engine
            && let Some((rotated, _)) = request.unfinished(engine, &project).await?
        {
            project = rotated;
        }
        if let Some(within) = rehearse.wait_timeout {
            load::wait_at_most(&mut project, within);
        }
        fit(rehearse, &project).map_err(CommandError::Usage)?;
        let options = load::with_tags(&project, rehearse.options.clone())?;
        let seed = match &engine {
            Some(engine) => Box::pin(seen(engine, &project, &options)).await?,
            None => nothing(&project),
        };
        let journal = seed
            .pages
            .iter()
            .filter(|it| it.shelf == Collection::Journal);
        let journal: Vec<_> = journal.cloned().collect();
        Ok(Self {
            standing: replay(&journal).map_err(CommandError::Journal)?,
            author: identity::author(scope, &project.directory).await,
            scope: scope.clone(),
            keep_failed: rehearse.keep_failed,
            faults: rehearse.faults.clone(),
            project,
            options,
            seed,
        })
    }

    /// The world, in which nothing has happened yet.
    pub fn world(&self) -> Sim {
        let sim = Sim::of(self.seed.clone(), Latency::nominal());
        for service in self.project.services.values() {
            if let ImageSource::Reference(image) = &service.image {
                sim.offer_image(image.clone());
            }
        }
        for volume in self.project.volumes.values().filter(|it| it.shared) {
            sim.share_volume(volume.engine_name.clone());
        }
        super::inject::default_behavior(&sim, &self.project, &self.seed.state);
        sim
    }
}

/// Whether the faults can be meant, each and together.
fn fit(rehearse: &Simulate, project: &Project) -> Result<(), String> {
    for fault in &rehearse.faults {
        fault.suits(project)?;
    }
    let most = usize::from(!rehearse.crash_everywhere);
    let mut crashes = rehearse.faults.iter().filter(|it| it.is_a_crash());
    match crashes.nth(most) {
        None => Ok(()),
        Some(fault) if most == 0 => Err(format!(
            "`{fault}` and `--crash-everywhere`: it can be killed only once in a rehearsal"
        )),
        Some(fault) => Err(format!(
            "`{fault}`: it can be killed only once in a rehearsal"
        )),
    }
}

/// Says besides how it goes without an engine.
fn with_hint(error: EngineError) -> EngineError {
    match error {
        EngineError::Unreachable {
            address,
            cause,
            help,
        } => EngineError::Unreachable {
            address,
            cause,
            help: format!("{help}; `--from-nothing` rehearses a first deploy without an engine"),
        },
        error => error,
    }
}

/// The world as the engine shows it, with its journal and lock.
async fn seen(engine: &Docker, project: &Project, options: &Options) -> Result<Seed, CommandError> {
    let observed = deployment::observe(engine, project, options);
    let (mut state, (mut pages, history, lock)) = try_join!(observed, async {
        let name = &project.name;
        try_join!(
            engine.read_pages(name, Collection::Journal),
            engine.read_pages(name, Collection::History),
            engine.find_lock(name),
        )
        .map_err(CommandError::from)
    })?;
    pages.extend(history);
    // What is in data directories can only be looked at here; a refusal is told by the rehearsal.
    let mut looked = state.clone();
    match deployment::plan_with_databases(engine, project, options, &mut looked).await {
        Ok(_) | Err(CommandError::Refused(_)) => state.databases = looked.databases,
        Err(error) => return Err(error),
    }
    Ok(Seed {
        project: project.name.clone(),
        state,
        pages,
        lock,
    })
}

/// An engine on which there is nothing but what the manifest takes for granted.
fn nothing(project: &Project) -> Seed {
    let granted = |name: &String| {
        let resource = Resource {
            project: None,
            name: None,
            definition: None,
            users: 0,
            id: Some(name.clone()),
            record: None,
            subnets: Vec::new(),
        };
        (name.clone(), resource)
    };
    let networks = project.networks.values().filter(|it| it.external);
    let volumes = project.volumes.values().filter(|it| it.external);
    Seed {
        project: project.name.clone(),
        state: State {
            engine: EngineInfo {
                version: "simulated".to_owned(),
                address: "the simulated engine".to_owned(),
                ..EngineInfo::default()
            },
            networks: networks.map(|it| granted(&it.engine_name)).collect(),
            volumes: volumes.map(|it| granted(&it.engine_name)).collect(),
            ..State::default()
        },
        pages: Vec::new(),
        lock: None,
    }
}
