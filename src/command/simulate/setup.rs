//! Initial conditions of a simulation: the project, the observed state, and the faults. Only this
//! module reads the real engine. It changes nothing there.

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

/// Initial conditions of a simulation.
pub(super) struct SimulationSetup {
    pub scope: ProjectSelector,
    pub project: Project,
    pub options: Options,
    pub keep_failed: bool,
    pub seed: Seed,
    /// State of the journal.
    pub standing: JournalState,
    pub author: Author,
    pub faults: Vec<Fault>,
}

impl SimulationSetup {
    /// Reads the manifest and observes the engine.
    pub async fn look(
        simulate: &Simulate,
        scope: &ProjectSelector,
        settings: &Settings,
    ) -> Result<Self, CommandError> {
        let named: Vec<_> = simulate.options.named().into_iter().collect();
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let mut project = request.project(StoreMode::ReadOnly)?;
        let engine = if simulate.empty {
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
        if let Some(within) = simulate.ready_timeout {
            load::wait_at_most(&mut project, within);
        }
        fit(simulate, &project).map_err(CommandError::Usage)?;
        let options = load::with_tags(&project, simulate.options.clone())?;
        let seed = match &engine {
            Some(engine) => Box::pin(seen(engine, &project, &options)).await?,
            None => nothing(&project),
        };
        let journal = seed
            .pages
            .iter()
            .filter(|it| it.collection == Collection::Journal);
        let journal: Vec<_> = journal.cloned().collect();
        Ok(Self {
            standing: replay(&journal).map_err(CommandError::Journal)?,
            author: identity::author(scope, &project.directory).await,
            scope: scope.clone(),
            keep_failed: simulate.keep_failed,
            faults: simulate.faults.clone(),
            project,
            options,
            seed,
        })
    }

    /// Creates the simulated engine in its initial state.
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

/// Checks that each fault applies to the project, and that the faults can be combined.
fn fit(simulate: &Simulate, project: &Project) -> Result<(), String> {
    for fault in &simulate.faults {
        fault.suits(project)?;
    }
    let most = usize::from(!simulate.crash_matrix);
    let mut crashes = simulate.faults.iter().filter(|it| it.is_a_crash());
    match crashes.nth(most) {
        None => Ok(()),
        Some(fault) if most == 0 => Err(format!(
            "`{fault}` and `--crash-matrix`: it can be killed only once in a simulation"
        )),
        Some(fault) => Err(format!(
            "`{fault}`: it can be killed only once in a simulation"
        )),
    }
}

/// Adds the hint that a simulation is possible without an engine.
fn with_hint(error: EngineError) -> EngineError {
    match error {
        EngineError::Unreachable {
            address,
            cause,
            help,
        } => EngineError::Unreachable {
            address,
            cause,
            help: format!("{help}; `--empty` simulates a first deploy without an engine"),
        },
        error => error,
    }
}

/// Reads the initial state from the engine, with its journal and lock.
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
    // Data directories can only be inspected on the real engine. The simulation itself reports a
    // refusal.
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

/// Returns an engine that has only the external networks and volumes of the manifest.
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
