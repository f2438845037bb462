//! Scenarios: turns, the result of each, and the state after it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use cimandat::{
    engine::{EngineError, sim::ExternalAction},
    name::{ContainerName, ImageRef, NetworkName, ProjectName, ServiceName, VolumeName},
    plan::{
        Action, Address, Attached, CreateContainer, CreateNetwork, CreateVolume, Cutover,
        EndpointSpec,
    },
    project::{
        Attachment, ContainerSpec, Gate, Kind, Mount, MountKind, Network, NetworkMode, PortBinding,
        Probe, RestartPolicy, Subnet, Volume,
    },
    state::ContainerRecord,
    unit::Protocol,
};

use crate::support::endpoints;

/// The image of all containers.
pub const IMAGE: &str = "debian:trixie-slim";

/// Exits with 0 on `SIGTERM`, with 3 on `SIGUSR1`, and with 0 on `SIGUSR2`.
const PROGRAM: &str = r#"
    $| = 1;
    $SIG{TERM} = $SIG{USR2} = sub { exit 0 };
    $SIG{USR1} = sub { exit 3 };
    print "at work\n";
    sleep 600 while 1;
"#;

/// A sequence of turns.
pub struct Scenario {
    pub project: ProjectName,
    /// Whether the scenario needs a separate engine.
    pub alone: bool,
    pub turns: Vec<Turn>,
}

/// One turn.
pub struct Turn {
    pub call: Call,
    /// The expected result, as one word.
    pub brings: &'static str,
    /// The expected state of the containers, as one line.
    pub then: &'static str,
}

/// An operation.
#[derive(Debug)]
pub enum Call {
    Act(Action),
    Hand(ExternalAction),
}

/// Returns the result as one word.
pub fn word(result: &Result<(), EngineError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(EngineError::Api { status, .. }) => format!("refused {status}"),
        Err(EngineError::PortTaken { .. }) => "port taken".to_owned(),
        Err(EngineError::NotOwned { .. }) => "foreign".to_owned(),
        Err(EngineError::InUse { .. }) => "in use".to_owned(),
        Err(EngineError::NotFound { .. }) => "gone".to_owned(),
        Err(EngineError::NoImage { .. }) => "no image".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

impl Scenario {
    pub fn new(name: &str) -> Self {
        let unique = getrandom::u32().unwrap();
        Self {
            project: ProjectName::new(format!("it-conform-{name}-{unique:08x}")).unwrap(),
            alone: false,
            turns: Vec::new(),
        }
    }

    /// Requires a separate engine for the scenario.
    pub fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    pub fn act(mut self, action: Action, brings: &'static str, then: &'static str) -> Self {
        let call = Call::Act(action);
        self.turns.push(Turn { call, brings, then });
        self
    }

    pub fn hand(mut self, hand: ExternalAction, then: &'static str) -> Self {
        let call = Call::Hand(hand);
        self.turns.push(Turn {
            call,
            brings: "ok",
            then,
        });
        self
    }

    pub fn name(&self, short: &str) -> ContainerName {
        ContainerName::new(format!("{}-{short}", self.project)).unwrap()
    }

    /// Returns a container to be created.
    pub fn container(&self, service: &str) -> Wanted {
        Wanted(CreateContainer {
            project: self.project.clone(),
            name: self.name(service),
            service: ServiceName::new(service).unwrap(),
            replica: 1,
            generation: 1,
            image: ImageRef::new(IMAGE).unwrap(),
            platform: None,
            spec: ContainerSpec {
                command: Some(["perl", "-e", PROGRAM].map(str::to_owned).to_vec()),
                ..ContainerSpec::default()
            },
            networks: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            peers: BTreeMap::new(),
            carried_over: BTreeMap::new(),
            record: ContainerRecord {
                service_names: BTreeMap::new(),
                platform: None,
                kind: Kind::Service,
                name: None,
                networks: BTreeMap::new(),
                addresses: BTreeMap::new(),
                spec: serde_json::Value::Null,
                image: IMAGE.to_owned(),
                depends_on: BTreeMap::new(),
                ready: Gate {
                    probes: vec![Probe::Started],
                    timeout: std::time::Duration::from_secs(5),
                    stabilize: std::time::Duration::ZERO,
                },
            },
            labels: BTreeMap::new(),
        })
    }

    pub fn start(&self, service: &str) -> Action {
        Action::StartContainer(self.name(service))
    }

    pub fn stop(&self, service: &str) -> Action {
        Action::StopContainer {
            container: self.name(service),
            grace: None,
        }
    }

    pub fn remove(&self, service: &str) -> Action {
        Action::RemoveContainer(self.name(service))
    }

    pub fn rename(&self, from: &str, to: &str) -> Action {
        Action::RenameContainer {
            from: self.name(from),
            to: self.name(to),
        }
    }

    pub fn policy(&self, service: &str, policy: RestartPolicy) -> Action {
        Action::SetRestartPolicy {
            container: self.name(service),
            policy,
        }
    }

    pub fn end(&self, service: &str, exit_code: i64) -> ExternalAction {
        ExternalAction::End {
            container: self.name(service),
            exit_code,
        }
    }

    pub fn engine_name(&self, short: &str) -> String {
        format!("{}_{short}", self.project)
    }

    pub fn network(&self, short: &str, subnet: Option<&str>) -> Action {
        let network = Network {
            engine_name: self.engine_name(short),
            external: false,
            driver: "bridge".to_owned(),
            // Only a network that is not internal can publish ports.
            internal: short != "out",
            attachable: false,
            ipv6: false,
            options: BTreeMap::new(),
            subnets: subnet
                .map(|subnet| Subnet {
                    subnet: subnet.to_owned(),
                    range: None,
                    gateway: None,
                })
                .into_iter()
                .collect(),
            labels: BTreeMap::new(),
            service_names: None,
        };
        Action::CreateNetwork(Box::new(CreateNetwork {
            project: self.project.clone(),
            name: NetworkName::new(short).unwrap(),
            network,
            definition: format!("{short} {subnet:?}"),
        }))
    }

    /// Returns a container with an endpoint in each network: an alias, and the address of this
    /// number.
    pub fn attached(&self, container: &str, networks: &[(&str, &str, u32)]) -> Attached {
        let endpoint = |(network, alias, number): &(&str, &str, u32)| {
            let aliases = [*alias].into_iter().filter(|it| !it.is_empty());
            let endpoint = EndpointSpec {
                aliases: aliases.map(str::to_owned).collect(),
                ipv4: Some(Address::Reserved(*number)),
                ..EndpointSpec::default()
            };
            (self.engine_name(network), endpoint)
        };
        Attached {
            container: self.name(container),
            endpoints: networks.iter().map(endpoint).collect(),
        }
    }

    /// Returns a cutover to a container, from another if there is one.
    pub fn cutover(to: Attached, from: Option<Attached>) -> Action {
        Action::Cutover(Box::new(Cutover { to, from }))
    }

    pub fn volume(&self, short: &str, definition: &str) -> Action {
        let volume = Volume {
            engine_name: self.engine_name(short),
            external: false,
            driver: "local".to_owned(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            snapshot: false,
            shared: false,
        };
        Action::CreateVolume(Box::new(CreateVolume {
            project: self.project.clone(),
            name: VolumeName::new(short).unwrap(),
            volume,
            definition: definition.to_owned(),
            generation: 1,
        }))
    }
}

/// A container to be created.
pub struct Wanted(CreateContainer);

impl Wanted {
    pub fn make(self) -> Action {
        Action::CreateContainer(Box::new(self.0))
    }

    pub fn generation(mut self, generation: u64) -> Self {
        self.0.generation = generation;
        self
    }

    /// Sets another name.
    pub fn called(mut self, short: &str) -> Self {
        let name = format!("{}-{short}", self.0.project);
        self.0.name = ContainerName::new(name).unwrap();
        self
    }

    pub fn image(mut self, image: &str) -> Self {
        self.0.image = ImageRef::new(image).unwrap();
        self
    }

    pub fn port(mut self, host_ip: &str, published: Option<u16>) -> Self {
        self.0.spec.ports.push(PortBinding {
            target: 80,
            protocol: Protocol::Tcp,
            published,
            host_ip: host_ip.to_owned(),
        });
        self
    }

    pub fn volume(mut self, short: &str) -> Self {
        let kind = MountKind::Volume {
            volume: VolumeName::new(short).unwrap(),
            engine_name: format!("{}_{short}", self.0.project),
            nocopy: false,
            subpath: None,
        };
        self.0.spec.mounts.push(mount(kind));
        self
    }

    pub fn anonymous(mut self) -> Self {
        self.0.spec.mounts.push(mount(MountKind::Anonymous));
        self
    }

    /// Attaches the container to these networks at its creation, without aliases, with the address
    /// of this number.
    pub fn reserved(mut self, networks: &[&str], number: u32) -> Self {
        let attached = networks.iter().map(|network| {
            let name = NetworkName::new(*network).unwrap();
            (name, Attachment::default())
        });
        self.0.spec.network = NetworkMode::Networks(attached.collect());
        for network in networks {
            let engine_name = format!("{}_{network}", self.0.project);
            let endpoint = EndpointSpec {
                ipv4: Some(Address::Reserved(number)),
                ..EndpointSpec::default()
            };
            self.0.endpoints.insert(engine_name.clone(), endpoint);
            self.0
                .networks
                .insert(NetworkName::new(*network).unwrap(), engine_name);
        }
        self
    }

    pub fn on(mut self, network: &str, address: Option<&str>) -> Self {
        let name = NetworkName::new(network).unwrap();
        let attachment = Attachment {
            ipv4: address.map(str::to_owned),
            ..Attachment::default()
        };
        self.0.spec.network = NetworkMode::Networks(BTreeMap::from([(name.clone(), attachment)]));
        let engine_name = format!("{}_{network}", self.0.project);
        self.0.networks.insert(name, engine_name);
        self.0.endpoints = endpoints(self.0.service.as_str(), &self.0.spec, &self.0.networks);
        self
    }
}

fn mount(kind: MountKind) -> Mount {
    Mount {
        target: "/data".to_owned(),
        read_only: false,
        kind,
    }
}
