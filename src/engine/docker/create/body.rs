//! The create body: settings of the container itself.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HealthConfig, NetworkingConfig};

use super::{CreateRequest, host, networks};
use crate::{
    engine::{
        EngineError,
        docker::{Api, Docker, error::Operation},
    },
    plan::CreateContainer,
    project::{ContainerSpec, HealthTest, Healthcheck},
    state::label,
    unit::Protocol,
};

pub(super) async fn body(
    docker: &Docker,
    order: CreateRequest<'_>,
) -> Result<ContainerCreateBody, EngineError> {
    let request = order.request;
    let spec = &request.spec;
    let endpoints = networks::at_create(docker, order).await?;
    Ok(ContainerCreateBody {
        image: Some(request.image.to_string()),
        cmd: spec.command.clone(),
        entrypoint: spec.entrypoint.as_ref().map(|entrypoint| {
            // One empty string removes the image's entrypoint; an empty list would keep it.
            if entrypoint.is_empty() {
                vec![String::new()]
            } else {
                entrypoint.clone()
            }
        }),
        env: Some(environment(order)?),
        user: spec.user.clone(),
        working_dir: spec.working_dir.clone(),
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        labels: Some(labels(request, order.doing)?),
        exposed_ports: Some(exposed(spec)),
        healthcheck: match &spec.healthcheck {
            Some(check) => Some(healthcheck(order, check)?),
            None => None,
        },
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin_open),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec
            .stop_grace_period
            .map(|grace| grace.as_secs() + u64::from(grace.subsec_nanos() > 0))
            .and_then(|seconds| i64::try_from(seconds).ok()),
        host_config: Some(host::config(order)?),
        networking_config: (!endpoints.is_empty()).then_some(NetworkingConfig {
            endpoints_config: Some(endpoints),
        }),
        ..ContainerCreateBody::default()
    })
}

fn environment(order: CreateRequest<'_>) -> Result<Vec<String>, EngineError> {
    let variables = order.request.spec.env.iter();
    variables
        .map(|(name, value)| match value.expose() {
            Some(value) => Ok(format!("{name}={value}")),
            None => Err(order.doing.refused(
                0,
                format!("the value of `{name}` is no longer stored; only its digest is known"),
            )),
        })
        .collect()
}

/// Returns the user's labels, labels for other tools, and cimandat's labels, which take precedence.
fn labels(
    request: &CreateContainer,
    doing: Operation<'_>,
) -> Result<HashMap<String, String>, EngineError> {
    let mut labels: HashMap<String, String> = request.spec.labels.clone().into_iter().collect();
    labels.extend(request.labels.clone());
    labels.extend(own_labels(request, doing)?);
    labels.extend([
        (
            label::COMPOSE_PROJECT.to_owned(),
            request.project.to_string(),
        ),
        (
            label::COMPOSE_SERVICE.to_owned(),
            request.service.to_string(),
        ),
        (
            label::COMPOSE_NUMBER.to_owned(),
            request.replica.to_string(),
        ),
        (label::COMPOSE_ONEOFF.to_owned(), "False".to_owned()),
    ]);
    Ok(labels)
}

/// Returns the labels that identify a container and record what it was created from.
pub(super) fn own_labels(
    request: &CreateContainer,
    doing: Operation<'_>,
) -> Result<HashMap<String, String>, EngineError> {
    let record = serde_json::to_string(&request.record)
        .map_err(|error| doing.broke(format!("its record cannot be written: {error}")))?;
    Ok(HashMap::from([
        (label::PROJECT.to_owned(), request.project.to_string()),
        (label::SERVICE.to_owned(), request.service.to_string()),
        (label::REPLICA.to_owned(), request.replica.to_string()),
        (label::GENERATION.to_owned(), request.generation.to_string()),
        (label::RECORD.to_owned(), record),
    ]))
}

fn exposed(spec: &ContainerSpec) -> Vec<String> {
    let published = spec.ports.iter().map(|port| (port.target, port.protocol));
    let mut ports: Vec<(u16, Protocol)> = published.chain(spec.expose.iter().copied()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
        .into_iter()
        .map(|(port, protocol)| format!("{port}/{protocol}"))
        .collect()
}

/// Returns the health check, with durations in nanoseconds. The engine takes unset values from the
/// image.
fn healthcheck(order: CreateRequest<'_>, check: &Healthcheck) -> Result<HealthConfig, EngineError> {
    if check.start_interval.is_some() {
        order.demand(Api::SEVERAL_NETWORKS, "a start interval of a health check")?;
    }
    let nanos = |duration: Option<std::time::Duration>| {
        duration.and_then(|duration| i64::try_from(duration.as_nanos()).ok())
    };
    Ok(HealthConfig {
        test: match &check.test {
            HealthTest::Disabled => Some(vec!["NONE".to_owned()]),
            HealthTest::Image => None,
            HealthTest::Command(command) => {
                let mut test = vec!["CMD".to_owned()];
                test.extend(command.iter().cloned());
                Some(test)
            }
            HealthTest::Shell(line) => Some(vec!["CMD-SHELL".to_owned(), line.clone()]),
        },
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
    })
}
