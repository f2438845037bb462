//! One simulation: `up` on a simulated engine, with a clock that advances only while every task
//! waits.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    future::{self, Either, select},
    stream,
};
use tokio::{sync::oneshot, time::sleep};

use super::{
    fault::{At, Kind},
    inject::{InjectedFault, Wanted},
    setup::SimulationSetup,
};
use crate::{
    command::{
        CommandError, CommandOutcome, Console,
        deployment::{self, Deployment},
        event_bridge::EventBridge,
        recover,
        session::{LockRequest, Session},
    },
    engine::{
        Engine, Query, StateStore,
        sim::{FaultTiming, RecordedCall, Sim, Snapshot},
    },
    journal::{Collection, JournalState, replay},
    plan::{self, DeploymentPlan, Plan},
    state::State,
};

/// Time after which a killed engine is available again.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// Result of a simulation.
pub(super) struct SimulationResult {
    pub end: Result<CommandOutcome, CommandError>,
    pub after: Snapshot,
    pub state: State,
    /// Calls that changed something, without those of a recovery.
    pub recorded_calls: Vec<RecordedCall>,
    /// Call in which `cimandat` was killed, counted from 1.
    pub killed: Option<u64>,
    /// For each fault, whether it occurred.
    pub triggered: Vec<bool>,
    /// The journal has an unfinished deploy, or is corrupt.
    pub open: bool,
    /// Violated invariants.
    pub violations: Vec<String>,
}

/// Where `cimandat` is killed: a call, counted from 1, and whether before or after its effect.
pub(super) type KillPoint = (u64, FaultTiming);

/// Runs a simulation.
///
/// # Errors
/// Returns an error if the runtime cannot be started, or if the simulated engine cannot be observed
/// at the end.
pub(super) fn perform(
    scene: &SimulationSetup,
    console: Console,
    death: Option<KillPoint>,
) -> Result<SimulationResult, CommandError> {
    in_its_own_time(play(scene, console, death))
}

/// Returns the state after the recovery of an interrupted deploy, if there is one. A later deploy
/// rolls back to this state.
///
/// # Errors
/// Same as [`perform`]; also returns an error if the recovery fails.
pub(super) fn origin(scene: &SimulationSetup, console: Console) -> Result<Snapshot, CommandError> {
    in_its_own_time(async {
        let sim = scene.world();
        if matches!(scene.standing, JournalState::Unfinished(_)) {
            scene.recover(&Arc::new(sim.clone()), console).await?;
        }
        Ok(sim.snapshot())
    })
}

/// Plans the images and the rest of `up` after the recovery of an interrupted deploy.
///
/// # Errors
/// Same as [`perform`]; also returns an error if the recovery fails.
pub(super) fn planned_after_recovery(
    scene: &SimulationSetup,
    console: Console,
) -> Result<(Plan, DeploymentPlan), CommandError> {
    in_its_own_time(async {
        let sim = Arc::new(scene.world());
        scene.recover(&sim, console).await?;
        let generation = scene.standing.generation();
        let (_, images, deploy) = Box::pin(scene.planned(&sim, generation)).await?;
        Ok((images, deploy))
    })
}

fn in_its_own_time<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(CommandError::Runtime)?;
    runtime.block_on(work)
}

async fn play(
    scene: &SimulationSetup,
    console: Console,
    death: Option<KillPoint>,
) -> Result<SimulationResult, CommandError> {
    let sim = scene.world();
    let engine = Arc::new(sim.clone());
    let cues = OnceCell::new();
    let death = death.or_else(|| scene.death());
    let told = death.map(|(call, when)| sim.crash_at(call - 1, when));
    let up = Box::pin(scene.up(&engine, console, &cues));
    let (end, killed) = match told {
        None => (Some(up.await), None),
        Some(told) => match select(up, told).await {
            Either::Left((end, _)) => (Some(end), None),
            Either::Right(_) => (None, death.map(|(call, _)| call)),
        },
    };
    let recorded_calls = sim.recorded_calls();
    let faults = scene.faults.iter().enumerate();
    let end = if let Some(end) = end {
        end
    } else {
        sim.orphan_lock();
        tell_of_death(console, killed, &recorded_calls);
        scene.recover(&engine, console).await
    };
    let met = faults.map(|(place, fault)| match (fault.kind, cues.get()) {
        (Kind::Crash, _) => killed.is_some(),
        (_, Some(cues)) => cues
            .get(place)
            .is_some_and(|cue: &InjectedFault| cue.was_triggered(&sim)),
        (_, None) => false,
    });
    let met = met.collect();
    sleep(SETTLE_TIME).await;
    let name = &scene.project.name;
    let pages = engine.read_pages(name, Collection::Journal).await?;
    Ok(SimulationResult {
        end,
        after: sim.snapshot(),
        state: engine.observe(&Query::of(name.clone())).await?,
        recorded_calls,
        killed,
        triggered: met,
        open: matches!(replay(&pages), Ok(JournalState::Unfinished(_)) | Err(_)),
        violations: sim.breaches(),
    })
}

impl SimulationSetup {
    /// Where `cimandat` is killed: after the effect of the call, and before its response.
    fn death(&self) -> Option<KillPoint> {
        self.faults.iter().find_map(|fault| match fault.at {
            At::Call(call) if fault.kind == Kind::Crash => Some((call, FaultTiming::After)),
            _ => None,
        })
    }

    /// Returns the requested interrupts.
    fn interrupts(&self, sim: &Sim) -> impl Stream<Item = ()> + Unpin + use<> {
        let calls = self.faults.iter().filter_map(|fault| match fault.at {
            At::Call(call) if fault.kind == Kind::Interrupt => Some(call - 1),
            _ => None,
        });
        let told: Vec<oneshot::Receiver<()>> = calls
            .map(|call| sim.notify_at(call, FaultTiming::Before))
            .collect();
        let told = told.into_iter().map(stream::once);
        stream::select_all(told.map(Box::pin))
            .filter_map(|told| future::ready(told.ok()))
            .chain(stream::pending())
    }

    fn terms(&self, verb: &'static str, console: Console) -> LockRequest<'_> {
        LockRequest {
            scope: &self.scope,
            project: &self.project.name,
            verb,
            patience: Duration::ZERO,
            writes: verb == "up",
            all_goes: false,
            console,
        }
    }

    /// Runs `up`.
    async fn up(
        &self,
        engine: &Arc<Sim>,
        console: Console,
        cues: &OnceCell<Vec<InjectedFault>>,
    ) -> Result<CommandOutcome, CommandError> {
        let mut interrupts = self.interrupts(engine);
        let deployment = Deployment {
            engine: Arc::clone(engine),
            project: self.project.clone(),
            options: self.options.clone(),
            verb: "up",
            keep_failed: self.keep_failed,
        };
        // An interrupted deploy is ended first, because the plan depends on its outcome.
        let cut_off = matches!(self.standing, JournalState::Unfinished(_));
        if !cut_off {
            self.inject_faults(engine, self.standing.generation(), cues)
                .await?;
        }
        if let Some(done) = Box::pin(deployment.noop(console, &mut interrupts)).await? {
            return Ok(done);
        }
        let mut session = Session::begin(engine, self.terms("up", console)).await?;
        let work = async {
            if let Some(done) = session.recover_first(console, &mut interrupts).await? {
                return Ok(done);
            }
            if cut_off {
                self.inject_faults(engine, session.last_deploy(), cues)
                    .await?;
            }
            let mut relay = EventBridge::new(console);
            let author = future::ready(self.author.clone());
            let work = deployment.apply(&mut session, author, &mut relay, interrupts);
            work.await
        };
        let done = Box::pin(work).await;
        session.end(done).await
    }

    /// Plans the deploy and injects all faults.
    async fn inject_faults(
        &self,
        sim: &Arc<Sim>,
        last_deploy: u64,
        cues: &OnceCell<Vec<InjectedFault>>,
    ) -> Result<(), CommandError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let (state, images, deploy) = self.planned(sim, last_deploy).await?;
        let wanted = Wanted {
            project: &self.project,
            options: &self.options,
            state: &state,
            images: &images,
            deploy: &deploy,
        };
        let faults = self.faults.iter();
        let instructed = faults.map(|fault| fault.inject(sim, &wanted)).collect();
        // The cell is empty, because faults are injected only once.
        let _ = cues.set(instructed);
        Ok(())
    }

    /// Plans `up` from the current state of the simulation.
    async fn planned(
        &self,
        sim: &Arc<Sim>,
        last_deploy: u64,
    ) -> Result<(State, Plan, DeploymentPlan), CommandError> {
        let (project, options) = (&self.project, &self.options);
        let mut state = deployment::observe(sim.as_ref(), project, options).await?;
        state.last_deploy = last_deploy;
        state.locked = false;
        let services = deployment::selected(project, options);
        let images = plan::images(project, &state, options, &services);
        let images = images.map_err(CommandError::Refused)?;
        let deploy =
            deployment::plan_with_databases(sim.as_ref(), project, options, &mut state).await?;
        Ok((state, images, deploy))
    }

    /// Runs the recovery that the next command would run.
    async fn recover(
        &self,
        engine: &Arc<Sim>,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let mut session = Session::begin(engine, self.terms("recover", console)).await?;
        let project = (engine, &self.project.name);
        let recovered = recover::recover(&mut session, project, console, stream::pending());
        let done = Box::pin(recovered).await;
        session.end(done).await
    }
}

/// Reports that `cimandat` was killed.
fn tell_of_death(console: Console, killed: Option<u64>, recorded_calls: &[RecordedCall]) {
    let call = killed.unwrap_or_default();
    let doing = usize::try_from(call)
        .ok()
        .and_then(|call| recorded_calls.get(call - 1));
    if let Some(recorded) = doing {
        console.eprint(&format!(
            "`cimandat up` was killed at call {call}, {} `{}`; `cimandat recover` continues:\n",
            recorded.verb, recorded.object
        ));
    }
}
