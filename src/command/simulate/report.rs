//! Report of a simulation: what runs, what remains to be done, and which faults did not occur.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    fault::{At, Fault, Kind},
    run::SimulationResult,
    setup::SimulationSetup,
};
use crate::{
    command::{CommandOutcome, code},
    event::{Outcome, VERSION},
    name::ContainerName,
    project::Kind as ServiceKind,
    report::text,
    state::{Container, State, Status},
};

/// Health of the containers of one generation of a service.
#[derive(Debug, Default)]
struct GenerationHealth {
    job: bool,
    /// Containers that run or have completed their work.
    well: usize,
    /// Containers that should run but do not.
    down: usize,
}

/// Counts the containers by service and generation, without retained ones.
fn standings(state: &State) -> BTreeMap<(String, u64), GenerationHealth> {
    let mut standings: BTreeMap<_, GenerationHealth> = BTreeMap::new();
    let kept = |name: &ContainerName| state.is_superseded(name) || state.is_retained_failure(name);
    let current = state.containers.iter().filter(|(name, _)| !kept(name));
    for (_, container) in current {
        let whose = (container.service.to_string(), container.generation);
        let standing = standings.entry(whose).or_default();
        standing.job = is_job(container);
        if is_well(container) {
            standing.well += 1;
        } else {
            standing.down += 1;
        }
    }
    standings
}

fn is_job(container: &Container) -> bool {
    let record = container.record.as_ref();
    record.is_some_and(|it| matches!(it.kind, ServiceKind::Job { .. }))
}

fn is_well(container: &Container) -> bool {
    let condition = &container.condition;
    condition.status == Status::Running || (is_job(container) && condition.exit_code == Some(0))
}

/// Formats the report as text.
pub(super) fn text(scene: &SimulationSetup, told: &SimulationResult, calls: bool) -> String {
    let mut out = String::from("\nafterwards:\n");
    let standings = standings(&told.state);
    let mut generations: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut down = Vec::new();
    for ((name, generation), standing) in &standings {
        if standing.well > 0 {
            let names = generations.entry(*generation).or_default();
            let job = if standing.job {
                " (a job that is done)"
            } else {
                ""
            };
            names.push(format!("`{name}`{job}"));
        }
        if standing.down > 0 {
            down.push(format!("`{name}` of generation {generation}"));
        }
    }
    for (generation, names) in &generations {
        let _ = writeln!(out, "  generation {generation} runs: {}", names.join(", "));
    }
    if !down.is_empty() {
        let _ = writeln!(out, "  does not run: {}", down.join(", "));
    }
    if generations.is_empty() && down.is_empty() {
        let _ = writeln!(out, "  nothing of `{}` is there", scene.project.name);
    }
    let _ = writeln!(out, "  {}", to_do(scene, told, down.is_empty()));
    for fault in missed(scene, told) {
        let _ = writeln!(out, "  {fault}");
    }
    if calls {
        for (place, recorded) in told.recorded_calls.iter().enumerate() {
            let _ = writeln!(
                out,
                "  call {}: {} {}",
                place + 1,
                recorded.verb,
                recorded.object
            );
        }
    }
    out.push_str(
        "this was a simulation: nothing on the engine was changed, and its times are nominal\n",
    );
    out
}

/// Formats the report as one JSON value, printed after the events of the run.
pub(super) fn json(scene: &SimulationSetup, told: &SimulationResult, calls: bool) -> Value {
    let mut services: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for ((name, generation), it) in standings(&told.state) {
        let standing = json!({ "generation": generation, "well": it.well, "down": it.down });
        services.entry(name).or_default().push(standing);
    }
    let faults = scene.faults.iter().zip(&told.triggered);
    let faults: Vec<Value> = faults
        .map(|(fault, met)| json!({ "fault": fault.to_string(), "occurred": met }))
        .collect();
    let mut line = json!({
        "v": VERSION,
        "event": "simulation-finished",
        "simulated": true,
        "services": services,
        "faults": faults,
        "calls": told.recorded_calls.len(),
        "killed_at": told.killed,
        "exit_code": code(&told.end) as u8,
    });
    if calls {
        let recorded_calls = told.recorded_calls.iter();
        line["call_list"] = recorded_calls
            .map(|recorded| format!("{} {}", recorded.verb, recorded.object))
            .collect();
    }
    line
}

/// Describes what the user would have to do.
fn to_do(scene: &SimulationSetup, told: &SimulationResult, all_run: bool) -> String {
    let name = &scene.project.name;
    if !told.violations.is_empty() {
        return format!("this must not happen: {}", told.violations.join("; "));
    }
    if told.open {
        return format!("to do: `cimandat -p {name} recover`, after the cause above is fixed");
    }
    match &told.end {
        Ok(CommandOutcome::Run(Outcome::RollbackFailed)) | Err(_) => {
            "to do: the items above".to_owned()
        }
        Ok(_) if !all_run => {
            format!("to do: `cimandat -p {name} recover`, which starts what should run")
        }
        Ok(
            CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged)
            | CommandOutcome::Ok
            | CommandOutcome::ChangesPending,
        ) => "nothing is left to do".to_owned(),
        Ok(_) => "fix the cause and run `cimandat up` again".to_owned(),
    }
}

/// Lists the faults that did not occur, each with the reason.
fn missed(scene: &SimulationSetup, told: &SimulationResult) -> Vec<String> {
    let faults = scene.faults.iter().zip(&told.triggered);
    let missed = faults.filter(|(_, met)| !**met);
    missed.map(|(fault, _)| why(fault, told)).collect()
}

fn why(fault: &Fault, told: &SimulationResult) -> String {
    let why = match (&fault.at, fault.kind) {
        (At::Call(_), _) => {
            let calls = text::count(told.recorded_calls.len(), "call");
            format!("{calls} changed something, which `--list-calls` lists")
        }
        (At::Port(port), _) => format!("no container was started that wants port {port}"),
        (At::Service { name, .. }, Kind::NotReady) => format!(
            "no probe ran against a container of `{name}`; where the gate asks only whether it \
             runs, `exit:{name}` lets it fail"
        ),
        (At::Service { name, .. }, Kind::Job) => {
            format!("`{name}` was not run; `--rerun {name}` runs it again")
        }
        (At::Service { name, .. }, Kind::Unhealthy) => format!(
            "the deploy was over before `{name}` ended; a first deploy does not settle unless it \
             is told to (`deploy stabilize=`)"
        ),
        (At::Service { name, .. }, Kind::Build | Kind::Pull) => {
            format!("the image of `{name}` is there already")
        }
        (At::Service { name, .. }, kind) => {
            let recorded = match kind {
                Kind::Stop => "stopped",
                Kind::Create => "made",
                _ => "started",
            };
            format!("no such container of `{name}` had to be {recorded}")
        }
    };
    format!("`{fault}` did not occur: {why}")
}
