//! A state, reduced to the parts that are comparable between two engines.

use std::collections::{BTreeMap, BTreeSet};

use cimandat::{
    engine::Query,
    name::{ImageRef, ProjectName},
    project::RestartPolicy,
    state::{Container, State, Status},
};

use super::scenario::{Call, IMAGE, Scenario};

/// The result of one turn, and the state after it.
#[derive(Debug, PartialEq)]
pub struct Shown {
    pub brings: String,
    pub seen: Seen,
}

/// The project's part of a state, without IDs, times and addresses.
#[derive(Debug, PartialEq)]
pub struct Seen {
    containers: BTreeMap<String, One>,
    /// The recorded name and definition of each network, and the number of its containers.
    networks: BTreeMap<String, (Option<String>, Option<String>, usize)>,
    volumes: BTreeMap<String, (Option<String>, Option<String>, usize)>,
    /// The number of earlier anonymous volumes that are no longer mounted and still exist.
    strays: usize,
}

#[derive(Debug, PartialEq)]
struct One {
    service: String,
    generation: u64,
    status: Status,
    exit_code: Option<i64>,
    restarts: u32,
    failed_to_start: bool,
    restart: Option<RestartPolicy>,
    recorded: bool,
    /// The aliases in each network, and whether the container requests an address there.
    networks: BTreeMap<String, (Vec<String>, bool)>,
    /// The container port, and the host port if the scenario requested one.
    ports: BTreeSet<(u16, Option<u16>)>,
    /// By target: the volume's name unless it is anonymous, and whether it is writable.
    volumes: BTreeMap<String, (Option<String>, bool)>,
}

/// Returns the query for an engine: the project's objects, and the volumes that were seen before.
pub fn query(scenario: &Scenario, volumes: &BTreeSet<String>) -> Query {
    Query {
        project: scenario.project.clone(),
        images: BTreeSet::from_iter(ImageRef::new(IMAGE)),
        networks: BTreeSet::new(),
        volumes: volumes.clone(),
        own_images: false,
        kept_images: false,
        databases: BTreeSet::new(),
    }
}

/// Returns the volumes that containers mount, whether or not they belong to the project.
pub fn mounted(state: &State) -> impl Iterator<Item = String> {
    let volumes = state.containers.values().flat_map(|it| it.volumes.values());
    volumes.map(|volume| volume.name.clone())
}

/// Returns the host ports that a scenario requests by number.
fn asked_for(scenario: &Scenario) -> BTreeSet<u16> {
    let asked = scenario.turns.iter().filter_map(|turn| match &turn.call {
        Call::Act(cimandat::plan::Action::CreateContainer(create)) => Some(&create.spec.ports),
        _ => None,
    });
    asked.flatten().filter_map(|port| port.published).collect()
}

impl Seen {
    pub fn of(scenario: &Scenario, state: &State) -> Self {
        let short = |name: &str| short(&scenario.project, name);
        let known = asked_for(scenario);
        let anonymous: BTreeSet<&String> = state
            .volumes
            .keys()
            .filter(|name| name.len() == 64)
            .collect();
        let used: BTreeSet<String> = mounted(state).collect();
        let named = state.volumes.iter().filter(|(name, _)| name.len() != 64);
        Self {
            containers: state
                .containers
                .iter()
                .map(|(name, it)| (short(name.as_str()), One::of(&scenario.project, it, &known)))
                .collect(),
            networks: state
                .networks
                .iter()
                .filter(|(_, it)| it.project.as_deref() == Some(scenario.project.as_str()))
                .map(|(name, it)| {
                    (
                        short(name),
                        (it.name.clone(), it.definition.clone(), it.users),
                    )
                })
                .collect(),
            volumes: named
                .map(|(name, it)| {
                    (
                        short(name),
                        (it.name.clone(), it.definition.clone(), it.users),
                    )
                })
                .collect(),
            strays: anonymous
                .iter()
                .filter(|name| !used.contains(**name))
                .count(),
        }
    }

    /// Returns the state of the containers as one line.
    pub fn line(&self) -> String {
        let one = |(name, it): (&String, &One)| {
            let status = format!("{:?}", it.status).to_lowercase();
            let code = match (it.status, it.exit_code) {
                (Status::Exited, Some(code)) => format!(" {code}"),
                _ => String::new(),
            };
            let restarts = match it.restarts {
                0 => String::new(),
                restarts => format!(", restarted {restarts}"),
            };
            format!("{name} {status}{code}{restarts}")
        };
        let lines: Vec<String> = self.containers.iter().map(one).collect();
        lines.join("; ")
    }
}

impl One {
    fn of(project: &ProjectName, it: &Container, known: &BTreeSet<u16>) -> Self {
        let volume = |name: &str, anonymous: bool| (!anonymous).then(|| short(project, name));
        Self {
            service: it.service.to_string(),
            generation: it.generation,
            status: it.condition.status,
            exit_code: it.condition.exit_code,
            restarts: it.condition.restarts,
            failed_to_start: it.condition.error.is_some(),
            restart: it.restart,
            recorded: it.record.is_some(),
            networks: it
                .networks
                .keys()
                .map(|name| {
                    let setup = it.setup.as_ref();
                    let endpoint = setup.and_then(|it| it.endpoints.get(name));
                    let asks = endpoint.is_some_and(|it| it.ipv4.is_some());
                    let aliases = endpoint.map(|it| it.aliases.clone());
                    (short(project, name), (aliases.unwrap_or_default(), asks))
                })
                .collect(),
            ports: it
                .ports
                .iter()
                .map(|port| {
                    let published = known.contains(&port.published).then_some(port.published);
                    (port.target, published)
                })
                .collect(),
            volumes: it
                .volumes
                .iter()
                .map(|(target, it)| {
                    (
                        target.clone(),
                        (volume(&it.name, it.anonymous), it.writable),
                    )
                })
                .collect(),
        }
    }
}

/// Returns a name without the project's prefix.
fn short(project: &ProjectName, name: &str) -> String {
    let rest = name.strip_prefix(project.as_str()).unwrap_or(name);
    rest.trim_start_matches(['-', '_']).to_owned()
}
