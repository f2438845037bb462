//! The state machine of a run: decides what to do next after each input.
//!
//! It performs no I/O, reads no clock and spawns no tasks. The time is a value of each input, and
//! the work to do is returned as data. Gates are in `gate_steps`, the rollback is in `rollback`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    time::Duration,
};

use super::{
    gate::GateMachine,
    message::{Effect, Input, TimerId},
    phase::{InspectReason, Mode, PendingRecord, Phase},
    retry::RetryState,
    schedule::{Schedule, Stage},
    settings::Settings,
    summary::Cause,
};
use crate::{
    engine::ContainerEventKind,
    event::{Event, Outcome},
    journal::JournalRecord,
    journal::Writer,
    name::{ContainerName, ProjectName, ServiceName},
    plan::{PartialCommit, Plan, RollbackPlan, StepId},
};

/// Carries out a plan. See the module documentation.
#[derive(Debug)]
pub struct Run {
    pub(super) settings: Settings,
    pub(super) plan: Plan,
    pub(super) schedule: Schedule,
    pub(super) course: Mode,
    pub(super) phase: Phase,
    /// Steps that are recorded in the journal before they start.
    pub(super) journaled_steps: BTreeSet<StepId>,
    /// Work that waits for journal records, in the order of the records.
    pub(super) pending: VecDeque<PendingRecord>,
    /// The `Finished` record must not be written: another run has to continue from here.
    pub(super) resumable: bool,
    /// Time since the start of the run, as of the last input.
    pub(super) now: Duration,
    /// Steps with a running action.
    pub(super) running: BTreeSet<StepId>,
    /// Steps that drain connections.
    pub(super) draining: BTreeSet<StepId>,
    /// Steps that failed for a temporary reason and are retried.
    pub(super) retries: BTreeMap<StepId, RetryState>,
    /// The engine was unavailable since the last plan was made.
    pub(super) engine_restarted: bool,
    /// Open gates and checks.
    pub(super) open_gates: BTreeMap<StepId, GateMachine>,
    /// Running inspections.
    pub(super) inspections: BTreeMap<StepId, InspectReason>,
    /// Containers whose gate has passed and that have to stay ready, with the step of the gate.
    pub(super) watched: BTreeMap<ContainerName, StepId>,
    /// Containers that the run has started.
    pub(super) started_containers: BTreeSet<ContainerName>,
    /// Events of containers since their start, before their gate was opened.
    pub(super) early_events: BTreeMap<ContainerName, Vec<ContainerEventKind>>,
    /// Steps of the deploy that may have had an effect.
    pub(super) attempted: BTreeSet<StepId>,
    pub(super) cause: Option<Cause>,
    /// Services that became unhealthy after ready, if only a part of the deploy is rolled back.
    pub(super) regressed_services: BTreeSet<ServiceName>,
    /// Services that are rolled back and services that are committed, in a partial rollback.
    pub(super) split: Option<PartialCommit>,
    /// New containers that failed.
    pub(super) failed: BTreeSet<ContainerName>,
    /// When the run was first asked to stop.
    pub(super) interrupted_at: Option<Duration>,
    pub(super) settled_for: Duration,
    /// End of the stabilization window.
    pub(super) settled_at: Duration,
    /// Start of the confirmation, and its duration.
    pub(super) confirming_since: Duration,
    pub(super) confirmed_for: Duration,
    /// A container was started or stopped.
    pub(super) affected_running: bool,
    pub(super) unfinished: Vec<String>,
    pub(super) retained_volumes: Vec<String>,
    pub(super) retained_containers: Vec<ContainerName>,
    /// Jobs that were started and are not undone.
    pub(super) irreversible_jobs: Vec<ServiceName>,
    pub(super) effects: Vec<Effect>,
}

impl Run {
    /// Creates a run that has not started. It starts with [`Input::Begin`].
    #[must_use]
    pub fn new(plan: Plan, settings: Settings) -> Self {
        let mut schedule = Schedule::default();
        schedule.append(plan.clone(), None);
        Self {
            settings,
            journaled_steps: plan.intents(),
            plan,
            schedule,
            course: Mode::Deploy,
            phase: Phase::Created,
            pending: VecDeque::new(),
            resumable: false,
            now: Duration::ZERO,
            running: BTreeSet::new(),
            draining: BTreeSet::new(),
            retries: BTreeMap::new(),
            engine_restarted: false,
            open_gates: BTreeMap::new(),
            inspections: BTreeMap::new(),
            watched: BTreeMap::new(),
            started_containers: BTreeSet::new(),
            early_events: BTreeMap::new(),
            attempted: BTreeSet::new(),
            cause: None,
            regressed_services: BTreeSet::new(),
            split: None,
            failed: BTreeSet::new(),
            interrupted_at: None,
            settled_for: Duration::ZERO,
            settled_at: Duration::ZERO,
            confirming_since: Duration::ZERO,
            confirmed_for: Duration::ZERO,
            affected_running: false,
            unfinished: Vec::new(),
            retained_volumes: Vec::new(),
            retained_containers: Vec::new(),
            irreversible_jobs: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Creates a run that rolls back an interrupted deploy, for this reason.
    #[must_use]
    pub fn rollback(back: RollbackPlan, cause: String, settings: Settings) -> Self {
        let mut run = Self::new(Plan::default(), settings);
        run.course = Mode::Rollback(cause);
        run.affected_running = back.touches_running();
        run.unfinished = back.lost;
        run.retained_volumes = back.kept_volumes;
        run.schedule.append(back.plan, Some(&back.after));
        run
    }

    /// Creates a run that completes an interrupted deploy after its commit. Every step of the plan
    /// is a cleanup step. `split`: only a part was committed.
    #[must_use]
    pub fn roll_forward(plan: Plan, split: Option<PartialCommit>, settings: Settings) -> Self {
        Self {
            course: Mode::RollForward,
            split,
            ..Self::new(plan, settings)
        }
    }

    /// Returns the journal writer, which the driver uses from then on.
    pub fn take_journal(&mut self) -> Option<Writer> {
        self.settings.journal.clone()
    }

    /// Returns the name of the project.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        &self.settings.project
    }

    /// Whether the run needs the engine's container events. A run that only probes learns
    /// everything from the results; a subscription would cost more than all of its probes.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.course != Mode::Deploy || !self.plan.changes_nothing()
    }

    /// Processes an input that happened at `now`, the time since the start of the run. Returns the
    /// effects to perform, in order.
    pub fn on(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        if self.phase == Phase::Finished {
            return Vec::new();
        }
        self.now = self.now.max(now);
        match input {
            Input::Begin => self.begin(),
            Input::WatchFailed(error) => {
                self.cause = Some(Cause::WatchFailed(error));
                self.finish(Outcome::Aborted);
            }
            Input::ActionFinished(step, result) => self.finished(step, result),
            Input::ActionProgress(step, progress) => self.progressed(step, progress),
            Input::ProbeAnswered {
                step,
                question,
                answer,
            } => self.answered(step, question, answer),
            Input::ClientsGone(step) => self.drained(step),
            Input::Inspected(step, evidence) => self.inspected(step, evidence),
            Input::JournalWritten(result) => self.recorded(result),
            Input::TimerFired(timer) => self.elapsed(timer),
            Input::ContainerEvent(notice) => self.noticed(notice),
            Input::WatchResumed => self.reinspect_all(),
            Input::Interrupted => self.interrupted(),
        }
        self.advance();
        mem::take(&mut self.effects)
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }

    fn begin(&mut self) {
        if self.phase != Phase::Created {
            return;
        }
        self.emit(Event::RunStarted {
            project: self.settings.project.clone(),
            verb: self.settings.verb.clone(),
            services: self.settings.services.clone(),
            purpose: self.settings.purpose,
        });
        if let Some(deadline) = self.settings.deadline {
            self.effects
                .push(Effect::StartTimer(TimerId::Deadline, deadline));
        }
        self.open_journal();
    }

    /// Starts everything that can start now.
    fn advance(&mut self) {
        loop {
            match self.phase {
                Phase::Deploying | Phase::CleaningUp | Phase::RollingBack => {
                    let cap = self.settings.images_at_a_time;
                    let ready = self.schedule.take_ready(cap, self.now);
                    if ready.is_empty() {
                        if self.schedule.open() > 0 || !self.inspections.is_empty() {
                            return;
                        }
                        self.stage_done();
                    }
                    self.start_all(ready);
                }
                Phase::Stabilizing { over: true } if self.inspections.is_empty() => self.confirm(),
                Phase::Confirming if self.open_gates.is_empty() && self.inspections.is_empty() => {
                    self.commit();
                }
                Phase::Aborting if self.running.is_empty() && self.inspections.is_empty() => {
                    self.start_rollback_if_idle();
                }
                Phase::Created
                | Phase::OpeningJournal
                | Phase::Stabilizing { .. }
                | Phase::Confirming
                | Phase::Committing
                | Phase::Aborting
                | Phase::Finished => return,
            }
        }
    }

    fn stage_done(&mut self) {
        match self.phase {
            Phase::Deploying if self.cause.is_some() => self.rollback_failed_subtree(),
            Phase::Deploying => self.settle(),
            Phase::CleaningUp if self.engine_restarted => self.defer_to_recovery(),
            Phase::CleaningUp if self.split.is_some() => self.finish(Outcome::RolledBack),
            Phase::CleaningUp => {
                let changed = self.course == Mode::RollForward || !self.plan.changes_nothing();
                self.finish(if changed {
                    Outcome::Converged
                } else {
                    Outcome::Unchanged
                });
            }
            Phase::RollingBack => self.rollback_finished(),
            Phase::Created
            | Phase::OpeningJournal
            | Phase::Stabilizing { .. }
            | Phase::Confirming
            | Phase::Committing
            | Phase::Aborting
            | Phase::Finished => {}
        }
    }

    fn commit(&mut self) {
        self.confirmed_for = self.now.saturating_sub(self.confirming_since);
        self.phase = Phase::Committing;
        let split = self.split.clone();
        self.record(JournalRecord::Committed { split }, PendingRecord::Commit);
    }

    /// Continues after the commit record has been written.
    pub(super) fn committed(&mut self) {
        if self.split.is_some() {
            self.conclude_part();
        } else if self.undoes() && !self.plan.changes_nothing() {
            self.emit(Event::Committed);
        }
        self.phase = Phase::CleaningUp;
        self.schedule.turn(Stage::Cleanup);
    }

    fn elapsed(&mut self, timer: TimerId) {
        match timer {
            TimerId::Step(step, pause) => self.wait_elapsed(step, pause),
            TimerId::Drain(step) => self.drained(step),
            TimerId::Retry(step) => self.try_again(step),
            TimerId::Stabilization => {
                // A partial rollback restarts the stabilization window, so this timer may be an
                // older one.
                let enough = self.now >= self.settled_at;
                if let Phase::Stabilizing { over } = &mut self.phase {
                    *over = enough;
                }
            }
            TimerId::Deadline => {
                if let Some(deadline) = self.settings.deadline {
                    self.abort(Cause::Deadline(deadline));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{ContainerEvent, EngineError, Inspection, ProbeResult},
        event::{Purpose, Response},
        plan::{Action, Reason, Step, Subject},
        project::{Gate, Probe},
        run::{FailurePolicy, Stabilization, gate::GateTimer},
        state::{ContainerStatus, State, Status},
    };

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn name(name: &str) -> ContainerName {
        ContainerName::new(name).unwrap()
    }

    fn started(container: &str) -> Step {
        let action = Action::StartContainer(name(container));
        Step::act(action, Subject::Project, Reason::NotFound)
    }

    fn asked(container: &str, need: usize) -> Step {
        let gate = Gate {
            probes: vec![Probe::Tcp { port: 80 }],
            timeout: ms(1000),
            stabilize: Duration::ZERO,
        };
        let work = crate::plan::StepKind::AwaitReady {
            container: name(container),
            gate,
        };
        let needs = BTreeSet::from([StepId(need)]);
        Step {
            requires: needs,
            ..Step::new(work, Subject::Project, Reason::NotFound)
        }
    }

    fn run(steps: Vec<Step>, settle: Duration) -> Run {
        let settings = Settings {
            project: ProjectName::new("shop").unwrap(),
            verb: "up".to_owned(),
            services: Vec::new(),
            purpose: Purpose::Project,
            origin: State::default(),
            on_failure: FailurePolicy::RollbackAll,
            keep_failed: false,
            stabilization: Stabilization::For(settle),
            deadline: None,
            journal: None,
            images_at_a_time: None,
        };
        Run::new(Plan { steps }, settings)
    }

    /// Returns the effects other than events, in short.
    fn told(run: &mut Run, at: u64, input: Input) -> Vec<String> {
        let short = |effect: Effect| match effect {
            Effect::Emit(_) => None,
            Effect::WriteJournal(record) => Some(format!("record {record:?}")),
            Effect::Perform(id, action) => {
                Some(format!("{}: {} {}", id.0, action.verb(), action.object()))
            }
            Effect::Probe { step, patience, .. } => Some(format!("{}: ask {patience:?}", step.0)),
            Effect::Check { step, .. } => Some(format!("{}: check", step.0)),
            Effect::Inspect(step, container) => Some(format!("{}: examine {container}", step.0)),
            Effect::AwaitClientsGone {
                step, container, ..
            } => Some(format!("{}: await end of clients of {container}", step.0)),
            Effect::StartTimer(TimerId::Step(step, pause), duration) => {
                Some(format!("{}: sleep {pause:?} {duration:?}", step.0))
            }
            Effect::StartTimer(timer, duration) => Some(format!("sleep {timer:?} {duration:?}")),
            Effect::Cancel(step) => Some(format!("{}: cancel", step.0)),
            Effect::Finish(outcome) => Some(format!("finish {:?}", outcome.outcome)),
        };
        run.on(ms(at), input)
            .into_iter()
            .filter_map(short)
            .collect()
    }

    fn done(step: usize) -> Input {
        Input::ActionFinished(StepId(step), Ok(()))
    }

    fn ready(step: usize) -> Input {
        let answer = ProbeResult::Passed("connected".to_owned());
        Input::ProbeAnswered {
            step: StepId(step),
            question: 0,
            answer,
        }
    }

    fn died(container: &str) -> Input {
        let what = ContainerEventKind::Died { exit_code: 1 };
        Input::ContainerEvent(ContainerEvent {
            container: name(container),
            what,
        })
    }

    fn looked(step: usize, status: Status) -> Input {
        let condition = ContainerStatus {
            status,
            exit_code: Some(1),
            ..ContainerStatus::default()
        };
        Input::Inspected(
            StepId(step),
            Some(Inspection {
                condition,
                ..Inspection::default()
            }),
        )
    }

    #[test]
    fn empty_run_finishes_unchanged() {
        let mut run = run(Vec::new(), ms(1000));
        assert_eq!(told(&mut run, 0, Input::Begin), ["finish Unchanged"]);
        assert!(told(&mut run, 1, Input::Interrupted).is_empty());
    }

    #[test]
    fn run_starts_probes_stabilizes_and_converges() {
        let mut run = run(vec![started("web"), asked("web", 0)], ms(500));
        assert_eq!(
            told(&mut run, 0, Input::Begin),
            ["0: starting container web"]
        );
        assert_eq!(
            told(&mut run, 10, done(0)),
            ["1: sleep Deadline 1s", "1: ask 1s"]
        );
        assert_eq!(
            told(&mut run, 20, ready(1)),
            ["1: cancel", "sleep Stabilization 500ms"]
        );
        let settled = Input::TimerFired(TimerId::Stabilization);
        assert_eq!(
            told(&mut run, 520, settled),
            ["1: sleep Deadline 1s", "1: ask 1s", "1: examine web"]
        );
        assert!(told(&mut run, 521, ready(1)).is_empty());
        let alive = looked(1, Status::Running);
        assert_eq!(told(&mut run, 522, alive), ["finish Converged"]);
    }

    /// Returns a run that is confirming its only gate.
    fn confirming() -> Run {
        let mut run = run(vec![started("web"), asked("web", 0)], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, ready(1));
        run
    }

    #[test]
    fn exit_after_ready_fails_run() {
        let mut run = confirming();
        assert!(told(&mut run, 25, ready(1)).is_empty());
        let end = told(&mut run, 26, looked(1, Status::Exited));
        assert_eq!(end, ["2: stopping container web"]);
    }

    #[test]
    fn unconfirmed_gate_fails_run() {
        let mut run = confirming();
        told(&mut run, 25, looked(1, Status::Running));
        let refused = Input::ProbeAnswered {
            step: StepId(1),
            question: 0,
            answer: ProbeResult::Pending("refused".to_owned()),
        };
        let again = Input::TimerFired(TimerId::Step(StepId(1), GateTimer::Retry(0)));
        assert!(told(&mut run, 26, refused)[0].starts_with("1: sleep Retry"));
        assert_eq!(told(&mut run, 31, again), ["1: ask 989ms"]);
        let late = Input::TimerFired(TimerId::Step(StepId(1), GateTimer::Deadline));
        let end = told(&mut run, 1025, late);
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn confirmation_survives_lost_event_subscription() {
        let mut run = confirming();
        // Both the gate and the monitor request an inspection of the container.
        assert_eq!(told(&mut run, 21, Input::WatchResumed), ["1: examine web"]);
        // The first result may be older than the event that caused the suspicion.
        let first = told(&mut run, 22, looked(1, Status::Running));
        assert_eq!(first, ["1: examine web"]);
        assert!(told(&mut run, 22, looked(1, Status::Running)).is_empty());
        let end = told(&mut run, 23, ready(1));
        assert_eq!(end, ["finish Converged"]);
    }

    #[test]
    fn stale_inspection_does_not_confirm_exited_container() {
        let mut run = confirming();
        assert_eq!(told(&mut run, 21, died("web")), ["1: examine web"]);
        assert!(told(&mut run, 22, ready(1)).is_empty());
        told(&mut run, 23, looked(1, Status::Running));
        let end = told(&mut run, 24, looked(1, Status::Exited));
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn interruption_during_confirmation_rolls_back() {
        let mut run = confirming();
        let end = told(&mut run, 21, Input::Interrupted);
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn exit_before_gate_fails_gate() {
        let mut run = run(vec![started("web"), asked("web", 0)], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        assert!(told(&mut run, 5, died("web")).is_empty());
        assert_eq!(
            told(&mut run, 10, done(0)),
            ["1: sleep Deadline 1s", "1: ask 1s", "1: examine web"]
        );
        assert_eq!(
            told(&mut run, 12, looked(1, Status::Exited)),
            ["1: cancel", "2: stopping container web"]
        );
        assert_eq!(told(&mut run, 20, done(2)), ["finish RolledBack"]);
    }

    #[test]
    fn stabilization_waits_for_running_inspection() {
        let mut run = run(vec![started("web"), asked("web", 0)], ms(500));
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, ready(1));
        assert_eq!(told(&mut run, 519, died("web")), ["1: examine web"]);
        assert!(told(&mut run, 520, Input::TimerFired(TimerId::Stabilization)).is_empty());
        assert_eq!(
            told(&mut run, 525, looked(1, Status::Exited)),
            ["2: stopping container web"]
        );
    }

    #[test]
    fn rollback_waits_for_running_actions() {
        let steps = vec![started("web"), asked("web", 0), started("db")];
        let mut run = run(steps, Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        let late = Input::TimerFired(TimerId::Step(StepId(1), GateTimer::Deadline));
        assert_eq!(told(&mut run, 1010, late), ["1: cancel", "1: examine web"]);
        assert!(told(&mut run, 1011, looked(1, Status::Running)).is_empty());
        let lost = EngineError::NotFound {
            what: "the answer".to_owned(),
        };
        // The action that failed may have had its effect: it is undone too.
        assert_eq!(
            told(&mut run, 1020, Input::ActionFinished(StepId(2), Err(lost))),
            ["3: stopping container db", "4: stopping container web"]
        );
        assert!(told(&mut run, 1030, done(3)).is_empty());
        assert_eq!(told(&mut run, 1040, done(4)), ["finish RolledBack"]);
    }

    #[test]
    fn second_interruption_leaves_rollback_to_recovery() {
        let mut run = run(vec![started("web")], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        assert!(told(&mut run, 5, Input::Interrupted).is_empty());
        let same = run.on(ms(2004), Input::Interrupted);
        assert_eq!(same, []);
        let effects = run.on(ms(2005), Input::Interrupted);
        let response = Response::Leave;
        assert_eq!(effects[0], Effect::Emit(Event::Interrupted { response }));
        let Some(Effect::Finish(outcome)) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.outcome, Outcome::RollbackInterrupted);
        assert_eq!(outcome.unfinished, Vec::<String>::new());
        assert_eq!(outcome.cause, Some(Cause::Interrupted));
    }

    #[test]
    fn interrupted_rollback_with_failed_step_needs_operator() {
        let mut run = run(vec![started("web"), started("db")], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, Input::Interrupted);
        told(&mut run, 25, done(1));
        let refused = EngineError::NotFound {
            what: "the answer".to_owned(),
        };
        told(&mut run, 30, Input::ActionFinished(StepId(2), Err(refused)));
        let effects = run.on(ms(3000), Input::Interrupted);
        let Some(Effect::Finish(outcome)) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.outcome, Outcome::RollbackFailed);
        assert_eq!(outcome.unfinished.len(), 1, "{:?}", outcome.unfinished);
    }

    #[test]
    fn removal_continues_after_failure_and_lists_remaining() {
        let remove = |action| Step::act(action, Subject::Project, Reason::Teardown);
        let needing = |step: Step, need| Step {
            requires: BTreeSet::from([StepId(need)]),
            ..step
        };
        let steps = vec![
            remove(Action::RemoveContainer(name("db"))),
            remove(Action::RemoveContainer(name("web"))),
            needing(remove(Action::RemoveNetwork("back".to_owned())), 0),
            needing(remove(Action::RemoveNetwork("edge".to_owned())), 1),
        ];
        let mut run = run(steps, Duration::ZERO);
        run.settings.on_failure = FailurePolicy::Continue;
        told(&mut run, 0, Input::Begin);
        let refused = EngineError::Api {
            verb: "removing container".to_owned(),
            object: "db".to_owned(),
            status: 500,
            message: "busy".to_owned(),
        };
        told(&mut run, 10, Input::ActionFinished(StepId(0), Err(refused)));
        assert_eq!(told(&mut run, 20, done(1)), ["3: removing network edge"]);
        let effects = run.on(ms(30), done(3));
        let Some(Effect::Finish(outcome)) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.outcome, Outcome::RemovalIncomplete);
        assert_eq!(outcome.unfinished, ["container `db`", "network `back`"]);
    }

    #[test]
    fn removal_emits_no_commit() {
        let mut run = run(vec![started("web")], Duration::ZERO);
        run.settings.on_failure = FailurePolicy::Continue;
        told(&mut run, 0, Input::Begin);
        let effects = run.on(ms(10), done(0));
        assert!(
            !effects.contains(&Effect::Emit(Event::Committed)),
            "{effects:?}"
        );
    }

    #[test]
    fn run_without_event_subscription_changes_nothing() {
        let mut run = run(vec![started("web")], Duration::ZERO);
        let deaf = Input::WatchFailed(EngineError::NotFound {
            what: "the engine".to_owned(),
        });
        assert_eq!(told(&mut run, 0, deaf), ["finish Aborted"]);
    }
}
