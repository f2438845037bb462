//! Manual commands that replace a step that could not be done.
//!
//! Text only. The commands use the `docker` command line, which is the tool that operators know.

use crate::{
    plan::{Action, Address, Attached, StepKind},
    project::RestartPolicy,
};

/// Appends the manual command for a step to `text`, if there is one.
pub(super) fn with_manual_command(text: String, work: &StepKind) -> String {
    match manual_command(work) {
        Some(remedy) => format!("{text}; run manually: {remedy}"),
        None => text,
    }
}

/// Returns the manual command as a sentence fragment; `None` if another deploy is the better
/// repair.
fn manual_command(work: &StepKind) -> Option<String> {
    let action = match work {
        StepKind::Action(action) => action,
        StepKind::AwaitReady { container, .. } => {
            return Some(format!("see `docker logs {container}` why it is not ready"));
        }
        StepKind::Drain { .. } | StepKind::Verify(_) => return None,
    };
    let command = match action {
        Action::StartContainer(container) => format!("docker start {container}"),
        Action::StopContainer { container, .. } => format!("docker stop {container}"),
        Action::RemoveContainer(container) => format!("docker rm -v {container}"),
        Action::RenameContainer { from, to } => format!("docker rename {from} {to}"),
        Action::SetRestartPolicy { container, policy } => {
            format!("docker update --restart {} {container}", word(*policy))
        }
        Action::RemoveNetwork(network) => format!("docker network rm {network}"),
        Action::RemoveVolume(volume) | Action::RemoveSnapshot(volume) => {
            format!("docker volume rm {volume}")
        }
        Action::RemoveImage(image) => format!("docker rmi {image}"),
        Action::TagImage { image, tag } => format!("docker tag {image} {tag}"),
        Action::PullImage(pull) => format!("docker pull {}", pull.image),
        Action::RunHook(run) => format!(
            "docker exec {} {}",
            run.container,
            shell_words::join(&run.hook.command)
        ),
        Action::SetPaused { container, paused } => {
            let verb = if *paused { "pause" } else { "unpause" };
            format!("docker {verb} {container}")
        }
        Action::Cutover(cutover) => return Some(attach(&cutover.to)),
        Action::SetAllowance { .. }
        | Action::BuildImage(_)
        | Action::CreateNetwork(_)
        | Action::CreateVolume(_)
        | Action::SnapshotVolume(_)
        | Action::RestoreVolume(_)
        | Action::CreateContainer(_) => return None,
    };
    Some(format!("`{command}`"))
}

/// Returns the commands that attach a container to its networks with its aliases.
fn attach(attached: &Attached) -> String {
    let container = &attached.container;
    let endpoints = attached.endpoints.iter();
    let commands: Vec<String> = endpoints
        .map(|(network, endpoint)| {
            let aliases = endpoint.aliases.iter();
            let mut words: Vec<String> = aliases.map(|it| format!("--alias {it}")).collect();
            match &endpoint.ipv4 {
                Some(Address::Given(address)) => words.push(format!("--ip {address}")),
                // The address range of the network is not known here.
                Some(Address::Reserved(_)) => words.push("--ip ADDRESS".to_owned()),
                None => {}
            }
            words.extend(endpoint.ipv6.iter().map(|it| format!("--ip6 {it}")));
            words.push(network.clone());
            let words = words.join(" ");
            format!(
                "`docker network disconnect --force {network} {container}`, then `docker network \
                 connect {words} {container}`"
            )
        })
        .collect();
    let mut endpoints = attached.endpoints.values();
    let reserved = endpoints.any(|it| matches!(it.ipv4, Some(Address::Reserved(_))));
    let place = if reserved {
        "; ADDRESS is a free one outside of the `IPRange` that `docker network inspect` shows"
    } else {
        ""
    };
    let commands = commands.join("; ");
    format!("{commands}{place}; if it is paused, then `docker unpause {container}`")
}

fn word(policy: RestartPolicy) -> String {
    match policy {
        RestartPolicy::No => "no".to_owned(),
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        RestartPolicy::OnFailure { max } => format!("on-failure:{max}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        name::ContainerName,
        plan::{Cutover, EndpointSpec},
    };

    #[test]
    fn failed_step_includes_manual_command() {
        let container = ContainerName::new("shop-db-1").unwrap();
        let check = |action: Action, expected: &str| {
            let text = with_manual_command("not done".to_owned(), &StepKind::Action(action));
            assert_eq!(text, format!("not done; run manually: `{expected}`"));
        };
        check(
            Action::StartContainer(container.clone()),
            "docker start shop-db-1",
        );
        check(
            Action::SetRestartPolicy {
                container,
                policy: RestartPolicy::OnFailure { max: 3 },
            },
            "docker update --restart on-failure:3 shop-db-1",
        );
    }

    #[test]
    fn cutover_command_restores_addresses_and_pause() {
        let check = |ipv4: Address, expected: &str| {
            let endpoint = EndpointSpec {
                aliases: vec!["db".to_owned()],
                ipv4: Some(ipv4),
                ..EndpointSpec::default()
            };
            let to = Attached {
                container: ContainerName::new("shop-db-1").unwrap(),
                endpoints: BTreeMap::from([("back".to_owned(), endpoint)]),
            };
            let cutover = Cutover { to, from: None };
            let work = StepKind::Action(Action::Cutover(Box::new(cutover)));
            assert_eq!(manual_command(&work).as_deref(), Some(expected));
        };
        check(
            Address::Given("10.1.0.2".to_owned()),
            "`docker network disconnect --force back shop-db-1`, then `docker network connect \
             --alias db --ip 10.1.0.2 back shop-db-1`; if it is paused, then `docker unpause \
             shop-db-1`",
        );
        check(
            Address::Reserved(3),
            "`docker network disconnect --force back shop-db-1`, then `docker network connect \
             --alias db --ip ADDRESS back shop-db-1`; ADDRESS is a free one outside of the \
             `IPRange` that `docker network inspect` shows; if it is paused, then `docker \
             unpause shop-db-1`",
        );
    }
}
