//! A world of pure memory with the semantics of a real engine.
//!
//! Names are taken or free, ports are bound at start, volumes outlive containers, containers do
//! what their [`Script`] says. [`Fault`]s are part of it, before and after an effect, and so is
//! time, if it passes: a [`Pace`] is drawn for each call.

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

/// Until the engine starts a container again that ended by itself.
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// A simulated engine. A clone is the same engine.
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
    /// Those of them that took place, by their places.
    triggered: BTreeSet<usize>,
    /// Scripts by which a container was not ready when it was asked, or came to its end.
    acted: BTreeSet<ScriptKey>,
    pace: Latency,
    /// The calls so far.
    deeds: Vec<RecordedCall>,
    plots: Vec<Scheduled>,
    /// How often the engine was started again.
    boot_count: u64,
    /// It is between two of them.
    down: bool,
    listeners: Vec<UnboundedSender<Result<ContainerEvent, EngineError>>>,
}

/// A service, and the generation that a script is about; `None`: all others.
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

    /// Whose script a container goes by, if it has one.
    fn role(&self, thing: &SimContainer) -> Option<ScriptKey> {
        let role = |generation| (thing.service.clone(), generation);
        [role(Some(thing.generation)), role(None)]
            .into_iter()
            .find(|role| self.scripts.contains_key(role))
    }
}

impl Sim {
    /// An empty world for one project.
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
            deeds: Vec::new(),
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
        // A test that failed elsewhere leaves the world readable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what containers of a service do; of one generation, or of all others.
    pub fn script(&self, service: &ServiceName, generation: Option<u64>, script: Behavior) {
        self.lock()
            .scripts
            .insert((service.clone(), generation), script);
    }

    /// Says how a check, by its text, is answered; otherwise it passes.
    pub fn answer(&self, check: &str, answer: ProbeResult) {
        self.lock().checks.insert(check.to_owned(), answer);
    }

    /// Lets something go wrong.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// An image that is there.
    pub fn add_image(&self, image: ImageRef, id: &str) {
        self.lock().world.add_image(image, id.to_owned());
    }

    /// An image that can be pulled.
    pub fn offer_image(&self, image: ImageRef) {
        self.lock().world.registry.insert(image);
    }

    /// A container that is not the project's.
    pub fn add_foreign(&self, name: ContainerName, foreign: UnmanagedContainer) {
        self.lock().world.foreign.insert(name, foreign);
    }

    /// Several containers may write to this volume at a time, by its name on the engine.
    pub fn share_volume(&self, name: String) {
        self.lock().world.shared.insert(name);
    }

    /// A process of the host that is no container takes this port as soon as it is free.
    pub fn grab_port(&self, port: u16) {
        self.lock().world.occupied.insert(port, false);
    }

    /// Breaks off every subscription to what happens; it can be had anew.
    pub fn break_off(&self) {
        self.lock().listeners.clear();
    }

    /// A container ends by itself, now. Needs a running runtime, as the engine may start it again.
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

    /// Somebody does this by hand: it is none of the actions that are counted, and nothing goes
    /// wrong in it.
    ///
    /// # Errors
    /// Where the engine refuses it.
    pub fn by_hand(&self, action: &Action) -> Result<(), EngineError> {
        self.effect(action)
    }

    /// Somebody takes a container out of a network, by its name on the engine.
    pub fn detach(&self, container: &ContainerName, network: &str) {
        self.lock().world.detach(container, network);
    }

    /// Another program removes a container and makes one with the same name and labels.
    pub fn recreate(&self, container: &ContainerName) {
        self.lock().world.recreate(container);
    }

    /// Somebody replaces the file or folder on the host that is mounted here.
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

    /// The effect of an action, with the life that a started container then has.
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

    /// A container that was just started leads the life that its script gives it.
    fn resume(&self, inner: &Inner, name: &ContainerName) {
        let script = inner.script(name);
        if let (Some(end), Some(thing)) = (script.ends, inner.world.containers.get(name)) {
            tokio::spawn(self.clone().live(thing.id.clone(), thing.starts, end));
        }
    }

    /// A container that ends by itself, again and again as far as it is started again.
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

    /// The engine starts a container again, if its restart policy says so.
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
            // What is due now but not yet to be seen is so in the next instant.
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
