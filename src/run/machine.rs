//! The machine of a run: what is done next, given what happened.
//!
//! Performs no I/O, reads no clock, spawns nothing: time comes in as a value with each input, and
//! what is to be done goes out as data. Gates are in `gates`, the way back in `retreat`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    time::Duration,
};

use super::{
    gate::Wait,
    message::{Effect, Input, TimerId},
    outcome::Cause,
    phase::{Awaited, Course, Inquiry, Phase},
    schedule::{Part, Schedule},
    settings::Settings,
    time::Again,
};
use crate::{
    engine::Happening,
    event::{Event, Verdict},
    journal::Record,
    journal::Writer,
    name::{ContainerName, ProjectName, ServiceName},
    plan::{Plan, Split, StepId, WayBack},
};

/// Carries out a plan. See the module's text.
#[derive(Debug)]
pub struct Run {
    pub(super) settings: Settings,
    pub(super) plan: Plan,
    pub(super) schedule: Schedule,
    pub(super) course: Course,
    pub(super) phase: Phase,
    /// Steps that are written down before they begin.
    pub(super) intents: BTreeSet<StepId>,
    /// What waits for records, in their order.
    pub(super) awaited: VecDeque<Awaited>,
    /// The last record is not to be written: another run has to go on from here.
    pub(super) resumable: bool,
    /// Since the run's start, as told with the last input.
    pub(super) now: Duration,
    /// Actions in flight.
    pub(super) acting: BTreeSet<StepId>,
    /// Steps that wait for what is left to end by itself.
    pub(super) draining: BTreeSet<StepId>,
    /// Steps that have failed for a reason that may pass, and are tried again.
    pub(super) again: BTreeMap<StepId, Again>,
    /// The engine was gone for a while since the last plan was made.
    pub(super) was_away: bool,
    /// Gates and checks that are open.
    pub(super) waits: BTreeMap<StepId, Wait>,
    /// Containers that are being looked at.
    pub(super) inquiries: BTreeMap<StepId, Inquiry>,
    /// Containers whose gate has passed and that are to stay well, with the gate's step.
    pub(super) guarded: BTreeMap<ContainerName, StepId>,
    /// Containers that the run has started.
    pub(super) begun: BTreeSet<ContainerName>,
    /// What was noticed of containers since their start, before their gate was opened.
    pub(super) heard: BTreeMap<ContainerName, Vec<Happening>>,
    /// Steps of the way forward that may have changed the world.
    pub(super) attempted: BTreeSet<StepId>,
    pub(super) cause: Option<Cause>,
    /// Services that failed after they had been ready, where only a part goes back.
    pub(super) lost: BTreeSet<ServiceName>,
    /// Who has gone, or goes, back, where others stay.
    pub(super) split: Option<Split>,
    /// New containers that failed.
    pub(super) failed: BTreeSet<ContainerName>,
    /// When somebody first asked the run to stop.
    pub(super) interrupted_at: Option<Duration>,
    pub(super) settled_for: Duration,
    /// When everything has stayed ready for long enough.
    pub(super) settled_at: Duration,
    /// When everything was asked once more, and how long that took.
    pub(super) confirming_since: Duration,
    pub(super) confirmed_for: Duration,
    /// Some container was started or stopped.
    pub(super) touched: bool,
    pub(super) left: Vec<String>,
    pub(super) kept_volumes: Vec<String>,
    pub(super) kept_containers: Vec<ContainerName>,
    /// Jobs that were started and are not undone.
    pub(super) irreversible_jobs: Vec<ServiceName>,
    pub(super) effects: Vec<Effect>,
}

impl Run {
    /// A run that has not begun: give it [`Input::Begin`].
    #[must_use]
    pub fn new(plan: Plan, settings: Settings) -> Self {
        let mut schedule = Schedule::default();
        schedule.append(plan.clone(), None);
        Self {
            settings,
            intents: plan.intents(),
            plan,
            schedule,
            course: Course::Forward,
            phase: Phase::Idle,
            awaited: VecDeque::new(),
            resumable: false,
            now: Duration::ZERO,
            acting: BTreeSet::new(),
            draining: BTreeSet::new(),
            again: BTreeMap::new(),
            was_away: false,
            waits: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            guarded: BTreeMap::new(),
            begun: BTreeSet::new(),
            heard: BTreeMap::new(),
            attempted: BTreeSet::new(),
            cause: None,
            lost: BTreeSet::new(),
            split: None,
            failed: BTreeSet::new(),
            interrupted_at: None,
            settled_for: Duration::ZERO,
            settled_at: Duration::ZERO,
            confirming_since: Duration::ZERO,
            confirmed_for: Duration::ZERO,
            touched: false,
            left: Vec::new(),
            kept_volumes: Vec::new(),
            kept_containers: Vec::new(),
            irreversible_jobs: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// A run that goes the way back of one that was cut off, for this reason.
    #[must_use]
    pub fn back(back: WayBack, cause: String, settings: Settings) -> Self {
        let mut run = Self::new(Plan::default(), settings);
        run.course = Course::Back(cause);
        run.touched = back.touches_running();
        run.left = back.lost;
        run.kept_volumes = back.kept_volumes;
        run.schedule.append(back.plan, Some(&back.after));
        run
    }

    /// A run that goes on from the commit of one that was cut off: every step of the plan is one
    /// of after the commit. `split`: only a part was committed.
    #[must_use]
    pub fn onward(plan: Plan, split: Option<Split>, settings: Settings) -> Self {
        Self {
            course: Course::Onward,
            split,
            ..Self::new(plan, settings)
        }
    }

    /// The writer of its journal, which is the loop's from then on.
    pub fn take_journal(&mut self) -> Option<Writer> {
        self.settings.journal.clone()
    }

    /// The project whose run it is.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        &self.settings.project
    }

    /// Whether it has to hear what happens to containers. A run that only asks is told by the
    /// answers; listening would cost it more than all its questions.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.course != Course::Forward || !self.plan.changes_nothing()
    }

    /// Takes in what happened at `now`, since the run's start; says what is to be done.
    pub fn on(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        self.now = self.now.max(now);
        match input {
            Input::Begin => self.begin(),
            Input::Deaf(error) => {
                self.cause = Some(Cause::Deaf(error));
                self.finish(Verdict::Untouched);
            }
            Input::Finished(step, result) => self.finished(step, result),
            Input::Progressed(step, progress) => self.progressed(step, progress),
            Input::Answered {
                step,
                question,
                answer,
            } => self.answered(step, question, answer),
            Input::ClientsGone(step) => self.drained(step),
            Input::Examined(step, evidence) => self.examined(step, evidence),
            Input::Recorded(result) => self.recorded(result),
            Input::Elapsed(timer) => self.elapsed(timer),
            Input::Noticed(notice) => self.noticed(notice),
            Input::Rewatched => self.look_again(),
            Input::Interrupted => self.interrupted(),
        }
        self.advance();
        mem::take(&mut self.effects)
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }

    fn begin(&mut self) {
        if self.phase != Phase::Idle {
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
                .push(Effect::Sleep(TimerId::Deadline, deadline));
        }
        self.open_journal();
    }

    /// Does whatever can be done now.
    fn advance(&mut self) {
        loop {
            match self.phase {
                Phase::Forward | Phase::Cleanup | Phase::Back => {
                    let cap = self.settings.images_at_a_time;
                    let ready = self.schedule.take_ready(cap, self.now);
                    if ready.is_empty() {
                        if self.schedule.open() > 0 || !self.inquiries.is_empty() {
                            return;
                        }
                        self.part_done();
                    }
                    self.start_all(ready);
                }
                Phase::Settling { over: true } if self.inquiries.is_empty() => self.confirm(),
                Phase::Confirming if self.waits.is_empty() && self.inquiries.is_empty() => {
                    self.commit();
                }
                Phase::Draining if self.acting.is_empty() && self.inquiries.is_empty() => {
                    self.go_back();
                }
                Phase::Idle
                | Phase::Opening
                | Phase::Settling { .. }
                | Phase::Confirming
                | Phase::Committing
                | Phase::Draining
                | Phase::Over => return,
            }
        }
    }

    fn part_done(&mut self) {
        match self.phase {
            Phase::Forward if self.cause.is_some() => self.go_back_in_part(),
            Phase::Forward => self.settle(),
            Phase::Cleanup if self.was_away => self.leave_to_recovery(),
            Phase::Cleanup if self.split.is_some() => self.finish(Verdict::RolledBack),
            Phase::Cleanup => {
                let changed = self.course == Course::Onward || !self.plan.changes_nothing();
                self.finish(if changed {
                    Verdict::Converged
                } else {
                    Verdict::Unchanged
                });
            }
            Phase::Back => self.is_back(),
            Phase::Idle
            | Phase::Opening
            | Phase::Settling { .. }
            | Phase::Confirming
            | Phase::Committing
            | Phase::Draining
            | Phase::Over => {}
        }
    }

    fn commit(&mut self) {
        self.confirmed_for = self.now.saturating_sub(self.confirming_since);
        self.phase = Phase::Committing;
        let split = self.split.clone();
        self.record(Record::Committed { split }, Awaited::Commit);
    }

    /// The commit is written down.
    pub(super) fn committed(&mut self) {
        if self.split.is_some() {
            self.conclude_part();
        } else if self.undoes() && !self.plan.changes_nothing() {
            self.emit(Event::Committed);
        }
        self.phase = Phase::Cleanup;
        self.schedule.turn(Part::Cleanup);
    }

    fn elapsed(&mut self, timer: TimerId) {
        match timer {
            TimerId::Step(step, pause) => self.wait_elapsed(step, pause),
            TimerId::Drain(step) => self.drained(step),
            TimerId::Again(step) => self.try_again(step),
            TimerId::Settle => {
                // A part that was rolled back in between begins to settle again.
                let enough = self.now >= self.settled_at;
                if let Phase::Settling { over } = &mut self.phase {
                    *over = enough;
                }
            }
            TimerId::Deadline => {
                if let Some(deadline) = self.settings.deadline {
                    self.fail(Cause::Deadline(deadline));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Answer, EngineError, Evidence, Notice},
        event::{Purpose, Response},
        plan::{Action, Reason, Step, Subject},
        project::{Gate, Probe},
        run::{OnFailure, Settle, gate::Pause},
        state::{Condition, State, Status},
    };

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn name(name: &str) -> ContainerName {
        ContainerName::new(name).unwrap()
    }

    fn started(container: &str) -> Step {
        let action = Action::StartContainer(name(container));
        Step::act(action, Subject::Project, Reason::Missing)
    }

    fn asked(container: &str, need: usize) -> Step {
        let gate = Gate {
            probes: vec![Probe::Tcp { port: 80 }],
            within: ms(1000),
            settle: Duration::ZERO,
        };
        let work = crate::plan::Work::Gate {
            container: name(container),
            gate,
        };
        let needs = BTreeSet::from([StepId(need)]);
        Step {
            needs,
            ..Step::new(work, Subject::Project, Reason::Missing)
        }
    }

    fn run(steps: Vec<Step>, settle: Duration) -> Run {
        let settings = Settings {
            project: ProjectName::new("shop").unwrap(),
            verb: "up".to_owned(),
            services: Vec::new(),
            purpose: Purpose::Project,
            origin: State::default(),
            on_failure: OnFailure::GoBack,
            keep_failed: false,
            settle: Settle::For(settle),
            deadline: None,
            journal: None,
            images_at_a_time: None,
        };
        Run::new(Plan { steps }, settings)
    }

    /// What is wanted besides events, in short.
    fn told(run: &mut Run, at: u64, input: Input) -> Vec<String> {
        let short = |effect: Effect| match effect {
            Effect::Emit(_) => None,
            Effect::Record(record) => Some(format!("record {record:?}")),
            Effect::Perform(id, action) => {
                Some(format!("{}: {} {}", id.0, action.verb(), action.object()))
            }
            Effect::Probe { step, patience, .. } => Some(format!("{}: ask {patience:?}", step.0)),
            Effect::Check { step, .. } => Some(format!("{}: check", step.0)),
            Effect::Examine(step, container) => Some(format!("{}: examine {container}", step.0)),
            Effect::AwaitClientsGone {
                step, container, ..
            } => Some(format!("{}: await end of clients of {container}", step.0)),
            Effect::Sleep(TimerId::Step(step, pause), duration) => {
                Some(format!("{}: sleep {pause:?} {duration:?}", step.0))
            }
            Effect::Sleep(timer, duration) => Some(format!("sleep {timer:?} {duration:?}")),
            Effect::Cancel(step) => Some(format!("{}: cancel", step.0)),
            Effect::Finish(outcome) => Some(format!("finish {:?}", outcome.verdict)),
        };
        run.on(ms(at), input)
            .into_iter()
            .filter_map(short)
            .collect()
    }

    fn done(step: usize) -> Input {
        Input::Finished(StepId(step), Ok(()))
    }

    fn ready(step: usize) -> Input {
        let answer = Answer::Ready("connected".to_owned());
        Input::Answered {
            step: StepId(step),
            question: 0,
            answer,
        }
    }

    fn died(container: &str) -> Input {
        let what = Happening::Died { exit_code: 1 };
        Input::Noticed(Notice {
            container: name(container),
            what,
        })
    }

    fn looked(step: usize, status: Status) -> Input {
        let condition = Condition {
            status,
            exit_code: Some(1),
            ..Condition::default()
        };
        Input::Examined(
            StepId(step),
            Some(Evidence {
                condition,
                ..Evidence::default()
            }),
        )
    }

    #[test]
    fn a_run_of_nothing_is_over_at_once() {
        let mut run = run(Vec::new(), ms(1000));
        assert_eq!(told(&mut run, 0, Input::Begin), ["finish Unchanged"]);
        assert!(told(&mut run, 1, Input::Interrupted).is_empty());
    }

    #[test]
    fn a_run_starts_asks_settles_and_ends() {
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
            ["1: cancel", "sleep Settle 500ms"]
        );
        let settled = Input::Elapsed(TimerId::Settle);
        assert_eq!(
            told(&mut run, 520, settled),
            ["1: sleep Deadline 1s", "1: ask 1s", "1: examine web"]
        );
        assert!(told(&mut run, 521, ready(1)).is_empty());
        let alive = looked(1, Status::Running);
        assert_eq!(told(&mut run, 522, alive), ["finish Converged"]);
    }

    /// A run at the point at which it asks its only gate once more.
    fn confirming() -> Run {
        let mut run = run(vec![started("web"), asked("web", 0)], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, ready(1));
        run
    }

    #[test]
    fn container_that_exits_after_its_gate_fails_the_run() {
        let mut run = confirming();
        assert!(told(&mut run, 25, ready(1)).is_empty());
        let end = told(&mut run, 26, looked(1, Status::Exited));
        assert_eq!(end, ["2: stopping container web"]);
    }

    #[test]
    fn gate_that_does_not_pass_again_fails_the_run() {
        let mut run = confirming();
        told(&mut run, 25, looked(1, Status::Running));
        let refused = Input::Answered {
            step: StepId(1),
            question: 0,
            answer: Answer::NotYet("refused".to_owned()),
        };
        let again = Input::Elapsed(TimerId::Step(StepId(1), Pause::Retry(0)));
        assert!(told(&mut run, 26, refused)[0].starts_with("1: sleep Retry"));
        assert_eq!(told(&mut run, 31, again), ["1: ask 989ms"]);
        let late = Input::Elapsed(TimerId::Step(StepId(1), Pause::Deadline));
        let end = told(&mut run, 1025, late);
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn confirmation_survives_a_lost_subscription() {
        let mut run = confirming();
        // Both the gate and the monitor want the container to be looked at.
        assert_eq!(told(&mut run, 21, Input::Rewatched), ["1: examine web"]);
        // The first answer may be older than what made the gate doubt.
        let first = told(&mut run, 22, looked(1, Status::Running));
        assert_eq!(first, ["1: examine web"]);
        assert!(told(&mut run, 22, looked(1, Status::Running)).is_empty());
        let end = told(&mut run, 23, ready(1));
        assert_eq!(end, ["finish Converged"]);
    }

    #[test]
    fn answer_older_than_the_end_of_a_container_does_not_confirm_it() {
        let mut run = confirming();
        assert_eq!(told(&mut run, 21, died("web")), ["1: examine web"]);
        assert!(told(&mut run, 22, ready(1)).is_empty());
        told(&mut run, 23, looked(1, Status::Running));
        let end = told(&mut run, 24, looked(1, Status::Exited));
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn interruption_during_the_confirmation_rolls_back() {
        let mut run = confirming();
        let end = told(&mut run, 21, Input::Interrupted);
        assert_eq!(end, ["1: cancel", "2: stopping container web"]);
    }

    #[test]
    fn an_end_before_the_gate_is_opened_is_not_forgotten() {
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
    fn the_settle_phase_ends_only_when_no_look_is_under_way() {
        let mut run = run(vec![started("web"), asked("web", 0)], ms(500));
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, ready(1));
        assert_eq!(told(&mut run, 519, died("web")), ["1: examine web"]);
        assert!(told(&mut run, 520, Input::Elapsed(TimerId::Settle)).is_empty());
        assert_eq!(
            told(&mut run, 525, looked(1, Status::Exited)),
            ["2: stopping container web"]
        );
    }

    #[test]
    fn what_is_in_flight_is_waited_for_before_the_way_back() {
        let steps = vec![started("web"), asked("web", 0), started("db")];
        let mut run = run(steps, Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        let late = Input::Elapsed(TimerId::Step(StepId(1), Pause::Deadline));
        assert_eq!(told(&mut run, 1010, late), ["1: cancel", "1: examine web"]);
        assert!(told(&mut run, 1011, looked(1, Status::Running)).is_empty());
        let lost = EngineError::Gone {
            what: "the answer".to_owned(),
        };
        // The action that failed may have had its effect: it is undone too.
        assert_eq!(
            told(&mut run, 1020, Input::Finished(StepId(2), Err(lost))),
            ["3: stopping container db", "4: stopping container web"]
        );
        assert!(told(&mut run, 1030, done(3)).is_empty());
        assert_eq!(told(&mut run, 1040, done(4)), ["finish RolledBack"]);
    }

    #[test]
    fn a_later_interruption_leaves_the_rollback_to_recovery() {
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
        assert_eq!(outcome.verdict, Verdict::RollbackInterrupted);
        assert_eq!(outcome.left, Vec::<String>::new());
        assert_eq!(outcome.cause, Some(Cause::Interrupted));
    }

    #[test]
    fn an_interrupted_rollback_with_a_failed_step_needs_an_operator() {
        let mut run = run(vec![started("web"), started("db")], Duration::ZERO);
        told(&mut run, 0, Input::Begin);
        told(&mut run, 10, done(0));
        told(&mut run, 20, Input::Interrupted);
        told(&mut run, 25, done(1));
        let refused = EngineError::Gone {
            what: "the answer".to_owned(),
        };
        told(&mut run, 30, Input::Finished(StepId(2), Err(refused)));
        let effects = run.on(ms(3000), Input::Interrupted);
        let Some(Effect::Finish(outcome)) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.verdict, Verdict::Stuck);
        assert_eq!(outcome.left.len(), 1, "{:?}", outcome.left);
    }

    #[test]
    fn a_removal_goes_on_after_a_failure_and_names_what_is_left() {
        let remove = |action| Step::act(action, Subject::Project, Reason::Down);
        let needing = |step: Step, need| Step {
            needs: BTreeSet::from([StepId(need)]),
            ..step
        };
        let steps = vec![
            remove(Action::RemoveContainer(name("db"))),
            remove(Action::RemoveContainer(name("web"))),
            needing(remove(Action::RemoveNetwork("back".to_owned())), 0),
            needing(remove(Action::RemoveNetwork("edge".to_owned())), 1),
        ];
        let mut run = run(steps, Duration::ZERO);
        run.settings.on_failure = OnFailure::GoOn;
        told(&mut run, 0, Input::Begin);
        let refused = EngineError::Refused {
            verb: "removing container".to_owned(),
            object: "db".to_owned(),
            status: 500,
            message: "busy".to_owned(),
        };
        told(&mut run, 10, Input::Finished(StepId(0), Err(refused)));
        assert_eq!(told(&mut run, 20, done(1)), ["3: removing network edge"]);
        let effects = run.on(ms(30), done(3));
        let Some(Effect::Finish(outcome)) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.verdict, Verdict::RemovalIncomplete);
        assert_eq!(outcome.left, ["container `db`", "network `back`"]);
    }

    #[test]
    fn a_removal_commits_nothing() {
        let mut run = run(vec![started("web")], Duration::ZERO);
        run.settings.on_failure = OnFailure::GoOn;
        told(&mut run, 0, Input::Begin);
        let effects = run.on(ms(10), done(0));
        assert!(
            !effects.contains(&Effect::Emit(Event::Committed)),
            "{effects:?}"
        );
    }

    #[test]
    fn a_run_that_cannot_listen_touches_nothing() {
        let mut run = run(vec![started("web")], Duration::ZERO);
        let deaf = Input::Deaf(EngineError::Gone {
            what: "the engine".to_owned(),
        });
        assert_eq!(told(&mut run, 0, deaf), ["finish Untouched"]);
    }
}
