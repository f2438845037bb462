//! The arguments of `rehearse`, with its faults among them.

use std::time::Duration;

use clap::Args;

use super::arguments::{Choice, Files, duration};
use crate::command::Fault;

/// What stands below the help of `rehearse`.
const REHEARSAL: &str = "\
faults, each with an example:
  gate:web              the service never becomes ready
  exit:web=3            it ends right after its start, with code 3 (1 if none is given)
  relapse:web           it becomes ready, and ends while everything settles
  job:migrate=2         the job fails, with code 2
  create:web            the engine refuses to make its container
  start:web             the engine refuses to start it
  stop:web              the engine refuses to stop it: with `gate:web`, the way back gets stuck
  build:web, pull:web   its image cannot be built, or pulled
  port:8080             somebody takes this port of the host as soon as it is free
  refuse:12             the engine refuses call 12
  lost-answer:12        it does call 12, and the answer is lost
  engine-killed:12      it is killed (`kill -9`) in call 12, and comes back
  crash:12              `cimandat` itself is killed in call 12; the next command recovers
  interrupt:12          Ctrl-C at call 12

Calls are those that change something on the simulated engine; `--calls` lists them. Of a service \
that is replaced, the new containers go wrong, and the old ones are well.

The real engine is looked at, and nothing on it is changed: no lock, no journal, no image, no \
secret. Whatever is there is taken for well, and what has to be built for built after 30 s. The exit \
code is the one that `up` would have had; after `crash:N`, the one of the recovery; with \
`--crash-everywhere`, 6 if one of the ends is not whole.";

#[derive(Debug, Args)]
#[command(after_help = REHEARSAL)]
pub(super) struct SimulateArguments {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub choice: Choice,
    /// The longest that any gate may take, instead of its own deadline (`90s`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_timeout: Option<Duration>,
    /// Keep new containers that failed, as `up --keep-failed` does
    #[arg(long)]
    pub keep_failed: bool,
    /// What goes wrong (see below); may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
    /// Begin with an empty engine; the real one is not asked, and need not be there
    #[arg(long)]
    pub from_nothing: bool,
    /// List the calls to the engine that change something, by the numbers that faults go by
    #[arg(long)]
    pub calls: bool,
    /// Kill it at each call in turn, before its effect and after it, and recover; ends with 0 only if
    /// each one ended whole
    #[arg(long, conflicts_with = "calls")]
    pub crash_everywhere: bool,
}
