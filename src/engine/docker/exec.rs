//! Runs a command inside a running container.
//!
//! The engine has no request to end such a command. A command that exceeds its timeout is killed if
//! its process is visible on this machine. Otherwise the command is left to end by itself, and it
//! is not started again before that.

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

/// How many bytes of a command's output are kept, from its end.
const KEPT: usize = 64 * 1024;
/// How many of the last lines are reported for a failed hook.
const REPORTED: usize = 20;

/// First and longest pause between two checks whether a command has ended.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The result of a command.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The exit code.
    pub(super) code: i64,
    /// The end of the output, standard output and standard error together.
    pub(super) output: String,
}

impl Outcome {
    /// Returns the last line that is not blank.
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

/// Runs a hook. An exit code other than 0 is an error.
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

/// Runs a command for at most `patience`. `None`: the command has not ended by then, or its
/// previous run has not ended yet.
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

/// Returns whether the previous run of a command, which exceeded its timeout, is still running.
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

/// Returns the exit code of a command whose output has ended.
///
/// The engine closes the output shortly before it knows the exit code, and a command may close its
/// output long before it ends. The engine offers no event to wait for, so this function polls.
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

/// Kills a command that exceeded its timeout, if its process runs on this machine.
///
/// The engine reports the process id as seen on the engine's host. A socket may be forwarded from
/// another machine, so the process is killed only if it is in the container's control group.
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
        // A failed kill is not an error: the command is then left to end by itself.
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
    fn last_line_ignores_blank_lines() {
        let outcome = Outcome {
            code: 1,
            output: "first\n  second  \n\n".into(),
        };
        assert_eq!(outcome.last_line(), "second");
        assert_eq!(outcome.last_lines(2), ["  second  ", ""]);
    }

    #[test]
    fn long_output_keeps_only_its_end() {
        let mut kept = Vec::new();
        for _ in 0..5 {
            let message = vec![b'x'; KEPT].into();
            keep(&mut kept, LogOutput::StdOut { message });
        }
        assert!(kept.len() <= 2 * KEPT);
    }
}
