//! The steps from the observed state to the desired state.
//!
//! All new containers are created before an old one is touched. Each service is then updated in
//! dependency order. Old objects are removed only after the commit.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, Decision, DriftPolicy, Options, Plan, PreflightError, Takeover, addresses,
    database_version, diff, drift, generation, jobs, networks, preflight,
    rollout::{ReplicaKey, RolloutBuilder},
    snapshot, takeover, update_strategy,
};
use crate::{
    graph::Graph,
    name::{ContainerName, ServiceName},
    project::{Kind, Project, Service},
    secret::digest,
    state::State,
};

/// A deploy that is ready to be shown or executed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentPlan {
    /// Generation of the new containers.
    pub generation: u64,
    /// Whether the project has no containers yet.
    pub first: bool,
    /// Change of each container, in dependency order.
    pub decisions: Vec<Decision>,
    /// Steps of the deploy.
    pub plan: Plan,
    /// Containers that carry the project's label but were not created by `cimandat`; they are left
    /// unchanged.
    pub unknown: Vec<ContainerName>,
    /// Volumes of the project that are no longer declared, by name on the engine; they are kept.
    pub undeclared: Vec<String>,
    /// Resources that new services take over from removed containers.
    pub takeovers: Vec<Takeover>,
}

/// Plans a deploy. The images of all services are expected to be on the engine. A service with a
/// missing image counts as changed.
///
/// # Errors
/// Returns all conflicts, before anything is changed.
pub fn deploy(
    project: &Project,
    state: &State,
    options: &Options,
) -> Result<DeploymentPlan, Vec<PreflightError>> {
    let graph = Graph::of(project);
    let order = selected(project, &graph, options)?;
    let networks = networks::place(project, state);
    let mut decisions = diff::decide(project, state, &networks, options, &order);
    let unable = update_strategy::settle(project, state, &networks, &mut decisions);
    let generation = generation::next(state);
    let assembly = RolloutBuilder {
        project,
        state,
        options,
        networks: &networks,
        decisions: &decisions,
        generation,
        names: names(project, state, &decisions, generation),
        addresses: addresses::assign(project, state, &networks, &decisions),
    };
    let mut refusals = preflight::refusals(project, state, &networks, &decisions);
    // While another process deploys, or after an interrupted deploy, manual changes cannot be told
    // apart from those of the deploy.
    if options.drift == DriftPolicy::Error && !state.locked {
        refusals.extend(preflight::drifted(&decisions));
    }
    refusals.extend(jobs::refusals(project, &decisions));
    refusals.extend(snapshot::refusals(project, state, &decisions));
    if !options.allow_major_upgrade {
        refusals.extend(database_version::refusals(
            project, state, options, &decisions,
        ));
    }
    refusals.extend(unable.err().unwrap_or_default());
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let plan = assembly.plan().map_err(|circle| {
        let among: BTreeSet<String> = circle.iter().map(ToString::to_string).collect();
        vec![PreflightError::Circle {
            among: among.into_iter().collect::<Vec<_>>().join(", "),
        }]
    })?;
    let lost = generation::lost_values(&plan);
    if !lost.is_empty() {
        return Err(lost);
    }
    let first = state.containers.is_empty();
    Ok(DeploymentPlan {
        generation: assembly.generation,
        first,
        takeovers: takeover::takeovers(project, state, &decisions),
        decisions,
        plan,
        unknown: drift::unknown(project, state),
        undeclared: undeclared(project, state),
    })
}

fn undeclared(project: &Project, state: &State) -> Vec<String> {
    let ours = state
        .volumes
        .iter()
        .filter(|(_, it)| it.project.as_deref() == Some(project.name.as_str()));
    ours.filter(|(_, it)| it.name.is_some())
        .map(|(name, _)| name)
        .filter(|name| {
            let mut declared = project.volumes.values();
            !declared.any(|it| it.engine_name == **name)
        })
        .cloned()
        .collect()
}

/// Returns the services of the deploy, in dependency order.
fn selected(
    project: &Project,
    graph: &Graph,
    options: &Options,
) -> Result<Vec<ServiceName>, Vec<PreflightError>> {
    let unknown = unknown(project, options);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let order = graph.order().map_err(|circle| {
        let among: Vec<String> = circle.iter().map(ToString::to_string).collect();
        vec![PreflightError::Circle {
            among: among.join(", "),
        }]
    })?;
    if options.services.is_empty() {
        return Ok(order);
    }
    let wanted = graph.with_dependencies(&options.named());
    Ok(order
        .into_iter()
        .filter(|name| wanted.contains(name))
        .collect())
}

/// Returns an error for each named service, and each job to run again, that does not exist.
fn unknown(project: &Project, options: &Options) -> Vec<PreflightError> {
    let known = |jobs: bool| {
        project
            .services
            .values()
            .filter(|service| !jobs || matches!(service.kind, Kind::Job { .. }))
            .map(|service| service.name.to_string())
            .collect::<Vec<_>>()
    };
    let services = options
        .services
        .iter()
        .filter(|name| !project.services.contains_key(*name))
        .map(|name| PreflightError::NoService {
            service: name.to_string(),
            known: known(false),
        });
    let jobs = options.rerun.named().filter(|name| {
        let service = project.services.get(*name);
        !service.is_some_and(|service| matches!(service.kind, Kind::Job { .. }))
    });
    let jobs = jobs.map(|name| PreflightError::NoJob {
        job: name.to_string(),
        known: known(true),
    });
    services.chain(jobs).collect()
}

/// Returns the name of a service's container after the commit.
pub(super) fn final_name(project: &Project, service: &Service, replica: u32) -> ContainerName {
    let name = service
        .container_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}-{replica}", project.name, service.name));
    // Both parts were checked on input, so that only the length can exceed the limit.
    ContainerName::new(name.clone()).unwrap_or_else(|_| shortened(&name))
}

/// Returns the name of a new container while the replaced container has the final name.
pub(super) fn interim_name(last: &ContainerName, generation: u64) -> ContainerName {
    let name = format!("{last}.g{generation}");
    ContainerName::new(name.clone()).unwrap_or_else(|_| shortened(&name))
}

fn shortened(name: &str) -> ContainerName {
    let kept: String = name.chars().take(120).collect();
    let name = format!("{kept}-{}", digest(name.as_bytes()));
    ContainerName::new(name).unwrap_or_else(|_| unreachable!("a prefix of a checked name is one"))
}

/// Returns the name of each container during the deploy.
fn names(
    project: &Project,
    state: &State,
    decisions: &[Decision],
    generation: u64,
) -> BTreeMap<ReplicaKey, ContainerName> {
    let mut names = BTreeMap::new();
    for decision in decisions
        .iter()
        .filter(|decision| decision.change != Change::Remove)
    {
        let Some(service) = project.services.get(&decision.service) else {
            continue;
        };
        let last = final_name(project, service, decision.replica);
        let name = match (&decision.current, decision.change) {
            (Some(current), Change::NoOp | Change::Repair | Change::Start | Change::Restart) => {
                current.clone()
            }
            _ if decision.revived.is_some() => decision.revived.clone().unwrap_or(last),
            // A replacement gets its final name only after the commit.
            (_, Change::Replace) => interim_name(&last, generation),
            _ if state.containers.contains_key(&last) => interim_name(&last, generation),
            _ => last,
        };
        names.insert((decision.service.clone(), decision.replica), name);
    }
    names
}
