//! Wording of reports: names of actions, reasons, subjects and conditions.
//!
//! Pure text functions.

use std::time::Duration;

use super::text;
use crate::{
    event::Response,
    plan::{FieldChange, Reason, Subject},
    state::{ContainerStatus, Health, Status},
};

/// First words of actions in the present, past and base form. An action that is not listed keeps
/// its present form, so that a new action is still understandable.
const VERBS: [(&str, &str, &str); 23] = [
    ("attaching", "attached", "attach"),
    ("building", "built", "build"),
    ("checking", "checked", "check"),
    ("confirming", "confirmed", "confirm"),
    ("copying", "copied", "copy"),
    ("creating", "created", "create"),
    ("draining", "drained", "drain"),
    ("pausing", "paused", "pause"),
    ("pulling", "pulled", "pull"),
    ("removing", "removed", "remove"),
    ("renaming", "renamed", "rename"),
    ("restarting", "restarted", "restart"),
    ("restoring", "restored", "restore"),
    ("running", "ran", "run"),
    ("setting", "set", "set"),
    ("stabilizing", "stabilized", "stabilize"),
    ("starting", "started", "start"),
    ("stopping", "stopped", "stop"),
    ("switching", "switched", "switch"),
    ("tagging", "tagged", "tag"),
    ("unpausing", "unpaused", "unpause"),
    ("verifying", "verified", "verify"),
    ("waiting", "waited", "wait"),
];

/// Returns the past tense of an action: `creating container` → `created container`.
#[must_use]
pub fn past_tense(verb: &str) -> String {
    let (first, rest) = verb.split_once(' ').unwrap_or((verb, ""));
    match VERBS.iter().find(|(present, ..)| *present == first) {
        Some((_, past, _)) => format!("{past} {rest}").trim_end().to_owned(),
        None => format!("done {verb}"),
    }
}

/// Shortens an action to one word: `creating container` → `create`, `waiting until ready` →
/// `ready`.
#[must_use]
pub fn short(verb: &str) -> &str {
    let first = verb.split(' ').next().unwrap_or(verb);
    if first == "waiting" {
        return verb.rsplit(' ').next().unwrap_or(verb);
    }
    VERBS
        .iter()
        .find(|(present, ..)| *present == first)
        .map_or(first, |(_, _, short)| short)
}

/// Returns the label of a step's subject. If a service has several replicas, the label has a
/// number.
#[must_use]
pub fn subject(subject: &Subject, project: &str, replicas: u32) -> String {
    match subject {
        Subject::Service { name, replica } if replicas > 1 => format!("{name}-{replica}"),
        Subject::Service { name, .. } | Subject::Image { name } => name.to_string(),
        Subject::Network { name } | Subject::Volume { name } => name.clone(),
        Subject::Project => project.to_owned(),
    }
}

/// Describes the response of a run to an interrupt.
#[must_use]
pub fn interrupted(response: Response) -> &'static str {
    match response {
        Response::Stop => "interrupted: stopping after the running steps",
        Response::RollBack => {
            "interrupted: rolling back; press Ctrl-C again to leave it to `cimandat recover`"
        }
        Response::Finish => {
            "interrupted after the commit: finishing; press Ctrl-C again to leave it to `cimandat \
             recover`"
        }
        Response::Leave => "interrupted again: left to `cimandat recover`",
    }
}

/// Describes the reason of a step as a sentence fragment.
#[must_use]
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NotFound => "new".to_owned(),
        Reason::NewVolume { .. } | Reason::Unrecorded => reason.to_string(),
        Reason::Stopped => "not running".to_owned(),
        Reason::Changed { changes } => fields("changed", changes),
        Reason::Drifted { changes } => fields("drifted", changes),
        Reason::BuildInputsChanged => "no image of these inputs yet".to_owned(),
        Reason::ImageUpdated { .. } => "its image tag now points to a different image".to_owned(),
        Reason::DependencyReplaced { dependency } => format!("`{dependency}` is replaced"),
        reason @ (Reason::DependencyStarted { .. }
        | Reason::KeptOrphan { .. }
        | Reason::Surplus { .. }
        | Reason::KeptFailed { .. }
        | Reason::LeftBehind { .. }) => reason.to_string(),
        Reason::NetworkReplaced { network } => format!("network `{network}` is recreated"),
        Reason::Orphan => "no longer part of the project".to_owned(),
        Reason::Requested => "requested".to_owned(),
        Reason::Verify => "declared by `verify`".to_owned(),
        Reason::Superseded => "replaced".to_owned(),
        Reason::BeforeUpdate { service } => format!("`{service}` is replaced"),
        Reason::Rollback => "rollback".to_owned(),
        Reason::Teardown => "down".to_owned(),
    }
}

/// Lists the first changed fields after `word`.
fn fields(word: &str, changes: &[FieldChange]) -> String {
    const SHOWN: usize = 4;
    let mut fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).collect();
    fields.dedup();
    let more = fields.len().saturating_sub(SHOWN);
    fields.truncate(SHOWN);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{word}: {}{rest}", fields.join(", "))
}

/// Formats the progress of a pull: `3 of 7 layers, 12.3 MB of 45.6 MB`.
#[must_use]
pub fn pull(bytes: (u64, u64), layers: (u32, u32)) -> String {
    let total = match bytes.1 {
        0 => String::new(),
        total => format!(" of {}", text::bytes(total)),
    };
    format!(
        "{} of {} layers, {}{total}",
        layers.0,
        layers.1,
        text::bytes(bytes.0)
    )
}

/// Describes the condition of a container as a sentence fragment: `exited with code 137 (SIGKILL),
/// OOM-killed, restarted 2 times`.
#[must_use]
pub fn condition(condition: &ContainerStatus) -> String {
    let mut parts = vec![status(condition)];
    if condition.oom_killed {
        parts.push("OOM-killed".to_owned());
    }
    match condition.health {
        Some(Health::Unhealthy) => parts.push("unhealthy by its own health check".to_owned()),
        Some(Health::Starting) => parts.push("its own health check still starting".to_owned()),
        Some(Health::Healthy) | None => {}
    }
    if condition.restarts > 0 {
        let times = text::count(condition.restarts as usize, "time");
        parts.push(format!("restarted {times}"));
    }
    if let Some(error) = condition.error.as_deref().filter(|error| !error.is_empty()) {
        parts.push(text::clean(error));
    }
    parts.join(", ")
}

fn status(condition: &ContainerStatus) -> String {
    let code = condition.exit_code.map(exit_code);
    match (condition.status, code) {
        (Status::Created, _) => "created, never started".to_owned(),
        (Status::Running, _) => match condition.running_for {
            Some(time) if time > Duration::ZERO => format!("running for {}", text::elapsed(time)),
            _ => "running".to_owned(),
        },
        (Status::Paused, _) => "paused".to_owned(),
        (Status::Restarting, Some(code)) => format!("restarting after exit {code}"),
        (Status::Restarting, None) => "restarting".to_owned(),
        (Status::Removing, _) => "being removed".to_owned(),
        (Status::Exited, Some(code)) => format!("exited with {code}"),
        (Status::Exited, None) => "exited".to_owned(),
        (Status::Dead, _) => "dead: the engine could not remove it".to_owned(),
    }
}

/// Formats an exit code: `code 3`, `code 137 (SIGKILL)`. A shell and the engine add 128 to the
/// signal's number.
fn exit_code(code: i64) -> String {
    let signal = match code {
        129 => "SIGHUP",
        130 => "SIGINT",
        131 => "SIGQUIT",
        132 => "SIGILL",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        137 => "SIGKILL",
        139 => "SIGSEGV",
        143 => "SIGTERM",
        _ => return format!("code {code}"),
    };
    format!("code {code} ({signal})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FieldChange;

    #[test]
    fn verbs_have_past_and_short_forms() {
        assert_eq!(past_tense("creating container"), "created container");
        assert_eq!(
            past_tense("setting the restart policy of container"),
            "set the restart policy of container"
        );
        assert_eq!(past_tense("frobbing"), "done frobbing");
        assert_eq!(short("starting container"), "start");
        assert_eq!(short("waiting until ready"), "ready");
    }

    #[test]
    fn condition_lists_all_facts_of_exited_container() {
        let told = condition(&ContainerStatus {
            status: Status::Exited,
            exit_code: Some(137),
            oom_killed: true,
            restarts: 2,
            ..ContainerStatus::default()
        });
        assert_eq!(
            told,
            "exited with code 137 (SIGKILL), OOM-killed, restarted 2 times"
        );
    }

    #[test]
    fn long_change_list_is_truncated_and_counted() {
        let changes = ["a", "b", "c", "d", "e", "f"].map(|field| FieldChange {
            field: field.to_owned(),
            from: None,
            to: Some("1".to_owned()),
        });
        let told = reason(&Reason::Changed {
            changes: changes.to_vec(),
        });
        assert_eq!(told, "changed: a, b, c, d and 2 more");
    }
}
