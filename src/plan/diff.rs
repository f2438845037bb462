//! Comparison of the desired and the observed state: the change of each container, and its reason.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, FieldChange, Options, Reason, RerunJobs, UpdateStrategy,
    change::definition_changes,
    deploy::final_name,
    drift::{self, Difference, RepairAction},
    image_of, jobs,
    networks::{self, Networks},
    prepare,
};
use crate::{
    name::{ContainerName, ServiceName},
    project::{Kind, NetworkMode, Project, Service},
    state::{Container, State, Status},
};

/// Decision about one container of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The service or job.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Change to apply.
    pub change: Change,
    /// Reason for the change; `None` if nothing changes.
    pub reason: Option<Reason>,
    /// Existing container.
    pub current: Option<ContainerName>,
    /// Fields of the existing container that differ from its record, whether they cause the change
    /// or not.
    pub drift: Vec<FieldChange>,
    /// Container of an earlier generation that is restarted in its place.
    pub revived: Option<ContainerName>,
    /// Update strategy; `None` unless a running container is replaced.
    pub strategy: Option<UpdateStrategy>,
}

/// Decides the change of every container of the selected services, in dependency order, and of the
/// containers that are no longer part of the project.
pub(super) fn decide(
    project: &Project,
    state: &State,
    networks: &Networks,
    options: &Options,
    order: &[ServiceName],
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut made: BTreeSet<&ServiceName> = BTreeSet::new();
    let mut renewed: BTreeMap<&ServiceName, Renewal> = BTreeMap::new();
    let mut used: BTreeSet<&ContainerName> = BTreeSet::new();
    for service in order.iter().filter_map(|name| project.services.get(name)) {
        for replica in 1..=service.replicas {
            let current = current(project, state, service, replica);
            used.extend(current.map(|(name, _)| name));
            let facts = Facts {
                project,
                state,
                networks,
                options,
                renewed: &renewed,
                made: &made,
            };
            let drift = current.map(|(name, _)| drift::differences(state, name));
            let drift = drift.unwrap_or_default();
            let container = current.map(|(_, container)| container);
            let (change, reason) = facts.decide(service, container, &drift);
            let revived = facts.revived(service, replica, change).cloned();
            if let Some(renewal) = Renewal::by(change) {
                let known = renewed.entry(&service.name).or_insert(renewal);
                *known = renewal.max(*known);
            }
            if matches!(change, Change::Create | Change::Replace) {
                made.insert(&service.name);
            }
            decisions.push(Decision {
                service: service.name.clone(),
                replica,
                change,
                reason,
                current: current.map(|(name, _)| name.clone()),
                drift: drift.into_iter().map(|it| it.change).collect(),
                revived,
                strategy: None,
            });
        }
    }
    decisions.extend(leftovers(project, state, options, &used));
    decisions
}

/// Returns the current container of a replica. An interrupted run may leave several containers. The
/// committed one, which has the final name, is preferred to a running one, and a running one to the
/// newest.
pub(super) fn current<'a>(
    project: &Project,
    state: &'a State,
    service: &Service,
    replica: u32,
) -> Option<(&'a ContainerName, &'a Container)> {
    let last = final_name(project, service, replica);
    state
        .containers
        .iter()
        .filter(|(_, container)| container.service == service.name && container.replica == replica)
        .filter(|(name, _)| !state.is_retained_failure(name))
        .max_by_key(|(name, container)| {
            let up = container.condition.status.is_up();
            (**name == last, up, container.generation)
        })
}

fn leftovers<'a>(
    project: &'a Project,
    state: &'a State,
    options: &'a Options,
    used: &'a BTreeSet<&ContainerName>,
) -> impl Iterator<Item = Decision> + 'a {
    state
        .containers
        .iter()
        .filter(|(name, container)| {
            // Naming services leaves all other services unchanged, including those that are no
            // longer in the manifest.
            let in_scope = options.services.is_empty()
                || (options.services.contains(&container.service)
                    && project.services.contains_key(&container.service));
            let declared = project.services.get(&container.service);
            let kept = declared.is_some_and(|service| container.replica <= service.replicas)
                && state.is_superseded(name);
            in_scope && !kept && !used.contains(name) && !drift::is_unmanaged_copy(state, name)
        })
        .map(|(name, container)| Decision {
            service: container.service.clone(),
            replica: container.replica,
            change: Change::Remove,
            reason: Some(unwanted(project, state, (name, container))),
            current: Some(name.clone()),
            drift: Vec::new(),
            revived: None,
            strategy: None,
        })
}

/// Returns the reason for the removal of a container.
fn unwanted(
    project: &Project,
    state: &State,
    (name, container): (&ContainerName, &Container),
) -> Reason {
    let generation = container.generation;
    let Some(service) = project.services.get(&container.service) else {
        return if state.is_superseded(name) {
            Reason::KeptOrphan { generation }
        } else {
            Reason::Orphan
        };
    };
    if state.is_retained_failure(name) {
        Reason::KeptFailed { generation }
    } else if container.replica > service.replicas {
        let replicas = service.replicas;
        Reason::Surplus { replicas }
    } else {
        Reason::LeftBehind { generation }
    }
}

struct Facts<'a> {
    project: &'a Project,
    state: &'a State,
    networks: &'a Networks,
    options: &'a Options,
    renewed: &'a BTreeMap<&'a ServiceName, Renewal>,
    made: &'a BTreeSet<&'a ServiceName>,
}

/// Effect of a change on the containers that depend on the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Renewal {
    /// The containers are started again: their namespaces are new, but their mounts are not.
    Started,
    /// The containers are replaced.
    Replaced,
}

impl Renewal {
    fn by(change: Change) -> Option<Self> {
        match change {
            Change::Start | Change::Restart => Some(Self::Started),
            Change::Replace => Some(Self::Replaced),
            Change::NoOp | Change::Repair | Change::Create | Change::Remove => None,
        }
    }

    /// Returns the reason for the change of a dependent.
    fn reason(self, dependency: ServiceName) -> Reason {
        match self {
            Self::Started => Reason::DependencyStarted { dependency },
            Self::Replaced => Reason::DependencyReplaced { dependency },
        }
    }
}

impl<'a> Facts<'a> {
    fn decide(
        &self,
        service: &Service,
        current: Option<&Container>,
        drift: &[Difference],
    ) -> (Change, Option<Reason>) {
        let Some(current) = current else {
            return self.missing(service);
        };
        if let Some(reason) = self.reason_to_replace(service, current) {
            return (Change::Replace, Some(reason));
        }
        // A container that was never started may lack its files. A container that is dead or being
        // removed cannot start.
        if matches!(
            current.condition.status,
            Status::Created | Status::Dead | Status::Removing
        ) {
            return (Change::Replace, Some(Reason::Stopped));
        }
        match service.kind {
            // A completed job does not run again without a reason.
            Kind::Job { .. } if is_done(service, current) => {
                match self.question(service).with_container(current) {
                    Some(reason) => (Change::Replace, Some(reason)),
                    None => (Change::NoOp, None),
                }
            }
            Kind::Job { .. } => (Change::Replace, Some(Reason::Stopped)),
            Kind::Service => self.stay(service, current, drift),
        }
    }

    /// Decides the change of a service without a container.
    fn missing(&self, service: &Service) -> (Change, Option<Reason>) {
        let again = self.options.force_recreate || self.reruns(service);
        if again || service.kind == Kind::Service {
            return (Change::Create, Some(Reason::NotFound));
        }
        match self.question(service).without_container() {
            Some(reason) => (Change::Create, Some(reason)),
            None => (Change::NoOp, None),
        }
    }

    fn question<'q>(&'q self, job: &'q Service) -> jobs::Question<'q> {
        jobs::Question {
            project: self.project,
            state: self.state,
            options: self.options,
            made: self.made,
            job,
        }
    }

    /// Decides the change of a service with a container that matches the manifest.
    fn stay(
        &self,
        service: &Service,
        current: &Container,
        drift: &[Difference],
    ) -> (Change, Option<Reason>) {
        let remedy = drift.iter().map(|it| it.remedy).max();
        let drifted = || Reason::Drifted {
            changes: drift.iter().map(|it| it.change.clone()).collect(),
        };
        if remedy == Some(RepairAction::Replace) {
            return (Change::Replace, Some(drifted()));
        }
        if !current.condition.status.is_up() {
            let reason = if drift.len() > 1 {
                drifted()
            } else {
                Reason::Stopped
            };
            return (Change::Start, Some(reason));
        }
        if let Some(reason) = self.restarted_by(service) {
            return (Change::Restart, Some(reason));
        }
        match remedy {
            Some(RepairAction::Restart) => (Change::Restart, Some(drifted())),
            Some(_) => (Change::Repair, Some(drifted())),
            None => (Change::NoOp, None),
        }
    }

    fn reason_to_replace(&self, service: &Service, current: &Container) -> Option<Reason> {
        let named =
            self.options.services.is_empty() || self.options.services.contains(&service.name);
        if self.options.force_recreate && named || self.reruns(service) {
            return Some(Reason::Requested);
        }
        let record = current.record.as_ref();
        let wanted = prepare::record(self.project, service, current.replica, "");
        let changes = record.map(|record| definition_changes(record, &wanted));
        match changes {
            Some(changes) if changes.is_empty() => {}
            changes => {
                let changes = changes.unwrap_or_default();
                return Some(Reason::Changed { changes });
            }
        }
        if let Some(reason) = self.image_reason(service, current) {
            return Some(reason);
        }
        // A completed job no longer needs its networks.
        let moved = networks::moved(self.networks, service, current);
        if let Some(network) = moved.filter(|_| service.kind == Kind::Service) {
            return Some(Reason::NetworkReplaced { network });
        }
        // A container that shares a namespace or the mounts of another container cannot outlive it.
        // This does not apply to a completed job.
        if is_done(service, current) {
            return None;
        }
        let dependency = shared(service)
            .into_iter()
            .find(|peer| self.renewed.get(peer) == Some(&Renewal::Replaced))?;
        Some(Reason::DependencyReplaced { dependency })
    }

    fn reruns(&self, service: &Service) -> bool {
        let asked = match &self.options.rerun {
            RerunJobs::None | RerunJobs::Never => false,
            RerunJobs::All => true,
            RerunJobs::Jobs(jobs) => jobs.contains(&service.name),
        };
        asked && matches!(service.kind, Kind::Job { .. })
    }

    fn image_reason(&self, service: &Service, current: &Container) -> Option<Reason> {
        let image = image_of(self.project, &self.options.tags, service);
        match image
            .as_ref()
            .and_then(|image| self.state.images.get(image))
        {
            Some(facts) if facts.id == current.image => None,
            Some(facts) => Some(Reason::ImageUpdated {
                from: current.image.clone(),
                to: facts.id.clone(),
            }),
            None => Some(Reason::BuildInputsChanged),
        }
    }

    /// Returns the retained container that matches the desired state, if there is one.
    fn revived(
        &self,
        service: &Service,
        replica: u32,
        change: Change,
    ) -> Option<&'a ContainerName> {
        if !self.options.restart_kept || !matches!(change, Change::Create | Change::Replace) {
            return None;
        }
        let image = image_of(self.project, &self.options.tags, service);
        let image = image.and_then(|image| self.state.images.get(&image))?;
        let wanted = prepare::record(self.project, service, replica, "");
        let same = self.state.containers.iter().filter(|(name, container)| {
            let record = container.record.as_ref();
            container.service == service.name
                && container.replica == replica
                && container.image == image.id
                && record.is_some_and(|record| definition_changes(record, &wanted).is_empty())
                // A retained container can start only in the networks that it was created for.
                && drift::fits(self.state, self.networks, container)
                && self.state.is_superseded(name)
                && !self.state.is_recreated(container)
        });
        let newest = same.max_by_key(|(_, container)| container.generation);
        newest.map(|(name, _)| name)
    }

    /// Returns the reason to restart a service with a dependency: one that is declared with
    /// `restart`, or one that shares its namespaces with the service. A container joins new
    /// namespaces only at its start.
    fn restarted_by(&self, service: &Service) -> Option<Reason> {
        let asked = service.depends_on.iter();
        let asked = asked.filter(|(_, it)| it.restart).map(|(name, _)| name);
        let joined = namespaces(service);
        let (name, renewal) = asked
            .chain(&joined)
            .find_map(|name| self.renewed.get_key_value(name))?;
        Some(renewal.reason((*name).clone()))
    }
}

/// Returns whether a container belongs to a completed job.
fn is_done(service: &Service, container: &Container) -> bool {
    matches!(service.kind, Kind::Job { .. })
        && !container.condition.status.is_up()
        && container.condition.exit_code == Some(0)
}

/// Returns the services that share their namespaces or mounts with a service.
pub(super) fn shared(service: &Service) -> BTreeSet<ServiceName> {
    let mut peers = namespaces(service);
    let from = service.container.volumes_from.iter();
    let named = from
        .filter(|from| !from.starts_with("container:"))
        .map(|from| {
            from.split_once(':')
                .map_or(from.as_str(), |(service, _)| service)
        });
    peers.extend(named.filter_map(|name| ServiceName::new(name).ok()));
    peers
}

/// Returns the services that share their namespaces with a service.
fn namespaces(service: &Service) -> BTreeSet<ServiceName> {
    let spec = &service.container;
    let mut peers = BTreeSet::new();
    if let NetworkMode::Service(peer) = &spec.network {
        peers.insert(peer.clone());
    }
    let modes = [&spec.pid, &spec.ipc].into_iter().flatten();
    let named = modes.filter_map(|mode| mode.strip_prefix("service:"));
    peers.extend(named.filter_map(|name| ServiceName::new(name).ok()));
    peers
}
