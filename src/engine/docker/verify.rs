//! Runs one check of the whole deployment.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{Docker, address, container, exec};
use crate::{
    engine::{ProbeResult, probe},
    name::ContainerName,
    project::Check,
};

/// Runs a check for at most `patience`.
pub(super) async fn check(
    docker: &Docker,
    name: Option<&ContainerName>,
    check: &Check,
    patience: Duration,
) -> ProbeResult {
    match (check, name) {
        (
            Check::Http {
                url,
                status,
                contains,
            },
            _,
        ) => probe::check_http(url, status, contains.as_deref(), patience).await,
        (Check::Unreachable { port, .. }, Some(name)) => {
            unreachable(docker, name, *port, patience).await
        }
        (
            Check::Exec {
                command, contains, ..
            },
            Some(name),
        ) => command_says(docker, name, command, contains.as_deref(), patience).await,
        (Check::Unreachable { service, .. } | Check::Exec { service, .. }, None) => {
            ProbeResult::Impossible(format!("service `{service}` has no container"))
        }
    }
}

/// Checks that a port is unreachable. A port of a container with the host's network stack is
/// dialled from this machine. Any other container is reachable only through its published ports.
async fn unreachable(
    docker: &Docker,
    name: &ContainerName,
    port: u16,
    patience: Duration,
) -> ProbeResult {
    let inspected = match container::inspect(docker, "checking container", name).await {
        Ok(Some(inspected)) => inspected,
        Ok(None) => return ProbeResult::Impossible("the container does not exist".to_owned()),
        Err(error) => return ProbeResult::Pending(error.to_string()),
    };
    if address::network_mode(&inspected) == "host" {
        let host = match address::engine_host(docker).await {
            Ok(host) => host,
            Err(answer) => return answer,
        };
        let connected = timeout(patience, TcpStream::connect(SocketAddr::new(host, port))).await;
        return match connected {
            Ok(Ok(_)) => ProbeResult::Impossible(format!("port {port} of the host is answered")),
            Ok(Err(_)) | Err(_) => ProbeResult::Passed(format!("port {port} is not answered")),
        };
    }
    let settings = inspected.network_settings.as_ref();
    let ports = settings.and_then(|settings| settings.ports.as_ref());
    let bindings = ports
        .into_iter()
        .flatten()
        .filter(|(target, _)| target.split('/').next() == Some(port.to_string().as_str()))
        .flat_map(|(_, bindings)| bindings.iter().flatten());
    let published: Vec<String> = bindings
        .map(|binding| {
            let ip = binding.host_ip.as_deref().unwrap_or_default();
            let port = binding.host_port.as_deref().unwrap_or_default();
            match ip {
                "" => format!("0.0.0.0:{port}"),
                ip if ip.contains(':') => format!("[{ip}]:{port}"),
                ip => format!("{ip}:{port}"),
            }
        })
        .collect();
    if published.is_empty() {
        ProbeResult::Passed(format!("port {port} is not published"))
    } else {
        ProbeResult::Impossible(format!("published as {}", published.join(", ")))
    }
}

async fn command_says(
    docker: &Docker,
    name: &ContainerName,
    command: &[String],
    contains: Option<&str>,
    patience: Duration,
) -> ProbeResult {
    match exec::within(docker, name.as_str(), command, patience).await {
        Ok(Some(outcome)) if outcome.code != 0 => ProbeResult::Pending(format!(
            "exit code {}: {}",
            outcome.code,
            outcome.last_line()
        )),
        Ok(Some(outcome)) => match contains {
            Some(text) if !outcome.output.contains(text) => {
                ProbeResult::Pending(format!("`{text}` is not in its output"))
            }
            _ => ProbeResult::Passed("exit code 0".to_owned()),
        },
        Ok(None) => {
            ProbeResult::Pending(format!("did not exit within {} ms", patience.as_millis()))
        }
        Err(error) => ProbeResult::Pending(error.to_string()),
    }
}
