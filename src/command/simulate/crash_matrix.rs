//! Kills the simulated `cimandat` at every call in turn, and recovers each time.

use std::{fmt::Write as _, sync::Arc, thread};

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{
    run::{SimulationResult, origin, perform},
    setup::SimulationSetup,
};
use crate::{
    command::{
        CommandError, CommandOutcome, Console, ExecutionMode, OutputMode, code, print, print_json,
    },
    engine::sim::{FaultTiming, RecordedCall, Snapshot},
    event::Outcome,
    journal::JournalState,
    report::{table::table, text},
};

/// Result of a run that was killed at a call.
#[derive(Debug, Clone, Serialize)]
struct KilledRun {
    world: FinalState,
    /// Exit code of the recovery.
    exit_code: u8,
    /// Reason why the result is wrong, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<String>,
}

/// State in which the project ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FinalState {
    Old,
    New,
    Neither,
}

/// A call with the results of both kill points.
#[derive(Debug, Clone, Serialize)]
struct Row {
    call: usize,
    doing: String,
    before: KilledRun,
    after: KilledRun,
}

/// States and outcome that a killed run is compared with.
struct ExpectedStates {
    old: Snapshot,
    new: Snapshot,
    /// Outcome of the run that is not killed. It may be a partial commit or a rollback.
    done: CommandOutcome,
    /// An earlier deploy was interrupted and is ended first.
    cut_off: bool,
}

impl ExpectedStates {
    /// Whether the outcome of a recovery matches the final state.
    fn matches_exit_code(&self, end: CommandOutcome, world: FinalState) -> bool {
        let says_old = end == CommandOutcome::Run(Outcome::RolledBack);
        let says_new = end == CommandOutcome::Run(Outcome::Converged);
        match world {
            _ if self.cut_off => true,
            FinalState::Old => !says_new,
            FinalState::New => !says_old || self.done == end,
            FinalState::Neither => false,
        }
    }
}

/// Simulates the whole run once, and then every kill point.
pub(super) async fn run(
    scene: SimulationSetup,
    console: Console,
) -> Result<CommandOutcome, CommandError> {
    let scene = Arc::new(scene);
    let trial = Console {
        stage: ExecutionMode::Silent,
        ..console
    };
    let (whole, old) = {
        let scene = Arc::clone(&scene);
        let both = move || Ok((perform(&scene, trial, None)?, origin(&scene, trial)?));
        on_own_thread(both).await?
    };
    let done = whole.end?;
    let ends = Arc::new(ExpectedStates {
        old,
        new: whole.after,
        done,
        cut_off: matches!(scene.standing, JournalState::Unfinished(_)),
    });
    let places = (1..).zip(&whole.recorded_calls);
    let deaths =
        places.flat_map(|(call, _)| [(call, FaultTiming::Before), (call, FaultTiming::After)]);
    let trials = deaths.map(|death| {
        let (scene, ends) = (Arc::clone(&scene), Arc::clone(&ends));
        on_own_thread(move || {
            let told = perform(&scene, trial, Some(death))?;
            Ok(KilledRun::of(&told, &ends))
        })
    });
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<KilledRun> = stream::iter(trials).buffered(cores).try_collect().await?;
    let rows: Vec<Row> = rows(&whole.recorded_calls, &outcomes);
    let is_whole = outcomes.iter().all(|it| it.wrong.is_none());
    if console.progress == OutputMode::Json {
        print_json(&json!({
            "version": 1,
            "simulated": true,
            "project": scene.project.name,
            "calls": rows,
            "whole": is_whole,
            "undisturbed": code(&Ok(done)) as u8,
        }));
    } else {
        print(&shown(&rows, console));
        print(&summary(&rows, is_whole));
    }
    Ok(if is_whole {
        CommandOutcome::Ok
    } else {
        CommandOutcome::Run(Outcome::RollbackFailed)
    })
}

/// Runs `work` on a separate thread, which has its own clock.
pub(super) async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
) -> Result<T, CommandError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(CommandError::Runtime(error.into())))
}

fn rows(recorded_calls: &[RecordedCall], outcomes: &[KilledRun]) -> Vec<Row> {
    let pairs = outcomes.chunks_exact(2).zip(recorded_calls).enumerate();
    let row = |(place, (pair, recorded)): (usize, (&[KilledRun], &RecordedCall))| {
        let [before, after] = pair else { return None };
        Some(Row {
            call: place + 1,
            doing: format!("{} {}", recorded.verb, recorded.object),
            before: before.clone(),
            after: after.clone(),
        })
    };
    pairs.filter_map(row).collect()
}

impl KilledRun {
    fn of(told: &SimulationResult, ends: &ExpectedStates) -> Self {
        let end = &told.end;
        let is = |world: &Snapshot| equivalent(&told.after, world);
        let says_new = matches!(end, Ok(CommandOutcome::Run(Outcome::Converged)));
        let world = match (is(&ends.old), is(&ends.new)) {
            (true, true) if says_new => FinalState::New,
            (true, _) => FinalState::Old,
            (false, true) => FinalState::New,
            (false, false) => FinalState::Neither,
        };
        let wrong = match end {
            Err(error) => Some(error.to_string()),
            Ok(CommandOutcome::Run(Outcome::RollbackFailed)) => Some("stuck".to_owned()),
            Ok(_) if !told.violations.is_empty() => Some(told.violations.join("; ")),
            Ok(_) if told.open => Some("the journal is open".to_owned()),
            Ok(_) if told.state.locked => Some("the lock is held".to_owned()),
            Ok(_) if world == FinalState::Neither => Some("it is neither of the two".to_owned()),
            Ok(end) if !ends.matches_exit_code(*end, world) => {
                Some("it says the other one".to_owned())
            }
            Ok(_) => None,
        };
        Self {
            world,
            exit_code: code(end) as u8,
            wrong,
        }
    }

    fn cell(&self) -> String {
        let world = match self.world {
            FinalState::Old => "old",
            FinalState::New => "new",
            FinalState::Neither => "neither",
        };
        let wrong = self.wrong.as_ref().map(|why| format!(": {why}"));
        format!(
            "{world}, exit code {}{}",
            self.exit_code,
            wrong.unwrap_or_default()
        )
    }
}

/// Whether two states are equal, ignoring retained objects: replaced containers, volumes with data,
/// snapshots.
fn equivalent(one: &Snapshot, other: &Snapshot) -> bool {
    one.current() == other.current()
        && one.networks == other.networks
        && one.foreign == other.foreign
}

fn shown(rows: &[Row], console: Console) -> String {
    let headers = ["CALL", "REQUEST", "KILLED BEFORE", "KILLED AFTER"];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.call.to_string(),
                row.doing.clone(),
                row.before.cell(),
                row.after.cell(),
            ]
        })
        .collect();
    let width = console.terminal_out.then(|| usize::from(console.width));
    table(&headers, &cells, width)
}

fn summary(rows: &[Row], whole: bool) -> String {
    let outcomes = || rows.iter().flat_map(|row| [&row.before, &row.after]);
    let count = |world| outcomes().filter(|it| it.world == world).count();
    let mut out = String::new();
    if rows.is_empty() {
        out.push_str("there is nothing to do, and so no call to be killed at\n");
        return out;
    }
    let ends = text::count(outcomes().count(), "end");
    let _ = writeln!(
        out,
        "in the simulation `cimandat up` was killed in {}, before and after: of {ends}, {} led back to \
         the old world and {} on to the new one, each by `cimandat recover`",
        text::count(rows.len(), "call"),
        count(FinalState::Old),
        count(FinalState::New),
    );
    if whole {
        out.push_str("every recovery ended consistent; nothing on the engine was changed\n");
    } else {
        let wrong = outcomes().filter(|it| it.wrong.is_some()).count();
        let _ = writeln!(
            out,
            "{wrong} did not end whole; nothing on the engine was changed"
        );
    }
    out
}
