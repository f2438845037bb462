//! Events of the project's containers, as the engine reports them.

use std::collections::HashMap;

use async_stream::stream;
use bollard::{models::EventMessage, query_parameters::EventsOptionsBuilder};
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;

use super::{Docker, Operation};
use crate::{
    engine::{ContainerEvent, ContainerEventKind, EngineError},
    name::{ContainerName, ProjectName},
    state::{Health, label},
};

const VERB: &str = "watching the containers of";

/// Subscribes to the project's events from now on.
///
/// The subscription starts at the engine's current time. Events between this call and the engine's
/// first byte are therefore replayed, and none is missed.
pub(super) async fn watch(
    docker: &Docker,
    project: &ProjectName,
) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
    let now = now(docker).await?;
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        (
            "event",
            ["start", "die", "oom", "health_status"]
                .map(str::to_owned)
                .into(),
        ),
        ("label", vec![format!("{}={project}", label::PROJECT)]),
    ]);
    let mut options = EventsOptionsBuilder::new().filters(&filters);
    if let Some(now) = now {
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        options = options.since(&since);
    }
    let mut events = docker.client.events(Some(options.build())).boxed();
    let place = docker.place.clone();
    let project = project.clone();
    Ok(stream! {
        let doing = Operation { place: &place, verb: VERB, object: project.as_str() };
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if let Some(notice) = notice(&event) {
                        yield Ok(notice);
                    }
                }
                Err(wire) => {
                    yield Err(doing.failed(wire));
                    return;
                }
            }
        }
        yield Err(doing.broke("the engine ended the stream of events".to_owned()));
    }
    .boxed())
}

/// Returns the engine's exact clock. Whole seconds would replay earlier events.
async fn now(docker: &Docker) -> Result<Option<Timestamp>, EngineError> {
    let info = docker.client.info().await.map_err(|wire| {
        docker
            .doing("asking for the time of", "the engine")
            .failed(wire)
    })?;
    Ok(info.system_time.and_then(|time| time.parse().ok()))
}

/// Converts an event. `None`: the event is irrelevant.
fn notice(event: &EventMessage) -> Option<ContainerEvent> {
    let attributes = event.actor.as_ref()?.attributes.as_ref()?;
    let what = match event.action.as_deref()? {
        "start" => ContainerEventKind::Started,
        "die" => ContainerEventKind::Died {
            exit_code: attributes.get("exitCode")?.parse().ok()?,
        },
        "oom" => ContainerEventKind::OutOfMemory,
        action => ContainerEventKind::Health(match action.strip_prefix("health_status: ")? {
            "healthy" => Health::Healthy,
            "unhealthy" => Health::Unhealthy,
            "starting" => Health::Starting,
            _ => return None,
        }),
    };
    Some(ContainerEvent {
        container: ContainerName::new(attributes.get("name")?.as_str()).ok()?,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(action: &str, code: &str) -> Option<ContainerEventKind> {
        let event = serde_json::from_str(&format!(
            r#"{{"Type":"container","Action":"{action}",
                 "Actor":{{"ID":"1","Attributes":{{"name":"shop-web-1","exitCode":"{code}"}}}}}}"#
        ))
        .unwrap();
        notice(&event).map(|notice| notice.what)
    }

    #[test]
    fn engine_events_are_converted() {
        assert_eq!(meant("start", ""), Some(ContainerEventKind::Started));
        assert_eq!(
            meant("die", "137"),
            Some(ContainerEventKind::Died { exit_code: 137 })
        );
        assert_eq!(
            meant("health_status: healthy", ""),
            Some(ContainerEventKind::Health(Health::Healthy))
        );
        assert_eq!(meant("exec_start: true", ""), None);
    }
}
