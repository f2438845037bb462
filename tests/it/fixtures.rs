//! Projects and simulated worlds for the tests of runs, and functions to deploy in them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use cimandat::{
    engine::{
        Engine, Query,
        sim::{Latency, Sim, Snapshot},
    },
    event::{EventEnvelope, Purpose},
    name::{ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    plan::{self, Options},
    project::{
        Attachment, ContainerSpec, Dependency, DeployPolicy, Gate, ImageSource, Kind, Mount,
        MountKind, Network, NetworkMode, PortBinding, Probe, Project, PullPolicy, RestartPolicy,
        RollbackScope, Service, Until, Update, UpdateOrder, Volume,
    },
    run::{FailurePolicy, Run, RunSummary, Settings, drive},
    state::{State, UnmanagedContainer},
};
use futures::{Stream, StreamExt, stream};
use proptest::test_runner::{
    Config as ProptestConfig, FailurePersistence, FileFailurePersistence, RngSeed,
};

/// Number of properties in all files, by which `CIMANDAT_CASES` is divided.
const PROPERTIES: u32 = 12;
/// Cases per property, unless `CIMANDAT_CASES` sets the total number.
const CASES: u32 = 192;

/// Seed of the cases when no new ones are searched for.
const SEED: u64 = 20;

/// Proptest configuration. The cases are the same each time, so that an unrelated change does not
/// fail a test by chance. If `CIMANDAT_SEEDS` names a file, new cases are searched for, and the
/// seeds of failures are stored in that file.
pub fn profile() -> ProptestConfig {
    let cases = env::var("CIMANDAT_CASES").ok();
    let cases = cases.map_or(CASES, |all| {
        all.parse::<u32>().unwrap().div_ceil(PROPERTIES)
    });
    let seeds = env::var("CIMANDAT_SEEDS").ok().map(|file| {
        let file: &'static str = file.leak();
        Box::new(FileFailurePersistence::Direct(file)) as Box<dyn FailurePersistence>
    });
    ProptestConfig {
        rng_seed: match seeds {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(SEED),
        },
        failure_persistence: seeds,
        ..ProptestConfig::with_cases(cases)
    }
}

/// A service as a test describes it.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub name: String,
    /// Dependencies, and whether the service is restarted with each of them.
    pub needs: Vec<(String, bool)>,
    /// Host port of the first replica. The other replicas have the ports after it.
    pub port: Option<u16>,
    pub volume: bool,
    /// Whether the volume is copied before a switch.
    pub snapshot: bool,
    /// Volume that other services with the same value mount too.
    pub shared: Option<&'static str>,
    pub job: bool,
    /// Whether the job is irreversible.
    pub irreversible: bool,
    pub replicas: u32,
    /// Part of the definition: another version is a changed definition.
    pub version: u32,
}

impl Wish {
    /// Names of the service's volumes.
    fn volumes(&self) -> Vec<String> {
        let own = self.volume.then(|| self.name.clone());
        own.into_iter()
            .chain(self.shared.map(str::to_owned))
            .collect()
    }
}

pub fn wish(name: &str, needs: &[&str]) -> Wish {
    Wish {
        name: name.to_owned(),
        needs: needs
            .iter()
            .map(|need| ((*need).to_owned(), false))
            .collect(),
        replicas: 1,
        ..Wish::default()
    }
}

pub fn service_name(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub fn project_name() -> ProjectName {
    ProjectName::new("shop").unwrap()
}

fn image() -> ImageRef {
    ImageRef::new("app:1").unwrap()
}

fn spec(wish: &Wish) -> ContainerSpec {
    let network = (NetworkName::new("default").unwrap(), Attachment::default());
    let port = wish.port.map(|port| PortBinding {
        target: 80,
        protocol: cimandat::unit::Protocol::Tcp,
        published: Some(port),
        host_ip: String::new(),
    });
    let mounts = wish.volumes().into_iter().map(|name| Mount {
        target: format!("/{name}"),
        read_only: false,
        kind: MountKind::Volume {
            engine_name: format!("shop_{name}"),
            volume: VolumeName::new(name).unwrap(),
            nocopy: false,
            subpath: None,
        },
    });
    ContainerSpec {
        env: BTreeMap::from([(
            "VERSION".to_owned(),
            wish.version.to_string().as_str().into(),
        )]),
        ports: port.into_iter().collect(),
        mounts: mounts.collect(),
        network: NetworkMode::Networks(BTreeMap::from([network])),
        restart: if wish.job {
            RestartPolicy::No
        } else {
            RestartPolicy::UnlessStopped
        },
        ..ContainerSpec::default()
    }
}

fn service(wish: &Wish, jobs: &BTreeSet<&str>) -> Service {
    let dependency = |(name, restart): &(String, bool)| {
        let until = if jobs.contains(name.as_str()) {
            Until::Completed
        } else {
            Until::Ready
        };
        let dependency = Dependency {
            until,
            required: true,
            restart: *restart,
        };
        (service_name(name), dependency)
    };
    let probe = if wish.job {
        Probe::Exit
    } else {
        Probe::Tcp { port: 80 }
    };
    Service {
        name: service_name(&wish.name),
        kind: if wish.job {
            Kind::Job {
                irreversible: wish.irreversible,
            }
        } else {
            Kind::Service
        },
        image: ImageSource::Reference(image()),
        pull: PullPolicy::Missing,
        platform: None,
        replicas: if wish.job { 1 } else { wish.replicas },
        container_name: None,
        container: spec(wish),
        depends_on: wish.needs.iter().map(dependency).collect(),
        ready: Gate {
            probes: vec![probe],
            timeout: Duration::from_secs(5),
            stabilize: Duration::ZERO,
        },
        update: Update {
            order: UpdateOrder::Auto,
            drain: Some(Duration::ZERO),
            keeps_address: false,
            parallelism: 1,
        },
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        watch: Vec::new(),
    }
}

/// The project that a test describes.
pub fn project(wishes: &[Wish]) -> Project {
    let jobs = wishes
        .iter()
        .filter(|wish| wish.job)
        .map(|wish| wish.name.as_str())
        .collect();
    let volume = |(name, snapshot): (String, bool)| {
        let volume = Volume {
            engine_name: format!("shop_{name}"),
            external: false,
            driver: "local".to_owned(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            snapshot,
            shared: false,
        };
        (VolumeName::new(name).unwrap(), volume)
    };
    let network = Network {
        engine_name: "shop_default".to_owned(),
        external: false,
        driver: "bridge".to_owned(),
        internal: false,
        attachable: false,
        ipv6: false,
        options: BTreeMap::new(),
        subnets: Vec::new(),
        labels: BTreeMap::new(),
        service_names: None,
    };
    let services = wishes
        .iter()
        .map(|wish| (service_name(&wish.name), service(wish, &jobs)));
    Project {
        name: project_name(),
        directory: PathBuf::from("/shop"),
        files: vec![PathBuf::from("/shop/cimandat.kdl")],
        networks: BTreeMap::from([(NetworkName::new("default").unwrap(), network)]),
        volumes: wishes
            .iter()
            .flat_map(|wish| wish.volumes().into_iter().map(|name| (name, wish.snapshot)))
            .map(volume)
            .collect(),
        services: services.collect(),
        deploy: DeployPolicy {
            rollback: RollbackScope::All,
            stabilize: None,
            deadline: None,
            history: 5,
        },
        verify: Vec::new(),
    }
}

/// A world with the image and with objects of another project.
pub fn world(seed: u64) -> Sim {
    let sim = Sim::new(
        project_name(),
        Latency::new(seed, Duration::from_millis(20)),
    );
    sim.add_image(image(), "sha256:app1");
    let foreign = UnmanagedContainer {
        project: Some("other".to_owned()),
        running: true,
        ports: Vec::new(),
    };
    sim.add_foreign(
        cimandat::name::ContainerName::new("other-db-1").unwrap(),
        foreign,
    );
    sim
}

/// Result of a deploy.
pub struct Told {
    pub outcome: RunSummary,
    pub events: Vec<EventEnvelope>,
    pub after: Snapshot,
}

pub async fn observe(sim: &Sim) -> State {
    let query = Query {
        project: project_name(),
        images: BTreeSet::from([image()]),
        networks: BTreeSet::from(["shop_default".to_owned()]),
        volumes: BTreeSet::new(),
        own_images: false,
        kept_images: false,
        databases: BTreeSet::new(),
    };
    sim.observe(&query).await.unwrap()
}

/// Settings of a run in these tests.
pub fn settings(origin: State) -> Settings {
    Settings {
        project: project_name(),
        verb: "up".to_owned(),
        services: Vec::new(),
        purpose: Purpose::Project,
        origin,
        on_failure: FailurePolicy::RollbackAll,
        stabilization: cimandat::run::Stabilization::For(Duration::from_millis(100)),
        deadline: None,
        journal: None,
        keep_failed: false,
        images_at_a_time: None,
    }
}

/// Plans and runs the deploy of a project.
pub async fn up(sim: &Sim, project: &Project, interrupts: impl Stream<Item = ()>) -> Told {
    let state = observe(sim).await;
    let deploy = plan::deploy(project, &state, &Options::default()).unwrap();
    let on_failure = match project.deploy.rollback {
        RollbackScope::All => FailurePolicy::RollbackAll,
        RollbackScope::Subtree => FailurePolicy::RollbackSubtree,
        RollbackScope::None => FailurePolicy::Leave,
    };
    let settings = Settings {
        on_failure,
        ..settings(state)
    };
    let run = Run::new(deploy.plan, settings);
    let mut events = Vec::new();
    let outcome = drive(
        Arc::new(sim.clone()),
        run,
        |event| events.push(event),
        interrupts,
    )
    .await;
    Told {
        outcome,
        events,
        after: sim.snapshot(),
    }
}

/// A stream without interrupts.
pub fn never() -> impl Stream<Item = ()> {
    stream::pending()
}

/// A stream of interrupts after these times, each counted from the one before.
pub fn interrupts(after: Vec<Duration>) -> impl Stream<Item = ()> {
    stream::iter(after)
        .then(tokio::time::sleep)
        .chain(stream::pending())
}

/// Runs a future in virtual time, which advances only when all tasks wait.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}
