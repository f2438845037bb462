//! `cimandat ps`: lists the project's containers and their status.

use std::collections::BTreeSet;

use futures::try_join;

use super::{
    CommandError, CommandOutcome, Console, DataFormat, ProjectSelector, deployment, history, load,
    print, print_json, unfinished,
};
use crate::{
    engine::{
        Query,
        docker::{Docker, Settings},
    },
    journal::HistoryEntry,
    name::{ContainerName, ServiceName},
    plan,
    project::Kind,
    report::{phrases, table::table, text},
    state::{Container, ContainerStatus, PublishedPort, State},
};

/// The `ps` command.
#[derive(Debug)]
pub struct Ps {
    /// Services to list; empty: all.
    pub services: Vec<ServiceName>,
    /// Include the containers that are kept from earlier generations.
    pub all: bool,
    /// Output format.
    pub format: DataFormat,
}

/// A container that should exist but does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
struct Missing {
    service: ServiceName,
    replica: u32,
    container: ContainerName,
}

impl Ps {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let query = Query::of(project.clone());
        let ((state, pages), entries) = try_join!(
            async { Ok(deployment::with_identities(&engine, &query).await?) },
            history::entries(&engine, &project),
        )?;
        let (unfinished, remark) = unfinished::remark(&pages, &engine, &project).await?;
        load::refuse_strangers(scope, &state, &self.services)?;
        let shown = self.shown(&state);
        let mut missing = missing(&entries, &state);
        missing.retain(|it| self.services.is_empty() || self.services.contains(&it.service));
        match self.format {
            DataFormat::Text => {
                console.eprint(&remark);
                let there = shown.iter().map(|(name, it)| {
                    let row = row(name, it, &drifted(&state, name));
                    ((it.service.as_str(), it.replica), row)
                });
                let gone = missing.iter().map(|it| {
                    let (service, name) = (it.service.to_string(), it.container.to_string());
                    let row = vec![service, name, "missing".to_owned()];
                    ((it.service.as_str(), it.replica), row)
                });
                let mut rows: Vec<((&str, u32), Vec<String>)> = there.chain(gone).collect();
                rows.sort_by(|(a, _), (b, _)| text::natural(a.0, b.0).then(a.1.cmp(&b.1)));
                let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
                let headers = ["SERVICE", "CONTAINER", "STATE", "FOR", "PORTS", "IMAGE"];
                let width = console.terminal_out.then(|| usize::from(console.width));
                print(&table(&headers, &rows, width));
            }
            DataFormat::Json => print_json(&serde_json::json!({
                "version": 1,
                "project": project,
                "containers": shown.iter().map(|(name, it)| json(&state, name, it)).collect::<Vec<_>>(),
                "missing": missing,
                "unfinished": unfinished.map(|it| it.json()),
            })),
        }
        Ok(CommandOutcome::Ok)
    }

    /// Returns the requested containers, sorted by service and replica.
    fn shown<'a>(&self, state: &'a State) -> Vec<(&'a ContainerName, &'a Container)> {
        let mut shown: Vec<(&ContainerName, &Container)> = state
            .containers
            .iter()
            .filter(|(_, it)| self.services.is_empty() || self.services.contains(&it.service))
            .filter(|(name, _)| self.all || !state.is_superseded(name))
            .collect();
        shown.sort_by(|(_, a), (_, b)| {
            let services = text::natural(a.service.as_str(), b.service.as_str());
            services.then(a.replica.cmp(&b.replica))
        });
        shown
    }
}

/// Returns the containers of the last deploy that do not exist. Jobs are excluded, because their
/// work is done.
fn missing(entries: &[HistoryEntry], state: &State) -> Vec<Missing> {
    let last = entries
        .iter()
        .rev()
        .find(|entry| entry.has_live_containers());
    let Some(last) = last else {
        return Vec::new();
    };
    let counts = |service: &ServiceName| {
        let part = last.split.as_ref();
        let declared = last.project.services.get(service);
        part.is_none_or(|split| split.committed.contains(service))
            && declared.is_some_and(|it| it.kind == Kind::Service)
    };
    let is_there = |service: &ServiceName, replica: u32| {
        state.containers.iter().any(|(name, it)| {
            (&it.service, it.replica) == (service, replica) && !state.is_retained_failure(name)
        })
    };
    last.made
        .iter()
        .filter(|(_, made)| counts(&made.service) && !is_there(&made.service, made.replica))
        .map(|(name, made)| Missing {
            service: made.service.clone(),
            replica: made.replica,
            container: name.clone(),
        })
        .collect()
}

/// Formats the drifted fields of a container as a sentence fragment.
fn drifted(state: &State, name: &ContainerName) -> String {
    let drift = plan::drift(state, name);
    let mut fields: Vec<&str> = drift.iter().map(|change| change.field.as_str()).collect();
    // The status is already shown in its own column.
    fields.retain(|field| *field != "status");
    if fields.is_empty() {
        return String::new();
    }
    format!(", drifted: {}", fields.join(", "))
}

fn row(name: &ContainerName, container: &Container, drifted: &str) -> Vec<String> {
    vec![
        container.service.to_string(),
        name.to_string(),
        condition(&container.condition) + drifted,
        container
            .condition
            .running_for
            .map(text::elapsed)
            .unwrap_or_default(),
        ports(&container.ports),
        image(container),
    ]
}

/// Formats the status of a container without its uptime, which has its own column.
fn condition(condition: &ContainerStatus) -> String {
    phrases::condition(&ContainerStatus {
        running_for: None,
        ..condition.clone()
    })
}

fn image(container: &Container) -> String {
    container
        .record
        .as_ref()
        .map_or_else(|| container.image.clone(), |it| it.image.clone())
}

/// Formats each published port once, although the engine lists it for IPv4 and for IPv6.
fn ports(held: &[PublishedPort]) -> String {
    let shown: BTreeSet<String> = held
        .iter()
        .map(|port| {
            let address = match port.host_ip.as_str() {
                "" | "0.0.0.0" | "::" => String::new(),
                address => format!("{address}:"),
            };
            format!(
                "{address}{}→{}/{}",
                port.published, port.target, port.protocol
            )
        })
        .collect();
    shown.into_iter().collect::<Vec<_>>().join(", ")
}

fn json(state: &State, name: &ContainerName, container: &Container) -> serde_json::Value {
    let ports: Vec<serde_json::Value> = container
        .ports
        .iter()
        .map(|port| {
            serde_json::json!({
                "host_ip": port.host_ip, "published": port.published,
                "target": port.target, "protocol": port.protocol,
            })
        })
        .collect();
    let job = container
        .record
        .as_ref()
        .is_some_and(|it| matches!(it.kind, Kind::Job { .. }));
    serde_json::json!({
        "service": container.service,
        "container": name,
        "id": container.id,
        "job": job,
        "replica": container.replica,
        "generation": container.generation,
        "image": image(container),
        "image_id": container.image,
        "status": container.condition.status,
        "health": container.condition.health,
        "exit_code": container.condition.exit_code,
        "oom_killed": container.condition.oom_killed,
        "restarts": container.condition.restarts,
        "running_for": container.condition.running_for.map(|it| it.as_secs()),
        "created": container.created,
        "networks": container.networks,
        "ports": ports,
        "drift": plan::drift(state, name),
    })
}
