//! Runs a command inside a running container.
//!
//! The engine offers no way to end such a command. One that takes too long is killed where its
//! process can be seen from here, and is otherwise left to end; it is not run again before.

use std::{fs, process::Stdio, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error as Wire,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures::StreamExt;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{Docker, container, error::present};
use crate::{engine::EngineError, plan::RunHook};

/// How much of a command's output is kept, from its end, in bytes.
const KEPT: usize = 64 * 1024;
/// How many of the last lines of a failed hook are reported.
const REPORTED: usize = 20;

/// Between two looks whether a command has ended: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How a command ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its exit code.
    pub(super) code: i64,
    /// The last of what it printed, both streams together.
    pub(super) output: String,
}

impl Outcome {
    /// The last line that says anything.
    pub(super) fn last_line(&self) -> &str {
        let mut lines = self.output.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).unwrap_or_default()
    }

    fn last_lines(&self, count: usize) -> Vec<String> {
        let lines: Vec<&str> = self.output.lines().collect();
        lines[lines.len().saturating_sub(count)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }
}

/// Runs a hook; an exit code other than 0 is a failure.
pub(super) async fn hook(docker: &Docker, run: &RunHook) -> Result<(), EngineError> {
    let verb = "running a hook in container";
    container::own_or_gone(docker, verb, &run.container).await?;
    let container = run.container.as_str();
    let mut env = Vec::new();
    for (name, value) in &run.hook.env {
        let value = value.expose().ok_or_else(|| {
            let message =
                format!("the value of `{name}` is no longer stored; only its digest is known");
            docker.doing(verb, container).refused(0, message)
        })?;
        env.push(format!("{name}={value}"));
    }
    let config = ExecConfig {
        user: run.hook.user.clone(),
        working_dir: run.hook.working_dir.clone(),
        privileged: run.hook.privileged.then_some(true),
        env: Some(env),
        ..attached(&run.hook.command)
    };
    let id = create(docker, verb, container, config).await?;
    let outcome = finish(docker, verb, container, &id).await?;
    if outcome.code == 0 {
        return Ok(());
    }
    Err(EngineError::Hook {
        container: container.to_owned(),
        command: shell_words::join(&run.hook.command),
        code: outcome.code,
        output: outcome.last_lines(REPORTED),
    })
}

/// Runs a command for as long as `patience` lasts; `None`: it has not ended by then.
pub(super) async fn within(
    docker: &Docker,
    container: &str,
    command: &[String],
    patience: Duration,
) -> Result<Option<Outcome>, EngineError> {
    let verb = "running a command in container";
    let key = (container.to_owned(), command.to_vec());
    if still_runs(docker, &key).await {
        return Ok(None);
    }
    let id = create(docker, verb, container, attached(command)).await?;
    if let Ok(outcome) = timeout(patience, finish(docker, verb, container, &id)).await {
        return outcome.map(Some);
    }
    kill(docker, &id).await;
    if let Ok(mut unfinished) = docker.unfinished.lock() {
        unfinished.insert(key, id);
    }
    Ok(None)
}

/// Whether the last run of a command, which took too long, goes on even now.
async fn still_runs(docker: &Docker, key: &(String, Vec<String>)) -> bool {
    let last = match docker.unfinished.lock() {
        Ok(mut unfinished) => unfinished.remove(key),
        Err(_) => None,
    };
    let Some(id) = last else { return false };
    let state = present(docker.client.inspect_exec(&id).await);
    let runs = matches!(state, Ok(Some(state)) if state.running == Some(true));
    if runs && let Ok(mut unfinished) = docker.unfinished.lock() {
        unfinished.insert(key.clone(), id);
    }
    runs
}

fn attached(command: &[String]) -> ExecConfig {
    ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..ExecConfig::default()
    }
}

async fn create(
    docker: &Docker,
    verb: &str,
    container: &str,
    config: ExecConfig,
) -> Result<String, EngineError> {
    docker
        .client
        .create_exec(container, config)
        .await
        .map(|created| created.id)
        .map_err(|wire| docker.doing(verb, container).failed(wire))
}

/// Starts a command and waits for its end.
async fn finish(
    docker: &Docker,
    verb: &str,
    container: &str,
    id: &str,
) -> Result<Outcome, EngineError> {
    let failed = |wire| docker.doing(verb, container).failed(wire);
    let started = docker
        .client
        .start_exec(id, None::<StartExecOptions>)
        .await
        .map_err(failed)?;
    let mut kept = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(chunk) = output.next().await {
            keep(&mut kept, chunk.map_err(failed)?);
        }
    }
    let code = exit_code(docker, id).await.map_err(failed)?;
    Ok(Outcome {
        code,
        output: String::from_utf8_lossy(&kept).into_owned(),
    })
}

/// The exit code of a command whose output has ended.
///
/// The engine closes the output a little before it knows the code, and a command may close its
/// output long before it ends; there is nothing that can be waited for.
async fn exit_code(docker: &Docker, id: &str) -> Result<i64, Wire> {
    let mut pause = FIRST_PAUSE;
    loop {
        let state = docker.client.inspect_exec(id).await?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(code);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn keep(kept: &mut Vec<u8>, chunk: LogOutput) {
    kept.extend_from_slice(&chunk.into_bytes());
    if kept.len() > 2 * KEPT {
        kept.drain(..kept.len() - KEPT);
    }
}

/// Kills a command that took too long, when its process is one of this machine.
///
/// The engine tells its process id as the engine's host counts; only when the process of that id
/// is in the container's control group is it the one that is meant (a socket may be forwarded
/// from another machine).
async fn kill(docker: &Docker, id: &str) {
    if !docker.place.is_local() {
        return;
    }
    let Ok(state) = docker.client.inspect_exec(id).await else {
        return;
    };
    let (Some(true), Some(pid), Some(container)) = (state.running, state.pid, state.container_id)
    else {
        return;
    };
    let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if pid > 1 && group.contains(&container) {
        // That it cannot be killed is no failure: it is then left to end by itself.
        let _ = Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_anything_is_the_answer() {
        let outcome = Outcome {
            code: 1,
            output: "first\n  second  \n\n".into(),
        };
        assert_eq!(outcome.last_line(), "second");
        assert_eq!(outcome.last_lines(2), ["  second  ", ""]);
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let mut kept = Vec::new();
        for _ in 0..5 {
            let message = vec![b'x'; KEPT].into();
            keep(&mut kept, LogOutput::StdOut { message });
        }
        assert!(kept.len() <= 2 * KEPT);
    }
}
