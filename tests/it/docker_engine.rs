//! The Docker Engine adapter of `cimandat` on a real engine.
//!
//! Without an engine, or without the image on it, each test prints the reason and passes. With
//! `CIMANDAT_TEST_ENGINE=require` it fails instead. All objects belong to projects named
//! `it-docker-…` and are removed again, also after a failure.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    process,
    time::Duration,
};

use cimandat::{
    engine::{
        ContainerEventKind, Engine, EngineError, LogOptions, ProbeResult, Query,
        docker::{Docker, Settings},
    },
    name::{ContainerName, ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    plan::{Action, CreateContainer, CreateNetwork, CreateVolume, RunHook},
    project::{
        Attachment, BindCreation, Check, ContainerSpec, FileSet, Gate, HealthTest, Healthcheck,
        Hook, InjectedFile, Kind, Mount, MountKind, Network, NetworkMode, PortBinding, Probe,
        RestartPolicy, Volume, hosts::Addresses,
    },
    secret::{Secret, Text},
    state::{ContainerRecord, State, Status},
    unit::{ByteSize, Protocol},
};
use futures::{FutureExt, StreamExt, future::join_all};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Api, endpoints};

const IMAGES: [&str; 2] = ["debian:trixie-slim", "debian:bookworm-slim"];
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine and a separate project on it.
struct World {
    docker: Docker,
    image: ImageRef,
    project: ProjectName,
}

impl World {
    /// Runs a test in a separate project, and removes everything that the test left.
    fn with(test: &str, body: impl AsyncFnOnce(&World)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let Some(world) = Self::find(test).await else {
                return;
            };
            world.clear().await;
            let outcome = std::panic::AssertUnwindSafe(body(&world))
                .catch_unwind()
                .await;
            world.clear().await;
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
    }

    async fn find(test: &str) -> Option<Self> {
        let required = std::env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
        let settings = Settings {
            host: std::env::var("DOCKER_HOST").ok(),
            ..Settings::default()
        };
        let project = ProjectName::new(format!("it-docker-{test}")).unwrap();
        match Docker::connect(&settings).await {
            Ok(docker) => {
                let wanted = IMAGES.map(|image| ImageRef::new(image).unwrap());
                let query = Query {
                    project: project.clone(),
                    images: wanted.iter().cloned().collect(),
                    networks: BTreeSet::new(),
                    volumes: BTreeSet::new(),
                    own_images: false,
                    kept_images: false,
                    databases: BTreeSet::new(),
                };
                let state = docker.observe(&query).await.unwrap();
                let found = wanted
                    .into_iter()
                    .find(|image| state.images.contains_key(image));
                if let Some(image) = found {
                    return Some(Self {
                        docker,
                        image,
                        project,
                    });
                }
                assert!(!required, "none of {IMAGES:?} is on the engine");
                skip(test, &format!("none of {IMAGES:?} is on the engine"));
            }
            Err(error) => {
                assert!(!required, "{error}");
                skip(test, &error.to_string());
            }
        }
        None
    }

    async fn clear(&self) {
        let state = self.observe().await;
        for name in state.containers.keys() {
            let grace = Some(Duration::ZERO);
            let container = name.clone();
            self.perform(Action::StopContainer { container, grace })
                .await
                .unwrap();
            self.perform(Action::RemoveContainer(name.clone()))
                .await
                .unwrap();
        }
        // Observed networks include those to which containers are attached, whichever project owns
        // them.
        let ours = state.networks.into_iter();
        for (name, _) in ours.filter(|(_, it)| it.project.is_some()) {
            self.perform(Action::RemoveNetwork(name)).await.unwrap();
        }
        for name in state.volumes.into_keys() {
            self.perform(Action::RemoveVolume(name)).await.unwrap();
        }
    }

    async fn observe(&self) -> State {
        let query = Query {
            project: self.project.clone(),
            images: BTreeSet::from([self.image.clone()]),
            networks: BTreeSet::new(),
            volumes: BTreeSet::new(),
            own_images: false,
            kept_images: false,
            databases: BTreeSet::new(),
        };
        self.docker.observe(&query).await.unwrap()
    }

    async fn perform(&self, action: Action) -> Result<(), EngineError> {
        let (progress, _) = unbounded_channel();
        self.docker.perform(&action, &progress).await
    }

    /// Performs an action twice: every action is idempotent.
    async fn twice(&self, action: Action) {
        self.perform(action.clone()).await.unwrap();
        self.perform(action).await.unwrap();
    }

    fn name(&self, service: &str) -> ContainerName {
        ContainerName::new(format!("{}-{service}", self.project)).unwrap()
    }

    fn container(&self, service: &str, spec: ContainerSpec) -> CreateContainer {
        let networks = match &spec.network {
            NetworkMode::Networks(attached) => attached
                .keys()
                .map(|name| (name.clone(), format!("{}_{name}", self.project)))
                .collect(),
            _ => BTreeMap::new(),
        };
        CreateContainer {
            project: self.project.clone(),
            name: self.name(service),
            service: ServiceName::new(service).unwrap(),
            replica: 1,
            generation: 7,
            image: self.image.clone(),
            platform: None,
            record: ContainerRecord {
                kind: Kind::Service,
                spec: serde_json::to_value(&spec).unwrap(),
                image: self.image.to_string(),
                depends_on: BTreeMap::new(),
                ready: Gate {
                    probes: vec![Probe::Started],
                    timeout: PATIENCE,
                    stabilize: Duration::ZERO,
                },
                service_names: BTreeMap::new(),
                platform: None,
                name: None,
                networks: BTreeMap::new(),
                addresses: BTreeMap::new(),
            },
            endpoints: endpoints(service, &spec, &networks),
            spec,
            networks,
            peers: BTreeMap::new(),
            carried_over: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    async fn create(&self, service: &str, spec: ContainerSpec) -> ContainerName {
        let request = self.container(service, spec);
        let name = request.name.clone();
        self.perform(Action::CreateContainer(Box::new(request)))
            .await
            .unwrap();
        name
    }

    async fn start(&self, service: &str, spec: ContainerSpec) -> ContainerName {
        let name = self.create(service, spec).await;
        self.perform(Action::StartContainer(name.clone()))
            .await
            .unwrap();
        name
    }

    /// Creates an internal network, on which nothing can be published.
    async fn network(&self, name: &str) -> NetworkName {
        self.make_network(name, true).await
    }

    async fn outward_network(&self, name: &str) -> NetworkName {
        self.make_network(name, false).await
    }

    async fn make_network(&self, name: &str, internal: bool) -> NetworkName {
        let name = NetworkName::new(name).unwrap();
        self.twice(Action::CreateNetwork(Box::new(CreateNetwork {
            project: self.project.clone(),
            network: Network {
                engine_name: format!("{}_{name}", self.project),
                external: false,
                driver: "bridge".into(),
                internal,
                attachable: false,
                ipv6: false,
                options: BTreeMap::new(),
                subnets: Vec::new(),
                labels: BTreeMap::new(),
                service_names: None,
            },
            name: name.clone(),
            definition: "d1".into(),
        })))
        .await;
        name
    }

    async fn volume(&self, name: &str) -> Mount {
        let name = VolumeName::new(name).unwrap();
        let engine_name = format!("{}_{name}", self.project);
        self.twice(Action::CreateVolume(Box::new(CreateVolume {
            project: self.project.clone(),
            volume: Volume {
                engine_name: engine_name.clone(),
                external: false,
                driver: "local".into(),
                options: BTreeMap::new(),
                labels: BTreeMap::new(),
                snapshot: false,
                shared: false,
            },
            name: name.clone(),
            definition: "d1".into(),
            generation: 1,
        })))
        .await;
        Mount {
            target: "/data".into(),
            read_only: false,
            kind: MountKind::Volume {
                volume: name,
                engine_name,
                nocopy: false,
                subpath: None,
            },
        }
    }

    async fn ask(&self, name: &ContainerName, probe: Probe) -> ProbeResult {
        self.docker.probe(name, &probe, PATIENCE).await
    }

    /// Returns whether the engine's networks and processes are those of this machine. They are not
    /// for an engine in a container or a virtual machine, even if its socket is here.
    async fn is_here(&self, name: &ContainerName) -> bool {
        match self.ask(name, Probe::Tcp { port: 1 }).await {
            ProbeResult::Impossible(why) => {
                assert!(why.contains("no route"), "{why}");
                false
            }
            ProbeResult::Pending(_) => true,
            ProbeResult::Passed(seen) => panic!("nothing listens there: {seen}"),
        }
    }

    async fn run(&self, name: &ContainerName, line: &str) -> ProbeResult {
        self.ask(
            name,
            Probe::Exec {
                command: shell(line),
            },
        )
        .await
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test must not pass in silence"
)]
fn skip(test: &str, why: &str) {
    eprintln!("skipped `{test}`: {why}");
}

fn shell(line: &str) -> Vec<String> {
    ["sh", "-c", line].map(str::to_owned).into()
}

/// Returns a container that runs until it is stopped.
fn idle() -> ContainerSpec {
    running("sleep 600")
}

fn running(line: &str) -> ContainerSpec {
    ContainerSpec {
        command: Some(shell(line)),
        init: true,
        ..ContainerSpec::default()
    }
}

fn attached(networks: &[&NetworkName]) -> NetworkMode {
    let networks = networks
        .iter()
        .map(|name| ((*name).clone(), Attachment::default()));
    NetworkMode::Networks(networks.collect())
}

fn passed(answer: &ProbeResult) -> &str {
    match answer {
        ProbeResult::Passed(seen) => seen,
        other => panic!("not ready: {other:?}"),
    }
}

fn not_yet(answer: &ProbeResult) -> &str {
    match answer {
        ProbeResult::Pending(seen) => seen,
        other => panic!("not `not yet`: {other:?}"),
    }
}

#[test]
fn container_is_created_and_started_idempotently() {
    World::with("life", async |world| {
        let network = world.network("back").await;
        let mount = world.volume("data").await;
        let spec = ContainerSpec {
            network: attached(&[&network]),
            mounts: vec![mount],
            restart: RestartPolicy::Always,
            ..idle()
        };
        let request = world.container("web", spec);
        let name = request.name.clone();
        let record = request.record.clone();
        world
            .twice(Action::CreateContainer(Box::new(request)))
            .await;

        let state = world.observe().await;
        assert!(state.engine.api.starts_with("1."), "{:?}", state.engine);
        assert_eq!(
            state.networks["it-docker-life_back"].name.as_deref(),
            Some("back")
        );
        assert_eq!(
            state.networks["it-docker-life_back"].definition.as_deref(),
            Some("d1")
        );
        assert_eq!(state.volumes["it-docker-life_data"].users, 1);
        let made = &state.containers[&name];
        assert_eq!(
            (made.service.as_str(), made.replica, made.generation),
            ("web", 1, 7)
        );
        assert_eq!(made.record.as_ref(), Some(&record));
        assert_eq!(made.image, state.images[&world.image].id);
        assert_eq!(made.condition.status, Status::Created);
        assert_eq!(made.condition.exit_code, None);
        assert!(made.volumes["/data"].writable && !made.volumes["/data"].anonymous);

        world.twice(Action::StartContainer(name.clone())).await;
        let state = world.observe().await;
        let runs = &state.containers[&name];
        assert_eq!(runs.condition.status, Status::Running);
        assert!(runs.condition.running_for.is_some());
        assert!(!runs.networks["it-docker-life_back"].is_empty());
        assert_eq!(passed(&world.ask(&name, Probe::Started).await), "running");
    });
}

#[test]
fn stop_rename_and_remove_are_idempotent() {
    World::with("end", async |world| {
        let network = world.network("back").await;
        let mount = world.volume("data").await;
        let spec = ContainerSpec {
            network: attached(&[&network]),
            mounts: vec![mount],
            ..idle()
        };
        let name = world.start("web", spec).await;

        world
            .twice(Action::SetRestartPolicy {
                container: name.clone(),
                policy: RestartPolicy::OnFailure { max: 3 },
            })
            .await;
        world
            .twice(Action::StopContainer {
                container: name.clone(),
                grace: Some(Duration::from_secs(1)),
            })
            .await;
        let ended = &world.observe().await.containers[&name].condition;
        assert_eq!(ended.status, Status::Exited);
        assert_eq!(ended.exit_code, Some(143));

        let to = world.name("old");
        world
            .twice(Action::RenameContainer {
                from: name,
                to: to.clone(),
            })
            .await;
        world.twice(Action::RemoveContainer(to)).await;
        world
            .twice(Action::RemoveNetwork("it-docker-end_back".into()))
            .await;
        world
            .twice(Action::RemoveVolume("it-docker-end_data".into()))
            .await;
        let state = world.observe().await;
        assert!(state.containers.is_empty() && state.networks.is_empty());
        assert!(state.volumes.is_empty());
    });
}

#[test]
fn files_are_injected_before_start() {
    World::with("files", async |world| {
        let file = |name: &str, uid, mode| InjectedFile {
            name: name.into(),
            uid,
            gid: uid,
            mode,
            digest: "d".into(),
            content: Some(Secret::new(b"content".to_vec())),
        };
        let spec = ContainerSpec {
            read_only: true,
            user: Some("1234".into()),
            files: vec![FileSet {
                folder: "/run/secrets".into(),
                volume: true,
                files: vec![file("key", 1234, 0o400), file("other", 0, 0o400)],
            }],
            ..idle()
        };
        let name = world.start("closed", spec).await;
        let seen = world
            .run(&name, "stat -c '%u %g %a' /run/secrets/key")
            .await;
        assert_eq!(passed(&seen), "exit code 0: 1234 1234 400");
        let seen = world.run(&name, "cat /run/secrets/key").await;
        assert_eq!(passed(&seen), "exit code 0: content");
        not_yet(&world.run(&name, "cat /run/secrets/other").await);
        not_yet(&world.run(&name, "touch /x").await);

        let spec = ContainerSpec {
            files: vec![FileSet {
                folder: "/opt/some/app".into(),
                volume: false,
                files: vec![file("app.conf", 0, 0o444)],
            }],
            ..idle()
        };
        let name = world.start("open", spec).await;
        let line = "stat -c '%u %a' /opt/some/app/app.conf /opt/some | tr '\\n' ' '";
        let seen = world.run(&name, line).await;
        assert_eq!(passed(&seen), "exit code 0: 0 444 0 755");
        let path = "/opt/some/app/app.conf".to_owned();
        passed(&world.ask(&name, Probe::File { path }).await);
        let path = "/opt/some/app/none".to_owned();
        not_yet(&world.ask(&name, Probe::File { path }).await);
    });
}

#[test]
fn tmpfs_mounts_have_their_options() {
    World::with("memory", async |world| {
        let tmpfs = |target: &str, exec, owner: Option<u32>| Mount {
            target: target.into(),
            read_only: false,
            kind: MountKind::Tmpfs {
                size: Some(ByteSize(1 << 20)),
                mode: Some(0o750),
                exec,
                uid: owner,
                gid: owner.map(|owner| owner + 1),
            },
        };
        let spec = ContainerSpec {
            mounts: vec![
                tmpfs("/plain", false, None),
                tmpfs("/programs", true, Some(1000)),
                Mount {
                    read_only: true,
                    ..tmpfs("/closed", false, None)
                },
            ],
            ..idle()
        };
        let name = world.start("memory", spec).await;
        let line = "stat -c '%u %g %a' /plain /programs | tr '\\n' ' '; df -k /plain | tail -1";
        let seen = world.run(&name, line).await;
        let seen = passed(&seen);
        assert!(
            seen.starts_with("exit code 0: 0 0 750 1000 1001 750"),
            "{seen}"
        );
        assert!(seen.contains(" 1024 "), "{seen}");
        let program = |folder: &str| {
            format!(
                "cp /bin/true {folder}/program && chmod 0755 {folder}/program && {folder}/program"
            )
        };
        passed(&world.run(&name, &program("/programs")).await);
        let refused = world.run(&name, &program("/plain")).await;
        assert!(not_yet(&refused).contains("126"), "{refused:?}");
        not_yet(&world.run(&name, "touch /closed/file").await);
    });
}

#[test]
fn extra_host_has_all_addresses() {
    World::with("extra-hosts", async |world| {
        let addresses = ["10.0.0.1", "10.0.0.2"].map(str::to_owned);
        let spec = ContainerSpec {
            extra_hosts: BTreeMap::from([("elsewhere".to_owned(), Addresses(addresses.into()))]),
            ..idle()
        };
        let name = world.start("hosts", spec).await;
        let line = "grep elsewhere /etc/hosts | tr -s '\\t\\n' ' '";
        let seen = world.run(&name, line).await;
        assert_eq!(
            passed(&seen),
            "exit code 0: 10.0.0.1 elsewhere 10.0.0.2 elsewhere"
        );
    });
}

#[test]
fn foreign_objects_are_not_changed() {
    World::with("ours", async |world| {
        let theirs = World {
            docker: Docker::connect(&Settings {
                host: std::env::var("DOCKER_HOST").ok(),
                ..Settings::default()
            })
            .await
            .unwrap(),
            image: world.image.clone(),
            project: ProjectName::new("it-docker-theirs").unwrap(),
        };
        theirs.clear().await;
        let name = theirs.create("web", idle()).await;
        let mut request = world.container("web", idle());
        request.name = name.clone();
        let refused = world
            .perform(Action::CreateContainer(Box::new(request)))
            .await;
        let seen = world.observe().await;
        theirs.clear().await;
        let foreign = EngineError::NotOwned {
            name: name.to_string(),
        };
        assert_eq!(refused, Err(foreign));
        assert_eq!(
            seen.foreign[&name].project.as_deref(),
            Some("it-docker-theirs")
        );
        assert!(seen.containers.is_empty());
        // The engine's own network has no label at all.
        let bridge = world.perform(Action::RemoveNetwork("bridge".into())).await;
        assert_eq!(
            bridge,
            Err(EngineError::NotOwned {
                name: "bridge".into()
            })
        );
    });
}

#[test]
fn port_conflict_names_the_holder() {
    World::with("ports", async |world| {
        let network = world.outward_network("front").await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let publishing = || ContainerSpec {
            network: attached(&[&network]),
            ports: vec![PortBinding {
                target: 80,
                protocol: Protocol::Tcp,
                published: Some(port),
                host_ip: "127.0.0.1".into(),
            }],
            ..idle()
        };
        let first = world.create("first", publishing()).await;
        let second = world.create("second", publishing()).await;
        let spec = ContainerSpec {
            network: attached(&[&network]),
            ..idle()
        };
        let other = world.start("other", spec).await;
        if world.is_here(&other).await {
            let taken = world.perform(Action::StartContainer(first.clone())).await;
            let Err(EngineError::PortTaken { port: told, holder }) = taken else {
                panic!("{taken:?}");
            };
            assert_eq!(told, port.to_string());
            let me = format!("(pid {})", process::id());
            assert!(holder.ends_with(&me), "{holder}");
        }

        drop(listener);
        let started = world.perform(Action::StartContainer(first.clone())).await;
        started.unwrap();
        let taken = world.perform(Action::StartContainer(second)).await;
        let Err(EngineError::PortTaken { holder, .. }) = taken else {
            panic!("{taken:?}");
        };
        assert_eq!(
            holder,
            format!("container `{first}` of project `it-docker-ports`")
        );
        let held = &world.observe().await.containers[&first].ports;
        assert_eq!((held[0].published, held[0].target), (port, 80));
    });
}

#[test]
fn unreachable_check_detects_published_ports() {
    World::with("published", async |world| {
        let network = world.outward_network("front").await;
        let spec = ContainerSpec {
            network: attached(&[&network]),
            ports: vec![PortBinding {
                target: 80,
                protocol: Protocol::Tcp,
                published: None,
                host_ip: "127.0.0.1".into(),
            }],
            ..idle()
        };
        let name = world.start("web", spec).await;
        let port = world.observe().await.containers[&name].ports[0].published;
        let service = ServiceName::new("web").unwrap();
        let check = |port| Check::Unreachable {
            service: service.clone(),
            port,
        };
        let docker = &world.docker;
        let answer = docker.check(Some(&name), &check(80), PATIENCE).await;
        assert_eq!(
            answer,
            ProbeResult::Impossible(format!("published as 127.0.0.1:{port}"))
        );
        let answer = docker.check(Some(&name), &check(5432), PATIENCE).await;
        assert_eq!(passed(&answer), "port 5432 is not published");
    });
}

#[test]
fn watch_reports_start_and_exit() {
    World::with("watch", async |world| {
        let name = world.create("job", running("exit 3")).await;
        let mut notices = world.docker.watch(&world.project).await.unwrap();
        world
            .perform(Action::StartContainer(name.clone()))
            .await
            .unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let notice = tokio::time::timeout(PATIENCE, notices.next())
                .await
                .unwrap();
            let notice = notice.unwrap().unwrap();
            assert_eq!(notice.container, name);
            seen.push(notice.what);
        }
        assert_eq!(
            seen,
            [
                ContainerEventKind::Started,
                ContainerEventKind::Died { exit_code: 3 }
            ]
        );
        let answer = world.ask(&name, Probe::Exit).await;
        assert_eq!(answer, ProbeResult::Impossible("ended with code 3".into()));
    });
}

#[test]
fn log_probe_reads_current_start_only() {
    World::with("logs", async |world| {
        // The program prints another line at its second start.
        let line = "test -e /tmp/was && echo second >&2 || echo first; touch /tmp/was; sleep 600";
        let name = world.start("web", running(line)).await;
        let log = |pattern: &str, times| Probe::Log {
            pattern: pattern.into(),
            times,
        };
        assert_eq!(passed(&world.ask(&name, log("^fir.t$", 1)).await), "first");
        let stop = Action::StopContainer {
            container: name.clone(),
            grace: Some(Duration::from_secs(1)),
        };
        world.perform(stop).await.unwrap();
        world
            .perform(Action::StartContainer(name.clone()))
            .await
            .unwrap();
        assert_eq!(
            passed(&world.ask(&name, log("^second$", 1)).await),
            "second"
        );
        let short = Duration::from_millis(100);
        let answer = world
            .docker
            .probe(&name, &log("first|second", 2), short)
            .await;
        let counts = "1 line of 1 matches `/first|second/`, 2 are needed";
        assert_eq!(not_yet(&answer), counts);

        let evidence = world.docker.inspect(&name, 20).await.unwrap();
        assert_eq!(evidence.log, ["second"]);
        assert_eq!(evidence.condition.status, Status::Running);

        let all = world
            .docker
            .logs(&name, &LogOptions::default())
            .await
            .unwrap();
        let lines: Vec<_> = all.map(Result::unwrap).collect().await;
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line.text.as_str(), line.stderr))
            .collect();
        assert_eq!(told, [("first", false), ("second", true)]);
        assert!(lines[0].time < lines[1].time);
    });
}

#[test]
fn exec_probe_reports_exit_code_or_timeout() {
    World::with("exec", async |world| {
        let network = attached(&[&world.network("back").await]);
        let spec = ContainerSpec { network, ..idle() };
        let name = world.start("web", spec).await;
        assert_eq!(
            passed(&world.run(&name, "echo fine").await),
            "exit code 0: fine"
        );
        let answer = world.run(&name, "echo bad >&2; exit 4").await;
        assert_eq!(not_yet(&answer), "exit code 4: bad");

        let answer = world.run(&name, "exec >&- 2>&-; sleep 0.3; exit 5").await;
        assert_eq!(not_yet(&answer), "exit code 5");

        let command = shell("touch /tmp/began; exec sleep 599");
        let slow = Probe::Exec { command };
        let answer = world
            .docker
            .probe(&name, &slow, Duration::from_secs(2))
            .await;
        assert_eq!(not_yet(&answer), "did not exit within 2000 ms");
        let count = "test -e /tmp/began && grep -ls 59[9] /proc/[0-9]*/cmdline | wc -l";
        let answer = world.run(&name, count).await;
        if world.is_here(&name).await {
            assert_eq!(passed(&answer), "exit code 0: 0");
        } else {
            // The command cannot be killed from here; but a second one is not started beside it.
            assert_eq!(passed(&answer), "exit code 0: 1");
            let short = Duration::from_millis(1);
            not_yet(&world.docker.probe(&name, &slow, short).await);
            let again = world.run(&name, count).await;
            assert_eq!(passed(&again), "exit code 0: 1");
        }

        let hook = |line: &str| {
            Action::RunHook(Box::new(RunHook {
                container: name.clone(),
                hook: Hook {
                    command: shell(line),
                    user: Some("65534".into()),
                    working_dir: Some("/tmp".into()),
                    privileged: false,
                    env: BTreeMap::from([("X".into(), Text::from("y"))]),
                },
            }))
        };
        world
            .perform(hook(
                "test $X = y && test $(id -u) = 65534 && test $PWD = /tmp",
            ))
            .await
            .unwrap();
        let failed = world.perform(hook("echo one; echo two; exit 2")).await;
        let Err(EngineError::Hook {
            code: 2, output, ..
        }) = failed
        else {
            panic!("{failed:?}");
        };
        assert_eq!(output, ["one", "two"]);
    });
}

#[test]
fn tcp_probe_dials_container_address() {
    World::with("dial", async |world| {
        let network = world.network("back").await;
        let line = "perl -MIO::Socket::INET -e \
                    '$s=IO::Socket::INET->new(LocalPort=>8080,Listen=>5,ReuseAddr=>1) or die; \
                    while($c=$s->accept){close $c}'";
        let spec = ContainerSpec {
            network: attached(&[&network]),
            ..running(line)
        };
        let name = world.start("web", spec).await;
        if !world.is_here(&name).await {
            return;
        }
        let ready = async {
            while !matches!(
                world.ask(&name, Probe::Tcp { port: 8080 }).await,
                ProbeResult::Passed(_)
            ) {}
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        not_yet(&world.ask(&name, Probe::Tcp { port: 8081 }).await);
    });
}

#[test]
fn service_resolves_by_name_in_all_networks() {
    World::with("names", async |world| {
        let (one, two) = (world.network("one").await, world.network("two").await);
        let mut networks = BTreeMap::from([(one.clone(), Attachment::default())]);
        let aliases = vec!["other".to_owned()];
        networks.insert(
            two.clone(),
            Attachment {
                aliases,
                ..Attachment::default()
            },
        );
        let both = ContainerSpec {
            network: NetworkMode::Networks(networks),
            ..idle()
        };
        world.start("server", both).await;
        let in_two = ContainerSpec {
            network: attached(&[&two]),
            ..idle()
        };
        let client = world.start("client", in_two).await;
        passed(
            &world
                .run(&client, "getent hosts server && getent hosts other")
                .await,
        );
        let in_one = ContainerSpec {
            network: attached(&[&one]),
            ..idle()
        };
        let client = world.start("stranger", in_one).await;
        passed(&world.run(&client, "getent hosts server").await);
        not_yet(&world.run(&client, "getent hosts other").await);
    });
}

#[test]
fn healthcheck_probe_runs_without_interval_wait() {
    World::with("health", async |world| {
        let spec = ContainerSpec {
            healthcheck: Some(Healthcheck {
                test: HealthTest::Shell("test -e /tmp/up".into()),
                interval: Some(Duration::from_hours(1)),
                timeout: None,
                retries: None,
                start_period: None,
                start_interval: None,
            }),
            ..running("sleep 600")
        };
        let name = world.start("web", spec).await;
        not_yet(&world.ask(&name, Probe::Healthcheck).await);
        passed(&world.run(&name, "touch /tmp/up").await);
        passed(&world.ask(&name, Probe::Healthcheck).await);
        let other = world.start("other", idle()).await;
        let none = world.ask(&other, Probe::Healthcheck).await;
        assert!(matches!(none, ProbeResult::Impossible(_)), "{none:?}");
    });
}

#[test]
fn carried_volume_gives_way_to_a_declared_mount() {
    World::with("instead", async |world| {
        let mounts = [("/a", BindCreation::Folder), ("/b/", BindCreation::Refuse)];
        let spec = ContainerSpec {
            mounts: mounts
                .map(|(target, create)| Mount {
                    target: target.into(),
                    read_only: true,
                    kind: MountKind::Bind {
                        source: "/etc".into(),
                        create,
                        propagation: None,
                    },
                })
                .into(),
            ..idle()
        };
        let mut request = world.container("app", spec);
        let carried = ["/a", "/b"].map(|it| (it.into(), "0".repeat(64)));
        request.carried_over = carried.into();
        let create = Action::CreateContainer(Box::new(request));
        world.perform(create).await.unwrap();
        let volumes = world.observe().await.containers[&world.name("app")]
            .volumes
            .clone();
        assert!(volumes.is_empty(), "{volumes:?}");
    });
}

#[test]
fn anonymous_volume_is_carried_over_until_last_container() {
    World::with("carry", async |world| {
        let spec = ContainerSpec {
            mounts: vec![Mount {
                target: "/cache".into(),
                read_only: false,
                kind: MountKind::Anonymous,
            }],
            ..idle()
        };
        let old = world.start("old", spec.clone()).await;
        passed(&world.run(&old, "echo kept > /cache/file").await);
        let volume = world.observe().await.containers[&old].volumes["/cache"].clone();
        assert!(volume.anonymous);
        let mut request = world.container("new", spec);
        request.carried_over = BTreeMap::from([("/cache".into(), volume.name.clone())]);
        let new = request.name.clone();
        world
            .perform(Action::CreateContainer(Box::new(request)))
            .await
            .unwrap();
        let stop = |container: &ContainerName| Action::StopContainer {
            container: container.clone(),
            grace: Some(Duration::ZERO),
        };
        world.perform(stop(&old)).await.unwrap();
        world.perform(Action::RemoveContainer(old)).await.unwrap();
        world
            .perform(Action::StartContainer(new.clone()))
            .await
            .unwrap();
        assert_eq!(
            passed(&world.run(&new, "cat /cache/file").await),
            "exit code 0: kept"
        );

        world.perform(stop(&new)).await.unwrap();
        world.perform(Action::RemoveContainer(new)).await.unwrap();
        let query = Query {
            project: world.project.clone(),
            images: BTreeSet::new(),
            networks: BTreeSet::new(),
            volumes: BTreeSet::from([volume.name]),
            own_images: false,
            kept_images: false,
            databases: BTreeSet::new(),
        };
        assert!(
            world
                .docker
                .observe(&query)
                .await
                .unwrap()
                .volumes
                .is_empty()
        );
    });
}

#[test]
fn concurrent_removal_of_image_names_succeeds() {
    World::with("images", async |world| {
        let api = Api::of_this_machine().unwrap();
        let container = world.create("source", idle()).await;
        let repository = world.project.to_string();
        let name = |tag| ImageRef::new(format!("{repository}:{tag}")).unwrap();
        for _ in 0..5 {
            let commit = format!("/commit?container={container}&repo={repository}&tag=t0");
            assert_eq!(api.ask("POST", &commit, None).status, 201);
            for tag in ["t1", "t2", "t3"] {
                let (image, tag) = (name("t0"), name(tag));
                world.twice(Action::TagImage { image, tag }).await;
            }
            // One name twice, as two concurrent commands may do.
            let tags = ["t0", "t1", "t2", "t3", "t3"];
            let removals = tags.map(|tag| world.perform(Action::RemoveImage(name(tag))));
            for removed in join_all(removals).await {
                removed.unwrap();
            }
            for tag in tags {
                let left = api.ask("GET", &format!("/images/{}/json", name(tag)), None);
                assert_eq!(left.status, 404, "{tag}");
            }
        }
    });
}

#[test]
fn engine_refusals_map_to_typed_errors() {
    World::with("refused", async |world| {
        let mut request = world.container("web", idle());
        request.image = ImageRef::new("it-docker-no-such-image:1").unwrap();
        let missing = world
            .perform(Action::CreateContainer(Box::new(request)))
            .await;
        assert!(
            matches!(missing, Err(EngineError::NoImage { .. })),
            "{missing:?}"
        );

        let bind = ContainerSpec {
            mounts: vec![Mount {
                target: "/x".into(),
                read_only: true,
                kind: MountKind::Bind {
                    source: "/it-docker/nowhere".into(),
                    create: BindCreation::Refuse,
                    propagation: None,
                },
            }],
            ..idle()
        };
        let request = world.container("bind", bind);
        let missing = world
            .perform(Action::CreateContainer(Box::new(request)))
            .await;
        let path = "/it-docker/nowhere".to_owned();
        assert_eq!(missing, Err(EngineError::BindSourceMissing { path }));

        let gone = world
            .perform(Action::StartContainer(world.name("none")))
            .await;
        assert!(
            matches!(gone, Err(EngineError::NotFound { .. })),
            "{gone:?}"
        );

        let name = world.create("taken", idle()).await;
        let mut later = world.container("taken", idle());
        later.generation = 8;
        let taken = world
            .perform(Action::CreateContainer(Box::new(later)))
            .await;
        assert!(
            matches!(taken, Err(EngineError::Api { status: 409, .. })),
            "{taken:?}"
        );
        assert_eq!(world.observe().await.containers[&name].generation, 7);
    });
}
