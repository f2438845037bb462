//! The report about a container whose gate failed, or that became unhealthy after its gate had
//! passed: everything that is known, with help for the user.

use std::time::Duration;

use crate::{
    engine::Inspection,
    event::{GateReport, LastAnswer},
    name::ContainerName,
    project::RestartPolicy,
    state::ContainerStatus,
};

/// Phrases of programs that require to be process 1, in lower case.
const INSISTS: [&str; 8] = [
    "pid 1",
    "pid=1",
    "pid1",
    "as process 1",
    "be process 1",
    "process id 1",
    // systemd, and its `init`.
    "booted with systemd",
    "telinit",
];

/// Builds the report about a container. `evidence` is `None` if the container could not be
/// inspected.
#[must_use]
pub fn report(
    container: ContainerName,
    cause: String,
    after: Duration,
    answers: Vec<LastAnswer>,
    evidence: Option<Inspection>,
) -> GateReport {
    let help = evidence.as_ref().map(help).unwrap_or_default();
    let (condition, log, unread) = match evidence {
        Some(known) => (Some(known.condition), known.log, known.unread),
        None => (None, Vec::new(), None),
    };
    GateReport {
        container,
        cause,
        after,
        answers,
        condition,
        log,
        unread,
        help,
    }
}

fn help(evidence: &Inspection) -> Vec<String> {
    let mut help = Vec::new();
    if evidence.init && evidence.log.iter().any(|line| insists(line)) {
        help.push(
            "process 1 of the container is the engine's init, which starts the image's program; \
             with `init #false` the program itself is process 1"
                .to_owned(),
        );
    }
    if let Some(policy) = evidence.restart_at_commit
        && has_failed(&evidence.condition)
    {
        help.push(format!(
            "`restart \"{}\"` takes effect at the commit: until then the container is not started \
             again when it ends; let the program wait for what it needs, or name that with \
             `depends-on`",
            word(policy)
        ));
    }
    help
}

/// Whether a log line says that the program has to be process 1.
fn insists(line: &str) -> bool {
    let line = line.to_lowercase();
    INSISTS.iter().any(|words| {
        // Must not match `pid 12` or `rapid 1`.
        line.match_indices(words).any(|(at, found)| {
            !line[..at].ends_with(char::is_alphanumeric)
                && !line[at + found.len()..].starts_with(char::is_alphanumeric)
        })
    })
}

fn has_failed(condition: &ContainerStatus) -> bool {
    !condition.status.is_up() && condition.exit_code.is_some()
}

/// Returns the restart policy as written in the manifest.
fn word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
        RestartPolicy::OnFailure { .. } => "on-failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Status;

    fn help_for(evidence: Inspection) -> Vec<String> {
        let container = ContainerName::new("shop-web-1").unwrap();
        report(
            container,
            String::new(),
            Duration::ZERO,
            Vec::new(),
            Some(evidence),
        )
        .help
    }

    fn ended(log: &str) -> Inspection {
        Inspection {
            condition: ContainerStatus {
                status: Status::Exited,
                exit_code: Some(100),
                ..ContainerStatus::default()
            },
            log: vec![log.to_owned()],
            init: true,
            ..Inspection::default()
        }
    }

    #[test]
    fn process_1_requirement_in_log_adds_init_help() {
        for line in [
            "s6-overlay-suexec: fatal: can only run as pid 1",
            "must be run as PID 1",
            "runit: this has to be process 1.",
            "Couldn't find an alternative telinit implementation to spawn.",
            "Trying to run as user instance, but the system has not been booted with systemd.",
        ] {
            let help = help_for(ended(line));
            assert!(help[0].contains("`init #false`"), "{line}");
            let own = Inspection {
                init: false,
                ..ended(line)
            };
            assert_eq!(help_for(own), Vec::<String>::new(), "{line}");
        }
        for line in [
            "worker pid 12 started",
            "rapid 1 of 2",
            "worker process 1 exited",
            "no configuration",
        ] {
            assert_eq!(help_for(ended(line)), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn exited_container_gets_pending_restart_policy_help() {
        let policy = RestartPolicy::OnFailure { max: 3 };
        let mut evidence = Inspection {
            restart_at_commit: Some(policy),
            ..ended("no database")
        };
        let help = help_for(evidence.clone());
        assert!(help[0].starts_with("`restart \"on-failure\"` takes effect at the commit"));
        evidence.condition.status = Status::Running;
        assert_eq!(help_for(evidence), Vec::<String>::new());
    }
}
