//! Plays a case: commands in a simulated world, cut off at one of their calls, and what follows.

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

/// Longer than any lock can stay after its holder.
const PATIENCE: Duration = Duration::from_mins(2);
/// What takes longer than this, in the time of the world, has come to a standstill.
const STANDSTILL: Duration = Duration::from_hours(1);
/// Nobody is told of a command by itself: its end is looked at.
const SILENT: Console = Console {
    progress: OutputMode::Quiet,
    stage: ExecutionMode::Silent,
    colour: false,
    colour_out: false,
    terminal_out: false,
    width: 80,
    height: 24,
};
/// How often a recovery may be stuck while faults are left.
const TRIES: usize = 4;

/// How a command ended.
pub type End = Result<CommandOutcome, CommandError>;

/// The command that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Up,
    Rollback,
}

enum Command {
    Up(Box<Project>),
    Rollback,
    Recover,
    Down { volumes: bool },
}

/// Carries a command out as the program does, but for the terminal and the manifest.
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
    let lock_wait = PATIENCE;
    let work = async {
        match command {
            Command::Up(wanted) => {
                let up = Up {
                    options: Options::default(),
                    wait_timeout: None,
                    lock_wait,
                    attach: false,
                    keep_failed: false,
                    rotate: BTreeSet::new(),
                };
                up.on((&engine, (**wanted).clone()), who, never()).await
            }
            Command::Rollback => {
                let rollback = Rollback {
                    generation: None,
                    lock_wait,
                };
                rollback.on(place, who, never()).await
            }
            Command::Recover => {
                let recover = Recover {
                    plan: false,
                    forget: false,
                    lock_wait,
                };
                recover.on(place, who, never()).await
            }
            Command::Down { volumes } => {
                let removal = DownOptions {
                    volumes: *volumes,
                    ..DownOptions::default()
                };
                Down { removal, lock_wait }.on(place, who, never()).await
            }
        }
    };
    let end = tokio::time::timeout(STANDSTILL, Box::pin(work)).await;
    end.expect("the command has come to a standstill")
}

/// Carries a command out and cuts it off at a call, counted from now; `None`: it was cut off.
async fn cut(sim: &Sim, command: &Command, at: u64, when: FaultTiming) -> Option<End> {
    let told = sim.crash_at(sim.calls() + at, when);
    let end = match select(pin!(carry_out(sim, command)), told).await {
        Either::Left((end, _)) => Some(end),
        Either::Right(_) => None,
    };
    // One that was not met is not to be met later.
    drop(sim.crash_at(u64::MAX, FaultTiming::Before));
    end
}

pub async fn standing(sim: &Sim) -> JournalState {
    let pages = sim.read_pages(&project_name(), Collection::Journal).await;
    replay(&pages.unwrap()).expect("a journal that can be believed")
}

/// What was there before the command that matters.
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

/// A world in which the command that matters did what it was to; `None`: it is refused there.
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

/// The world before, with what goes wrong from then on.
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

/// The service that does not pass its gate.
fn failing(case: &Case, trouble: &Trouble) -> Option<(Service, Gate)> {
    let services: Vec<Service> = case.wanted().services.into_values().collect();
    let gate = trouble.gate.clone().filter(|_| !services.is_empty())?;
    Some((gate.which.get(&services).clone(), gate))
}

/// The same world, in which nothing goes wrong any more: neither with calls, nor with another
/// generation that gets this number.
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

fn command(case: &Case, deed: Deed) -> Command {
    match deed {
        Deed::Up => Command::Up(Box::new(case.wanted())),
        Deed::Rollback => Command::Rollback,
    }
}

/// A command that is cut off, and recoveries that are cut off, too, but for the last.
pub fn cut_off(
    case: &Case,
    deed: Deed,
    trouble: &Trouble,
    cuts: &Cuts,
    blow: Option<&ExternalAction>,
) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let before = before(case).await?;
        let command = command(case, deed);
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
            // How it ends is another property's.
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
        // The same world, recovered without being cut off, with other orders of completion.
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
            return converges(case, deed, (&ideal, &side), &sim).await;
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
        converges(case, deed, (&ideal, &side), &sim).await
    })
}

/// Recovers, which takes so many calls, and cuts that off, but for the last time.
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

/// The next deploy does what it always does. What stayed after the commit of a part may be in its
/// way, which it then says before it touches anything.
async fn converges(
    case: &Case,
    deed: Deed,
    (ideal, side): (&Sim, &Side),
    sim: &Sim,
) -> Result<(), TestCaseError> {
    let end = carry_out(sim, &Command::Up(Box::new(case.wanted()))).await;
    let refused = matches!(end, Err(CommandError::Refused(_)));
    let well = matches!(
        end,
        Ok(CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged))
    );
    let may_refuse = deed == Deed::Rollback || matches!(side, Side::Part(_));
    prop_assert!(well || may_refuse && refused, "the next deploy: {:?}", end);
    if deed == Deed::Up && well {
        prop_assert_eq!(
            invariants::standing(ideal),
            invariants::standing(sim),
            "the next deploy"
        );
    }
    invariants::unlocked(sim).await?;
    invariants::order(sim).await
}

/// A deploy with trouble that nobody cuts off: it says where it led to, and if it says that it
/// did not get there, a recovery does.
pub fn uncut(case: &Case, trouble: &Trouble) -> Result<(), TestCaseError> {
    in_virtual_time(async {
        let before = before(case).await?;
        let command = command(case, Deed::Up);
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
        converges(case, Deed::Up, (&ideal, &side), &sim).await
    })
}

/// A removal that is cut off, again and again, and comes to its end.
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
        // Whoever wants the project back instead gets it, with its data.
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
