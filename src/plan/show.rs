//! Presentation of a plan for users and programs: the changes, their objects and their reasons.
//!
//! This module only produces text. All output is based on [`PlanView`], so that text and JSON
//! contain the same information.

use std::{collections::BTreeSet, fmt::Write};

use serde::Serialize;

use super::{
    Action, Change, Counts, DeploymentPlan, FieldChange, Plan, Reason, StepKind, Takeover,
    UpdateStrategy,
};
use crate::{
    name::{ContainerName, NetworkName, ProjectName, ServiceName},
    project::{Kind, Project},
};

/// View of a plan for users and programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanView {
    /// Version of the format; increased when a field changes its meaning or is removed.
    pub version: u32,
    /// Name of the project.
    pub project: ProjectName,
    /// Generation that the deploy would create.
    pub generation: u64,
    /// Whether the deploy would change anything.
    pub changes: bool,
    /// Images that would be built or pulled first.
    pub images: Vec<ImageView>,
    /// Networks, volumes and snapshots of volumes that would be created.
    pub resources: Vec<String>,
    /// Networks that get a successor because their definition changed.
    pub moved_networks: Vec<NetworkView>,
    /// Networks that would be removed, by name on the engine.
    pub removed_networks: Vec<String>,
    /// All containers, in dependency order.
    pub containers: Vec<ContainerView>,
    /// Containers that carry the project's label but were not created by `cimandat`.
    pub unknown: Vec<ContainerName>,
    /// Volumes that are no longer declared, by name on the engine.
    pub undeclared_volumes: Vec<String>,
    /// Resources that new services would take over from removed containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub takeovers: Vec<Takeover>,
    /// Services that would not answer for a while, in the order in which they stop.
    pub interrupted: Vec<ServiceName>,
    /// Jobs that would be started and that a rollback does not undo.
    pub irreversible: Vec<ServiceName>,
    /// All steps, in an order that allows sequential execution.
    pub steps: Vec<StepView>,
}

/// An image that would be built or pulled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageView {
    /// Operation: `building image` or `pulling image`.
    pub verb: String,
    /// Reference of the image.
    pub image: String,
    /// Reason for the operation.
    pub reason: Reason,
}

/// A network that gets a successor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkView {
    /// Name in the manifest.
    pub network: NetworkName,
    /// Name of the successor on the engine.
    pub engine_name: String,
    /// Changed fields; empty if the old definition is not recorded.
    pub changes: Vec<FieldChange>,
}

/// Planned change of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContainerView {
    /// Service of the container.
    pub service: ServiceName,
    /// Replica number, counted from 1.
    pub replica: u32,
    /// Planned change.
    pub change: Change,
    /// Reason for the change; absent if nothing changes.
    pub reason: Option<Reason>,
    /// Fields of the existing container that differ from its record: the recorded and the observed
    /// value of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<FieldChange>,
    /// Whether the old or the new container runs first; absent unless a running container is
    /// replaced.
    pub strategy: Option<UpdateStrategy>,
    /// Effect of the replacement on clients, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Change to the manifest that would shorten the interruption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub improvement: Option<String>,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepView {
    /// Operation: `creating container`.
    pub verb: String,
    /// Name of the object on the engine.
    pub object: String,
    /// Indexes in this list of the steps that must be done first.
    pub needs: Vec<usize>,
    /// Whether the step waits until all new containers have proven themselves.
    pub after_commit: bool,
}

impl PlanView {
    /// Creates the view of a deploy and of the image plan before it.
    #[must_use]
    pub fn new(project: &Project, images: &Plan, deploy: &DeploymentPlan) -> Self {
        let act = |plan: &'_ Plan| -> Vec<(Action, Reason)> {
            plan.steps
                .iter()
                .filter_map(|step| match &step.kind {
                    StepKind::Action(action) => Some((action.clone(), step.reason.clone())),
                    _ => None,
                })
                .collect()
        };
        let images: Vec<ImageView> = act(images)
            .into_iter()
            .map(|(action, reason)| ImageView {
                verb: action.verb().to_owned(),
                image: action.object().to_owned(),
                reason,
            })
            .collect();
        let resources = act(&deploy.plan)
            .into_iter()
            .filter_map(|(action, _)| match &action {
                Action::CreateNetwork(it) => Some(format!("network {}", it.network.engine_name)),
                Action::CreateVolume(it) => Some(format!("volume {}", it.volume.engine_name)),
                Action::SnapshotVolume(it) => {
                    Some(format!("snapshot {} of volume {}", it.name, it.source))
                }
                _ => None,
            })
            .collect();
        let containers = deploy
            .decisions
            .iter()
            .map(|decision| ContainerView {
                service: decision.service.clone(),
                replica: decision.replica,
                change: decision.change,
                reason: decision.reason.clone(),
                drift: decision.drift.clone(),
                effect: decision.strategy.as_ref().map(UpdateStrategy::effect),
                improvement: (decision.strategy.as_ref()).and_then(UpdateStrategy::improvement),
                strategy: decision.strategy.clone(),
            })
            .collect();
        Self {
            version: 1,
            project: project.name.clone(),
            generation: deploy.generation,
            changes: !images.is_empty() || !deploy.plan.changes_nothing(),
            images,
            resources,
            moved_networks: moved(&deploy.plan),
            removed_networks: removed(&deploy.plan),
            containers,
            unknown: deploy.unknown.clone(),
            undeclared_volumes: deploy.undeclared.clone(),
            takeovers: deploy.takeovers.clone(),
            interrupted: interrupted(deploy),
            irreversible: irreversible(project, deploy),
            steps: steps(&deploy.plan),
        }
    }

    /// Formats the plan for users.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.changes {
            return format!(
                "{}: no changes: the project is up to date\n{}",
                self.project,
                self.remarks()
            );
        }
        let mut text = format!("{}: {}\n", self.project, self.counts());
        for image in &self.images {
            let _ = writeln!(text, "  + {} {}: {}", image.verb, image.image, image.reason);
        }
        self.networks(&mut text);
        let width = self
            .containers
            .iter()
            .map(|it| self.label(it).len())
            .max()
            .unwrap_or(0);
        for container in &self.containers {
            let (sign, word) = (sign(container.change), container.change.done());
            let _ = write!(text, "  {sign} {:width$}  {word}", self.label(container));
            if let Some(strategy) = &container.strategy {
                let _ = write!(text, " ({strategy})");
            }
            if let Some(reason) = &container.reason {
                let _ = write!(text, ": {reason}");
            }
            text.push('\n');
            if let Some(Reason::Changed { changes }) = &container.reason {
                for change in changes {
                    let _ = writeln!(text, "      {change}");
                }
            }
            for change in &container.drift {
                let _ = writeln!(text, "      drifted {change}");
            }
            if let Some(effect) = &container.effect {
                let _ = writeln!(text, "      {effect}");
            }
            if let Some(improvement) = &container.improvement {
                let _ = writeln!(text, "      to shorten it: {improvement}");
            }
        }
        for takeover in &self.takeovers {
            let _ = writeln!(text, "{takeover}");
        }
        text + &self.consequences() + &self.remarks()
    }

    /// Formats the effects of the deploy as a whole, in addition to those of each container.
    fn consequences(&self) -> String {
        let mut text = String::new();
        let restarted = self.restarted();
        if !restarted.is_empty() {
            let _ = writeln!(
                text,
                "not answering while restarted: {}",
                restarted.join(", ")
            );
        }
        if !self.irreversible.is_empty() {
            let names: Vec<&str> = self.irreversible.iter().map(ServiceName::as_str).collect();
            let _ = writeln!(
                text,
                "point of no return: what {} does to data is not undone by a rollback",
                names.join(", ")
            );
        }
        text
    }

    /// Returns the services that stop for a while without being replaced.
    fn restarted(&self) -> Vec<&str> {
        let replaced = |name: &ServiceName| {
            let mut its = self.containers.iter().filter(|it| it.service == *name);
            its.any(|it| it.strategy.is_some())
        };
        let interrupted = self.interrupted.iter().filter(|name| !replaced(name));
        interrupted.map(ServiceName::as_str).collect()
    }

    fn networks(&self, text: &mut String) {
        let moves = |resource: &&String| {
            let mut moved = self.moved_networks.iter();
            moved.any(|it| format!("network {}", it.engine_name) == **resource)
        };
        for resource in self.resources.iter().filter(|it| !moves(it)) {
            let _ = writeln!(text, "  + {resource}");
        }
        for moved in &self.moved_networks {
            let _ = writeln!(
                text,
                "  ~ network {} is replaced by {} (definition changed)",
                moved.network, moved.engine_name
            );
            for change in &moved.changes {
                let _ = writeln!(text, "      {change}");
            }
        }
        for name in &self.removed_networks {
            let _ = writeln!(text, "  - network {name}");
        }
    }

    /// Formats remarks for users about objects that the deploy does not change.
    fn remarks(&self) -> String {
        let mut text = String::new();
        for name in &self.unknown {
            let _ = writeln!(
                text,
                "not created by cimandat, although it carries this project's label, and left alone: \
                 container {name}"
            );
        }
        for name in &self.undeclared_volumes {
            let _ = writeln!(text, "no longer declared, and kept: volume {name}");
        }
        text
    }

    fn counts(&self) -> String {
        let changes = self.containers.iter().map(|it| it.change);
        let counts: Counts = changes.collect();
        counts.to_do()
    }

    /// Returns the display name of a container: its service, with the replica number if there are
    /// several.
    fn label(&self, container: &ContainerView) -> String {
        let mut its = self.containers.iter();
        let several = its.any(|it| it.service == container.service && it.replica > 1);
        if several {
            format!("{}-{}", container.service, container.replica)
        } else {
            container.service.to_string()
        }
    }
}

fn sign(change: Change) -> char {
    match change {
        Change::NoOp => '=',
        Change::Repair | Change::Replace => '~',
        Change::Create => '+',
        Change::Start | Change::Restart => '>',
        Change::Remove => '-',
    }
}

fn moved(plan: &Plan) -> Vec<NetworkView> {
    let moved = plan
        .steps
        .iter()
        .filter_map(|step| match (&step.kind, &step.reason) {
            (StepKind::Action(Action::CreateNetwork(it)), Reason::Changed { changes }) => {
                Some(NetworkView {
                    network: it.name.clone(),
                    engine_name: it.network.engine_name.clone(),
                    changes: changes.clone(),
                })
            }
            _ => None,
        });
    moved.collect()
}

fn removed(plan: &Plan) -> Vec<String> {
    let removed = plan.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Action(Action::RemoveNetwork(name)) => Some(name.clone()),
        _ => None,
    });
    removed.collect()
}

fn interrupted(deploy: &DeploymentPlan) -> Vec<ServiceName> {
    let mut seen = BTreeSet::new();
    let first = |name: &ServiceName| {
        let mut its = deploy.decisions.iter().filter(|it| it.service == *name);
        its.any(|it| {
            it.strategy
                .as_ref()
                .is_some_and(UpdateStrategy::is_start_first)
        })
    };
    let services = deploy
        .plan
        .steps
        .iter()
        .filter(|step| !step.after_commit)
        .filter_map(|step| match (&step.kind, &step.subject) {
            (
                StepKind::Action(Action::StopContainer { .. }),
                super::Subject::Service { name, .. },
            ) => Some(name.clone()),
            _ => None,
        });
    let stays = |name: &ServiceName| {
        let mut its = deploy.decisions.iter().filter(|it| it.service == *name);
        its.any(|it| it.change != Change::Remove)
    };
    services
        .filter(|name| stays(name) && !first(name) && seen.insert(name.clone()))
        .collect()
}

fn irreversible(project: &Project, deploy: &DeploymentPlan) -> Vec<ServiceName> {
    let started = deploy
        .decisions
        .iter()
        .filter(|it| matches!(it.change, Change::Create | Change::Replace));
    let services = started.filter_map(|it| project.services.get(&it.service));
    services
        .filter(|service| service.kind == (Kind::Job { irreversible: true }))
        .map(|service| service.name.clone())
        .collect()
}

fn steps(plan: &Plan) -> Vec<StepView> {
    plan.steps
        .iter()
        .map(|step| {
            let (verb, object) = match &step.kind {
                StepKind::Action(action) => (action.verb().to_owned(), action.object().to_owned()),
                StepKind::AwaitReady { container, .. } => {
                    ("waiting until ready".to_owned(), container.to_string())
                }
                StepKind::Drain { object, .. } => ("draining".to_owned(), object.clone()),
                StepKind::Verify(check) => ("verifying".to_owned(), check.to_string()),
            };
            let needs = step.requires.iter().map(|need| need.0).collect();
            StepView {
                verb,
                object,
                needs,
                after_commit: step.after_commit,
            }
        })
        .collect()
}
