//! Plans: the steps and reasons for a project and an observed state.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
    time::Duration,
};

use cimandat::{
    name::{ContainerName, ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    plan::{self, DownOptions, Options, Plan, PlanView},
    project::{
        Attachment, ContainerSpec, Dependency, DeployPolicy, Gate, ImageSource, Kind, Mount,
        MountKind, Network, NetworkMode, PortBinding, Probe, Project, PullPolicy, RestartPolicy,
        RollbackScope, Service, Subnet, Until, Update, UpdateOrder, Volume,
    },
    secret::{Text, digest},
    state::{
        Container, ContainerRecord, ContainerStatus, Database, Endpoint, EngineInfo, ImageInfo,
        JobRecord, MountedVolume, PublishedPort, Resource, RuntimeConfig, State, Status,
        UnmanagedContainer,
    },
    unit::Protocol,
};
use proptest::prelude::*;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn service(text: &str, waits_for: &[&str]) -> Service {
    let networks = BTreeMap::from([(NetworkName::new("edge").unwrap(), Attachment::default())]);
    let dependency = Dependency {
        until: Until::Ready,
        required: true,
        restart: false,
    };
    Service {
        name: name(text),
        kind: Kind::Service,
        image: ImageSource::Reference(ImageRef::new(format!("{text}:1")).unwrap()),
        pull: PullPolicy::Missing,
        platform: None,
        replicas: 1,
        container_name: None,
        container: ContainerSpec {
            network: NetworkMode::Networks(networks),
            restart: RestartPolicy::UnlessStopped,
            ..ContainerSpec::default()
        },
        depends_on: waits_for
            .iter()
            .map(|other| (name(other), dependency))
            .collect(),
        ready: Gate {
            probes: vec![Probe::Tcp { port: 80 }],
            timeout: Duration::from_mins(1),
            stabilize: Duration::ZERO,
        },
        update: Update {
            order: UpdateOrder::Auto,
            drain: Some(Duration::ZERO),
            keeps_address: false,
            parallelism: 1,
        },
        post_start: vec![],
        pre_stop: vec![],
        watch: vec![],
    }
}

fn project(services: impl IntoIterator<Item = Service>) -> Project {
    let network = Network {
        engine_name: "shop_edge".to_owned(),
        external: false,
        driver: "bridge".to_owned(),
        internal: false,
        attachable: false,
        ipv6: false,
        options: BTreeMap::new(),
        subnets: vec![],
        labels: BTreeMap::new(),
        service_names: None,
    };
    let volume = Volume {
        engine_name: "shop_data".to_owned(),
        external: false,
        driver: "local".to_owned(),
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        snapshot: false,
        shared: false,
    };
    Project {
        name: ProjectName::new("shop").unwrap(),
        directory: PathBuf::from("/shop"),
        files: vec![PathBuf::from("/shop/cimandat.kdl")],
        networks: BTreeMap::from([(NetworkName::new("edge").unwrap(), network)]),
        volumes: BTreeMap::from([(VolumeName::new("data").unwrap(), volume)]),
        services: services
            .into_iter()
            .map(|service| (service.name.clone(), service))
            .collect(),
        deploy: DeployPolicy {
            rollback: RollbackScope::All,
            stabilize: None,
            deadline: None,
            history: 5,
        },
        verify: vec![],
    }
}

/// The reference stack: postgres, redis and the job migrate before backend, backend before
/// frontend.
fn stack() -> Project {
    let mut postgres = service("postgres", &[]);
    postgres.container.mounts = vec![Mount {
        target: "/data".to_owned(),
        read_only: false,
        kind: MountKind::Volume {
            volume: VolumeName::new("data").unwrap(),
            engine_name: "shop_data".to_owned(),
            nocopy: false,
            subpath: None,
        },
    }];
    let mut migrate = service("migrate", &["postgres"]);
    migrate.kind = Kind::Job {
        irreversible: false,
    };
    migrate.container.restart = RestartPolicy::No;
    let mut frontend = service("frontend", &["backend"]);
    frontend.container.ports = vec![publish(3000)];
    let backend = service("backend", &["postgres", "redis", "migrate"]);
    project([postgres, service("redis", &[]), migrate, backend, frontend])
}

fn publish(port: u16) -> PortBinding {
    PortBinding {
        target: 80,
        protocol: Protocol::Tcp,
        published: Some(port),
        host_ip: String::new(),
    }
}

fn held(port: u16) -> PublishedPort {
    PublishedPort {
        host_ip: "0.0.0.0".to_owned(),
        published: port,
        target: 80,
        protocol: Protocol::Tcp,
    }
}

/// Images on the engine. The id of each is a digest of its reference.
fn images(project: &Project) -> BTreeMap<ImageRef, ImageInfo> {
    let facts = |image: &ImageRef| ImageInfo {
        id: format!("sha256:{}", digest(image.as_str().as_bytes())),
        volumes: vec![],
        healthcheck: false,
        user: String::new(),
        digests: vec![],
        postgres_major: None,
    };
    project
        .services
        .values()
        .filter_map(|service| match &service.image {
            ImageSource::Reference(image) => Some((image.clone(), facts(image))),
            _ => None,
        })
        .collect()
}

fn empty(project: &Project) -> State {
    State {
        engine: EngineInfo::default(),
        images: images(project),
        ..State::default()
    }
}

fn record(service: &Service, image: &ImageRef) -> ContainerRecord {
    ContainerRecord {
        kind: service.kind,
        spec: serde_json::to_value(&service.container).unwrap(),
        image: image.to_string(),
        depends_on: service.depends_on.clone(),
        ready: service.ready.clone(),
        service_names: BTreeMap::new(),
        platform: None,
        name: None,
        networks: BTreeMap::new(),
        addresses: BTreeMap::new(),
    }
}

/// State after a deploy of the project.
fn deployed(project: &Project) -> State {
    let mut state = empty(project);
    let resource = |definition: String, own: &str| Resource {
        project: Some("shop".to_owned()),
        name: Some(own.to_owned()),
        definition: Some(definition),
        users: 0,
        id: None,
        record: None,
        subnets: Vec::new(),
    };
    for (own, network) in &project.networks {
        let definition = digest(serde_json::to_string(network).unwrap().as_bytes());
        let found = resource(definition, own.as_str());
        state.networks.insert(network.engine_name.clone(), found);
    }
    for (own, volume) in &project.volumes {
        let definition = digest(serde_json::to_string(volume).unwrap().as_bytes());
        state.volumes.insert(
            volume.engine_name.clone(),
            resource(definition, own.as_str()),
        );
    }
    for service in project.services.values() {
        let ImageSource::Reference(image) = &service.image else {
            continue;
        };
        let job = matches!(service.kind, Kind::Job { .. });
        let container = Container {
            id: format!("id-{}", service.name),
            service: service.name.clone(),
            replica: 1,
            generation: 1,
            record: Some(record(service, image)),
            image: state.images[image].id.clone(),
            condition: ContainerStatus {
                status: if job { Status::Exited } else { Status::Running },
                exit_code: job.then_some(0),
                ..ContainerStatus::default()
            },
            networks: BTreeMap::new(),
            ports: service
                .container
                .ports
                .iter()
                .filter_map(|it| it.published)
                .map(held)
                .collect(),
            volumes: BTreeMap::new(),
            setup: None,
            restart: Some(service.container.restart),
            created: 0,
        };
        state.containers.insert(
            ContainerName::new(format!("shop-{}-1", service.name)).unwrap(),
            container,
        );
    }
    state
}

/// One line per step: its action, and the numbers of the steps it requires.
fn lines(plan: &Plan) -> String {
    let mut text = String::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let what = match &step.kind {
            plan::StepKind::Action(action) => format!("{} {}", action.verb(), action.object()),
            plan::StepKind::AwaitReady { container, .. } => format!("gate {container}"),
            plan::StepKind::Drain { object, .. } => format!("drain {object}"),
            plan::StepKind::Verify(check) => format!("verify {check}"),
        };
        let needs: Vec<String> = step
            .requires
            .iter()
            .map(|need| need.0.to_string())
            .collect();
        let after = if step.after_commit {
            " (after commit)"
        } else {
            ""
        };
        let _ = writeln!(text, "{index} {what} <{}>{after}", needs.join(","));
    }
    text
}

fn deploy(project: &Project, state: &State) -> plan::DeploymentPlan {
    plan::deploy(project, state, &Options::default()).unwrap()
}

fn shown(project: &Project, state: &State) -> String {
    PlanView::new(project, &Plan::default(), &deploy(project, state)).text()
}

fn refused(project: &Project, state: &State) -> String {
    let refusals = plan::deploy(project, state, &Options::default()).unwrap_err();
    refusals.iter().fold(String::new(), |mut text, refusal| {
        let _ = writeln!(text, "{refusal}\n  {}", refusal.help());
        text
    })
}

#[test]
fn first_deploy_starts_services_after_ready_dependencies() {
    let project = stack();
    insta::assert_snapshot!(lines(&deploy(&project, &empty(&project)).plan), @"
    0 creating network shop_edge <>
    1 creating volume shop_data <>
    2 creating container shop-postgres-1 <0,1>
    3 tagging image shop-postgres:g1 <>
    4 creating container shop-redis-1 <0>
    5 tagging image shop-redis:g1 <>
    6 creating container shop-migrate-1 <0>
    7 tagging image shop-migrate:g1 <>
    8 creating container shop-backend-1 <0>
    9 tagging image shop-backend:g1 <>
    10 creating container shop-frontend-1 <0>
    11 tagging image shop-frontend:g1 <>
    12 starting container shop-postgres-1 <2>
    13 gate shop-postgres-1 <12>
    14 starting container shop-redis-1 <4>
    15 gate shop-redis-1 <14>
    16 starting container shop-migrate-1 <6,13>
    17 gate shop-migrate-1 <16>
    18 starting container shop-backend-1 <8,13,15,17>
    19 gate shop-backend-1 <18>
    20 starting container shop-frontend-1 <10,19>
    21 gate shop-frontend-1 <20>
    22 setting the restart policy of container shop-postgres-1 <> (after commit)
    23 setting the restart policy of container shop-redis-1 <> (after commit)
    24 setting the restart policy of container shop-backend-1 <> (after commit)
    25 setting the restart policy of container shop-frontend-1 <> (after commit)
    ");
}

#[test]
fn unchanged_deploy_only_probes_gates() {
    let project = stack();
    let deploy = deploy(&project, &deployed(&project));
    assert!(deploy.plan.changes_nothing());
    insta::assert_snapshot!(lines(&deploy.plan), @"
    0 gate shop-postgres-1 <>
    1 gate shop-redis-1 <>
    2 gate shop-backend-1 <>
    3 gate shop-frontend-1 <>
    ");
    insta::assert_snapshot!(shown(&project, &deployed(&project)), @"shop: no changes: the project is up to date");
}

#[test]
fn update_creates_new_containers_before_stopping_old() {
    let mut project = stack();
    let state = deployed(&project);
    for service in ["backend", "redis"] {
        let spec = &mut project.services.get_mut(service).unwrap().container;
        spec.env.insert("MODE".to_owned(), Text::from("new"));
    }
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 creating container shop-redis-1.g2 <>
    1 tagging image shop-redis:g2 <>
    2 creating container shop-backend-1.g2 <>
    3 tagging image shop-backend:g2 <>
    4 gate shop-postgres-1 <>
    5 starting container shop-redis-1.g2 <0>
    6 gate shop-redis-1.g2 <5>
    7 switching traffic to container shop-redis-1.g2 <0,2,6>
    8 stopping container shop-redis-1 <7>
    9 starting container shop-backend-1.g2 <2,4,6,7>
    10 gate shop-backend-1.g2 <9>
    11 switching traffic to container shop-backend-1.g2 <0,2,10>
    12 stopping container shop-backend-1 <11>
    13 gate shop-frontend-1 <10,11,12>
    14 setting the restart policy of container shop-redis-1.g2 <> (after commit)
    15 setting the restart policy of container shop-redis-1 <8> (after commit)
    16 renaming container shop-redis-1 <8,15> (after commit)
    17 renaming container shop-redis-1.g2 <14,16> (after commit)
    18 setting the restart policy of container shop-backend-1.g2 <> (after commit)
    19 setting the restart policy of container shop-backend-1 <12> (after commit)
    20 renaming container shop-backend-1 <12,19> (after commit)
    21 renaming container shop-backend-1.g2 <18,20> (after commit)
    ");
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 2 to replace, 3 unchanged
      = postgres  unchanged
      ~ redis     replaced (start first): 1 field changed
          env.MODE: new (new)
          no interruption; open connections stay open until the old container stops
      = migrate   unchanged
      ~ backend   replaced (start first): 1 field changed
          env.MODE: new (new)
          no interruption; open connections stay open until the old container stops
      = frontend  unchanged
    ");
}

#[test]
fn moved_image_tag_replaces_container() {
    let project = stack();
    let mut state = deployed(&project);
    let image = ImageRef::new("redis:1").unwrap();
    state.images.get_mut(&image).unwrap().id = "sha256:0123456789abcdef".to_owned();
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace, 4 unchanged
      = postgres  unchanged
      ~ redis     replaced (start first): image ca9528ca8b01 → 0123456789ab
          no interruption; open connections stay open until the old container stops
      = migrate   unchanged
      = backend   unchanged
      = frontend  unchanged
    ");
}

#[test]
fn dependent_with_restart_is_restarted() {
    let mut project = stack();
    let backend = project.services.get_mut("backend").unwrap();
    backend.depends_on.get_mut("redis").unwrap().restart = true;
    let state = deployed(&project);
    let redis = project.services.get_mut("redis").unwrap();
    redis.container.user = Some("999".to_owned());
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 creating container shop-redis-1.g2 <>
    1 tagging image shop-redis:g2 <>
    2 gate shop-postgres-1 <>
    3 starting container shop-redis-1.g2 <0>
    4 gate shop-redis-1.g2 <3>
    5 switching traffic to container shop-redis-1.g2 <0,4>
    6 stopping container shop-redis-1 <5>
    7 stopping container shop-backend-1 <0,2,4,5>
    8 starting container shop-backend-1 <2,4,5,7>
    9 gate shop-backend-1 <8>
    10 gate shop-frontend-1 <9>
    11 setting the restart policy of container shop-redis-1.g2 <> (after commit)
    12 setting the restart policy of container shop-redis-1 <6> (after commit)
    13 renaming container shop-redis-1 <6,12> (after commit)
    14 renaming container shop-redis-1.g2 <11,13> (after commit)
    ");
}

#[test]
fn network_stack_sharer_is_replaced_with_owner() {
    let mut project = stack();
    let sidecar = project.services.get_mut("frontend").unwrap();
    sidecar.container.network = NetworkMode::Service(name("redis"));
    sidecar.container.ports = vec![];
    let state = deployed(&project);
    project.services.get_mut("redis").unwrap().container.user = Some("999".to_owned());
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 2 to replace, 3 unchanged
      = postgres  unchanged
      ~ redis     replaced (stop first, as it shares a namespace or mounts with `frontend`): 1 field changed
          user: 999 (new)
          does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
      = migrate   unchanged
      = backend   unchanged
      ~ frontend  replaced (stop first, as it shares a namespace or mounts with `redis`): `redis` is replaced
          does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
    ");
}

#[test]
fn port_moves_after_old_holder_stops() {
    let mut project = project([service("a", &[]), service("b", &[])]);
    project.services.get_mut("a").unwrap().container.ports = vec![publish(80)];
    let state = deployed(&project);
    project.services.get_mut("a").unwrap().container.ports = vec![publish(81)];
    project.services.get_mut("b").unwrap().container.ports = vec![publish(80)];
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 creating container shop-a-1.g2 <>
    1 tagging image shop-a:g2 <>
    2 creating container shop-b-1.g2 <>
    3 tagging image shop-b:g2 <>
    4 stopping container shop-a-1 <0,2>
    5 starting container shop-a-1.g2 <0,4>
    6 gate shop-a-1.g2 <5>
    7 starting container shop-b-1.g2 <2,4>
    8 gate shop-b-1.g2 <7>
    9 switching traffic to container shop-b-1.g2 <0,2,8>
    10 stopping container shop-b-1 <9>
    11 setting the restart policy of container shop-a-1.g2 <> (after commit)
    12 setting the restart policy of container shop-a-1 <4> (after commit)
    13 renaming container shop-a-1 <4,12> (after commit)
    14 renaming container shop-a-1.g2 <11,13> (after commit)
    15 setting the restart policy of container shop-b-1.g2 <> (after commit)
    16 setting the restart policy of container shop-b-1 <10> (after commit)
    17 renaming container shop-b-1 <10,16> (after commit)
    18 renaming container shop-b-1.g2 <15,17> (after commit)
    ");
}

#[test]
fn services_can_swap_ports() {
    let mut project = project([service("a", &[]), service("b", &[])]);
    project.services.get_mut("a").unwrap().container.ports = vec![publish(80)];
    project.services.get_mut("b").unwrap().container.ports = vec![publish(81)];
    let state = deployed(&project);
    project.services.get_mut("a").unwrap().container.ports = vec![publish(81)];
    project.services.get_mut("b").unwrap().container.ports = vec![publish(80)];
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 creating container shop-a-1.g2 <>
    1 tagging image shop-a:g2 <>
    2 creating container shop-b-1.g2 <>
    3 tagging image shop-b:g2 <>
    4 stopping container shop-a-1 <0,2>
    5 stopping container shop-b-1 <0,2>
    6 starting container shop-a-1.g2 <0,4,5>
    7 gate shop-a-1.g2 <6>
    8 starting container shop-b-1.g2 <2,4,5>
    9 gate shop-b-1.g2 <8>
    10 setting the restart policy of container shop-a-1.g2 <> (after commit)
    11 setting the restart policy of container shop-a-1 <4> (after commit)
    12 renaming container shop-a-1 <4,11> (after commit)
    13 renaming container shop-a-1.g2 <10,12> (after commit)
    14 setting the restart policy of container shop-b-1.g2 <> (after commit)
    15 setting the restart policy of container shop-b-1 <5> (after commit)
    16 renaming container shop-b-1 <5,15> (after commit)
    17 renaming container shop-b-1.g2 <14,16> (after commit)
    ");
}

#[test]
fn orphans_are_removed_after_commit() {
    let mut project = stack();
    let state = deployed(&project);
    project.services.remove("frontend");
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 gate shop-postgres-1 <>
    1 gate shop-redis-1 <>
    2 gate shop-backend-1 <>
    3 stopping container shop-frontend-1 <> (after commit)
    4 removing container shop-frontend-1 <3> (after commit)
    5 removing image shop-frontend:g1 <4> (after commit)
    ");
}

#[test]
fn selected_services_leave_others_unchanged() {
    let mut project = stack();
    let state = deployed(&project);
    for service in project.services.values_mut() {
        service.container.user = Some("1000".to_owned());
    }
    let options = Options {
        services: BTreeSet::from([name("redis")]),
        ..Options::default()
    };
    let deploy = plan::deploy(&project, &state, &options).unwrap();
    insta::assert_snapshot!(lines(&deploy.plan), @"
    0 creating container shop-redis-1.g2 <>
    1 tagging image shop-redis:g2 <>
    2 starting container shop-redis-1.g2 <0>
    3 gate shop-redis-1.g2 <2>
    4 switching traffic to container shop-redis-1.g2 <0,3>
    5 stopping container shop-redis-1 <4>
    6 setting the restart policy of container shop-redis-1.g2 <> (after commit)
    7 setting the restart policy of container shop-redis-1 <5> (after commit)
    8 renaming container shop-redis-1 <5,7> (after commit)
    9 renaming container shop-redis-1.g2 <6,8> (after commit)
    ");
    let options = Options {
        services: BTreeSet::from([name("reddis")]),
        ..Options::default()
    };
    let refusals = plan::deploy(&project, &state, &options).unwrap_err();
    insta::assert_snapshot!(refusals[0], @"there is no service or job `reddis` in this project");
}

fn migrate_with(project: &Project, state: &State, options: &Options) -> plan::Decision {
    let decisions = plan::deploy(project, state, options).unwrap().decisions;
    let mut decisions = decisions.into_iter();
    decisions
        .find(|decision| decision.service == name("migrate"))
        .unwrap()
}

#[test]
fn job_reruns_only_for_new_image_or_input() {
    let mut project = stack();
    let sealed = |value: &str| Text::sealed("${secret:db}".to_owned(), value.to_owned());
    let migrate = |project: &mut Project, change: &dyn Fn(&mut Service)| {
        change(project.services.get_mut("migrate").unwrap());
    };
    migrate(&mut project, &|it| {
        it.container.env.insert("DB".to_owned(), sealed("one"));
    });
    let before = deployed(&project);
    let again = |project: &Project, state: &State| {
        let decision = migrate_with(project, state, &Options::default());
        (decision.change, decision.reason)
    };
    assert_eq!(again(&project, &before), (plan::Change::NoOp, None));

    // A dependency decides when the job runs, not what it does.
    migrate(&mut project, &|it| it.depends_on.clear());
    assert_eq!(again(&project, &before).0, plan::Change::NoOp);

    migrate(&mut project, &|it| {
        it.container.env.insert("DB".to_owned(), sealed("two"));
    });
    let (change, reason) = again(&project, &before);
    assert_eq!(change, plan::Change::Replace);
    let Some(plan::Reason::Changed { changes }) = reason else {
        panic!("{reason:?}");
    };
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        format!(
            "env.DB: ${{secret:db}} (secret, #{}) → ${{secret:db}} (secret, #{})",
            &digest(b"one")[..6],
            &digest(b"two")[..6],
        )
    );

    let mut moved = deployed(&project);
    let container = moved.containers.get_mut("shop-migrate-1").unwrap();
    container.image = "sha256:older".to_owned();
    assert!(matches!(
        again(&project, &moved),
        (
            plan::Change::Replace,
            Some(plan::Reason::ImageUpdated { .. })
        )
    ));

    let mut pruned = deployed(&project);
    pruned.containers.remove("shop-migrate-1");
    assert_eq!(
        again(&project, &pruned),
        (plan::Change::Create, Some(plan::Reason::NotFound))
    );
}

#[test]
fn rerun_option_runs_job_again() {
    let project = stack();
    let state = deployed(&project);
    let with = |rerun: plan::RerunJobs, services: &[&str]| Options {
        services: services.iter().map(|it| name(it)).collect(),
        rerun,
        ..Options::default()
    };
    let jobs = |jobs: &[&str]| plan::RerunJobs::Jobs(jobs.iter().map(|it| name(it)).collect());
    let forced = (plan::Change::Replace, Some(plan::Reason::Requested));
    for options in [
        with(plan::RerunJobs::All, &[]),
        with(jobs(&["migrate"]), &[]),
        // Also when the deploy selects another service.
        with(jobs(&["migrate"]), &["redis"]),
    ] {
        let deploy = plan::deploy(&project, &state, &options).unwrap();
        let decision = migrate_with(&project, &state, &options);
        assert_eq!((decision.change, decision.reason), forced);
        let others = deploy.decisions.iter();
        assert!(
            others
                .filter(|it| it.service != name("migrate"))
                .all(|it| it.change == plan::Change::NoOp)
        );
    }
    let refusals = |job: &str| {
        let refusals = plan::deploy(&project, &state, &with(jobs(&[job]), &[])).unwrap_err();
        format!("{}\n{}", refusals[0], refusals[0].help())
    };
    insta::assert_snapshot!(refusals("redis"), @"
    there is no job `redis` in this project
    its jobs are migrate
    ");
}

#[test]
fn job_reruns_only_when_changed_or_failed() {
    let mut project = stack();
    let mut state = deployed(&project);
    let decision =
        |project: &Project, state: &State| migrate_with(project, state, &Options::default()).change;
    assert_eq!(decision(&project, &state), plan::Change::NoOp);
    let container = state.containers.get_mut("shop-migrate-1").unwrap();
    container.condition.exit_code = Some(1);
    assert_eq!(decision(&project, &state), plan::Change::Replace);
    state = deployed(&project);
    project
        .services
        .get_mut("migrate")
        .unwrap()
        .container
        .command = Some(vec!["go".to_owned()]);
    assert_eq!(decision(&project, &state), plan::Change::Replace);
}

fn again(project: &Project, state: &State) -> (plan::Change, Option<plan::Reason>) {
    let decision = migrate_with(project, state, &Options::default());
    (decision.change, decision.reason)
}

fn new_volume(service: &str, volume: &str) -> plan::Reason {
    plan::Reason::NewVolume {
        service: name(service),
        volume: volume.to_owned(),
    }
}

#[test]
fn job_reruns_for_new_dependency_volume() {
    let mut project = stack();
    let done = deployed(&project);
    assert_eq!(again(&project, &done), (plan::Change::NoOp, None));
    // The volume no longer exists: the database starts empty.
    let mut gone = done.clone();
    gone.volumes.clear();
    let reason = Some(new_volume("postgres", "data"));
    assert_eq!(
        again(&project, &gone),
        (plan::Change::Replace, reason.clone())
    );
    // The content of an external volume is its owner's responsibility.
    let data = VolumeName::new("data").unwrap();
    project.volumes.get_mut(&data).unwrap().external = true;
    let mut external = done.clone();
    external.volumes =
        BTreeMap::from([("shop_other".to_owned(), done.volumes["shop_data"].clone())]);
    project.volumes.get_mut(&data).unwrap().engine_name = "shop_other".to_owned();
    assert_eq!(again(&project, &external).0, plan::Change::NoOp);

    // A failed deploy created the volume: the job has never run on it.
    let project = stack();
    let mut later = done.clone();
    later.volume_generations.insert("shop_data".to_owned(), 2);
    assert_eq!(again(&project, &later), (plan::Change::Replace, reason));
    let record = |generation| JobRecord {
        generation,
        done: true,
    };
    // A deploy that was committed with the volume has decided whether the job runs.
    later.job_records.insert(name("migrate"), record(2));
    assert_eq!(again(&project, &later).0, plan::Change::NoOp);
    later.job_records.insert(name("migrate"), record(1));
    assert_eq!(again(&project, &later).0, plan::Change::Replace);
    let options = Options {
        rerun: plan::RerunJobs::Never,
        ..Options::default()
    };
    let kept = migrate_with(&project, &later, &options);
    assert_eq!(kept.change, plan::Change::NoOp);
}

#[test]
fn job_reruns_for_new_anonymous_dependency_volume() {
    let mut project = stack();
    project
        .services
        .get_mut("postgres")
        .unwrap()
        .container
        .mounts
        .clear();
    let mut state = deployed(&project);
    let image = ImageRef::new("postgres:1").unwrap();
    state.images.get_mut(&image).unwrap().volumes = vec!["/data".to_owned()];
    let volume = |anonymous| MountedVolume {
        name: "0a1b".to_owned(),
        anonymous,
        writable: true,
    };
    let mounted = |anonymous| BTreeMap::from([("/data".to_owned(), volume(anonymous))]);
    let postgres = "shop-postgres-1";
    // A container that stays keeps its mount, whatever it is.
    assert_eq!(again(&project, &state).0, plan::Change::NoOp);
    state.containers.get_mut(postgres).unwrap().volumes = mounted(true);
    let changed = project.services.get_mut("postgres").unwrap();
    changed.container.user = Some("999".to_owned());
    assert_eq!(
        again(&project, &state).0,
        plan::Change::NoOp,
        "it is carried"
    );
    // The change from a named volume to an anonymous one.
    state.containers.get_mut(postgres).unwrap().volumes = mounted(false);
    let reason = Some(new_volume("postgres", "/data"));
    assert_eq!(
        again(&project, &state),
        (plan::Change::Replace, reason.clone())
    );
    // The data is in a folder below the anonymous volume.
    let changed = project.services.get_mut("postgres").unwrap();
    changed.container.mounts = stack().services["postgres"].container.mounts.clone();
    changed.container.mounts[0].target = "/data/inner".to_owned();
    assert_eq!(again(&project, &state).0, plan::Change::NoOp);
    let changed = project.services.get_mut("postgres").unwrap();
    changed.container.mounts.clear();
    state.containers.remove(postgres);
    assert_eq!(again(&project, &state), (plan::Change::Replace, reason));
}

#[test]
fn job_without_container_runs_unless_recorded_done() {
    let mut project = stack();
    let mut state = deployed(&project);
    state.containers.remove("shop-migrate-1");
    let missing = (plan::Change::Create, Some(plan::Reason::NotFound));
    assert_eq!(again(&project, &state), missing);
    let mut record = JobRecord {
        generation: 1,
        done: false,
    };
    state.job_records.insert(name("migrate"), record);
    assert_eq!(again(&project, &state), missing);
    record.done = true;
    state.job_records.insert(name("migrate"), record);
    assert_eq!(again(&project, &state), (plan::Change::NoOp, None));
    state.volume_generations.insert("shop_data".to_owned(), 2);
    let reason = Some(new_volume("postgres", "data"));
    assert_eq!(again(&project, &state), (plan::Change::Create, reason));

    state.job_records.clear();
    state.unrecorded_jobs.insert(name("migrate"));
    let unrecorded = (plan::Change::Create, Some(plan::Reason::Unrecorded));
    assert_eq!(again(&project, &state), unrecorded);
    project.services.get_mut("migrate").unwrap().kind = Kind::Job { irreversible: true };
    insta::assert_snapshot!(refused(&project, &state), @"
    `migrate` is irreversible and would run again, as the record of whether it has run was removed
      `--rerun migrate` runs it again; `--no-rerun` assumes that it is done
    ");
    let options = |rerun| Options {
        rerun,
        ..Options::default()
    };
    let kept = migrate_with(&project, &state, &options(plan::RerunJobs::Never));
    assert_eq!(kept.change, plan::Change::NoOp);
    let asked = migrate_with(&project, &state, &options(plan::RerunJobs::All));
    assert_eq!(asked.change, plan::Change::Create);
}

#[test]
fn done_job_survives_replaced_volumes_from_source() {
    let mut project = stack();
    let migrate = project.services.get_mut("migrate").unwrap();
    migrate.container.volumes_from = vec!["postgres".to_owned()];
    let state = deployed(&project);
    let postgres = project.services.get_mut("postgres").unwrap();
    postgres.container.user = Some("999".to_owned());
    assert_eq!(again(&project, &state), (plan::Change::NoOp, None));
}

#[test]
fn tags_of_generations_without_containers_are_removed() {
    let mut project = stack();
    project.deploy.history = 2;
    let mut state = deployed(&project);
    let tag = |text: &str| ImageRef::new(text).unwrap();
    for container in state.containers.values_mut() {
        container.generation = 7;
    }
    let known = [
        "shop-redis:g3",
        "shop-redis:g6",
        "shop-redis:g7",
        "shop-other:g1",
        "shop-redis:x",
    ];
    state.kept_images = Some(known.map(tag).into());
    // Surplus tags alone cause no change.
    assert!(deploy(&project, &state).plan.changes_nothing());
    project.services.get_mut("redis").unwrap().container.user = Some("999".to_owned());
    let deploy = deploy(&project, &state);
    let removed = deploy
        .plan
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            plan::StepKind::Action(plan::Action::RemoveImage(tag)) => {
                Some((tag.as_str(), step.after_commit))
            }
            _ => None,
        });
    // The new generation and the one before it are kept.
    let removed: Vec<_> = removed.collect();
    assert_eq!(removed, [("shop-redis:g6", true), ("shop-redis:g3", true)]);
}

#[test]
fn anonymous_volumes_are_carried_over() {
    let mut project = stack();
    let mut state = deployed(&project);
    let volume = |name: &str, anonymous| MountedVolume {
        name: name.to_owned(),
        anonymous,
        writable: true,
    };
    state.containers.get_mut("shop-redis-1").unwrap().volumes = BTreeMap::from([
        ("/data".to_owned(), volume("0a1b", true)),
        ("/named".to_owned(), volume("shop_x", false)),
    ]);
    project.services.get_mut("redis").unwrap().container.user = Some("999".to_owned());
    let deploy = deploy(&project, &state);
    let carried = deploy.plan.steps.iter().find_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::CreateContainer(create)) => {
            Some(create.carried_over.clone())
        }
        _ => None,
    });
    assert_eq!(
        carried.unwrap(),
        BTreeMap::from([("/data".to_owned(), "0a1b".to_owned())])
    );
}

#[test]
fn conflicts_are_all_refused_at_once() {
    let mut project = stack();
    let mut state = empty(&project);
    let foreign = |owner: Option<&str>, ports| UnmanagedContainer {
        project: owner.map(str::to_owned),
        running: true,
        ports,
    };
    state.foreign = BTreeMap::from([
        (
            ContainerName::new("shop-redis-1").unwrap(),
            foreign(Some("other"), vec![]),
        ),
        (
            ContainerName::new("web").unwrap(),
            foreign(None, vec![held(3000)]),
        ),
    ]);
    let resource = |owner: Option<&str>| Resource {
        project: owner.map(str::to_owned),
        name: None,
        definition: None,
        users: 0,
        id: None,
        record: None,
        subnets: Vec::new(),
    };
    state
        .networks
        .insert("shop_edge".to_owned(), resource(None));
    state
        .volumes
        .insert("shop_data".to_owned(), resource(Some("other")));
    insta::assert_snapshot!(refused(&project, &state), @"
    container `shop-redis-1`, which `redis` needs, belongs to project `other`
      remove or rename that container, or give this project another name (`-p NAME`)
    port 3000 of this host, which `frontend` publishes, is held by container `web`
      stop it (`docker stop web`), or publish another port
    network `shop_edge` exists already and belongs to an unknown owner
      declare it `external=#true` to use it as it is, or give it another `name=`
    volume `shop_data` exists already and belongs to project `other`
      declare it `external=#true` to use it as it is, or give it another `name=`
    ");
    for network in project.networks.values_mut() {
        network.external = true;
    }
    insta::assert_snapshot!(refused(&project, &empty(&project)), @"
    external network `shop_edge` does not exist
      make it with `docker network create shop_edge`
    ");
}

#[test]
fn changed_network_is_removed_after_commit() {
    let mut project = stack();
    project.deploy.history = 1;
    let mut state = deployed(&project);
    let edge = project.networks.get_mut("edge").unwrap();
    let found = state.networks.get_mut("shop_edge").unwrap();
    found.record = serde_json::to_value(&*edge).ok();
    edge.internal = true;
    for container in state.containers.values_mut() {
        container.networks = BTreeMap::from([("shop_edge".to_owned(), String::new())]);
    }
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 4 to replace, 1 unchanged
      ~ network edge is replaced by shop_edge.c6d75ad4 (definition changed)
          internal: false → true
      - network shop_edge
      ~ postgres  replaced (start first): network `edge` is recreated
          no interruption; open connections stay open until the old container stops
      ~ redis     replaced (start first): network `edge` is recreated
          no interruption; open connections stay open until the old container stops
      = migrate   unchanged
      ~ backend   replaced (start first): network `edge` is recreated
          no interruption; open connections stay open until the old container stops
      ~ frontend  replaced (stop first, as both publish port 3000): network `edge` is recreated
          does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
          to shorten it: attach it to an internal network, on which the new container is probed before it takes the port
    ");
    let plan = deploy(&project, &state).plan;
    let removal = plan.steps.iter().position(|step| {
        matches!(&step.kind, plan::StepKind::Action(plan::Action::RemoveNetwork(name)) if name == "shop_edge")
    });
    let removal = removal.unwrap();
    assert!(plan.steps[removal].after_commit);
    let needs = &plan.steps[removal].requires;
    let old = needs.iter().map(|need| &plan.steps[need.0].kind);
    let gone = old.filter(|work| {
        matches!(
            work,
            plan::StepKind::Action(plan::Action::RemoveContainer(_))
        )
    });
    assert_eq!(gone.count(), 4, "after its containers");
}

#[test]
fn changed_network_with_same_subnet_is_refused() {
    let mut project = stack();
    let mut state = deployed(&project);
    let edge = project.networks.get_mut("edge").unwrap();
    edge.subnets = vec![Subnet {
        subnet: "10.1.0.0/16".to_owned(),
        range: None,
        gateway: None,
    }];
    let found = state.networks.get_mut("shop_edge").unwrap();
    found.record = serde_json::to_value(&*edge).ok();
    edge.internal = true;
    insta::assert_snapshot!(refused(&project, &state), @"
    the definition of network `shop_edge` changed, and the new one needs the same subnet or bridge name, which the old network uses until the deploy is committed
      give it another subnet, too; or run `cimandat down`, which keeps volumes, and `cimandat up` again
    ");
    project.networks.get_mut("edge").unwrap().subnets[0].subnet = "10.2.0.0/16".to_owned();
    let options = Options {
        services: BTreeSet::from([name("redis")]),
        ..Options::default()
    };
    let refusals = plan::deploy(&project, &state, &options).unwrap_err();
    insta::assert_snapshot!(refusals[0], @"the definition of network `shop_edge` changed, and service `backend`, not part of this deploy, would stay on the old network");
}

#[test]
fn orphaned_networks_are_removed_and_volumes_reported() {
    let project = stack();
    let mut state = deployed(&project);
    let found = |name: &str, users| Resource {
        name: Some(name.to_owned()),
        users,
        ..state.networks["shop_edge"].clone()
    };
    let networks = [
        ("shop_old", found("old", 0)),
        ("shop_used", found("used", 1)),
    ];
    let volume = found("past", 0);
    for (name, found) in networks {
        state.networks.insert(name.to_owned(), found);
    }
    state.volumes.insert("shop_past".to_owned(), volume);
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 5 unchanged
      - network shop_old
      = postgres  unchanged
      = redis     unchanged
      = migrate   unchanged
      = backend   unchanged
      = frontend  unchanged
    no longer declared, and kept: volume shop_past
    ");
}

#[test]
fn down_stops_dependents_first_and_keeps_volumes() {
    let project = stack();
    let state = deployed(&project);
    insta::assert_snapshot!(lines(&plan::down("shop", &state, &DownOptions::default())), @"
    0 stopping container shop-frontend-1 <>
    1 stopping container shop-backend-1 <0>
    2 removing container shop-backend-1 <1>
    3 removing container shop-frontend-1 <0>
    4 removing container shop-migrate-1 <>
    5 stopping container shop-postgres-1 <1>
    6 removing container shop-postgres-1 <5>
    7 stopping container shop-redis-1 <1>
    8 removing container shop-redis-1 <7>
    9 removing image shop-backend:g1 <2,3,4,6,8>
    10 removing image shop-frontend:g1 <2,3,4,6,8>
    11 removing image shop-migrate:g1 <2,3,4,6,8>
    12 removing image shop-postgres:g1 <2,3,4,6,8>
    13 removing image shop-redis:g1 <2,3,4,6,8>
    14 removing network shop_edge <2,3,4,6,8>
    ");
    let all = DownOptions {
        volumes: true,
        ..DownOptions::default()
    };
    let plan = plan::down("shop", &state, &all);
    assert!(lines(&plan).contains("removing volume shop_data"));
}

#[test]
fn down_removes_each_image_name_once() {
    let project = stack();
    let mut state = deployed(&project);
    let names = |names: &[&str]| names.iter().map(|it| ImageRef::new(*it).unwrap()).collect();
    // The engine lists all names of an image built here, including generation tags.
    state.own_images = names(&["shop-backend:6f0c", "shop-backend:g1", "shop-migrate:g1"]);
    let removal = DownOptions {
        images: true,
        tags: names(&["shop-backend:g1", "shop-redis:g1"]),
        ..DownOptions::default()
    };
    let plan = plan::down("shop", &state, &removal);
    let removed = plan.steps.iter().filter_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::RemoveImage(name)) => {
            Some((name.as_str(), step.non_fatal))
        }
        _ => None,
    });
    let removed: Vec<_> = removed.collect();
    let once: BTreeSet<_> = removed.iter().map(|(name, _)| *name).collect();
    assert_eq!(once.len(), removed.len(), "{removed:?}");
    // The removal of a requested name must succeed. A name that was only kept for a generation may
    // stay.
    let kept: Vec<_> = removed.iter().filter(|(_, optional)| *optional).collect();
    let kept: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        kept,
        ["shop-frontend:g1", "shop-postgres:g1", "shop-redis:g1"]
    );
}

/// A project of up to 7 services, each depending on some of the earlier ones.
fn projects() -> impl Strategy<Value = Project> {
    proptest::collection::vec(proptest::collection::vec(any::<bool>(), 8), 1..8).prop_map(|rows| {
        project(rows.iter().enumerate().map(|(index, row)| {
            let waits: Vec<String> = (0..index)
                .filter(|other| row[*other])
                .map(|other| format!("s{other}"))
                .collect();
            service(
                &format!("s{index}"),
                &waits.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        }))
    })
}

/// All direct and transitive requirements of a step.
fn before(plan: &Plan, step: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = plan.steps[step]
        .requires
        .iter()
        .map(|need| need.0)
        .collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(plan.steps[next].requires.iter().map(|need| need.0));
        }
    }
    found
}

proptest! {
    #[test]
    fn steps_follow_requirements_and_starts_follow_gates(
        project in projects(),
        changed in proptest::collection::vec(any::<bool>(), 8),
        first in any::<bool>(),
    ) {
        let state = if first { empty(&project) } else { deployed(&project) };
        let mut project = project;
        for (service, changed) in project.services.values_mut().zip(changed) {
            if changed {
                service.container.user = Some("1".to_owned());
            }
        }
        let plan = deploy(&project, &state).plan;
        for (index, step) in plan.steps.iter().enumerate() {
            prop_assert!(step.requires.iter().all(|need| need.0 < index));
            let plan::StepKind::Action(plan::Action::StartContainer(_)) = &step.kind else { continue };
            let plan::Subject::Service { name, .. } = &step.subject else { continue };
            let earlier = before(&plan, index);
            for dependency in project.services[name].depends_on.keys() {
                let gate = plan.steps.iter().position(|other| {
                    matches!(other.kind, plan::StepKind::AwaitReady { .. })
                        && matches!(&other.subject, plan::Subject::Service { name, .. } if name == dependency)
                });
                prop_assert!(earlier.contains(&gate.unwrap()), "{name} does not wait for {dependency}");
            }
        }
    }
}

#[test]
fn volume_moves_after_old_writer_stops() {
    let mut project = stack();
    let mut state = deployed(&project);
    let volume = MountedVolume {
        name: "shop_data".to_owned(),
        anonymous: false,
        writable: true,
    };
    let old = state.containers.get_mut("shop-postgres-1").unwrap();
    old.volumes = BTreeMap::from([("/data".to_owned(), volume)]);
    let mut renamed = project.services.remove("postgres").unwrap();
    renamed.name = name("database");
    project.services.insert(renamed.name.clone(), renamed);
    for service in project.services.values_mut() {
        service.depends_on.remove("postgres");
    }
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 creating container shop-database-1 <>
    1 tagging image shop-database:g2 <>
    2 gate shop-redis-1 <>
    3 gate shop-backend-1 <2>
    4 gate shop-frontend-1 <3>
    5 stopping container shop-postgres-1 <0>
    6 starting container shop-database-1 <0,5>
    7 gate shop-database-1 <6>
    8 setting the restart policy of container shop-database-1 <> (after commit)
    9 removing container shop-postgres-1 <5> (after commit)
    10 removing image shop-postgres:g1 <9> (after commit)
    ");
}

#[test]
fn never_started_container_is_recreated() {
    let project = stack();
    let mut state = deployed(&project);
    let redis = state.containers.get_mut("shop-redis-1").unwrap();
    redis.condition.status = Status::Created;
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace, 4 unchanged
      = postgres  unchanged
      ~ redis     replaced: not running
      = migrate   unchanged
      = backend   unchanged
      = frontend  unchanged
    ");
}

#[test]
fn leftovers_of_interrupted_run_are_removed() {
    let project = stack();
    let mut state = deployed(&project);
    let committed = state.containers.get_mut("shop-redis-1").unwrap();
    committed.condition.status = Status::Exited;
    let mut left = committed.clone();
    left.generation = 2;
    left.condition.status = Status::Running;
    left.restart = Some(RestartPolicy::No);
    let left_name = ContainerName::new("shop-redis-1.g2").unwrap();
    state.containers.insert(left_name, left);
    insta::assert_snapshot!(lines(&deploy(&project, &state).plan), @"
    0 gate shop-postgres-1 <>
    1 stopping container shop-redis-1.g2 <>
    2 starting container shop-redis-1 <1>
    3 gate shop-redis-1 <2>
    4 gate shop-backend-1 <0,3>
    5 gate shop-frontend-1 <4>
    6 removing container shop-redis-1.g2 <1> (after commit)
    7 removing image shop-redis:g2 <6> (after commit)
    ");
}

#[test]
fn unset_restart_policy_is_set() {
    let project = stack();
    let mut state = deployed(&project);
    state.containers.get_mut("shop-redis-1").unwrap().restart = Some(RestartPolicy::No);
    let plan = deploy(&project, &state).plan;
    assert!(lines(&plan).contains("setting the restart policy of container shop-redis-1"));
}

#[test]
fn duplicate_container_name_is_refused() {
    let mut project = project([service("a", &[]), service("b", &[])]);
    project.services.get_mut("b").unwrap().container_name = Some("shop-a-1".to_owned());
    insta::assert_snapshot!(refused(&project, &empty(&project)), @"
    the containers of `a` and `b` would both be named `shop-a-1`
      give one of them another `container-name`
    ");
}

#[test]
fn down_tolerates_dependency_cycle_in_records() {
    let mut state = deployed(&project([service("a", &["b"]), service("b", &[])]));
    let record = state.containers["shop-a-1"].record.clone().unwrap();
    let depends_on = BTreeMap::from([(name("a"), record.depends_on[&name("b")])]);
    let other = state.containers.get_mut("shop-b-1").unwrap();
    other.record.as_mut().unwrap().depends_on = depends_on;
    let plan = plan::down("shop", &state, &DownOptions::default());
    assert!(lines(&plan).contains("removing container shop-b-1"));
}

/// The stack with the database of major version `from` on a volume, and with a server image of
/// major version `to`.
fn upgrade(from: &str, to: &str) -> (Project, State) {
    let mut project = stack();
    let mut state = deployed(&project);
    let postgres = ContainerName::new("shop-postgres-1").unwrap();
    let volume = MountedVolume {
        name: "shop_data".to_owned(),
        anonymous: false,
        writable: true,
    };
    let container = state.containers.get_mut(&postgres).unwrap();
    container.volumes.insert("/data".to_owned(), volume);
    let database = Database {
        folder: "/data/pgdata".to_owned(),
        major: from.to_owned(),
    };
    state.databases.insert(postgres, database);
    let image = ImageRef::new("registry.example/server:2").unwrap();
    let facts = ImageInfo {
        id: "sha256:newer".to_owned(),
        volumes: vec![],
        healthcheck: false,
        user: String::new(),
        digests: vec![],
        postgres_major: Some(to.to_owned()),
    };
    state.images.insert(image.clone(), facts);
    let service = project.services.get_mut(&name("postgres")).unwrap();
    service.image = ImageSource::Reference(image);
    (project, state)
}

#[test]
fn database_major_upgrade_is_refused_unless_allowed() {
    let (project, state) = upgrade("16", "17");
    insta::assert_snapshot!(refused(&project, &state), @r#"
    `postgres` would run PostgreSQL 17 on data of PostgreSQL 16 (volume `shop_data`, `/data/pgdata`)
      dump the data with 16 (`pg_dumpall`) and load it into a new volume with 17, or convert it with `pg_upgrade`; where the image does that itself, `--allow-major-upgrade` lets it, best with the volume `snapshot="before-update"`
    "#);
    let allowed = Options {
        allow_major_upgrade: true,
        ..Options::default()
    };
    assert!(plan::deploy(&project, &state, &allowed).is_ok());
    let (project, state) = upgrade("17", "17");
    assert!(plan::deploy(&project, &state, &Options::default()).is_ok());
}

#[test]
fn database_check_covers_only_changed_images() {
    let asked = |project: &Project, state: &State| {
        let options = Options::default();
        let state = State {
            databases: BTreeMap::new(),
            ..state.clone()
        };
        let deploy = plan::deploy(project, &state, &options).unwrap();
        plan::databases_in_question(project, &state, &options, &deploy)
    };
    let (project, state) = upgrade("16", "17");
    let postgres = ContainerName::new("shop-postgres-1").unwrap();
    assert_eq!(asked(&project, &state), BTreeSet::from([postgres]));
    // Nothing is checked when no image changes, or when the images report no PostgreSQL version.
    assert_eq!(asked(&stack(), &deployed(&stack())), BTreeSet::new());
    let (project, mut state) = upgrade("16", "17");
    for facts in state.images.values_mut() {
        facts.postgres_major = None;
    }
    assert_eq!(asked(&project, &state), BTreeSet::new());
}

/// State after a deploy, with every container on a network that accepts fixed addresses.
fn connected(project: &Project) -> State {
    let mut state = deployed(project);
    let network = state.networks.get_mut("shop_edge").unwrap();
    network.subnets = vec![plan::halved("172.20.0.0/16").unwrap()];
    for (number, container) in (0..).zip(state.containers.values_mut()) {
        connect(container, number);
    }
    state
}

fn connect(container: &mut Container, number: u32) {
    let edge = || NetworkName::new("edge").unwrap();
    let address = format!("172.20.0.{}", number + 2);
    let record = container.record.as_mut().unwrap();
    record.networks = BTreeMap::from([(edge(), "shop_edge".to_owned())]);
    record.addresses = BTreeMap::from([(edge(), number)]);
    let endpoint = Endpoint {
        aliases: vec![container.service.to_string()],
        ipv4: Some(address.clone()),
        priority: Some(0),
        ..Endpoint::default()
    };
    container.setup = Some(RuntimeConfig {
        endpoints: BTreeMap::from([("shop_edge".to_owned(), endpoint)]),
        ..RuntimeConfig::default()
    });
    container.networks = BTreeMap::from([("shop_edge".to_owned(), address)]);
}

/// All steps of the deploy, one per line.
fn switch(project: &Project, state: &State) -> String {
    lines(&deploy(project, state).plan)
}

/// The cutovers of a plan: each container with its aliases and its address afterwards.
fn cutovers(project: &Project, state: &State) -> String {
    let plan = deploy(project, state).plan;
    let side = |side: &plan::Attached| {
        let endpoints = side.endpoints.iter();
        let endpoints: Vec<String> = endpoints
            .map(|(network, it)| {
                let address = match &it.ipv4 {
                    None => "any".to_owned(),
                    Some(plan::Address::Given(address)) => address.clone(),
                    Some(plan::Address::Reserved(number)) => format!("#{number}"),
                };
                format!("{network} {:?} {address}", it.aliases)
            })
            .collect();
        format!("{}: {}", side.container, endpoints.join(", "))
    };
    let cutovers = plan.steps.iter().filter_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::Cutover(it)) => Some(it),
        _ => None,
    });
    let lines = cutovers.flat_map(|it| {
        let from = it.from.as_ref().map(|from| format!("from {}", side(from)));
        [format!("to {}", side(&it.to))].into_iter().chain(from)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn start_first_update_switches_traffic_in_one_step() {
    let mut web = service("web", &[]);
    web.container.restart = RestartPolicy::Always;
    web.update.drain = None;
    let mut project = project([web, service("client", &["web"])]);
    let state = connected(&project);
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-web-1.g2 <>
    1 tagging image shop-web:g2 <>
    2 starting container shop-web-1.g2 <0>
    3 gate shop-web-1.g2 <2>
    4 switching traffic to container shop-web-1.g2 <0,3>
    5 drain shop-web-1 <4>
    6 setting the restart policy of container shop-web-1 <4,5>
    7 stopping container shop-web-1 <4,5,6>
    8 gate shop-client-1 <3,4,7>
    9 setting the restart policy of container shop-web-1.g2 <> (after commit)
    10 renaming container shop-web-1 <6,7> (after commit)
    11 renaming container shop-web-1.g2 <9,10> (after commit)
    ");
    insta::assert_snapshot!(cutovers(&project, &state), @r#"
    to shop-web-1.g2: shop_edge ["web"] #2
    from shop-web-1: shop_edge [] 172.20.0.3
    "#);
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace, 1 unchanged
      ~ web     replaced (start first): 1 field changed
          user: 999 (new)
          no interruption; open connections stay open until the old container stops
      = client  unchanged
    ");
}

#[test]
fn kept_address_moves_to_new_container() {
    let mut project = project([service("web", &[])]);
    let state = connected(&project);
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.keeps_address = true;
    insta::assert_snapshot!(cutovers(&project, &state), @r#"
    to shop-web-1.g2: shop_edge ["web"] #0
    from shop-web-1: shop_edge [] #1
    "#);
}

#[test]
fn stop_first_replacement_keeps_its_address() {
    let mut project = project([service("db", &[]), service("web", &[])]);
    let state = connected(&project);
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.order = UpdateOrder::StopFirst;
    let plan = deploy(&project, &state).plan;
    let create = plan.steps.iter().find_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::CreateContainer(it)) => Some(it),
        _ => None,
    });
    let endpoint = &create.unwrap().endpoints["shop_edge"];
    assert_eq!(endpoint.ipv4, Some(plan::Address::Reserved(1)));
    assert_eq!(endpoint.aliases, ["web"]);
    assert_eq!(cutovers(&project, &state), "");
}

/// A project whose `web` publishes a port on `edge` and shares an internal network with `db`.
fn published() -> (Project, State) {
    let mut web = service("web", &["db"]);
    web.container.ports = vec![publish(80)];
    let mut project = project([service("db", &[]), web]);
    let app = NetworkName::new("app").unwrap();
    let network = Network {
        engine_name: "shop_app".to_owned(),
        internal: true,
        ..project.networks.values().next().unwrap().clone()
    };
    project.networks.insert(app.clone(), network);
    for service in project.services.values_mut() {
        let NetworkMode::Networks(attached) = &mut service.container.network else {
            continue;
        };
        attached.insert(app.clone(), Attachment::default());
    }
    let mut state = connected(&project);
    let subnets = vec![plan::halved("172.21.0.0/16").unwrap()];
    state.networks.get_mut("shop_app").unwrap().subnets = subnets;
    for container in state.containers.values_mut() {
        let record = container.record.as_mut().unwrap();
        record.networks.insert(app.clone(), "shop_app".to_owned());
        let number = record.addresses.values().next().copied().unwrap();
        record.addresses.insert(app.clone(), number);
        let setup = container.setup.as_mut().unwrap();
        let mut endpoint = setup.endpoints["shop_edge"].clone();
        endpoint.ipv4 = Some(format!("172.21.0.{}", number + 2));
        setup.endpoints.insert("shop_app".to_owned(), endpoint);
    }
    (project, state)
}

#[test]
fn published_port_moves_to_ready_container() {
    let (mut project, state) = published();
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.drain = None;
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-web-1.g2 <>
    1 tagging image shop-web:g2 <>
    2 gate shop-db-1 <>
    3 starting container shop-web-1.g2 <0,2>
    4 gate shop-web-1.g2 <3>
    5 switching traffic to container shop-web-1.g2 <0,4>
    6 drain shop-web-1 <5>
    7 stopping container shop-web-1 <5,6>
    8 setting the restart policy of container shop-web-1.g2 <> (after commit)
    9 setting the restart policy of container shop-web-1 <7> (after commit)
    10 renaming container shop-web-1 <7,9> (after commit)
    11 renaming container shop-web-1.g2 <8,10> (after commit)
    ");
    insta::assert_snapshot!(cutovers(&project, &state), @r#"
    to shop-web-1.g2: shop_app ["web"] #2, shop_edge ["web"] #1
    from shop-web-1: shop_app [] 172.21.0.3
    "#);
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace, 1 unchanged
      = db   unchanged
      ~ web  replaced (start first): 1 field changed
          user: 999 (new)
          port 80 does not answer for about 0.2 s; requests in progress through it are cut
    ");
}

#[test]
fn drained_service_stops_before_its_port_moves() {
    let (mut project, state) = published();
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.drain = Some(Duration::from_secs(5));
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-web-1.g2 <>
    1 tagging image shop-web:g2 <>
    2 gate shop-db-1 <>
    3 starting container shop-web-1.g2 <0,2>
    4 gate shop-web-1.g2 <3>
    5 switching traffic to container shop-web-1.g2 <0,4>
    6 stopping container shop-web-1 <5>
    7 attaching container shop-web-1.g2 <6>
    8 setting the restart policy of container shop-web-1.g2 <> (after commit)
    9 setting the restart policy of container shop-web-1 <6> (after commit)
    10 renaming container shop-web-1 <6,9> (after commit)
    11 renaming container shop-web-1.g2 <8,10> (after commit)
    ");
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace, 1 unchanged
      = db   unchanged
      ~ web  replaced (start first): 1 field changed
          user: 999 (new)
          port 80 does not answer while the old container finishes its requests and stops
    ");
}

#[test]
fn drained_service_stops_with_drain_time_as_grace() {
    let (mut project, state) = published();
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.drain = Some(Duration::from_mins(1));
    let plan = deploy(&project, &state).plan;
    let grace = plan.steps.iter().find_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::StopContainer { grace, .. }) => Some(*grace),
        _ => None,
    });
    assert_eq!(grace, Some(Some(Duration::from_mins(1))));
    insta::assert_snapshot!(cutovers(&project, &state), @r#"
    to shop-web-1.g2: shop_app ["web"] #2
    from shop-web-1: shop_app [] 172.21.0.3, shop_edge ["web"] 172.20.0.3
    to shop-web-1.g2: shop_app ["web"] #2, shop_edge ["web"] #1
    "#);
}

#[test]
fn drained_service_on_changed_network_has_no_cycle() {
    let (mut project, mut state) = published();
    let mut proxy = service("proxy", &["web"]);
    proxy.container.user = Some("1".to_owned());
    let web = &project.services["web"];
    proxy.container.network = web.container.network.clone();
    project.services.insert(proxy.name.clone(), proxy);
    let mut old = state.containers["shop-web-1"].clone();
    old.service = ServiceName::new("proxy").unwrap();
    old.ports.clear();
    state
        .containers
        .insert(ContainerName::new("shop-proxy-1").unwrap(), old);
    let web = project.services.get_mut("web").unwrap();
    web.update.drain = Some(Duration::from_secs(5));
    let app = project.networks.get_mut("app").unwrap();
    app.attachable = !app.attachable;
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating network shop_app.3f18b1c8 <>
    1 creating container shop-db-1.g2 <0>
    2 tagging image shop-db:g2 <>
    3 creating container shop-web-1.g2 <0>
    4 tagging image shop-web:g2 <>
    5 creating container shop-proxy-1.g2 <0>
    6 tagging image shop-proxy:g2 <>
    7 starting container shop-db-1.g2 <1>
    8 gate shop-db-1.g2 <7>
    9 switching traffic to container shop-db-1.g2 <1,3,5,8>
    10 starting container shop-web-1.g2 <3,8,9>
    11 gate shop-web-1.g2 <10>
    12 switching traffic to container shop-web-1.g2 <1,3,5,11>
    13 stopping container shop-web-1 <12>
    14 stopping container shop-db-1 <9,13>
    15 attaching container shop-web-1.g2 <13>
    16 starting container shop-proxy-1.g2 <5,11,12,15>
    17 gate shop-proxy-1.g2 <16>
    18 switching traffic to container shop-proxy-1.g2 <1,3,5,17>
    19 stopping container shop-proxy-1 <18>
    20 setting the restart policy of container shop-db-1.g2 <> (after commit)
    21 setting the restart policy of container shop-db-1 <14> (after commit)
    22 renaming container shop-db-1 <14,21> (after commit)
    23 renaming container shop-db-1.g2 <20,22> (after commit)
    24 setting the restart policy of container shop-web-1.g2 <> (after commit)
    25 setting the restart policy of container shop-web-1 <13> (after commit)
    26 renaming container shop-web-1 <13,25> (after commit)
    27 renaming container shop-web-1.g2 <24,26> (after commit)
    28 setting the restart policy of container shop-proxy-1.g2 <> (after commit)
    29 setting the restart policy of container shop-proxy-1 <19> (after commit)
    30 renaming container shop-proxy-1 <19,29> (after commit)
    31 renaming container shop-proxy-1.g2 <28,30> (after commit)
    32 removing network shop_app <> (after commit)
    ");
}

#[test]
fn old_container_leaves_external_networks_before_port_moves() {
    let (mut project, mut state) = published();
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    web.update.drain = None;
    // Attached manually.
    let old = state.containers.get_mut("shop-web-1").unwrap();
    let setup = old.setup.as_mut().unwrap();
    setup
        .endpoints
        .insert("foreign".to_owned(), Endpoint::default());
    insta::assert_snapshot!(cutovers(&project, &state), @r#"
    to shop-web-1.g2: shop_app ["web"] #2, shop_edge ["web"] #1
    from shop-web-1: shop_app [] 172.21.0.3
    "#);
}

#[test]
fn host_name_used_by_clients_forces_stop_first() {
    let mut project = project([service("web", &[])]);
    let state = connected(&project);
    let web = project.services.get_mut("web").unwrap();
    web.container.hostname = Some("other".to_owned());
    assert!(cutovers(&project, &state).contains("shop-web-1.g2"));
    let web = project.services.get_mut("web").unwrap();
    web.container.hostname = Some("web".to_owned());
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 1 to replace
      ~ web  replaced (stop first, as its host name `web` resolves before it is ready): 1 field changed
          hostname: web (new)
          does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
          to shorten it: leave out `hostname`
    ");
}

#[test]
fn manifest_address_is_never_reserved_for_others() {
    let mut project = project([service("db", &[]), service("web", &[])]);
    let network = project.networks.values_mut().next().unwrap();
    network.subnets = vec![plan::halved("10.77.0.0/24").unwrap()];
    let edge = NetworkName::new("edge").unwrap();
    let db = project.services.get_mut("db").unwrap();
    let given = Attachment {
        ipv4: Some("10.77.0.2".to_owned()),
        ..Attachment::default()
    };
    db.container.network = NetworkMode::Networks(BTreeMap::from([(edge, given)]));
    let plan = deploy(&project, &State::default()).plan;
    let addresses = plan.steps.iter().filter_map(|step| match &step.kind {
        plan::StepKind::Action(plan::Action::CreateContainer(it)) => Some((
            it.service.to_string(),
            it.endpoints["shop_edge"].ipv4.clone(),
        )),
        _ => None,
    });
    let addresses: BTreeMap<_, _> = addresses.collect();
    assert_eq!(addresses["web"], Some(plan::Address::Reserved(1)));
}

#[test]
fn restarted_container_is_reattached_after_stop() {
    let mut web = service("web", &["db"]);
    let dependency = web.depends_on.values_mut().next().unwrap();
    dependency.restart = true;
    let mut project = project([service("db", &[]), web]);
    let mut state = connected(&project);
    let db = project.services.get_mut("db").unwrap();
    db.container.user = Some("999".to_owned());
    let old = state.containers.get_mut("shop-web-1").unwrap();
    old.setup.as_mut().unwrap().endpoints.clear();
    old.networks.clear();
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-db-1.g2 <>
    1 tagging image shop-db:g2 <>
    2 starting container shop-db-1.g2 <0>
    3 gate shop-db-1.g2 <2>
    4 switching traffic to container shop-db-1.g2 <0,3>
    5 stopping container shop-db-1 <4>
    6 stopping container shop-web-1 <0,3,4>
    7 attaching container shop-web-1 <3,4,6>
    8 starting container shop-web-1 <3,4,6,7>
    9 gate shop-web-1 <7,8>
    10 setting the restart policy of container shop-db-1.g2 <> (after commit)
    11 setting the restart policy of container shop-db-1 <5> (after commit)
    12 renaming container shop-db-1 <5,11> (after commit)
    13 renaming container shop-db-1.g2 <10,12> (after commit)
    ");
}

#[test]
fn failed_unchanged_service_rolls_back_its_dependencies() {
    let services = [
        service("api", &[]),
        service("cache", &[]),
        service("web", &["api"]),
    ];
    let mut project = project(services);
    let state = connected(&project);
    for name in ["api", "cache"] {
        let service = project.services.get_mut(name).unwrap();
        service.container.user = Some("999".to_owned());
    }
    let plan = deploy(&project, &state).plan;
    let failed = plan.steps.iter().position(|step| {
        matches!(&step.kind, plan::StepKind::AwaitReady { container, .. } if container.as_str() == "shop-web-1")
    });
    let unmet = BTreeSet::from([plan::StepId(failed.unwrap())]);
    let split = plan::split(&plan, &unmet, &BTreeSet::new(), &state);
    let names = |names: &[&str]| -> BTreeSet<ServiceName> {
        let names = names.iter();
        names.map(|it| ServiceName::new(*it).unwrap()).collect()
    };
    assert_eq!(split.rolled_back, names(&["api", "web"]));
    assert_eq!(split.committed, names(&["cache"]));
}

#[test]
fn port_move_needs_internal_network_to_dependencies() {
    let (mut project, state) = published();
    let web = project.services.get_mut("web").unwrap();
    web.container.user = Some("999".to_owned());
    let app = NetworkName::new("app").unwrap();
    let db = project.services.get_mut("db").unwrap();
    if let NetworkMode::Networks(attached) = &mut db.container.network {
        attached.remove(&app);
    }
    insta::assert_snapshot!(shown(&project, &state), @"
    shop: 2 to replace
      ~ db   replaced (start first): 1 field changed
          network.networks.app.priority: 0 (gone)
          no interruption; open connections stay open until the old container stops
      ~ web  replaced (stop first, as both publish port 80): 1 field changed
          user: 999 (new)
          does not answer from the stop of the old container until the new one is ready; requests in progress end with the old container
          to shorten it: share an internal network with `db`
    ");
}

#[test]
fn cutover_precedes_start_of_new_dependents() {
    let mut project = project([service("web", &[]), service("client", &["web"])]);
    let state = connected(&project);
    for service in project.services.values_mut() {
        service.container.user = Some("999".to_owned());
    }
    let plan = deploy(&project, &state).plan;
    let at = |wanted: &str| {
        let lines = lines(&plan);
        let at = lines
            .lines()
            .position(|line| line.contains(wanted))
            .unwrap();
        (at, lines.lines().nth(at).unwrap().contains("after commit"))
    };
    let switched = at("switching traffic to container shop-web-1.g2");
    assert!(!switched.1 && switched < at("starting container shop-client-1.g2"));
    assert!(!at("stopping container shop-web-1").1);
    assert!(!at("stopping container shop-client-1").1);
}

#[test]
fn replicas_are_replaced_one_at_a_time() {
    let mut web = service("web", &[]);
    web.replicas = 2;
    let mut project = project([web]);
    let mut state = connected(&project);
    let mut second = state.containers.values().next().unwrap().clone();
    second.replica = 2;
    connect(&mut second, 1);
    let name = ContainerName::new("shop-web-2").unwrap();
    state.containers.insert(name, second);
    project.services.get_mut("web").unwrap().container.user = Some("999".to_owned());
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-web-1.g2 <>
    1 tagging image shop-web:g2 <>
    2 creating container shop-web-2.g2 <>
    3 starting container shop-web-1.g2 <0>
    4 gate shop-web-1.g2 <3>
    5 switching traffic to container shop-web-1.g2 <0,2,4>
    6 stopping container shop-web-1 <5>
    7 starting container shop-web-2.g2 <2,4>
    8 gate shop-web-2.g2 <7>
    9 switching traffic to container shop-web-2.g2 <0,2,8>
    10 stopping container shop-web-2 <9>
    11 setting the restart policy of container shop-web-1.g2 <> (after commit)
    12 setting the restart policy of container shop-web-1 <6> (after commit)
    13 renaming container shop-web-1 <6,12> (after commit)
    14 renaming container shop-web-1.g2 <11,13> (after commit)
    15 setting the restart policy of container shop-web-2.g2 <> (after commit)
    16 setting the restart policy of container shop-web-2 <10> (after commit)
    17 renaming container shop-web-2 <10,16> (after commit)
    18 renaming container shop-web-2.g2 <15,17> (after commit)
    ");
    let update = &mut project.services.get_mut("web").unwrap().update;
    update.order = UpdateOrder::StopFirst;
    insta::assert_snapshot!(switch(&project, &state), @"
    0 creating container shop-web-1.g2 <>
    1 tagging image shop-web:g2 <>
    2 creating container shop-web-2.g2 <>
    3 stopping container shop-web-1 <0,2>
    4 starting container shop-web-1.g2 <0,3>
    5 gate shop-web-1.g2 <4>
    6 stopping container shop-web-2 <0,2,5>
    7 starting container shop-web-2.g2 <2,5,6>
    8 gate shop-web-2.g2 <7>
    9 setting the restart policy of container shop-web-1.g2 <> (after commit)
    10 setting the restart policy of container shop-web-1 <3> (after commit)
    11 renaming container shop-web-1 <3,10> (after commit)
    12 renaming container shop-web-1.g2 <9,11> (after commit)
    13 setting the restart policy of container shop-web-2.g2 <> (after commit)
    14 setting the restart policy of container shop-web-2 <6> (after commit)
    15 renaming container shop-web-2 <6,14> (after commit)
    16 renaming container shop-web-2.g2 <13,15> (after commit)
    ");
}

#[test]
fn update_order_reports_its_reason() {
    let check = |change: &dyn Fn(&mut Service, &mut Container), expected: &str| {
        let mut project = project([service("web", &[])]);
        let mut state = connected(&project);
        let web = project.services.get_mut("web").unwrap();
        web.container.user = Some("999".to_owned());
        change(web, state.containers.values_mut().next().unwrap());
        let deploy = deploy(&project, &state);
        let strategy = deploy.decisions[0].strategy.as_ref().unwrap();
        assert_eq!(strategy.to_string(), expected);
    };
    let volume = |target: &str, anonymous| MountedVolume {
        name: target.to_owned(),
        anonymous,
        writable: true,
    };
    check(&|_, _| {}, "start first");
    check(
        &|web, old| {
            web.container.ports = vec![publish(80)];
            old.ports = vec![held(80)];
        },
        "stop first, as both publish port 80",
    );
    check(
        &|web, _| web.container.ports = vec![publish(80)],
        "start first",
    );
    check(
        &|_, old| old.volumes = BTreeMap::from([("/cache".to_owned(), volume("c", true))]),
        "stop first, as both can write to `/cache`",
    );
    check(
        &|_, old| old.volumes = BTreeMap::from([("/data".to_owned(), volume("other", false))]),
        "start first",
    );
    check(
        &|web, _| web.container.network = NetworkMode::Host,
        "stop first, as it is in the host's network",
    );
    check(
        &|web, _| web.container_name = Some("web".to_owned()),
        "stop first, as its container is always named `web`",
    );
    check(
        &|web, _| web.update.order = UpdateOrder::StopFirst,
        "stop first, as the manifest asks for it",
    );
}

#[test]
fn impossible_start_first_is_refused() {
    let mut project = stack();
    let state = deployed(&project);
    let frontend = project.services.get_mut("frontend").unwrap();
    frontend.container.user = Some("999".to_owned());
    frontend.update.order = UpdateOrder::StartFirst;
    insta::assert_snapshot!(refused(&project, &state), @r#"
    `frontend` cannot start its new container before the old one stops, as both publish port 3000
      say `update order="auto"`
    "#);
}
