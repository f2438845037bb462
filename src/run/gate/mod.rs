//! The machine of one gate: what is asked when, and when the wait is over.
//!
//! Performs no I/O and reads no clock: it is told answers, notices and the time, and says what is
//! to be done. A check of the whole is waited for by the same machine, with one question.

mod question;
mod report;

use std::time::Duration;

use self::question::{ProbeKind, ProbeState};
pub(super) use self::report::report;
use crate::{
    engine::{ContainerEventKind, Inspection, ProbeResult},
    event::{GateReport, LastAnswer, excerpt},
    name::ContainerName,
    project::{Check, Gate},
    state::Health,
};

/// How long a check is repeated until it counts as failed.
pub const CHECK_WITHIN: Duration = Duration::from_secs(30);

/// What a machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateAction {
    /// Ask this question, and wait no longer than `patience` for the answer.
    Ask {
        /// Its place among the questions.
        question: usize,
        /// The most that it may take.
        patience: Duration,
    },
    /// Tell that this question got another answer than before.
    Tell(usize),
    /// Call back after a while.
    Sleep(GateTimer, Duration),
    /// Look how the container does: it seems to have ended.
    Suspect,
    /// The wait is over: passed.
    Passed,
    /// The wait is over: failed, for this reason.
    Failed(String),
}

/// What a machine sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GateTimer {
    /// Until this question is asked again.
    Retry(usize),
    /// Until the deadline.
    Deadline,
    /// Until the container has kept running for long enough.
    Settle,
}

/// The machine of one gate or check.
#[derive(Debug)]
pub struct GateMachine {
    questions: Vec<ProbeState>,
    opened: Duration,
    within: Duration,
    settle: Duration,
    phase: Phase,
    suspicion: ExitSuspicion,
    /// The run has started the container: then it has not ended before.
    fresh: bool,
    evidence: Option<Inspection>,
}

/// Whether the container seems to have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitSuspicion {
    None,
    /// It is being looked at.
    Open,
    /// It is being looked at, and something happened since.
    Renewed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Settling,
    /// All is well, but for a suspicion.
    Well,
    Over,
}

impl GateMachine {
    /// The machine of a container's gate that is opened now; `fresh`: the run has started it.
    #[must_use]
    pub fn for_gate(gate: &Gate, fresh: bool, now: Duration) -> Self {
        let questions = gate
            .probes
            .iter()
            .map(|probe| ProbeState::new(probe.to_string(), ProbeKind::of(probe)));
        let wait = Self::new(questions.collect(), gate.timeout, gate.stabilize, now);
        Self { fresh, ..wait }
    }

    /// The machine of a check that begins now.
    #[must_use]
    pub fn for_check(check: &Check, now: Duration) -> Self {
        let question = ProbeState::new(check.to_string(), ProbeKind::Check);
        Self::new(vec![question], CHECK_WITHIN, Duration::ZERO, now)
    }

    fn new(
        questions: Vec<ProbeState>,
        within: Duration,
        settle: Duration,
        opened: Duration,
    ) -> Self {
        let ends = questions
            .iter()
            .any(|question| question.manner == ProbeKind::Exit);
        Self {
            questions,
            opened,
            within,
            // What ends cannot keep running.
            settle: if ends { Duration::ZERO } else { settle },
            phase: Phase::Asking,
            suspicion: ExitSuspicion::None,
            fresh: false,
            evidence: None,
        }
    }

    /// When it was opened, since the start of the run.
    #[must_use]
    pub fn opened(&self) -> Duration {
        self.opened
    }

    /// Text, last answer and number of attempts of a question.
    #[must_use]
    pub fn told(&self, question: usize) -> Option<(&str, &str, u32)> {
        let question = self.questions.get(question)?;
        Some((&question.text, question.last.as_deref()?, question.attempts))
    }

    /// What is known about the container, once it was looked at because of a suspicion.
    #[must_use]
    pub fn evidence(&self) -> Option<&Inspection> {
        self.evidence.as_ref()
    }

    /// The first moves: every question at once, and the deadline.
    pub fn open(&mut self) -> Vec<GateAction> {
        let mut moves = vec![GateAction::Sleep(GateTimer::Deadline, self.within)];
        for question in 0..self.questions.len() {
            self.ask(question, self.opened, &mut moves);
        }
        if self.questions.is_empty() {
            self.settle_if_ready(&mut moves);
        }
        moves
    }

    fn ask(&mut self, index: usize, now: Duration, moves: &mut Vec<GateAction>) {
        let rest = (self.opened + self.within).saturating_sub(now);
        let Some(question) = self.questions.get_mut(index) else {
            return;
        };
        if question.passed || question.asked || rest.is_zero() {
            return;
        }
        question.asked = true;
        let patience = question.patience(rest);
        moves.push(GateAction::Ask {
            question: index,
            patience,
        });
    }

    /// A question was answered.
    pub fn answered(&mut self, index: usize, answer: ProbeResult) -> Vec<GateAction> {
        let mut moves = Vec::new();
        let Some(question) = self.questions.get_mut(index) else {
            return moves;
        };
        question.asked = false;
        if self.phase != Phase::Asking || question.passed {
            return moves;
        }
        question.attempts += 1;
        let pause = question.pause();
        match answer {
            ProbeResult::Passed(seen) => {
                self.note(index, &seen, &mut moves);
                self.pass(index, &mut moves);
            }
            ProbeResult::Pending(seen) => {
                self.note(index, &seen, &mut moves);
                moves.push(GateAction::Sleep(GateTimer::Retry(index), pause));
            }
            ProbeResult::Impossible(seen) => {
                let cause = format!("`{}` will never pass: {}", question.text, excerpt(&seen));
                self.note(index, &seen, &mut moves);
                self.fail(cause, &mut moves);
            }
        }
        moves
    }

    fn note(&mut self, index: usize, seen: &str, moves: &mut Vec<GateAction>) {
        let Some(question) = self.questions.get_mut(index) else {
            return;
        };
        if question.note(seen) {
            moves.push(GateAction::Tell(index));
        }
    }

    fn pass(&mut self, index: usize, moves: &mut Vec<GateAction>) {
        if let Some(question) = self.questions.get_mut(index) {
            question.passed = true;
        }
        self.settle_if_ready(moves);
    }

    fn settle_if_ready(&mut self, moves: &mut Vec<GateAction>) {
        if self.phase != Phase::Asking || !self.questions.iter().all(|question| question.passed) {
            return;
        }
        if self.settle.is_zero() {
            self.be_well(moves);
        } else {
            self.phase = Phase::Settling;
            moves.push(GateAction::Sleep(GateTimer::Settle, self.settle));
        }
    }

    /// Nothing is asked any more: it has passed, unless the container seems to have ended.
    fn be_well(&mut self, moves: &mut Vec<GateAction>) {
        if self.suspicion == ExitSuspicion::None {
            self.phase = Phase::Over;
            moves.push(GateAction::Passed);
        } else {
            self.phase = Phase::Well;
        }
    }

    fn fail(&mut self, cause: String, moves: &mut Vec<GateAction>) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            moves.push(GateAction::Failed(cause));
        }
    }

    /// A sleep is over.
    pub fn elapsed(&mut self, pause: GateTimer, now: Duration) -> Vec<GateAction> {
        let mut moves = Vec::new();
        match (pause, self.phase) {
            (GateTimer::Retry(question), Phase::Asking) => self.ask(question, now, &mut moves),
            // An earlier wait of the same gate may have left its timer.
            (GateTimer::Deadline, Phase::Asking) if now >= self.opened + self.within => {
                let cause = format!("not ready within {}", shown(self.within));
                self.fail(cause, &mut moves);
            }
            (GateTimer::Settle, Phase::Settling) => self.be_well(&mut moves),
            _ => {}
        }
        moves
    }

    /// Something happened to the container.
    pub fn noticed(&mut self, happening: &ContainerEventKind) -> Vec<GateAction> {
        let mut moves = Vec::new();
        if self.phase == Phase::Over {
            return moves;
        }
        match happening {
            ContainerEventKind::Started => {}
            ContainerEventKind::Died { exit_code: 0 } if self.ends() => self.ended(&mut moves),
            // The notice may tell of an end before the last start: it is only a suspicion.
            ContainerEventKind::Died { .. } | ContainerEventKind::OutOfMemory => {
                return self.suspect();
            }
            ContainerEventKind::Health(health) => self.health(*health, &mut moves),
        }
        moves
    }

    /// The container may have ended: it is looked at, and looked at again if it is already.
    pub fn suspect(&mut self) -> Vec<GateAction> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        if self.suspicion == ExitSuspicion::None {
            self.suspicion = ExitSuspicion::Open;
            return vec![GateAction::Suspect];
        }
        self.suspicion = ExitSuspicion::Renewed;
        Vec::new()
    }

    /// Whether the container is to end.
    fn ends(&self) -> bool {
        self.questions
            .iter()
            .any(|question| question.manner == ProbeKind::Exit)
    }

    /// The container ended with 0, as it was to.
    fn ended(&mut self, moves: &mut Vec<GateAction>) {
        self.pass_all(ProbeKind::Exit, "exited with code 0", moves);
        let open = self.questions.iter().find(|question| !question.passed);
        if let Some(question) = open {
            let cause = format!("ended before `{}` passed", question.text);
            self.fail(cause, moves);
        }
    }

    fn health(&mut self, health: Health, moves: &mut Vec<GateAction>) {
        match health {
            Health::Healthy => self.pass_all(ProbeKind::Health, "healthy", moves),
            // It may still become healthy: only the deadline decides.
            Health::Starting | Health::Unhealthy => {
                let seen = if health == Health::Starting {
                    "starting"
                } else {
                    "unhealthy"
                };
                for index in self.open_questions(ProbeKind::Health) {
                    self.note(index, seen, moves);
                }
            }
        }
    }

    fn open_questions(&self, manner: ProbeKind) -> Vec<usize> {
        let questions = self.questions.iter().enumerate();
        questions
            .filter(|(_, question)| question.manner == manner && !question.passed)
            .map(|(index, _)| index)
            .collect()
    }

    fn pass_all(&mut self, manner: ProbeKind, seen: &str, moves: &mut Vec<GateAction>) {
        for index in self.open_questions(manner) {
            if let Some(question) = self.questions.get_mut(index) {
                question.attempts += 1;
            }
            self.note(index, seen, moves);
            self.pass(index, moves);
        }
    }

    /// The container was looked at because of a suspicion; `None`: it could not be.
    pub fn examined(&mut self, evidence: Option<Inspection>) -> Vec<GateAction> {
        let mut moves = Vec::new();
        let renewed = self.suspicion == ExitSuspicion::Renewed;
        self.suspicion = ExitSuspicion::None;
        if self.phase == Phase::Over {
            return moves;
        }
        let exit_code = evidence
            .as_ref()
            .and_then(|known| known.condition.exit_code);
        match &evidence {
            Some(known) if !ended(known, self.fresh) && renewed => return self.suspect(),
            Some(known) if !ended(known, self.fresh) && self.phase == Phase::Well => {
                self.be_well(&mut moves);
            }
            Some(known) if !ended(known, self.fresh) => {}
            Some(known) if self.ends() && exit_code == Some(0) && !known.condition.oom_killed => {
                if self.phase == Phase::Well {
                    self.be_well(&mut moves);
                } else {
                    self.ended(&mut moves);
                }
            }
            _ => {
                let cause = end_cause(evidence.as_ref());
                self.evidence = evidence;
                self.fail(cause, &mut moves);
            }
        }
        moves
    }

    /// The last answer to each question.
    #[must_use]
    pub fn answers(&self) -> Vec<LastAnswer> {
        let answers = self.questions.iter().map(|question| LastAnswer {
            probe: question.text.clone(),
            answer: question
                .last
                .clone()
                .unwrap_or_else(|| question.manner.unanswered().to_owned()),
            attempts: question.attempts,
            passed: question.passed,
        });
        answers.collect()
    }

    /// All that is known, once it has failed.
    #[must_use]
    pub fn report(
        &self,
        container: ContainerName,
        cause: String,
        after: Duration,
        evidence: Option<Inspection>,
    ) -> GateReport {
        report(container, cause, after, self.answers(), evidence)
    }
}

/// Whether the container ended. One that the run has started has, too, when the engine started it
/// again since; what ran before may always have been started again when it lost a connection.
#[must_use]
pub fn ended(evidence: &Inspection, fresh: bool) -> bool {
    !evidence.condition.status.is_up() || (fresh && evidence.condition.restarts > 0)
}

/// Why a container that ended did, in a fragment.
#[must_use]
pub fn end_cause(evidence: Option<&Inspection>) -> String {
    let Some(condition) = evidence.map(|known| &known.condition) else {
        return "the container is gone".to_owned();
    };
    let code = condition.exit_code.unwrap_or_default();
    if condition.oom_killed {
        format!("killed for want of memory (exit code {code})")
    } else if condition.restarts > 0 {
        format!("restarts again and again (exit code {code})")
    } else if let Some(error) = condition.error.as_ref().filter(|error| !error.is_empty()) {
        format!("exited with code {code}: {error}")
    } else {
        format!("exited with code {code}")
    }
}

/// A duration as people write it: `60 s`, `1.5 s`.
#[must_use]
pub fn shown(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        project::Probe,
        state::{ContainerStatus, Status},
    };

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn wait(probes: Vec<Probe>, settle: Duration) -> GateMachine {
        let gate = Gate {
            probes,
            timeout: Duration::from_secs(2),
            stabilize: settle,
        };
        GateMachine::for_gate(&gate, true, ms(100))
    }

    fn tcp() -> Probe {
        Probe::Tcp { port: 80 }
    }

    fn not_yet() -> ProbeResult {
        ProbeResult::Pending("refused".to_owned())
    }

    fn ready() -> ProbeResult {
        ProbeResult::Passed("connected".to_owned())
    }

    fn ask(question: usize, patience: Duration) -> GateAction {
        GateAction::Ask { question, patience }
    }

    fn evidence(status: Status, exit_code: Option<i64>, restarts: u32) -> Inspection {
        let condition = ContainerStatus {
            status,
            exit_code,
            restarts,
            ..ContainerStatus::default()
        };
        Inspection {
            condition,
            ..Inspection::default()
        }
    }

    fn died(exit_code: i64) -> ContainerEventKind {
        ContainerEventKind::Died { exit_code }
    }

    fn failed(why: &str) -> GateAction {
        GateAction::Failed(why.to_owned())
    }

    #[test]
    fn every_question_is_asked_at_once_with_its_own_patience() {
        let mut wait = wait(vec![tcp(), Probe::Healthcheck], Duration::ZERO);
        assert_eq!(
            wait.open(),
            [
                GateAction::Sleep(GateTimer::Deadline, ms(2000)),
                ask(0, ms(1000)),
                ask(1, ms(2000)),
            ]
        );
    }

    #[test]
    fn a_question_is_asked_again_after_longer_and_longer_pauses() {
        let mut wait = wait(vec![tcp()], Duration::ZERO);
        wait.open();
        let retry = GateTimer::Retry(0);
        assert_eq!(
            wait.answered(0, not_yet()),
            [GateAction::Tell(0), GateAction::Sleep(retry, ms(5))]
        );
        assert_eq!(wait.elapsed(retry, ms(110)), [ask(0, ms(1000))]);
        assert_eq!(
            wait.answered(0, not_yet()),
            [GateAction::Sleep(retry, ms(10))]
        );
        // No more patience than there is time.
        assert_eq!(wait.elapsed(retry, ms(1600)), [ask(0, ms(500))]);
        assert_eq!(
            wait.answered(0, ready()),
            [GateAction::Tell(0), GateAction::Passed]
        );
        assert_eq!(wait.told(0), Some(("tcp 80", "connected", 3)));
        assert!(wait.elapsed(GateTimer::Deadline, ms(2100)).is_empty());
    }

    #[test]
    fn all_questions_must_pass_and_the_container_stay() {
        let mut wait = wait(vec![tcp(), Probe::Started], ms(300));
        wait.open();
        assert_eq!(wait.answered(1, ready()), [GateAction::Tell(1)]);
        assert_eq!(
            wait.answered(0, ready()),
            [
                GateAction::Tell(0),
                GateAction::Sleep(GateTimer::Settle, ms(300))
            ]
        );
        assert!(wait.elapsed(GateTimer::Deadline, ms(2100)).is_empty());
        assert_eq!(
            wait.elapsed(GateTimer::Settle, ms(2100)),
            [GateAction::Passed]
        );
    }

    #[test]
    fn the_deadline_and_a_final_answer_end_the_wait() {
        let mut late = wait(vec![tcp()], Duration::ZERO);
        late.open();
        let why = failed("not ready within 2 s");
        assert_eq!(late.elapsed(GateTimer::Deadline, ms(2100)), [why]);
        assert!(late.answered(0, ready()).is_empty());

        let mut never = wait(vec![tcp()], Duration::ZERO);
        never.open();
        let why = failed("`tcp 80` will never pass: no such role");
        let answer = ProbeResult::Impossible("no such role".to_owned());
        assert_eq!(never.answered(0, answer), [GateAction::Tell(0), why]);
    }

    #[test]
    fn an_end_is_looked_at_before_it_counts() {
        let mut wait = wait(vec![tcp()], Duration::ZERO);
        wait.open();
        assert_eq!(wait.noticed(&died(1)), [GateAction::Suspect]);
        // It was of an earlier start: the container runs.
        assert!(
            wait.examined(Some(evidence(Status::Running, Some(1), 0)))
                .is_empty()
        );
        assert_eq!(wait.noticed(&died(7)), [GateAction::Suspect]);
        let why = failed("exited with code 7");
        assert_eq!(
            wait.examined(Some(evidence(Status::Exited, Some(7), 0))),
            [why]
        );
        assert!(wait.evidence().is_some());
    }

    #[test]
    fn an_end_during_a_look_is_looked_at_again() {
        let mut wait = wait(vec![tcp()], Duration::ZERO);
        wait.open();
        assert_eq!(wait.noticed(&died(1)), [GateAction::Suspect]);
        assert!(wait.noticed(&died(7)).is_empty());
        assert_eq!(
            wait.examined(Some(evidence(Status::Running, None, 0))),
            [GateAction::Suspect]
        );
    }

    #[test]
    fn nothing_passes_under_suspicion() {
        let mut wait = wait(vec![tcp()], Duration::ZERO);
        wait.open();
        wait.noticed(&ContainerEventKind::OutOfMemory);
        assert_eq!(wait.answered(0, ready()), [GateAction::Tell(0)]);
        assert_eq!(
            wait.examined(Some(evidence(Status::Running, None, 0))),
            [GateAction::Passed]
        );
    }

    #[test]
    fn a_container_that_is_gone_or_restarts_has_failed() {
        let mut gone = wait(vec![tcp()], Duration::ZERO);
        gone.open();
        gone.noticed(&died(0));
        assert_eq!(gone.examined(None), [failed("the container is gone")]);

        let mut loops = wait(vec![tcp()], Duration::ZERO);
        loops.open();
        loops.noticed(&died(2));
        let why = failed("restarts again and again (exit code 2)");
        assert_eq!(
            loops.examined(Some(evidence(Status::Running, Some(2), 1))),
            [why]
        );

        // What ran before may have been started again at any time.
        let gate = Gate {
            probes: vec![tcp()],
            timeout: ms(10),
            stabilize: Duration::ZERO,
        };
        let mut kept = GateMachine::for_gate(&gate, false, ms(0));
        kept.open();
        kept.noticed(&died(2));
        assert!(
            kept.examined(Some(evidence(Status::Running, Some(2), 1)))
                .is_empty()
        );
    }

    #[test]
    fn a_job_passes_by_its_end_once() {
        let mut job = wait(vec![Probe::Exit], ms(500));
        assert_eq!(job.open()[1], ask(0, ms(2000)));
        assert_eq!(
            job.noticed(&died(0)),
            [GateAction::Tell(0), GateAction::Passed]
        );
        assert!(
            job.answered(0, ProbeResult::Passed("exit code 0".to_owned()))
                .is_empty()
        );

        let mut bad = wait(vec![Probe::Exit], Duration::ZERO);
        bad.open();
        assert_eq!(bad.noticed(&died(3)), [GateAction::Suspect]);
        let why = "`exit` will never pass: exited with code 3";
        let answer = ProbeResult::Impossible("exited with code 3".to_owned());
        assert_eq!(bad.answered(0, answer), [GateAction::Tell(0), failed(why)]);
        assert!(
            bad.examined(Some(evidence(Status::Exited, Some(3), 0)))
                .is_empty()
        );
    }

    #[test]
    fn a_job_whose_end_was_missed_passes_when_it_is_looked_at() {
        let mut job = wait(vec![Probe::Exit], Duration::ZERO);
        job.open();
        assert_eq!(job.suspect(), [GateAction::Suspect]);
        let moves = job.examined(Some(evidence(Status::Exited, Some(0), 0)));
        assert_eq!(moves, [GateAction::Tell(0), GateAction::Passed]);
    }

    #[test]
    fn a_job_whose_end_is_told_during_a_look_passes_with_the_look() {
        let mut job = wait(vec![Probe::Exit], Duration::ZERO);
        job.open();
        assert_eq!(job.suspect(), [GateAction::Suspect]);
        assert_eq!(job.noticed(&died(0)), [GateAction::Tell(0)]);
        let moves = job.examined(Some(evidence(Status::Exited, Some(0), 0)));
        assert_eq!(moves, [GateAction::Passed]);
    }

    #[test]
    fn the_engines_own_check_feeds_its_question() {
        let mut wait = wait(vec![Probe::Healthcheck], Duration::ZERO);
        wait.open();
        let unhealthy = ContainerEventKind::Health(Health::Unhealthy);
        assert_eq!(wait.noticed(&unhealthy), [GateAction::Tell(0)]);
        let healthy = ContainerEventKind::Health(Health::Healthy);
        assert_eq!(
            wait.noticed(&healthy),
            [GateAction::Tell(0), GateAction::Passed]
        );
    }
}
