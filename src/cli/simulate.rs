//! The arguments of `simulate`, including its faults.

use std::time::Duration;

use clap::Args;

use super::arguments::{Choice, Files, duration};
use crate::command::Fault;

/// Text below the help of `simulate`.
const FAULTS: &str = "\
faults, each with an example:
  not-ready:web         the service never becomes ready
  exit:web=3            its container exits right after its start, with code 3 (default: 1)
  unhealthy:web         it becomes ready, and exits during the stabilization window
  job:migrate=2         the job fails with code 2
  create:web            the engine refuses to create its container
  start:web             the engine refuses to start its container
  stop:web              the engine refuses to stop its container; with `not-ready:web`, the rollback fails
  build:web, pull:web   the build or the pull of its image fails
  port:8080             another process takes this host port as soon as it is free
  refuse:12             the engine refuses call 12
  lost-response:12      the engine performs call 12, and the response is lost
  engine-crash:12       the engine is killed (`kill -9`) during call 12, and restarts
  crash:12              `cimandat` is killed during call 12; the next command recovers
  interrupt:12          Ctrl-C at call 12

Calls are the requests that change something on the simulated engine; `--list-calls` lists them. When a \
service is replaced, its faults apply to the new containers only.

The real engine is only read: no lock, journal, image or secret is created. Existing containers are \
assumed healthy, and builds are assumed to take 30 s. The exit code is the one that `up` would return; \
after `crash:N`, the one of the recovery; with `--crash-matrix`, 6 if a recovery ends in neither the old \
nor the new state.";

#[derive(Debug, Args)]
#[command(after_help = FAULTS)]
pub(super) struct SimulateArguments {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub choice: Choice,
    /// Maximum time for each gate, instead of its own timeout (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ready_timeout: Option<Duration>,
    /// Keep new containers that failed, like `up --keep-failed`
    #[arg(long)]
    pub keep_failed: bool,
    /// Fault to inject (see below); can be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
    /// Start from an empty engine; the real engine is not contacted
    #[arg(long)]
    pub empty: bool,
    /// List the calls that change the engine, with the numbers that faults refer to
    #[arg(long)]
    pub list_calls: bool,
    /// Kill `cimandat` at each call in turn, before and after its effect, and recover; exits with 0 only
    /// if every recovery ends in the old or the new state
    #[arg(long, conflicts_with = "list_calls")]
    pub crash_matrix: bool,
}
