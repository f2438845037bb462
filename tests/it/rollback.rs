//! Properties of the transaction, over random projects, faults, interrupts and orders of
//! completion.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cimandat::{
    engine::{
        EngineError,
        sim::{Behavior, Fault, FaultTiming, FaultTrigger, Snapshot},
    },
    event::{Event, EventEnvelope, Outcome},
    name::ServiceName,
    plan::{StepId, Subject},
    project::{Kind, Project, RestartPolicy, RollbackScope, Service},
};
use proptest::{prelude::*, sample::Index};

use crate::fixtures::{
    Told, Wish, in_virtual_time, interrupts, profile, project, service_name, up, world,
};

/// A deploy over an older one.
#[derive(Debug, Clone)]
struct Case {
    old: Vec<Wish>,
    new: Vec<Wish>,
    seed: u64,
}

/// Faults of one deploy.
#[derive(Debug, Clone, Default)]
struct Trouble {
    /// Service of the new project that never becomes ready or, if `true`, exits.
    gate: Option<(Index, bool)>,
    /// Calls at which the engine fails.
    faults: Vec<(u64, FaultTiming)>,
    /// Time of the user's interrupt, in milliseconds.
    interrupt: Option<u64>,
    /// Whether the rollback is limited to the failed subtree.
    subtree: bool,
    /// Service whose new container is killed, after this many milliseconds. If `true`, the event
    /// subscriptions break off just before.
    death: Option<(Index, u64, bool)>,
}

#[derive(Debug, Clone)]
struct Draft {
    needs: u8,
    restart: bool,
    port: bool,
    volume: bool,
    snapshot: bool,
    job: bool,
    replicas: u32,
    was: bool,
    is: bool,
    changed: bool,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let volume = (any::<bool>(), any::<bool>());
    let shape = (any::<u8>(), any::<bool>(), any::<bool>(), volume);
    let rest = (
        prop::bool::weighted(0.2),
        1u32..3,
        prop::bool::weighted(0.8),
    );
    let turn = (prop::bool::weighted(0.9), any::<bool>());
    (shape, rest, turn).prop_map(|(shape, rest, turn)| Draft {
        needs: shape.0,
        restart: shape.1,
        port: shape.2,
        volume: shape.3.0,
        snapshot: shape.3.1,
        job: rest.0,
        replicas: rest.1,
        was: rest.2,
        is: turn.0,
        changed: turn.1,
    })
}

fn wishes(drafts: &[Draft], there: impl Fn(&Draft) -> bool, new: bool) -> Vec<Wish> {
    let name = |index: usize| format!("s{index}");
    let chosen: BTreeSet<usize> = (0..drafts.len()).filter(|at| there(&drafts[*at])).collect();
    let wish = |at: usize| {
        let draft = &drafts[at];
        let needs = chosen
            .iter()
            .filter(|need| **need < at && draft.needs >> **need & 1 == 1);
        Wish {
            name: name(at),
            needs: needs.map(|need| (name(*need), draft.restart)).collect(),
            port: draft.port.then(|| 8000 + 10 * u16::try_from(at).unwrap()),
            volume: draft.volume,
            snapshot: draft.snapshot,
            shared: None,
            job: draft.job,
            irreversible: false,
            replicas: draft.replicas,
            version: u32::from(new && draft.changed),
        }
    };
    chosen.iter().map(|at| wish(*at)).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    (prop::collection::vec(drafts(), 1..7), any::<u64>()).prop_map(|(drafts, seed)| Case {
        old: wishes(&drafts, |draft| draft.was, false),
        new: wishes(&drafts, |draft| draft.is, true),
        seed,
    })
}

fn gates() -> impl Strategy<Value = Option<(Index, bool)>> {
    prop::option::of((any::<Index>(), any::<bool>()))
}

fn faults(most: usize) -> impl Strategy<Value = Vec<(u64, FaultTiming)>> {
    let when = prop::sample::select(vec![
        FaultTiming::Before,
        FaultTiming::Midway,
        FaultTiming::After,
    ]);
    prop::collection::vec((0u64..40, when), 0..=most)
}

type Data = BTreeMap<String, BTreeSet<String>>;

struct Story {
    before: Snapshot,
    told: Told,
    breaches: Vec<String>,
    /// Content of the volumes before and after the deploy.
    data: (Data, Data),
    wanted: Project,
    was: Project,
}

fn lost_answer() -> EngineError {
    EngineError::Transport {
        verb: "asking".to_owned(),
        object: "engine".to_owned(),
        cause: "the connection broke".to_owned(),
    }
}

fn wanted(case: &Case, trouble: &Trouble) -> Project {
    let mut wanted = project(&case.new);
    if trouble.subtree {
        wanted.deploy.rollback = RollbackScope::Subtree;
    }
    wanted
}

fn carry_out(case: &Case, trouble: &Trouble) -> Story {
    in_virtual_time(async {
        let sim = world(case.seed);
        let was = project(&case.old);
        let first = up(&sim, &was, interrupts(Vec::new())).await;
        assert!(matches!(
            first.outcome.outcome,
            Outcome::Converged | Outcome::Unchanged
        ));
        let wanted = wanted(case, trouble);
        if let (Some((which, ends)), false) = (&trouble.gate, case.new.is_empty()) {
            let wish = which.get(&case.new);
            let script = if *ends || wish.job {
                Behavior::exits(Duration::from_millis(30), 3)
            } else {
                Behavior::never_ready()
            };
            sim.script(&service_name(&wish.name), Some(2), script);
        }
        let begun = sim.calls();
        for (call, when) in &trouble.faults {
            sim.fail(Fault {
                at: FaultTrigger::Call(begun + call),
                when: *when,
                error: lost_answer(),
            });
        }
        if let (Some((which, after, unheard)), false) = (&trouble.death, case.new.is_empty()) {
            let (sim, name) = (sim.clone(), service_name(&which.get(&case.new).name));
            let after = Duration::from_millis(*after);
            let unheard = *unheard;
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let snapshot = sim.snapshot();
                let mut containers = snapshot.containers.iter();
                let victim = containers.find(|(_, it)| it.service == name && it.generation == 2);
                if unheard {
                    sim.break_off();
                }
                if let Some((victim, _)) = victim {
                    sim.kill(victim, 9);
                }
            });
        }
        let (before, data) = (sim.snapshot(), sim.data());
        let interruption = trouble
            .interrupt
            .map(Duration::from_millis)
            .into_iter()
            .collect();
        let told = up(&sim, &wanted, interrupts(interruption)).await;
        Story {
            before,
            told,
            breaches: sim.breaches(),
            data: (data, sim.data()),
            wanted,
            was,
        }
    })
}

fn went_back(events: &[EventEnvelope]) -> Option<usize> {
    events
        .iter()
        .position(|it| matches!(it.event, Event::RollbackStarted { .. }))
}

/// Asserts that the world is as before, except for volumes created since, which are kept.
fn same_world(before: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    prop_assert!(
        before.volumes.is_subset(&after.volumes),
        "a volume was removed"
    );
    let kept = Snapshot {
        volumes: before.volumes.clone(),
        ..after.clone()
    };
    prop_assert_eq!(before, &kept);
    Ok(())
}

/// Asserts that volumes copied before a switch have their earlier content.
fn same_data(story: &Story) -> Result<(), TestCaseError> {
    let (before, after) = &story.data;
    for volume in story
        .wanted
        .volumes
        .values()
        .filter(|volume| volume.snapshot)
    {
        let name = &volume.engine_name;
        if let Some(held) = before.get(name) {
            prop_assert_eq!(Some(held), after.get(name), "{}", name);
        }
    }
    Ok(())
}

/// Asserts one snapshot for each copied volume whose service was replaced, and no other snapshot.
fn one_snapshot_each(story: &Story) -> Result<(), TestCaseError> {
    let copied = |service: &Service| {
        let volume = story.wanted.volumes.get(service.name.as_str());
        let made = story.told.after.containers.values();
        let replaced = made.filter(|it| it.service == service.name && it.generation == 2);
        let was = story
            .was
            .services
            .get(&service.name)
            .is_some_and(|it| !it.container.mounts.is_empty());
        volume.is_some_and(|it| it.snapshot) && was && replaced.count() > 0
    };
    let services = story.wanted.services.values();
    let expected = services.filter(|service| copied(service)).count();
    prop_assert_eq!(
        story.told.after.snapshots.len(),
        expected,
        "{:?}",
        story.told.after.snapshots
    );
    Ok(())
}

/// Asserts that the world is as desired and, if all clean-up was done, contains nothing else.
fn as_asked(story: &Story, clean: bool) -> Result<(), TestCaseError> {
    let after = &story.told.after;
    let mut wanted = 0;
    for service in story.wanted.services.values() {
        let job = matches!(service.kind, Kind::Job { .. });
        let mine = after
            .containers
            .values()
            .filter(|it| it.service == service.name);
        let standing = mine.filter(|it| it.up != job).count();
        prop_assert!(
            standing >= service.replicas as usize,
            "{} is not there",
            service.name
        );
        wanted += service.replicas as usize;
    }
    prop_assert!(
        story.before.volumes.is_subset(&after.volumes),
        "a volume was removed"
    );
    if clean {
        let current = after.current();
        prop_assert_eq!(current.len(), wanted, "{:?}", after.containers.keys());
        let later = current.keys().find(|name| name.as_str().contains(".g"));
        prop_assert!(later.is_none(), "{:?} has no final name", later);
        for it in after.containers.values().filter(|it| it.up) {
            prop_assert_eq!(it.policy, RestartPolicy::UnlessStopped);
        }
    }
    Ok(())
}

/// I1: no service starts before its dependencies have passed their gates.
fn in_order(story: &Story) -> Result<(), TestCaseError> {
    let events = &story.told.events;
    let end = went_back(events).unwrap_or(events.len());
    for (at, stamped) in events[..end].iter().enumerate() {
        let Event::StepStarted {
            subject: Subject::Service { name, .. },
            verb,
            ..
        } = &stamped.event
        else {
            continue;
        };
        if verb != "starting container" {
            continue;
        }
        for need in story.wanted.services[name].depends_on.keys() {
            let is = |subject: &Subject| matches!(subject, Subject::Service { name, .. } if name == need);
            let opens = events[..end].iter().skip(at).any(
                |it| matches!(&it.event, Event::ReadinessStarted { subject, .. } if is(subject)),
            );
            prop_assert!(!opens, "{name} was started before {need} was asked");
            let opened = events[..at].iter().filter(
                |it| matches!(&it.event, Event::ReadinessStarted { subject, .. } if is(subject)),
            );
            let passed = events[..at]
                .iter()
                .filter(|it| matches!(&it.event, Event::Ready { subject, .. } if is(subject)));
            prop_assert_eq!(opened.count(), passed.count(), "{} before {}", name, need);
        }
    }
    Ok(())
}

/// Start and end positions of the rollback steps with this verb on a service.
fn turns<'a>(
    back: &'a [EventEnvelope],
    verb: &'a str,
    service: &'a ServiceName,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let ended = |step: &StepId| {
        back.iter().position(|it| match &it.event {
            Event::StepFinished { step: its, .. } | Event::StepFailed { step: its, .. } => {
                its == step
            }
            _ => false,
        })
    };
    back.iter()
        .enumerate()
        .filter_map(move |(at, it)| match &it.event {
            Event::StepStarted {
                step,
                subject: Subject::Service { name, .. },
                verb: its,
                ..
            } if its == verb && name == service => Some((at, ended(step).unwrap_or(usize::MAX))),
            _ => None,
        })
}

/// Asserts the order of each rollback. There are several where one part is rolled back first and
/// the rest later.
fn in_order_back(story: &Story) -> Result<(), TestCaseError> {
    let is_turn = |it: &EventEnvelope| matches!(it.event, Event::RollbackStarted { .. });
    let mut ways = story.told.events.split(is_turn).skip(1);
    ways.try_for_each(|back| in_order_of(story, back))
}

/// I2: a dependent is stopped before its dependency, and started again after the dependency is
/// ready.
fn in_order_of(story: &Story, back: &[EventEnvelope]) -> Result<(), TestCaseError> {
    for service in story.wanted.services.values() {
        for need in service.depends_on.keys() {
            for (stopped, _) in turns(back, "stopping container", need) {
                let late = turns(back, "stopping container", &service.name)
                    .any(|(_, ended)| ended > stopped);
                prop_assert!(!late, "{need} was stopped before {}", service.name);
            }
        }
    }
    for service in story.was.services.values() {
        for need in service.depends_on.keys() {
            let asked = back.iter().rposition(|it| match &it.event {
                Event::Ready {
                    subject: Subject::Service { name, .. },
                    ..
                }
                | Event::ReadinessFailed {
                    subject: Subject::Service { name, .. },
                    ..
                } => name == need,
                _ => false,
            });
            for (started, _) in turns(back, "starting container", &service.name) {
                let early = asked.is_some_and(|asked| asked > started);
                prop_assert!(!early, "{} was started before {need}", service.name);
            }
        }
    }
    Ok(())
}

/// Asserts that the committed part is as desired and the rest as before. No new container runs with
/// an old one that was to be replaced (I2).
fn in_part(story: &Story, clean: bool) -> Result<(), TestCaseError> {
    let outcome = &story.told.outcome;
    prop_assert!(outcome.cause.is_some() && outcome.unfinished.is_empty());
    let split = outcome.split.as_ref().unwrap();
    prop_assert!(split.committed.is_disjoint(&split.rolled_back));
    let (before, after) = (&story.before.containers, &story.told.after.containers);
    let started = |name: &ServiceName| {
        story.told.events.iter().any(|it| {
            matches!(&it.event, Event::StepStarted { subject: Subject::Service { name: its, .. }, verb, .. }
                if its == name && verb == "starting container")
        })
    };
    for name in &split.committed {
        let service = &story.wanted.services[name];
        for need in service
            .depends_on
            .keys()
            .filter(|need| split.rolled_back.contains(*need))
        {
            // The dependency may have failed before any step changed it.
            prop_assert!(!started(need), "{name} is new, and {need} went back");
        }
        let up = after
            .values()
            .filter(|it| it.service == *name && it.up)
            .count();
        let job = matches!(service.kind, Kind::Job { .. });
        prop_assert_eq!(
            up,
            if job { 0 } else { service.replicas as usize },
            "{}",
            name
        );
    }
    for (container, it) in before
        .iter()
        .filter(|(_, it)| !split.committed.contains(&it.service))
    {
        prop_assert_eq!(Some(it), after.get(container), "{}", container);
    }
    if clean {
        for (container, it) in story.told.after.current() {
            let known = before.contains_key(container) || split.committed.contains(&it.service);
            prop_assert!(known, "{container} was left");
            prop_assert!(
                !container.as_str().contains(".g"),
                "{container} has no final name"
            );
        }
    }
    Ok(())
}

fn check(story: &Story, clean: bool, undo_may_fail: bool) -> Result<(), TestCaseError> {
    let outcome = &story.told.outcome;
    prop_assert!(story.breaches.is_empty(), "{:?}", story.breaches);
    in_order(story)?;
    in_order_back(story)?;
    match outcome.outcome {
        Outcome::Converged | Outcome::Unchanged => {
            prop_assert!(outcome.cause.is_none());
            one_snapshot_each(story)?;
            as_asked(story, clean)
        }
        Outcome::RolledBack if outcome.split.is_some() => in_part(story, clean),
        Outcome::Aborted | Outcome::RolledBack | Outcome::Cancelled => {
            prop_assert!(outcome.cause.is_some() && outcome.unfinished.is_empty());
            same_data(story)?;
            same_world(&story.before, &story.told.after)
        }
        Outcome::RollbackInterrupted | Outcome::RemovalIncomplete => {
            prop_assert!(false, "{:?}", outcome.outcome);
            Ok(())
        }
        Outcome::RollbackFailed => {
            prop_assert!(
                undo_may_fail,
                "stuck without reason: {:?}",
                outcome.unfinished
            );
            prop_assert!(!outcome.unfinished.is_empty());
            let events = &story.told.events;
            let back = went_back(events).unwrap_or(events.len());
            let failed = events[back..].iter().any(|it| {
                matches!(
                    it.event,
                    Event::StepFailed { .. } | Event::ReadinessFailed { .. }
                )
            });
            prop_assert!(failed, "no undo failed");
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(profile())]

    #[test]
    fn failed_run_restores_previous_state(
        case in cases(),
        gate in gates(),
        faults in faults(1),
    ) {
        // The one fault may hit a step of the rollback that the gate failure caused.
        let (clean, twice) = (faults.is_empty(), gate.is_some() && !faults.is_empty());
        let story = carry_out(&case, &Trouble { gate, faults, ..Trouble::default() });
        check(&story, clean, twice)?;
    }

    #[test]
    fn interrupted_run_restores_previous_state(
        case in cases(),
        gate in gates(),
        interrupt in 0u64..600,
    ) {
        let trouble = Trouble { gate, interrupt: Some(interrupt), ..Trouble::default() };
        check(&carry_out(&case, &trouble), true, false)?;
    }

    #[test]
    fn early_container_exit_fails_run(
        case in cases(),
        which in any::<Index>(),
        after in 0u64..500,
        unheard in any::<bool>(),
    ) {
        let trouble = Trouble { death: Some((which, after, unheard)), ..Trouble::default() };
        let story = carry_out(&case, &trouble);
        // After the commit nothing is rolled back, and a warning is reported instead.
        let said = story.told.events.iter().any(|it| matches!(it.event, Event::Warning { .. }));
        if !said {
            check(&story, true, false)?;
        }
    }

    #[test]
    fn failed_rollback_is_reported(
        case in cases(),
        gate in gates(),
        faults in faults(6),
        interrupt in prop::option::of(0u64..600),
    ) {
        let clean = faults.is_empty();
        let trouble = Trouble { gate, faults, interrupt, ..Trouble::default() };
        check(&carry_out(&case, &trouble), clean, true)?;
    }

    #[test]
    fn failed_subtree_rolls_back_alone(
        case in cases(),
        gate in gates(),
        faults in faults(1),
        death in prop::option::of((any::<Index>(), 0u64..500, any::<bool>())),
    ) {
        let (clean, twice) = (faults.is_empty(), !faults.is_empty());
        let (gate, death) = if gate.is_some() { (gate, None) } else { (None, death) };
        let deadly = death.is_some();
        let trouble = Trouble { gate, faults, death, subtree: true, ..Trouble::default() };
        let story = carry_out(&case, &trouble);
        // After the commit nothing is rolled back, and a warning is reported instead.
        let said = story.told.events.iter().any(|it| matches!(it.event, Event::Warning { .. }));
        if !(said && deadly) {
            check(&story, clean, twice || deadly)?;
        }
    }

    #[test]
    fn subtree_rollback_can_be_interrupted(
        case in cases(),
        gate in gates(),
        interrupt in 0u64..600,
    ) {
        let interrupt = Some(interrupt);
        let trouble = Trouble { gate, interrupt, subtree: true, ..Trouble::default() };
        check(&carry_out(&case, &trouble), true, false)?;
    }
}
