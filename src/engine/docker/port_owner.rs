//! Finds the owner of a host port: a container, or a process of this machine.

use std::{collections::BTreeSet, fs, path::Path};

use bollard::{errors::Error as Wire, models::ContainerInspectResponse};

use super::{Docker, observe};
use crate::{engine::EngineError, state::label};

/// The engine's different messages for a host port that is unavailable.
const PORT_IN_USE: [&str; 2] = ["port is already allocated", "address already in use"];

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// The state of an open socket in `/proc/net/udp`.
const OPEN: &str = "07";

/// Returns an error with the owner of a host port, if a taken port is why a start failed.
pub(super) async fn port_taken(
    docker: &Docker,
    inspected: &ContainerInspectResponse,
    wire: &Wire,
) -> Option<EngineError> {
    let Wire::DockerResponseServerError { message, .. } = wire else {
        return None;
    };
    if !PORT_IN_USE.iter().any(|phrase| message.contains(phrase)) {
        return None;
    }
    let wanted = wanted_ports(inspected);
    let port = wanted
        .iter()
        .find(|port| names_port(message, **port))
        .or_else(|| wanted.first().filter(|_| wanted.len() == 1))?;
    let holder = match container_on(docker, *port).await {
        Some(container) => container,
        None if docker.place.is_local() => {
            process_on(Path::new("/proc"), *port).unwrap_or_else(|| "an unknown owner".to_owned())
        }
        None => "another process of the engine's host".to_owned(),
    };
    Some(EngineError::PortTaken {
        port: port.to_string(),
        holder,
    })
}

fn wanted_ports(inspected: &ContainerInspectResponse) -> BTreeSet<u16> {
    let bindings = inspected
        .host_config
        .as_ref()
        .and_then(|config| config.port_bindings.as_ref());
    bindings
        .into_iter()
        .flat_map(|bindings| bindings.values().flatten().flatten())
        .filter_map(|binding| binding.host_port.as_deref()?.parse().ok())
        .collect()
}

/// Returns whether a message names exactly this port, and not a longer number.
fn names_port(message: &str, port: u16) -> bool {
    let wanted = format!(":{port}");
    message.match_indices(&wanted).any(|(at, found)| {
        !message[at + found.len()..].starts_with(|next: char| next.is_ascii_digit())
    })
}

async fn container_on(docker: &Docker, port: u16) -> Option<String> {
    let containers = observe::containers(docker).await.ok()?;
    containers.iter().find_map(|summary| {
        let mut held = observe::held(summary).into_iter();
        held.find(|held| held.published == port)?;
        let name = observe::name(summary)?;
        let labels = summary.labels.as_ref();
        let project = labels.and_then(|labels| {
            labels
                .get(label::PROJECT)
                .or_else(|| labels.get(label::COMPOSE_PROJECT))
        });
        Some(match project {
            Some(project) => format!("container `{name}` of project `{project}`"),
            None => format!("container `{name}`"),
        })
    })
}

/// Returns the process that listens on a port, from the tables under `proc`. Only root can find
/// processes of other users.
fn process_on(proc: &Path, port: u16) -> Option<String> {
    let inodes: BTreeSet<String> = ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc.join("net").join(table)).ok())
        .flat_map(|table| listeners(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    fs::read_dir(proc).ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(entry.path().join("fd")).ok()?;
        let holds = open.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| {
                socket_inode(&target).is_some_and(|inode| inodes.contains(inode))
            })
        });
        let name = || fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("process `{}` (pid {pid})", name().trim()))
    })
}

/// Returns the inodes of the sockets that listen on a port, from a table of the kernel.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let mut columns = row.split_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        (local.ends_with(&wanted) && (state == LISTENING || state == OPEN))
            .then(|| inode.to_owned())
    })
    .collect()
}

fn socket_inode(target: &Path) -> Option<&str> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process};

    use super::*;

    #[test]
    fn port_is_found_in_engine_message() {
        let message = "Bind for 0.0.0.0:8080 failed: port is already allocated";
        assert!(names_port(message, 8080));
        assert!(!names_port(message, 808));
        assert!(names_port(
            "listen tcp4 0.0.0.0:80: bind: address already in use",
            80
        ));
    }

    #[test]
    fn listening_process_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = process_on(Path::new("/proc"), port).unwrap();
        assert!(
            holder.ends_with(&format!("(pid {})", process::id())),
            "{holder}"
        );
        drop(listener);
        assert_eq!(process_on(Path::new("/proc"), port), None);
    }
}
