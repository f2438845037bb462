//! `cimandat ps`: the project's containers and how they do.

use std::collections::BTreeSet;

use super::{CommandError, Console, DataFormat, Done, Scope, load, say, say_json};
use crate::{
    engine::{
        Engine, Query,
        docker::{Docker, Settings},
    },
    name::{ContainerName, ServiceName},
    plan,
    project::Kind,
    report::{table::table, text, words},
    state::{Container, HeldPort, State},
};

/// List containers.
#[derive(Debug)]
pub struct Ps {
    /// Only these services; empty: all.
    pub services: Vec<ServiceName>,
    /// Those, too, that are kept of earlier generations.
    pub all: bool,
    /// In which form.
    pub format: DataFormat,
}

impl Ps {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Docker::connect(settings).await?;
        let state = engine.observe(&Query::of(project.clone())).await?;
        let mut shown: Vec<(&ContainerName, &Container)> = state
            .containers
            .iter()
            .filter(|(_, it)| self.services.is_empty() || self.services.contains(&it.service))
            .filter(|(name, _)| self.all || !state.is_retired(name))
            .collect();
        shown.sort_by_key(|(_, container)| (&container.service, container.replica));
        match self.format {
            DataFormat::Text => {
                let rows: Vec<Vec<String>> = shown
                    .iter()
                    .map(|(name, container)| row(name, container, &drifted(&state, name)))
                    .collect();
                let headers = ["SERVICE", "CONTAINER", "STATE", "FOR", "PORTS", "IMAGE"];
                let width = console.terminal_out.then(|| usize::from(console.width));
                say(&table(&headers, &rows, width));
            }
            DataFormat::Json => say_json(&serde_json::json!({
                "version": 1,
                "project": project,
                "containers": shown.iter().map(|(name, it)| json(&state, name, it)).collect::<Vec<_>>(),
            })),
        }
        Ok(Done::Well)
    }
}

/// What of a container is not as recorded, in a fragment.
fn drifted(state: &State, name: &ContainerName) -> String {
    let drift = plan::drift(state, name);
    let mut fields: Vec<&str> = drift.iter().map(|change| change.field.as_str()).collect();
    // The state itself says so already.
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
        words::condition(&container.condition) + drifted,
        container
            .condition
            .running_for
            .map(text::elapsed)
            .unwrap_or_default(),
        ports(&container.ports),
        image(container),
    ]
}

fn image(container: &Container) -> String {
    container
        .record
        .as_ref()
        .map_or_else(|| container.image.clone(), |it| it.image.clone())
}

/// Each published port once, though the engine lists it for IPv4 and for IPv6.
fn ports(held: &[HeldPort]) -> String {
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
