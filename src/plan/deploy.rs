//! The way from what is there to what is wished for, as steps.
//!
//! All new containers are made before an old one is touched; each service is then switched at its
//! own turn; what is old goes only after the commit.

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

/// A deploy, ready to be shown or carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentPlan {
    /// The number that its containers get.
    pub generation: u64,
    /// Nothing of the project was there before.
    pub first: bool,
    /// What happens to each container, in dependency order.
    pub decisions: Vec<Decision>,
    /// How.
    pub plan: Plan,
    /// Containers that bear the project's label but were not made by us; they are left alone.
    pub unknown: Vec<ContainerName>,
    /// Volumes of the project that are not declared any more, by name on the engine; they are kept.
    pub undeclared: Vec<String>,
    /// What new services get from containers that go.
    pub takeovers: Vec<Takeover>,
}

/// Plans a deploy. The images of all services are expected to be on the engine; where one is not,
/// its service is taken for changed.
///
/// # Errors
/// With everything that is in the way, before anything is touched.
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
    // Of a deploy that somebody is at, or was cut off in, nobody can say what hands did.
    if options.drift == DriftPolicy::Refuse && !state.locked {
        refusals.extend(preflight::drifted(&decisions));
    }
    refusals.extend(jobs::refusals(project, &decisions));
    refusals.extend(snapshot::refusals(project, state, &decisions));
    if !options.allow_major {
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

/// The services that a deploy is about, in dependency order.
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

/// What was named and is not there: services, and jobs to run again.
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

/// The name of a service's container when nothing stands in its place.
pub(super) fn final_name(project: &Project, service: &Service, replica: u32) -> ContainerName {
    let name = service
        .container_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}-{replica}", project.name, service.name));
    // Both parts have been checked where they entered, so that only the length can be too much.
    ContainerName::new(name.clone()).unwrap_or_else(|_| shortened(&name))
}

/// The name of a new container while the one that it replaces has the final one.
pub(super) fn interim_name(last: &ContainerName, generation: u64) -> ContainerName {
    let name = format!("{last}.g{generation}");
    ContainerName::new(name.clone()).unwrap_or_else(|_| shortened(&name))
}

fn shortened(name: &str) -> ContainerName {
    let kept: String = name.chars().take(120).collect();
    let name = format!("{kept}-{}", digest(name.as_bytes()));
    ContainerName::new(name).unwrap_or_else(|_| unreachable!("a prefix of a checked name is one"))
}

/// The name under which each container runs while the deploy lasts.
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
            // One that replaces another gets its final name only when it is committed.
            (_, Change::Replace) => interim_name(&last, generation),
            _ if state.containers.contains_key(&last) => interim_name(&last, generation),
            _ => last,
        };
        names.insert((decision.service.clone(), decision.replica), name);
    }
    names
}
