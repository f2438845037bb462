//! An in-memory engine with the semantics of a real one.
//!
//! Names must be unique, ports are bound at start, volumes outlive containers, and containers act
//! as their [`Behavior`] says. A [`Fault`] can occur before or after an effect. Each call takes a
//! time drawn from a [`Latency`].

mod behavior;
mod call;
mod external;
mod latency;
mod probe;
mod recorder;
mod seed;
mod snapshot;
mod state_store;
mod watch;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    time::{Instant, sleep, sleep_until},
};

pub use self::{
    behavior::{Behavior, Exit, Fault, FaultTiming, FaultTrigger},
    external::ExternalAction,
    latency::Latency,
    recorder::RecordedCall,
    seed::Seed,
    snapshot::{ContainerSnapshot, Snapshot},
    watch::VolumeRace,
};
use self::{
    external::Scheduled,
    world::{SimContainer, World},
};
use super::{
    ContainerEvent, Engine, EngineError, Inspection, LogLine, LogOptions, Part, ProbeResult, Query,
};
use crate::{
    event::Progress,
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    plan::Action,
    project::{Check, Kind, Probe},
    state::{State, UnmanagedContainer},
};

/// Delay until the engine restarts a container that exited by itself.
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// A simulated engine. Clones share the same engine.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Mutex<Inner>>,
    birth: Instant,
}

struct Inner {
    world: World,
    scripts: BTreeMap<(ServiceName, Option<u64>), Behavior>,
    checks: BTreeMap<String, ProbeResult>,
    faults: Vec<Fault>,
    /// Indexes of the faults that occurred.
    triggered: BTreeSet<usize>,
    /// Behaviors that took effect: a container was not ready when probed, or it exited.
    acted: BTreeSet<ScriptKey>,
    pace: Latency,
    /// All calls so far.
    recorded_calls: Vec<RecordedCall>,
    plots: Vec<Scheduled>,
    /// Number of restarts of the engine.
    boot_count: u64,
    /// Whether the engine is down between two boots.
    down: bool,
    listeners: Vec<UnboundedSender<Result<ContainerEvent, EngineError>>>,
}

/// A service, and the generation that a behavior is for; `None` for all others.
type ScriptKey = (ServiceName, Option<u64>);

impl Inner {
    fn publish(&mut self, notice: &ContainerEvent) {
        self.listeners
            .retain(|listener| listener.send(Ok(notice.clone())).is_ok());
    }

    fn script(&self, container: &ContainerName) -> Behavior {
        let Some(thing) = self.world.containers.get(container) else {
            return Behavior::default();
        };
        let record = thing.record.as_ref();
        let job = record.is_some_and(|it| matches!(it.kind, Kind::Job { .. }));
        let usual = || {
            if job {
                Behavior::exits(Duration::from_millis(10), 0)
            } else {
                Behavior::default()
            }
        };
        let script = self.role(thing).and_then(|role| self.scripts.get(&role));
        script.cloned().unwrap_or_else(usual)
    }

    /// Returns the key of a container's behavior, if it has one.
    fn role(&self, thing: &SimContainer) -> Option<ScriptKey> {
        let role = |generation| (thing.service.clone(), generation);
        [role(Some(thing.generation)), role(None)]
            .into_iter()
            .find(|role| self.scripts.contains_key(role))
    }
}

impl Sim {
    /// Creates an empty world for one project.
    #[must_use]
    pub fn new(project: ProjectName, pace: Latency) -> Self {
        Self::in_world(World::new(project), pace)
    }

    fn in_world(world: World, pace: Latency) -> Self {
        let inner = Inner {
            world,
            scripts: BTreeMap::new(),
            checks: BTreeMap::new(),
            faults: Vec::new(),
            triggered: BTreeSet::new(),
            acted: BTreeSet::new(),
            pace,
            recorded_calls: Vec::new(),
            plots: Vec::new(),
            boot_count: 0,
            down: false,
            listeners: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            birth: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The world stays readable after a test failed in another thread.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the behavior of the containers of a service: of one generation, or of all others.
    pub fn script(&self, service: &ServiceName, generation: Option<u64>, script: Behavior) {
        self.lock()
            .scripts
            .insert((service.clone(), generation), script);
    }

    /// Sets the answer of a check, by its text. Without one, the check passes unless its container
    /// is down.
    pub fn answer(&self, check: &str, answer: ProbeResult) {
        self.lock().checks.insert(check.to_owned(), answer);
    }

    /// Injects a fault.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Adds an image to the engine.
    pub fn add_image(&self, image: ImageRef, id: &str) {
        self.lock().world.add_image(image, id.to_owned());
    }

    /// Adds an image to the registry, from which it can be pulled.
    pub fn offer_image(&self, image: ImageRef) {
        self.lock().world.registry.insert(image);
    }

    /// Adds a container that is not of the project.
    pub fn add_foreign(&self, name: ContainerName, foreign: UnmanagedContainer) {
        self.lock().world.foreign.insert(name, foreign);
    }

    /// Allows several containers to write to a volume at the same time, by its name on the engine.
    pub fn share_volume(&self, name: String) {
        self.lock().world.shared.insert(name);
    }

    /// A process of the host takes this port as soon as it is free.
    pub fn grab_port(&self, port: u16) {
        self.lock().world.occupied.insert(port, false);
    }

    /// Ends every subscription to events. Clients can subscribe again.
    pub fn break_off(&self) {
        self.lock().listeners.clear();
    }

    /// Ends a container by itself, now. Requires a running Tokio runtime, because the engine may
    /// restart the container.
    pub fn kill(&self, container: &ContainerName, exit_code: i64) {
        let inner = self.lock();
        let Some(thing) = inner.world.containers.get(container) else {
            return;
        };
        let (id, starts) = (thing.id.clone(), thing.starts);
        drop(inner);
        if self.ended(&id, starts, exit_code, false) {
            let sim = self.clone();
            tokio::spawn(async move { sim.start_again(&id).await });
        }
    }

    /// Performs an action as a manual change: it is not counted as a call, and no fault occurs.
    ///
    /// # Errors
    /// The error with which the engine refuses the action.
    pub fn by_hand(&self, action: &Action) -> Result<(), EngineError> {
        self.effect(action)
    }

    /// Detaches a container from a network, by its name on the engine.
    pub fn detach(&self, container: &ContainerName, network: &str) {
        self.lock().world.detach(container, network);
    }

    /// Another program removes a container and creates one with the same name and labels.
    pub fn recreate(&self, container: &ContainerName) {
        self.lock().world.recreate(container);
    }

    /// Another program replaces the file or folder on the host that is mounted at `target`.
    pub fn replace_bound(&self, container: &ContainerName, target: &str) {
        self.lock().world.replace_bound(container, target);
    }

    fn now(&self) -> Duration {
        self.birth.elapsed()
    }

    fn ended(&self, id: &str, starts: u64, exit_code: i64, out_of_memory: bool) -> bool {
        let mut inner = self.lock();
        let notices = inner.world.end(id, starts, exit_code, out_of_memory);
        for notice in &notices {
            inner.publish(notice);
        }
        !notices.is_empty()
    }

    /// Applies the effect of an action, and resumes the behavior of a started container.
    fn effect(&self, action: &Action) -> Result<(), EngineError> {
        let mut inner = self.lock();
        let notice = inner.world.perform(action, self.now())?;
        if let Action::RunHook(run) = action {
            let code = inner.script(&run.container).hooks;
            if code != 0 {
                return Err(EngineError::Hook {
                    container: run.container.to_string(),
                    command: shell_words::join(&run.hook.command),
                    code,
                    output: Vec::new(),
                });
            }
        }
        if let Some(notice) = &notice {
            inner.publish(notice);
        }
        if let (Action::StartContainer(name), Some(_)) = (action, notice) {
            self.resume(&inner, name);
        }
        Ok(())
    }

    /// Runs the behavior of a container that was just started.
    fn resume(&self, inner: &Inner, name: &ContainerName) {
        let script = inner.script(name);
        if let (Some(end), Some(thing)) = (script.ends, inner.world.containers.get(name)) {
            tokio::spawn(self.clone().live(thing.id.clone(), thing.starts, end));
        }
    }

    /// Ends a container by itself, again after each restart.
    async fn live(self, id: String, mut starts: u64, end: Exit) {
        loop {
            sleep(end.after).await;
            if !self.ended(&id, starts, end.exit_code, end.out_of_memory) {
                return;
            }
            self.lock().note_end(&id);
            if !self.start_again(&id).await {
                return;
            }
            starts += 1;
        }
    }

    /// Restarts a container after the delay, if its restart policy says so.
    async fn start_again(&self, id: &str) -> bool {
        sleep(RESTART_DELAY).await;
        let mut inner = self.lock();
        let now = self.now();
        let Some(notice) = inner.world.restart(id, now) else {
            return false;
        };
        inner.publish(&notice);
        true
    }
}

impl Engine for Sim {
    async fn observe(&self, query: &Query) -> Result<State, EngineError> {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        self.reach()?;
        let now = self.now();
        Ok(snapshot::observe(&self.lock().world, query, now))
    }

    async fn perform(
        &self,
        action: &Action,
        _progress: &UnboundedSender<Progress>,
    ) -> Result<(), EngineError> {
        let doing = (action.verb(), action.object());
        let call = {
            let mut inner = self.lock();
            let mut call = inner.begin_call(Some(action), doing);
            if let Action::StopContainer { container, .. } = action {
                call.before += inner.script(container).stop_takes;
            }
            call
        };
        let fault = call.fault.as_ref();
        let midway = fault.is_some_and(|fault| fault.when == FaultTiming::Midway);
        self.carry(call, doing, |sim| {
            if midway {
                sim.lock().world.snapshot(action, false).map(|_| ())
            } else {
                let now = sim.now();
                sim.lock().note_order(action, now);
                sim.effect(action)
            }
        })
        .await?
    }

    async fn probe(
        &self,
        container: &ContainerName,
        probe: &Probe,
        patience: Duration,
    ) -> ProbeResult {
        let deadline = Instant::now() + patience;
        let delay = self.lock().pace.draw();
        sleep(delay.min(patience)).await;
        let waits = matches!(probe, Probe::Log { .. } | Probe::Healthcheck | Probe::Exit);
        loop {
            if self.reach().is_err() {
                return ProbeResult::Pending("no engine answers".to_owned());
            }
            let (answer, due) = self.probe(container, probe);
            if !waits || !matches!(answer, ProbeResult::Pending(_)) || Instant::now() >= deadline {
                return answer;
            }
            // A change that is due now may be visible only in the next instant.
            let next = due.map_or(deadline, |due| self.birth + due);
            let soon = Instant::now() + Duration::from_millis(1);
            sleep_until(next.max(soon).min(deadline.max(soon))).await;
        }
    }

    async fn check(
        &self,
        container: Option<&ContainerName>,
        check: &Check,
        _patience: Duration,
    ) -> ProbeResult {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        if self.reach().is_err() {
            return ProbeResult::Pending("no engine answers".to_owned());
        }
        let inner = self.lock();
        if let Some(answer) = inner.checks.get(&check.to_string()) {
            return answer.clone();
        }
        let up = |name: &ContainerName| {
            inner
                .world
                .containers
                .get(name)
                .is_some_and(|it| it.condition.status.is_up())
        };
        if container.is_none_or(up) {
            ProbeResult::Passed("as expected".to_owned())
        } else {
            ProbeResult::Pending("the container does not run".to_owned())
        }
    }

    async fn inspect(
        &self,
        container: &ContainerName,
        lines: usize,
    ) -> Result<Inspection, EngineError> {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        self.reach()?;
        let inner = self.lock();
        let thing = inner.world.containers.get(container);
        let thing = thing.ok_or_else(|| EngineError::NotFound {
            what: format!("container `{container}`"),
        })?;
        let skipped = thing.log.len().saturating_sub(lines);
        Ok(Inspection {
            condition: thing.condition.clone(),
            log: thing.log.iter().skip(skipped).cloned().collect(),
            ..Inspection::default()
        })
    }

    async fn watch(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
        self.reach()?;
        let (tell, mut told) = mpsc::unbounded_channel();
        self.lock().listeners.push(tell);
        let broken = Err(EngineError::Transport {
            verb: "watching the containers of".to_owned(),
            object: project.to_string(),
            cause: "the engine ended the stream of events".to_owned(),
        });
        let told = stream::poll_fn(move |context| told.poll_recv(context));
        Ok(told.chain(stream::iter([broken])).boxed())
    }

    async fn logs(
        &self,
        container: &ContainerName,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        let evidence = self
            .inspect(container, options.tail.unwrap_or(usize::MAX))
            .await?;
        let lines = evidence.log.into_iter().enumerate().map(|(index, text)| {
            let time = format!("1970-01-01T00:00:00.{index:09}Z");
            Ok(LogLine {
                time,
                stderr: false,
                text,
                part: Part::Whole,
            })
        });
        Ok(stream::iter(lines).boxed())
    }
}
