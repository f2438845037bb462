//! Runs a case: commands in a simulated world, interrupted at one of their calls, and the
//! recoveries after them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use cimandat::{
    command::{
        CommandError, CommandOutcome, Console, Down, ExecutionMode, OutputMode, ProjectSelector,
        Recover, Rollback, Up,
    },
    engine::{
        EngineError, StateStore,
        sim::{Behavior, ExternalAction, Fault, FaultTiming, FaultTrigger, Latency, Sim},
    },
    event::Outcome,
    journal::{Collection, JournalState, replay},
    plan::{DownOptions, Options},
    project::{Kind, Project, Service},
};
use futures::future::{Either, select};
use proptest::prelude::*;

use super::{
    generators::{Case, Cut, Cuts, Gate, Trouble, pulled},
    invariants::{self, Data, Side},
};
use crate::fixtures::{in_virtual_time, never, project_name, world};

/// Lock timeout, longer than any lock can outlive its holder.
const PATIENCE: Duration = Duration::from_mins(2);
/// Virtual time after which a command counts as hung.
const STANDSTILL: Duration = Duration::from_hours(1);
/// Console without output, because the tests check only the result of a command.
const SILENT: Console = Console {
    progress: OutputMode::Quiet,
    stage: ExecutionMode::Silent,
    colour: false,
    colour_out: false,
    terminal_out: false,
    width: 80,
    height: 24,
};
/// Maximum attempts to recover while faults are left.
const TRIES: usize = 4;

/// Result of a command.
pub type End = Result<CommandOutcome, CommandError>;

/// The interrupted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    Up,
    Rollback,
}

enum Command {
    Up(Box<Project>),
    Rollback,
    Recover,
    Down { volumes: bool },
}

/// Runs a command as the program does, but without a terminal and a manifest.
async fn carry_out(sim: &Sim, command: &Command) -> End {
    let scope = ProjectSelector {
        files: Vec::new(),
        standard_input: None,
        directory: PathBuf::from("/shop"),
        project: None,
        env_files: Vec::new(),
        profiles: BTreeSet::new(),
        environment: BTreeMap::new(),
    };
    let (engine, project) = (Arc::new(sim.clone()), project_name());
    let (place, who) = ((&engine, &project), (&scope, SILENT));
    let lock_timeout = PATIENCE;
    let work = async {
        match command {
            Command::Up(wanted) => {
                let up = Up {
                    options: Options::default(),
                    ready_timeout: None,
                    lock_timeout,
                    attach: false,
                    keep_failed: false,
                    rotate: BTreeSet::new(),
                };
                up.on((&engine, (**wanted).clone()), who, never()).await
            }
            Command::Rollback => {
                let rollback = Rollback {
                    generation: None,
                    lock_timeout,
                };
                rollback.on(place, who, never()).await
            }
            Command::Recover => {
                let recover = Recover {
                    plan: false,
                    discard_journal: false,
                    lock_timeout,
                };
                recover.on(place, who, never()).await
            }
            Command::Down { volumes } => {
                let removal = DownOptions {
                    volumes: *volumes,
                    ..DownOptions::default()
                };
                Down {
                    removal,
                    lock_timeout,
                }
                .on(place, who, never())
                .await
            }
        }
    };
    let end = tokio::time::timeout(STANDSTILL, Box::pin(work)).await;
    end.expect("the command has come to a standstill")
}

/// Runs a command and interrupts it at a call, counted from now. Returns `None` if it was
/// interrupted.
async fn cut(sim: &Sim, command: &Command, at: u64, when: FaultTiming) -> Option<End> {
    let told = sim.crash_at(sim.calls() + at, when);
    let end = match select(pin!(carry_out(sim, command)), told).await {
        Either::Left((end, _)) => Some(end),
        Either::Right(_) => None,
    };
    // A crash point that was not reached must not take effect later.
    drop(sim.crash_at(u64::MAX, FaultTiming::Before));
    end
}

pub async fn standing(sim: &Sim) -> JournalState {
    let pages = sim.read_pages(&project_name(), Collection::Journal).await;
    replay(&pages.unwrap()).expect("a journal that can be believed")
}

/// The world before the command under test.
pub struct Before {
    pub sim: Sim,
    pub snapshot: cimandat::engine::sim::Snapshot,
    pub data: Data,
}

async fn before(case: &Case) -> Result<Before, TestCaseError> {
    let sim = world(case.seed);
    sim.offer_image(pulled());
    for project in case.earlier() {
        let end = carry_out(&sim, &Command::Up(Box::new(project))).await;
        let well = matches!(
            end,
            Ok(CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged))
        );
        let refused = matches!(end, Err(CommandError::Refused(_)));
        prop_assert!(well || refused, "an earlier deploy: {:?}", end);
    }
    let (snapshot, data) = (sim.snapshot(), sim.data());
    Ok(Before {
        sim,
        snapshot,
        data,
    })
}

/// Returns a world in which the command under test succeeded, or `None` if it is refused.
async fn ideal(
    case: &Case,
    before: &Before,
    command: &Command,
) -> Result<Option<Sim>, TestCaseError> {
    let sim = before.sim.fork(pace(case, 1));
    match carry_out(&sim, command).await {
        Ok(CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged)) => Ok(Some(sim)),
        Err(CommandError::Refused(_) | CommandError::Usage(_)) => {
            prop_assert_eq!(&before.snapshot, &sim.snapshot());
            Ok(None)
        }
        end => Err(TestCaseError::fail(format!("without any trouble: {end:?}"))),
    }
}

fn pace(case: &Case, which: u64) -> Latency {
    let seed = case.seed.rotate_left(17) ^ which;
    Latency::new(seed, Duration::from_millis(20))
}

fn lost_answer() -> EngineError {
    EngineError::Transport {
        verb: "asking".to_owned(),
        object: "engine".to_owned(),
        cause: "the connection broke".to_owned(),
    }
}

/// A copy of the world before, with the faults of the case.
fn troubled(
    before: &Before,
    case: &Case,
    trouble: &Trouble,
    (generation, calls): (u64, u64),
) -> Sim {
    let sim = before.sim.fork(pace(case, 2));
    if let Some((service, gate)) = failing(case, trouble) {
        sim.script(&service.name, Some(generation), gate.script());
    }
    for (part, when) in &trouble.faults {
        sim.fail(Fault {
            at: FaultTrigger::Call(part.of(calls)),
            when: *when,
            error: lost_answer(),
        });
    }
    sim
}

/// The service that fails its gate, if any.
fn failing(case: &Case, trouble: &Trouble) -> Option<(Service, Gate)> {
    let services: Vec<Service> = case.wanted().services.into_values().collect();
    let gate = trouble.gate.clone().filter(|_| !services.is_empty())?;
    Some((gate.which.get(&services).clone(), gate))
}

/// A copy of the world without further faults, neither in calls nor in another generation of this
/// number.
fn calm(sim: &Sim, case: &Case, trouble: &Trouble, generation: u64) -> Sim {
    let sim = sim.fork(pace(case, 4));
    if let Some((service, _)) = failing(case, trouble) {
        let script = match service.kind {
            Kind::Service => Behavior::default(),
            Kind::Job { .. } => Behavior::exits(Duration::from_millis(10), 0),
        };
        sim.script(&service.name, Some(generation), script);
    }
    sim
}

fn command(case: &Case, interruption: Interruption) -> Command {
    match interruption {
        Interruption::Up => Command::Up(Box::new(case.wanted())),
        Interruption::Rollback => Command::Rollback,
    }
}

/// Interrupts a command and every recovery after it except the last, and checks the invariants.
pub fn cut_off(
    case: &Case,
    interruption: Interruption,
    trouble: &Trouble,
    cuts: &Cuts,
    blow: Option<&ExternalAction>,
) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let before = before(case).await?;
        let command = command(case, interruption);
        let Some(ideal) = ideal(case, &before, &command).await? else {
            return Ok(());
        };
        let place = (standing(&ideal).await.generation(), ideal.calls());
        if place.0 == standing(&before.sim).await.generation() {
            return Ok(());
        }
        let mut calls = ideal.calls();
        if trouble.gate.is_some() || !trouble.faults.is_empty() {
            let dry = troubled(&before, case, trouble, place);
            // The outcome is checked by another property.
            let _ = carry_out(&dry, &command).await;
            calls = dry.calls();
        }
        let sim = troubled(&before, case, trouble, place);
        let end = cut(&sim, &command, cuts.first.at.of(calls), cuts.first.when).await;
        let side = Side::of(&sim, place.0).await;
        if let Some(hand) = blow {
            sim.external(hand);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if let Some(end) = &end {
            invariants::told(end, &side)?;
        } else if cuts.seen {
            sim.orphan_lock();
        }
        // A copy of the world, with an uninterrupted recovery and another order of completion.
        let twin = sim.fork(pace(case, 3));
        let faulty = !trouble.faults.is_empty();
        recovered(&twin, (&[], 0), cuts.seen, false, &side).await?;
        let calls = (cuts.then.as_slice(), twin.calls());
        recovered(&sim, calls, cuts.seen, faulty, &side).await?;
        invariants::order(&twin).await?;
        invariants::order(&sim).await?;
        if faulty {
            invariants::kept_with_faults(&before, &ideal, &side, &twin)?;
            invariants::kept_with_faults(&before, &ideal, &side, &sim)?;
            let sim = calm(&sim, case, trouble, place.0);
            return converges(case, interruption, (&ideal, &side), &sim).await;
        }
        invariants::kept(&before, &ideal, &side, &twin)?;
        prop_assert_eq!(&twin.snapshot(), &sim.snapshot(), "two recoveries differ");
        invariants::unlocked(&sim).await?;
        let again = carry_out(&sim, &Command::Recover).await;
        prop_assert!(
            matches!(again, Ok(CommandOutcome::Ok)),
            "recovered again: {:?}",
            again
        );
        prop_assert_eq!(&twin.snapshot(), &sim.snapshot(), "recovered again");
        let sim = calm(&sim, case, trouble, place.0);
        converges(case, interruption, (&ideal, &side), &sim).await
    })
}

/// Interrupts recoveries, which take `calls` calls, at each of `cuts`, then recovers to the end.
async fn recovered(
    sim: &Sim,
    (cuts, calls): (&[Cut], u64),
    seen: bool,
    faulty: bool,
    side: &Side,
) -> Result<(), TestCaseError> {
    for Cut { at, when } in cuts {
        let end = cut(sim, &Command::Recover, at.of(calls), *when).await;
        if end.is_none() && seen {
            sim.orphan_lock();
        }
    }
    for _ in 0..TRIES {
        let open = matches!(standing(sim).await, JournalState::Unfinished(_));
        match carry_out(sim, &Command::Recover).await {
            Ok(CommandOutcome::Ok) if !open => return Ok(()),
            Ok(CommandOutcome::Run(Outcome::RollbackFailed)) | Err(CommandError::Engine(_))
                if faulty => {}
            Ok(CommandOutcome::Run(verdict)) if open && side.is_told_by(verdict) => {
                let still = matches!(standing(sim).await, JournalState::Unfinished(_));
                prop_assert!(faulty || !still, "recovered, and not at its end");
                if !still {
                    return Ok(());
                }
            }
            end => {
                let text = format!("a recovery ended with {end:?}, {side:?}, open: {open}");
                return Err(TestCaseError::fail(text));
            }
        }
    }
    Err(TestCaseError::fail("no recovery came to an end"))
}

/// Asserts that the next deploy converges. After a partial commit, leftovers may conflict with it;
/// it is then refused before any change.
async fn converges(
    case: &Case,
    interruption: Interruption,
    (ideal, side): (&Sim, &Side),
    sim: &Sim,
) -> Result<(), TestCaseError> {
    let end = carry_out(sim, &Command::Up(Box::new(case.wanted()))).await;
    let refused = matches!(end, Err(CommandError::Refused(_)));
    let well = matches!(
        end,
        Ok(CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged))
    );
    let may_refuse = interruption == Interruption::Rollback || matches!(side, Side::Part(_));
    prop_assert!(well || may_refuse && refused, "the next deploy: {:?}", end);
    if interruption == Interruption::Up && well {
        prop_assert_eq!(
            invariants::standing(ideal),
            invariants::standing(sim),
            "the next deploy"
        );
    }
    invariants::unlocked(sim).await?;
    invariants::order(sim).await
}

/// Runs a deploy with faults and without interruption. Its exit code must match its side, and a
/// recovery completes an unfinished one.
pub fn uncut(case: &Case, trouble: &Trouble) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let before = before(case).await?;
        let command = command(case, Interruption::Up);
        let Some(ideal) = ideal(case, &before, &command).await? else {
            return Ok(());
        };
        let place = (standing(&ideal).await.generation(), ideal.calls());
        if place.0 == standing(&before.sim).await.generation() {
            return Ok(());
        }
        let sim = troubled(&before, case, trouble, place);
        let end = carry_out(&sim, &command).await;
        let side = Side::of(&sim, place.0).await;
        invariants::told(&end, &side)?;
        recovered(&sim, (&[], 0), true, true, &side).await?;
        invariants::kept_with_faults(&before, &ideal, &side, &sim)?;
        invariants::order(&sim).await?;
        let sim = calm(&sim, case, trouble, place.0);
        converges(case, Interruption::Up, (&ideal, &side), &sim).await
    })
}

/// Interrupts a `down` repeatedly, and asserts that the last one completes.
pub fn removed(case: &Case, cuts: &Cuts, volumes: bool) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let before = before(case).await?;
        let down = Command::Down { volumes };
        let dry = before.sim.fork(pace(case, 1));
        let end = carry_out(&dry, &down).await;
        prop_assert!(
            matches!(end, Ok(CommandOutcome::Run(_))),
            "without trouble: {:?}",
            end
        );
        invariants::nothing_left(&before, &dry, volumes).await?;
        let sim = before.sim.fork(pace(case, 2));
        for Cut { at, when } in [&cuts.first].into_iter().chain(&cuts.then) {
            let end = cut(&sim, &down, at.of(dry.calls()), *when).await;
            if end.is_none() && cuts.seen {
                sim.orphan_lock();
            }
        }
        // Instead of another `down`, the project can be deployed again, with its data.
        let other = sim.fork(pace(case, 3));
        let end = carry_out(&sim, &down).await;
        prop_assert!(
            matches!(end, Ok(CommandOutcome::Run(_))),
            "at last: {:?}",
            end
        );
        invariants::nothing_left(&before, &sim, volumes).await?;
        let end = carry_out(&other, &Command::Recover).await;
        prop_assert!(
            matches!(end, Ok(CommandOutcome::Ok)),
            "recovered: {:?}",
            end
        );
        invariants::unlocked(&other).await?;
        let Some(last) = case.earlier().pop() else {
            return Ok(());
        };
        let end = carry_out(&other, &Command::Up(Box::new(last))).await;
        let well = matches!(
            end,
            Ok(CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged))
        );
        let refused = matches!(end, Err(CommandError::Refused(_)));
        prop_assert!(well || refused, "deployed again: {:?}", end);
        if !volumes {
            invariants::data_is_there(&before.data, &other)?;
        }
        prop_assert_eq!(other.breaches(), Vec::<String>::new());
        Ok(())
    })
}
