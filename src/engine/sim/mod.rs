//! A world of pure memory with the semantics of a real engine.
//!
//! Names are taken or free, ports are bound at start, volumes outlive containers, containers do
//! what their [`Script`] says. [`Fault`]s are part of it, before and after an effect, and so is
//! time, if it passes: a [`Pace`] is drawn for each call.

mod hand;
mod ledger;
mod script;
mod view;
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

use self::{hand::Crash, world::World};
pub use self::{
    hand::Hand,
    script::{End, Fault, Pace, Script, Trigger, When},
    view::{Snapshot, Standing},
};
use super::{Answer, Engine, EngineError, Evidence, LogLine, LogOptions, Notice, Query};
use crate::{
    event::Progress,
    name::{ContainerName, ImageRef, ProjectName, ServiceName},
    plan::Action,
    project::{Check, Kind, Probe},
    state::{Foreign, State, Status},
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
    scripts: BTreeMap<(ServiceName, Option<u64>), Script>,
    checks: BTreeMap<String, Answer>,
    faults: Vec<Fault>,
    pace: Pace,
    calls: u64,
    crash: Option<Crash>,
    /// How often the engine was started again.
    life: u64,
    /// It is between two of them.
    away: bool,
    listeners: Vec<UnboundedSender<Result<Notice, EngineError>>>,
}

/// A call that changes something.
struct Call {
    /// Counted from 0.
    number: u64,
    /// How long it takes until its effect.
    before: Duration,
    /// And from there until its answer.
    after: Duration,
    /// What goes wrong with it.
    fault: Option<Fault>,
}

impl Inner {
    /// Counts a call that changes something.
    fn begin_call(&mut self, action: Option<&Action>) -> Call {
        let number = self.calls;
        self.calls += 1;
        let mut faults = self.faults.iter();
        let fault = faults.find(|fault| fault.at.meets(number, action)).cloned();
        Call {
            number,
            before: self.pace.draw(),
            after: self.pace.draw(),
            fault,
        }
    }

    fn tell(&mut self, notice: &Notice) {
        self.listeners
            .retain(|listener| listener.send(Ok(notice.clone())).is_ok());
    }

    fn script(&self, container: &ContainerName) -> Script {
        let Some(thing) = self.world.containers.get(container) else {
            return Script::default();
        };
        let of = |generation| self.scripts.get(&(thing.service.clone(), generation));
        let job = matches!(thing.record.kind, Kind::Job { .. });
        let usual = || {
            if job {
                Script::exits(Duration::from_millis(10), 0)
            } else {
                Script::default()
            }
        };
        of(Some(thing.generation))
            .or_else(|| of(None))
            .cloned()
            .unwrap_or_else(usual)
    }
}

impl Sim {
    /// An empty world for one project.
    #[must_use]
    pub fn new(project: ProjectName, pace: Pace) -> Self {
        let inner = Inner {
            world: World::new(project),
            scripts: BTreeMap::new(),
            checks: BTreeMap::new(),
            faults: Vec::new(),
            pace,
            calls: 0,
            crash: None,
            life: 0,
            away: false,
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
    pub fn script(&self, service: &ServiceName, generation: Option<u64>, script: Script) {
        self.lock()
            .scripts
            .insert((service.clone(), generation), script);
    }

    /// Says how a check, by its text, is answered; otherwise it passes.
    pub fn answer(&self, check: &str, answer: Answer) {
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
    pub fn add_foreign(&self, name: ContainerName, foreign: Foreign) {
        self.lock().world.foreign.insert(name, foreign);
    }

    /// How many calls changed, or were to change, something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// What happened that must never happen, each in a fragment.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        self.lock().world.breaches.clone()
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

    /// What each volume holds: a note of each generation of a service that wrote to it.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.lock().world.data.clone()
    }

    /// What can be seen of the world.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.lock().world)
    }

    fn now(&self) -> Duration {
        self.birth.elapsed()
    }

    fn ended(&self, id: &str, starts: u64, exit_code: i64, out_of_memory: bool) -> bool {
        let mut inner = self.lock();
        let notices = inner.world.end(id, starts, exit_code, out_of_memory);
        for notice in &notices {
            inner.tell(notice);
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
            inner.tell(notice);
        }
        if let (Action::StartContainer(name), Some(_)) = (action, notice) {
            self.live_on(&inner, name);
        }
        Ok(())
    }

    /// A container that was just started leads the life that its script gives it.
    fn live_on(&self, inner: &Inner, name: &ContainerName) {
        let script = inner.script(name);
        if let (Some(end), Some(thing)) = (script.ends, inner.world.containers.get(name)) {
            tokio::spawn(self.clone().live(thing.id.clone(), thing.starts, end));
        }
    }

    /// A container that ends by itself, again and again as far as it is started again.
    async fn live(self, id: String, mut starts: u64, end: End) {
        loop {
            sleep(end.after).await;
            if !self.ended(&id, starts, end.exit_code, end.out_of_memory) {
                return;
            }
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
        inner.tell(&notice);
        true
    }

    /// What this probe brings now, and when another answer is to be expected.
    fn look(&self, container: &ContainerName, probe: &Probe) -> (Answer, Option<Duration>) {
        let inner = self.lock();
        let Some(thing) = inner.world.containers.get(container) else {
            return (Answer::Never("no such container".to_owned()), None);
        };
        let up = thing.condition.status.is_up();
        let script = inner.script(container);
        let not_yet = |text: &str| Answer::NotYet(text.to_owned());
        match probe {
            Probe::Exit => match (up, thing.condition.status, thing.condition.exit_code) {
                (false, Status::Exited, Some(0)) => (Answer::Ready("exit code 0".into()), None),
                (false, Status::Exited, Some(code)) => {
                    (Answer::Never(format!("exited with code {code}")), None)
                }
                _ => (
                    not_yet("it runs"),
                    script.ends.map(|end| thing.started + end.after),
                ),
            },
            _ if !up => (not_yet("it does not run"), None),
            _ if thing.condition.status == Status::Paused => (not_yet("it is frozen"), None),
            Probe::Started => (Answer::Ready("it runs".to_owned()), None),
            _ => match script.ready_after.map(|after| thing.started + after) {
                Some(ready) if ready <= self.now() => (Answer::Ready("it answers".into()), None),
                ready => (not_yet("connection refused"), ready),
            },
        }
    }
}

impl Engine for Sim {
    async fn observe(&self, query: &Query) -> Result<State, EngineError> {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        self.reach()?;
        let now = self.now();
        Ok(view::observe(&self.lock().world, query, now))
    }

    async fn perform(
        &self,
        action: &Action,
        _progress: &UnboundedSender<Progress>,
    ) -> Result<(), EngineError> {
        let call = {
            let mut inner = self.lock();
            let mut call = inner.begin_call(Some(action));
            if let Action::StopContainer { container, .. } = action {
                call.before += inner.script(container).stop_takes;
            }
            call
        };
        let doing = (action.verb(), action.object());
        let fault = call.fault.as_ref();
        let midway = fault.is_some_and(|fault| fault.when == When::Midway);
        self.carry(call, doing, |sim| {
            if midway {
                sim.lock().world.snapshot(action, false).map(|_| ())
            } else {
                sim.effect(action)
            }
        })
        .await?
    }

    async fn probe(&self, container: &ContainerName, probe: &Probe, patience: Duration) -> Answer {
        let deadline = Instant::now() + patience;
        let delay = self.lock().pace.draw();
        sleep(delay.min(patience)).await;
        let waits = matches!(probe, Probe::Log { .. } | Probe::Healthcheck | Probe::Exit);
        loop {
            if self.reach().is_err() {
                return Answer::NotYet("no engine answers".to_owned());
            }
            let (answer, due) = self.look(container, probe);
            if !waits || !matches!(answer, Answer::NotYet(_)) || Instant::now() >= deadline {
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
    ) -> Answer {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        if self.reach().is_err() {
            return Answer::NotYet("no engine answers".to_owned());
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
            Answer::Ready("as expected".to_owned())
        } else {
            Answer::NotYet("the container does not run".to_owned())
        }
    }

    async fn examine(
        &self,
        container: &ContainerName,
        lines: usize,
    ) -> Result<Evidence, EngineError> {
        let delay = self.lock().pace.draw();
        sleep(delay).await;
        self.reach()?;
        let inner = self.lock();
        let thing = inner.world.containers.get(container);
        let thing = thing.ok_or_else(|| EngineError::Gone {
            what: format!("container `{container}`"),
        })?;
        let skipped = thing.log.len().saturating_sub(lines);
        Ok(Evidence {
            condition: thing.condition.clone(),
            log: thing.log.iter().skip(skipped).cloned().collect(),
        })
    }

    async fn watch(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Result<Notice, EngineError>>, EngineError> {
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
            .examine(container, options.tail.unwrap_or(usize::MAX))
            .await?;
        let lines = evidence.log.into_iter().enumerate().map(|(index, text)| {
            let time = format!("1970-01-01T00:00:00.{index:09}Z");
            Ok(LogLine {
                time,
                stderr: false,
                text,
            })
        });
        Ok(stream::iter(lines).boxed())
    }
}
