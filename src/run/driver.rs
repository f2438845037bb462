//! The loop that performs the effects of a [`Run`]. It is the only place that waits, reads the
//! clock and spawns tasks. It makes no decisions.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt};
use tokio::{
    sync::{
        mpsc::{self, UnboundedSender},
        oneshot,
    },
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Effect, Input, Run, RunSummary, TimerId};
use crate::{
    engine::{Engine, EngineError, Inspection, Query, StateStore},
    event::{self, Event, EventEnvelope},
    journal::{JournalRecord, Writer},
    name::{ContainerName, ProjectName},
    plan::{Action, StepId},
};

/// Number of log lines in a failure report.
const LOG_LINES: usize = 20;
/// Timeout of an inspection.
const EXAMINE_WITHIN: Duration = Duration::from_secs(5);
/// Number of failed inspections after which the container's status counts as unavailable.
const INSPECT_ATTEMPTS: u32 = 3;
/// Time beyond its timeout after which a probe counts as unanswered.
const PROBE_GRACE: Duration = Duration::from_millis(500);
/// Timeout of a journal write.
const RECORD_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two attempts to subscribe to the engine's events, or to inspect a container.
const WATCH_RETRY: Duration = Duration::from_millis(250);

/// Runs a [`Run`] to its end on an engine.
///
/// Events are passed to `events` in order, each with its time since the start. Every item of
/// `interrupts` asks the run to stop.
pub async fn drive<E: StateStore>(
    engine: Arc<E>,
    mut run: Run,
    events: impl FnMut(EventEnvelope),
    interrupts: impl Stream<Item = ()>,
) -> RunSummary {
    let mut interrupts = pin!(interrupts.fuse());
    let (progress, mut progressed) = mpsc::unbounded_channel();
    let (notices, mut heard) = mpsc::unbounded_channel();
    let mut driver = Driver {
        engine,
        events,
        start: Instant::now(),
        tasks: JoinSet::new(),
        running: HashMap::new(),
        timers: BTreeMap::new(),
        count: 0,
        progress,
        journal: run.take_journal(),
        project: run.project().clone(),
        recorded: VecDeque::new(),
    };
    let mut input = if run.listens() {
        driver.listen(run.project().clone(), notices).await
    } else {
        Input::Begin
    };
    loop {
        let effects = run.on(driver.start.elapsed(), input);
        if let Some(outcome) = driver.carry_out(effects).await {
            return outcome;
        }
        if let Some(recorded) = driver.recorded.pop_front() {
            input = recorded;
            continue;
        }
        input = loop {
            let timer = driver.timers.keys().next().copied();
            tokio::select! {
                biased;
                Some(()) = interrupts.next() => break Input::Interrupted,
                Some(input) = heard.recv() => break input,
                Some(done) = driver.tasks.join_next_with_id(), if !driver.tasks.is_empty() => {
                    if let Some(input) = driver.done(done) {
                        break input;
                    }
                }
                Some((step, progress)) = progressed.recv() => {
                    break Input::ActionProgress(step, progress);
                }
                () = until(timer), if timer.is_some() => {
                    if let Some(timer) = timer.and_then(|key| driver.timers.remove(&key)) {
                        break Input::TimerFired(timer);
                    }
                }
            }
        };
    }
}

/// When a timer fires, and a sequence number that makes the key unique.
type Due = (Instant, u64);

async fn until(timer: Option<Due>) {
    if let Some((instant, _)) = timer {
        sleep_until(instant).await;
    }
}

/// A spawned task.
struct Task {
    step: StepId,
    /// Input to use if the task panics.
    broken: Input,
    handle: AbortHandle,
}

struct Driver<E, F> {
    engine: Arc<E>,
    events: F,
    start: Instant,
    tasks: JoinSet<Input>,
    running: HashMap<Id, Task>,
    timers: BTreeMap<Due, TimerId>,
    count: u64,
    progress: UnboundedSender<(StepId, event::Progress)>,
    journal: Option<Writer>,
    project: ProjectName,
    /// Results of journal writes that the run has not processed yet.
    recorded: VecDeque<Input>,
}

impl<E: StateStore, F: FnMut(EventEnvelope)> Driver<E, F> {
    /// Performs the effects in order. Returns the summary when the run is finished.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Option<RunSummary> {
        for effect in effects {
            match effect {
                Effect::Emit(event) => self.emit(event),
                Effect::WriteJournal(record) => self.record(&record).await,
                Effect::Finish(outcome) => return Some(outcome),
                Effect::StartTimer(timer, duration) => {
                    self.count += 1;
                    self.timers
                        .insert((Instant::now() + duration, self.count), timer);
                }
                Effect::Cancel(step) => self.cancel(step),
                Effect::Perform(step, action) => self.perform(step, action),
                Effect::Inspect(step, container) => {
                    let engine = Arc::clone(&self.engine);
                    self.spawn(step, Input::Inspected(step, None), async move {
                        Input::Inspected(step, look(engine.as_ref(), &container).await)
                    });
                }
                Effect::AwaitClientsGone {
                    step,
                    container,
                    idle,
                } => {
                    let engine = Arc::clone(&self.engine);
                    self.spawn(step, Input::ClientsGone(step), async move {
                        engine.clients_gone(&container, idle).await;
                        Input::ClientsGone(step)
                    });
                }
                ask @ (Effect::Probe { .. } | Effect::Check { .. }) => self.ask(ask),
            }
        }
        None
    }

    /// Writes a journal record. Other tasks continue meanwhile; their results are processed
    /// afterwards.
    async fn record(&mut self, record: &JournalRecord) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if let JournalRecord::Finished { .. } = record {
            // Without an answer, the recorded ids stay unchanged.
            let query = Query::of(self.project.clone());
            let looked = Box::pin(self.engine.observe(&query));
            let looked = timeout(EXAMINE_WITHIN, looked).await;
            if let Ok(Ok(now)) = looked {
                journal.found(&now);
            }
        }
        let pages = journal.pages(record);
        let written = self.engine.write_pages(&self.project, &pages);
        let result = match timeout(RECORD_WITHIN, written).await {
            Ok(Ok(())) => {
                journal.written(record);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EngineError::Transport {
                verb: "writing the journal of".to_owned(),
                object: self.project.to_string(),
                cause: format!("no answer within {} s", RECORD_WITHIN.as_secs()),
            }),
        };
        if let (Err(error), JournalRecord::Finished { .. }) = (&result, record) {
            let text = format!("the journal could not be closed, the next command does: {error}");
            self.emit(Event::Warning { text });
        }
        self.recorded.push_back(Input::JournalWritten(result));
    }

    fn emit(&mut self, event: Event) {
        let at = self.start.elapsed();
        (self.events)(EventEnvelope {
            v: event::VERSION,
            at,
            simulated: false,
            event,
        });
    }

    fn cancel(&mut self, step: StepId) {
        self.timers.retain(|_, timer| timer.step() != Some(step));
        self.running.retain(|_, task| {
            if task.step == step {
                task.handle.abort();
            }
            task.step != step
        });
    }

    fn spawn(
        &mut self,
        step: StepId,
        broken: Input,
        task: impl Future<Output = Input> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.running.insert(
            handle.id(),
            Task {
                step,
                broken,
                handle,
            },
        );
    }

    fn perform(&mut self, step: StepId, action: Action) {
        let engine = Arc::clone(&self.engine);
        let progress = self.progress.clone();
        let broken = EngineError::Transport {
            verb: action.verb().to_owned(),
            object: action.object().to_owned(),
            cause: "the task ended unexpectedly".to_owned(),
        };
        self.spawn(step, Input::ActionFinished(step, Err(broken)), async move {
            let (tell, mut told) = mpsc::unbounded_channel();
            let act = async {
                let result = engine.perform(&action, &tell).await;
                drop(tell);
                result
            };
            let pass_on = async {
                while let Some(what) = told.recv().await {
                    // Fails only when the run is over.
                    let _ = progress.send((step, what));
                }
            };
            let (result, ()) = tokio::join!(act, pass_on);
            Input::ActionFinished(step, result)
        });
    }

    fn ask(&mut self, ask: Effect) {
        use crate::engine::ProbeResult;
        let engine = Arc::clone(&self.engine);
        let (step, question, patience) = match &ask {
            Effect::Probe {
                step,
                question,
                patience,
                ..
            } => (*step, *question, *patience),
            Effect::Check { step, patience, .. } => (*step, 0, *patience),
            _ => return,
        };
        let answered = move |answer| Input::ProbeAnswered {
            step,
            question,
            answer,
        };
        let broken = answered(ProbeResult::Pending(
            "the probe ended unexpectedly".to_owned(),
        ));
        self.spawn(step, broken, async move {
            let asked = async {
                match &ask {
                    Effect::Probe {
                        container, probe, ..
                    } => engine.probe(container, probe, patience).await,
                    Effect::Check {
                        container, check, ..
                    } => engine.check(container.as_ref(), check, patience).await,
                    _ => ProbeResult::Pending(String::new()),
                }
            };
            let answer = timeout(patience + PROBE_GRACE, asked).await;
            answered(
                answer.unwrap_or_else(|_| ProbeResult::Pending("no answer in time".to_owned())),
            )
        });
    }

    /// Returns the input of a finished task; `None` if the task was cancelled.
    fn done(&mut self, done: Result<(Id, Input), JoinError>) -> Option<Input> {
        match done {
            Ok((id, input)) => self.running.remove(&id).map(|_| input),
            Err(error) => self.running.remove(&error.id()).map(|task| task.broken),
        }
    }

    /// Subscribes to the engine's events for the duration of the run.
    async fn listen(&mut self, project: ProjectName, notices: UnboundedSender<Input>) -> Input {
        let (ready, listening) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        // Never completes, so that it yields no input. It ends when the receiver is dropped.
        self.tasks.spawn(async move {
            watch(engine, project, notices, ready).await;
            std::future::pending().await
        });
        match listening.await {
            Ok(Ok(())) => Input::Begin,
            Ok(Err(error)) => Input::WatchFailed(error),
            Err(_) => Input::WatchFailed(EngineError::Transport {
                verb: "listening to".to_owned(),
                object: "engine".to_owned(),
                cause: "the task ended unexpectedly".to_owned(),
            }),
        }
    }
}

/// Inspects a container. Returns `None` if the container does not exist, or if the engine did not
/// answer in several attempts. A timeout says nothing about the container, so it is retried.
async fn look<E: Engine>(engine: &E, container: &ContainerName) -> Option<Inspection> {
    for _ in 0..INSPECT_ATTEMPTS {
        match timeout(EXAMINE_WITHIN, engine.inspect(container, LOG_LINES)).await {
            Ok(Ok(evidence)) => return Some(evidence),
            Ok(Err(EngineError::NotFound { .. })) => return None,
            Ok(Err(_)) | Err(_) => sleep(WATCH_RETRY).await,
        }
    }
    None
}

/// Forwards the events of the project's containers. Resubscribes when the engine ends the stream.
async fn watch<E: Engine>(
    engine: Arc<E>,
    project: ProjectName,
    notices: UnboundedSender<Input>,
    ready: oneshot::Sender<Result<(), EngineError>>,
) {
    let mut stream = match engine.watch(&project).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    loop {
        while let Some(Ok(notice)) = stream.next().await {
            if notices.send(Input::ContainerEvent(notice)).is_err() {
                return;
            }
        }
        stream = loop {
            if let Ok(stream) = engine.watch(&project).await {
                break stream;
            }
            sleep(WATCH_RETRY).await;
        };
        if notices.send(Input::WatchResumed).is_err() {
            return;
        }
    }
}
