//! The state machine of one gate: when to probe, and when the gate has passed or failed.
//!
//! It performs no I/O and reads no clock. It receives probe results, container events and the time,
//! and returns the actions to perform. The same machine runs a `verify` check, as a gate with a
//! single probe.

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

/// How long a check is retried before it fails.
pub const CHECK_WITHIN: Duration = Duration::from_secs(30);

/// An action that a gate requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateAction {
    /// Run this probe and wait at most `patience` for the result.
    Ask {
        /// Index of the probe among the gate's probes.
        question: usize,
        /// Timeout of the probe.
        patience: Duration,
    },
    /// Report that the result of this probe changed.
    Tell(usize),
    /// Call [`GateMachine::elapsed`] after this time.
    Sleep(GateTimer, Duration),
    /// Inspect the container, which may have exited.
    Suspect,
    /// The gate has passed.
    Passed,
    /// The gate has failed, for this reason.
    Failed(String),
}

/// A timer of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GateTimer {
    /// Repeat this probe.
    Retry(usize),
    /// The gate's deadline.
    Deadline,
    /// End of the gate's stabilization window.
    Settle,
}

/// The state machine of one gate or check.
#[derive(Debug)]
pub struct GateMachine {
    questions: Vec<ProbeState>,
    opened: Duration,
    within: Duration,
    settle: Duration,
    phase: Phase,
    suspicion: ExitSuspicion,
    /// The run started the container, so a restart counts as an exit.
    fresh: bool,
    evidence: Option<Inspection>,
}

/// Whether the container is suspected to have exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitSuspicion {
    None,
    /// An inspection is running.
    Open,
    /// An inspection is running, and another event arrived since it began.
    Renewed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Settling,
    /// All conditions are met, but an exit is suspected.
    Well,
    Over,
}

impl GateMachine {
    /// Creates the machine of a container's gate that opens at `now`. `fresh`: the run started the
    /// container.
    #[must_use]
    pub fn for_gate(gate: &Gate, fresh: bool, now: Duration) -> Self {
        let questions = gate
            .probes
            .iter()
            .map(|probe| ProbeState::new(probe.to_string(), ProbeKind::of(probe)));
        let wait = Self::new(questions.collect(), gate.timeout, gate.stabilize, now);
        Self { fresh, ..wait }
    }

    /// Creates the machine of a check that starts at `now`.
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
            // A container that is expected to exit cannot keep running.
            settle: if ends { Duration::ZERO } else { settle },
            phase: Phase::Asking,
            suspicion: ExitSuspicion::None,
            fresh: false,
            evidence: None,
        }
    }

    /// Returns when the gate was opened, as the time since the start of the run.
    #[must_use]
    pub fn opened(&self) -> Duration {
        self.opened
    }

    /// Returns the text, last result and number of attempts of a probe; `None` before its first
    /// result.
    #[must_use]
    pub fn told(&self, question: usize) -> Option<(&str, &str, u32)> {
        let question = self.questions.get(question)?;
        Some((&question.text, question.last.as_deref()?, question.attempts))
    }

    /// Returns the result of the inspection that failed the gate.
    #[must_use]
    pub fn evidence(&self) -> Option<&Inspection> {
        self.evidence.as_ref()
    }

    /// Opens the gate: starts every probe at once, and the deadline.
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

    /// Handles the result of a probe.
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

    /// Passes the gate, unless an exit is suspected. No probe is outstanding.
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

    /// Handles a timer that fired.
    pub fn elapsed(&mut self, pause: GateTimer, now: Duration) -> Vec<GateAction> {
        let mut moves = Vec::new();
        match (pause, self.phase) {
            (GateTimer::Retry(question), Phase::Asking) => self.ask(question, now, &mut moves),
            // An earlier gate of the same step may have left its timer.
            (GateTimer::Deadline, Phase::Asking) if now >= self.opened + self.within => {
                let cause = format!("not ready within {}", shown(self.within));
                self.fail(cause, &mut moves);
            }
            (GateTimer::Settle, Phase::Settling) => self.be_well(&mut moves),
            _ => {}
        }
        moves
    }

    /// Handles a container event.
    pub fn noticed(&mut self, happening: &ContainerEventKind) -> Vec<GateAction> {
        let mut moves = Vec::new();
        if self.phase == Phase::Over {
            return moves;
        }
        match happening {
            ContainerEventKind::Started => {}
            ContainerEventKind::Died { exit_code: 0 } if self.ends() => self.ended(&mut moves),
            // The event may be about an exit before the last start, so it is only a suspicion.
            ContainerEventKind::Died { .. } | ContainerEventKind::OutOfMemory => {
                return self.suspect();
            }
            ContainerEventKind::Health(health) => self.health(*health, &mut moves),
        }
        moves
    }

    /// Requests an inspection because the container may have exited. If an inspection is already
    /// running, requests another one after it.
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

    /// Whether the container is expected to exit.
    fn ends(&self) -> bool {
        self.questions
            .iter()
            .any(|question| question.manner == ProbeKind::Exit)
    }

    /// Handles the expected exit with code 0.
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
            // The container may still become healthy. The gate fails only at its deadline.
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

    /// Handles the result of an inspection; `None` if the container could not be inspected.
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

    /// Returns the last result of each probe.
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

    /// Returns the report of the failed gate.
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

/// Whether the container has exited.
///
/// A container that this run started (`fresh`) has also exited if the engine restarted it. The
/// restart count of an older container says nothing: it may have restarted before the run, for
/// example after a lost connection.
#[must_use]
pub fn ended(evidence: &Inspection, fresh: bool) -> bool {
    !evidence.condition.status.is_up() || (fresh && evidence.condition.restarts > 0)
}

/// Returns why a container exited, as a sentence fragment.
#[must_use]
pub fn end_cause(evidence: Option<&Inspection>) -> String {
    let Some(condition) = evidence.map(|known| &known.condition) else {
        return "the container does not exist".to_owned();
    };
    let code = condition.exit_code.unwrap_or_default();
    if condition.oom_killed {
        format!("OOM-killed (exit code {code})")
    } else if condition.restarts > 0 {
        format!("restarts repeatedly (exit code {code})")
    } else if let Some(error) = condition.error.as_ref().filter(|error| !error.is_empty()) {
        format!("exited with code {code}: {error}")
    } else {
        format!("exited with code {code}")
    }
}

/// Formats a duration in seconds: `60 s`, `1.5 s`.
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
    fn gate_starts_all_probes_with_own_timeouts() {
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
    fn failed_probe_is_retried_with_backoff() {
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
        // The timeout of a probe ends at the gate's deadline.
        assert_eq!(wait.elapsed(retry, ms(1600)), [ask(0, ms(500))]);
        assert_eq!(
            wait.answered(0, ready()),
            [GateAction::Tell(0), GateAction::Passed]
        );
        assert_eq!(wait.told(0), Some(("tcp 80", "connected", 3)));
        assert!(wait.elapsed(GateTimer::Deadline, ms(2100)).is_empty());
    }

    #[test]
    fn gate_requires_all_probes_and_stabilization() {
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
    fn deadline_or_impossible_result_fails_gate() {
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
    fn exit_event_is_verified_by_inspection() {
        let mut wait = wait(vec![tcp()], Duration::ZERO);
        wait.open();
        assert_eq!(wait.noticed(&died(1)), [GateAction::Suspect]);
        // The event was about an earlier start: the container runs.
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
    fn exit_during_inspection_is_inspected_again() {
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
    fn gate_does_not_pass_while_exit_suspected() {
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
    fn removed_or_restarted_container_fails_gate() {
        let mut gone = wait(vec![tcp()], Duration::ZERO);
        gone.open();
        gone.noticed(&died(0));
        assert_eq!(
            gone.examined(None),
            [failed("the container does not exist")]
        );

        let mut loops = wait(vec![tcp()], Duration::ZERO);
        loops.open();
        loops.noticed(&died(2));
        let why = failed("restarts repeatedly (exit code 2)");
        assert_eq!(
            loops.examined(Some(evidence(Status::Running, Some(2), 1))),
            [why]
        );

        // A container from before the run may have restarted at any time.
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
    fn job_gate_passes_once_on_exit() {
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
    fn job_with_missed_exit_passes_by_inspection() {
        let mut job = wait(vec![Probe::Exit], Duration::ZERO);
        job.open();
        assert_eq!(job.suspect(), [GateAction::Suspect]);
        let moves = job.examined(Some(evidence(Status::Exited, Some(0), 0)));
        assert_eq!(moves, [GateAction::Tell(0), GateAction::Passed]);
    }

    #[test]
    fn job_exit_during_inspection_passes_after_inspection() {
        let mut job = wait(vec![Probe::Exit], Duration::ZERO);
        job.open();
        assert_eq!(job.suspect(), [GateAction::Suspect]);
        assert_eq!(job.noticed(&died(0)), [GateAction::Tell(0)]);
        let moves = job.examined(Some(evidence(Status::Exited, Some(0), 0)));
        assert_eq!(moves, [GateAction::Passed]);
    }

    #[test]
    fn engine_health_event_updates_healthcheck_probe() {
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
