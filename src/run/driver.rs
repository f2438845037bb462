//! The loop that carries out what a [`Run`] wants done: the only place that waits, reads the clock
//! and spawns. It decides nothing.

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

/// The last lines of a log that go into a report.
const LOG_LINES: usize = 20;
/// The longest that looking at a container may take.
const EXAMINE_WITHIN: Duration = Duration::from_secs(5);
/// How often a container is looked at before the engine counts as not telling.
const INSPECT_ATTEMPTS: u32 = 3;
/// How much longer than its patience a probe may take before it counts as unanswered.
const PROBE_GRACE: Duration = Duration::from_millis(500);
/// The longest that writing a record may take.
const RECORD_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to listen to the engine again.
const WATCH_RETRY: Duration = Duration::from_millis(250);

/// Carries a run out on an engine. Events go to `events` in their order, each with its time since
/// the start; every item of `interrupts` asks the run to stop.
pub async fn drive<E: StateStore>(
    engine: Arc<E>,
    mut run: Run,
    events: impl FnMut(EventEnvelope),
    interrupts: impl Stream<Item = ()>,
) -> RunSummary {
    let mut interrupts = pin!(interrupts.fuse());
    let (progress, mut progressed) = mpsc::unbounded_channel();
    let (notices, mut heard) = mpsc::unbounded_channel();
    let mut hands = Driver {
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
        hands.listen(run.project().clone(), notices).await
    } else {
        Input::Begin
    };
    loop {
        let effects = run.on(hands.start.elapsed(), input);
        if let Some(outcome) = hands.carry_out(effects).await {
            return outcome;
        }
        if let Some(recorded) = hands.recorded.pop_front() {
            input = recorded;
            continue;
        }
        input = loop {
            let timer = hands.timers.keys().next().copied();
            tokio::select! {
                biased;
                Some(()) = interrupts.next() => break Input::Interrupted,
                Some(input) = heard.recv() => break input,
                Some(done) = hands.tasks.join_next_with_id(), if !hands.tasks.is_empty() => {
                    if let Some(input) = hands.done(done) {
                        break input;
                    }
                }
                Some((step, progress)) = progressed.recv() => {
                    break Input::ActionProgress(step, progress);
                }
                () = until(timer), if timer.is_some() => {
                    if let Some(timer) = timer.and_then(|key| hands.timers.remove(&key)) {
                        break Input::TimerFired(timer);
                    }
                }
            }
        };
    }
}

/// When a timer is due, and a number that makes it one of its kind.
type Due = (Instant, u64);

async fn until(timer: Option<Due>) {
    if let Some((instant, _)) = timer {
        sleep_until(instant).await;
    }
}

/// What a task was begun for.
struct Task {
    step: StepId,
    /// What counts when it breaks off without a word.
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
    /// Answers to records that the run has not been told yet.
    recorded: VecDeque<Input>,
}

impl<E: StateStore, F: FnMut(EventEnvelope)> Driver<E, F> {
    /// Does everything in its order; gives the outcome when that is the end.
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

    /// Writes a record down, while everything else goes on and is heard of afterwards.
    async fn record(&mut self, record: &JournalRecord) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if let JournalRecord::Finished { .. } = record {
            // Without an answer the ids that are recorded stay as they are.
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
            rehearsal: false,
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
            cause: "it broke off".to_owned(),
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
                    // Nobody listens any more: the run is over.
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
        let broken = answered(ProbeResult::Pending("the question broke off".to_owned()));
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

    /// A task has ended: what does that say? Nothing when it was called off.
    fn done(&mut self, done: Result<(Id, Input), JoinError>) -> Option<Input> {
        match done {
            Ok((id, input)) => self.running.remove(&id).map(|_| input),
            Err(error) => self.running.remove(&error.id()).map(|task| task.broken),
        }
    }

    /// Begins to listen to the engine, for as long as the run lasts.
    async fn listen(&mut self, project: ProjectName, notices: UnboundedSender<Input>) -> Input {
        let (ready, listening) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        // Not one of the tasks that are waited for: it ends with the receiver.
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
                cause: "it broke off".to_owned(),
            }),
        }
    }
}

/// What is known about a container; `None`: it is gone, or the engine does not tell after several
/// tries. A look that took too long says nothing about the container.
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

/// Passes on what happens to the project's containers. When the engine breaks off, listens again.
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
