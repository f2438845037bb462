//! Random projects over three generations, and the faults in the deploy of the last.

use std::{collections::BTreeSet, time::Duration};

use cimandat::{
    engine::sim::{Behavior, ExternalAction, FaultTiming},
    name::ImageRef,
    project::{ImageSource, Project, RollbackScope, UpdateOrder},
};
use proptest::{prelude::*, sample::Index};

use crate::fixtures::{Wish, project};

/// Number of generations in a case. The command under test deploys the last one.
const GENERATIONS: usize = 3;

/// Projects that are deployed one after the other, and the one under test.
#[derive(Debug, Clone)]
pub struct Case {
    drafts: Vec<Draft>,
    /// Number of projects deployed before the one under test.
    before: usize,
    subtree: bool,
    /// Whether the last generation changes the network.
    network: bool,
    /// Whether the last generation has images that must be pulled.
    pulled: bool,
    pub seed: u64,
}

/// A service in all generations.
#[derive(Debug, Clone)]
struct Draft {
    needs: u8,
    restart: bool,
    job: Option<bool>,
    replicas: u32,
    volume: bool,
    snapshot: bool,
    stop_first: bool,
    turns: [Turn; GENERATIONS],
}

#[derive(Debug, Clone)]
struct Turn {
    there: bool,
    version: u32,
    /// First of consecutive ports, one per replica. Other services may request the same ports; the
    /// first service gets them.
    port: Option<u16>,
    /// `Some(true)`: a volume shared with other services. `Some(false)`: a volume that only one
    /// service has at a time.
    shares: Option<bool>,
}

fn turns() -> impl Strategy<Value = Turn> {
    let there = prop::bool::weighted(0.8);
    let port = prop::option::weighted(0.4, 8000u16..8003);
    let shares = prop::option::weighted(0.3, any::<bool>());
    (there, 0u32..2, port, shares).prop_map(|(there, version, port, shares)| Turn {
        there,
        version,
        port,
        shares,
    })
}

fn drafts() -> impl Strategy<Value = Draft> {
    let shape = (any::<u8>(), prop::bool::weighted(0.3), 1u32..3);
    let kind = prop::option::weighted(0.2, any::<bool>());
    let volume = (prop::bool::weighted(0.4), any::<bool>());
    let turns = [turns(), turns(), turns()];
    (shape, kind, volume, prop::bool::weighted(0.2), turns).prop_map(
        |(shape, job, volume, stop_first, turns)| Draft {
            needs: shape.0,
            restart: shape.1,
            replicas: shape.2,
            job,
            volume: volume.0,
            snapshot: volume.1,
            stop_first,
            turns,
        },
    )
}

pub fn cases() -> impl Strategy<Value = Case> {
    let kinds = (
        1..GENERATIONS,
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
    );
    let drafts = prop::collection::vec(drafts(), 1..6);
    (drafts, kinds, any::<u64>()).prop_map(|(drafts, kinds, seed)| Case {
        drafts,
        before: kinds.0,
        subtree: kinds.1,
        network: kinds.2,
        pulled: kinds.3,
        seed,
    })
}

/// The image that must be pulled.
pub fn pulled() -> ImageRef {
    ImageRef::new("app:2").unwrap()
}

/// Takes a port for each replica if all of them are free.
fn take(taken: &mut BTreeSet<u16>, first: u16, replicas: u32) -> bool {
    let wanted = first..first + u16::try_from(replicas).unwrap();
    let free = wanted.clone().all(|port| !taken.contains(&port));
    taken.extend(wanted.filter(|_| free));
    free
}

impl Case {
    /// The projects that were deployed before, oldest first.
    pub fn earlier(&self) -> Vec<Project> {
        let first = GENERATIONS - 1 - self.before;
        (first..GENERATIONS - 1)
            .map(|at| self.project(at))
            .collect()
    }

    /// The project under test.
    pub fn wanted(&self) -> Project {
        self.project(GENERATIONS - 1)
    }

    fn project(&self, generation: usize) -> Project {
        let mut taken = BTreeSet::new();
        let mut alone = true;
        let there = |at: usize| self.drafts[at].turns[generation].there;
        let mut wishes = Vec::new();
        for (at, draft) in self.drafts.iter().enumerate().filter(|(at, _)| there(*at)) {
            let turn = &draft.turns[generation];
            let needs = (0..at).filter(|need| draft.needs >> need & 1 == 1 && there(*need));
            let shared = match turn.shares {
                Some(true) => Some("common"),
                Some(false) if std::mem::take(&mut alone) => Some("lone"),
                _ => None,
            };
            let replicas = if shared == Some("lone") {
                1
            } else {
                draft.replicas
            };
            let port = turn.port.filter(|_| draft.job.is_none());
            let port = port.filter(|first| take(&mut taken, *first, replicas));
            wishes.push(Wish {
                name: format!("s{at}"),
                needs: needs
                    .map(|need| (format!("s{need}"), draft.restart))
                    .collect(),
                replicas,
                port,
                volume: draft.volume,
                snapshot: draft.snapshot,
                shared,
                job: draft.job.is_some(),
                irreversible: draft.job == Some(true),
                version: turn.version,
            });
        }
        let mut project = project(&wishes);
        let last = generation == GENERATIONS - 1;
        if last && self.subtree {
            project.deploy.rollback = RollbackScope::Subtree;
        }
        project.deploy.stabilize = Some(Duration::from_millis(200));
        for (at, draft) in self.drafts.iter().enumerate() {
            let Some(service) = project.services.get_mut(format!("s{at}").as_str()) else {
                continue;
            };
            if draft.stop_first {
                service.update.order = UpdateOrder::StopFirst;
            }
            if last && self.pulled && at % 2 == 0 {
                service.image = ImageSource::Reference(pulled());
            }
        }
        if last && self.network {
            let networks = project.networks.values_mut();
            for network in networks {
                network.labels.insert("tier".to_owned(), "back".to_owned());
            }
        }
        project
    }
}

/// Faults during the command under test.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// A service that never becomes ready or exits.
    pub gate: Option<Gate>,
    /// Positions among the calls at which the engine fails.
    pub faults: Vec<(Part, FaultTiming)>,
}

#[derive(Debug, Clone)]
pub struct Gate {
    pub which: Index,
    pub ends: bool,
}

impl Gate {
    pub fn script(&self) -> Behavior {
        if self.ends {
            Behavior::exits(Duration::from_millis(5), 1)
        } else {
            Behavior::never_ready()
        }
    }
}

/// A relative position among calls, resolved once their number is known.
#[derive(Debug, Clone, Copy)]
pub struct Part(u32);

impl Part {
    pub fn of(self, calls: u64) -> u64 {
        (u64::from(self.0) * calls.max(1)) >> 32
    }
}

fn parts() -> impl Strategy<Value = Part> {
    any::<u32>().prop_map(Part)
}

pub fn gates() -> impl Strategy<Value = Gate> {
    (any::<Index>(), any::<bool>()).prop_map(|(which, ends)| Gate { which, ends })
}

pub fn troubles() -> impl Strategy<Value = Trouble> {
    let when = prop::sample::select(vec![
        FaultTiming::Before,
        FaultTiming::Midway,
        FaultTiming::After,
    ]);
    let faults = prop::collection::vec((parts(), when), 1);
    (prop::option::of(gates()), faults).prop_map(|(gate, faults)| Trouble { gate, faults })
}

/// Points at which a command and the recoveries after it are interrupted.
#[derive(Debug, Clone)]
pub struct Cuts {
    pub first: Cut,
    /// Interruptions of the recoveries, in order.
    pub then: Vec<Cut>,
    /// Whether the end of the process is detected at once, or only by the missing heartbeat.
    pub seen: bool,
}

/// An interruption before or after the effect of a call.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub at: Part,
    pub when: FaultTiming,
}

fn cut() -> impl Strategy<Value = Cut> {
    let when = prop::sample::select(vec![FaultTiming::Before, FaultTiming::After]);
    (parts(), when).prop_map(|(at, when)| Cut { at, when })
}

pub fn cuts() -> impl Strategy<Value = Cuts> {
    let then = prop::collection::vec(cut(), 0..4);
    (cut(), then, prop::bool::weighted(0.8)).prop_map(|(first, then, seen)| Cuts {
        first,
        then,
        seen,
    })
}

/// Optional failures of the engine between the interruption and the recovery.
pub fn blows() -> impl Strategy<Value = Option<ExternalAction>> {
    let manual_changes = vec![
        ExternalAction::KillEngine,
        ExternalAction::RestartEngine,
        ExternalAction::CutPower,
    ];
    prop::option::weighted(0.25, prop::sample::select(manual_changes))
}
