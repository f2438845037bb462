//! Drains and retries: steps that wait for time to pass. A drain waits for connections to end. A
//! start is retried while its port is being released. Rollback and cleanup steps are retried while
//! the engine is unavailable.
//!
//! A part of [`Run`].

use std::{collections::BTreeSet, mem, time::Duration};

use super::{
    backoff,
    gate::shown,
    machine::Run,
    message::{Effect, TimerId},
    phase::Phase,
    schedule::{Stage, StepStatus, verb},
};
use crate::{
    engine::EngineError,
    event::Event,
    name::ContainerName,
    plan::{Action, StepId, StepKind},
    project::Update,
};

/// How long the engine may take to release a port after its container has stopped.
const PORT_RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the engine may be unavailable during a rollback and after the commit. It covers a
/// restart of the engine, which gives its containers ten seconds to stop and then loads them all
/// again.
const ENGINE_RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// A drain of the default time of 1 s or less ignores connections that have been idle for the drain time
/// divided by this: 0.25 s, which is longer than the pauses within most responses. A longer drain is set
/// for requests that take long, and those may look idle: a stream that pauses, or one of several streams
/// on one connection.
const IDLE_SHARE: u32 = 4;

/// A step that failed for a temporary reason.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryState {
    attempts: u32,
    /// Time of the first failure, since the start of the run.
    since: Duration,
    /// Waiting for the next attempt.
    waiting: bool,
}

impl Run {
    /// Waits until no client is connected, but at most `duration` after the last step that this one
    /// requires has ended.
    pub(super) fn drain(&mut self, id: StepId, object: &str, duration: Duration) {
        let until = self.schedule.free_since(id) + duration;
        let rest = until.saturating_sub(self.now);
        self.draining.insert(id);
        if rest.is_zero() {
            self.drained(id);
        } else {
            self.effects
                .push(Effect::StartTimer(TimerId::Drain(id), rest));
            if let Ok(container) = ContainerName::new(object) {
                self.effects.push(Effect::AwaitClientsGone {
                    step: id,
                    container,
                    idle: (duration <= Update::DRAIN).then(|| duration / IDLE_SHARE),
                });
            }
        }
    }

    pub(super) fn drained(&mut self, id: StepId) {
        if !self.draining.remove(&id) {
            return;
        }
        self.effects.push(Effect::Cancel(id));
        let Some(step) = self.schedule.step(id) else {
            return;
        };
        let (subject, verb) = (step.subject.clone(), verb(&step.kind).to_owned());
        let took = self.now.saturating_sub(self.schedule.started(id));
        self.emit(Event::StepFinished {
            step: id,
            subject,
            verb,
            elapsed: took,
        });
        self.end(id, StepStatus::Done);
    }

    /// Whether to retry a failed step.
    pub(super) fn should_retry(&mut self, id: StepId, error: &EngineError) -> bool {
        self.record_outage(id, error);
        let Some(patience) = self.retry_limit(id, error) else {
            return false;
        };
        let now = self.now;
        let again = self.retries.entry(id).or_insert(RetryState {
            attempts: 0,
            since: now,
            waiting: false,
        });
        if now >= again.since + patience {
            self.retries.remove(&id);
            return false;
        }
        again.attempts += 1;
        again.waiting = true;
        let pause = backoff::pause(again.attempts);
        self.effects
            .push(Effect::StartTimer(TimerId::Retry(id), pause));
        true
    }

    /// Returns how long a step with this error is retried; `None` if it is not retried.
    ///
    /// A start or a cutover waits for a port of a container that this run has stopped. Rollback and
    /// cleanup steps wait for the engine, because they have no alternative.
    fn retry_limit(&self, id: StepId, error: &EngineError) -> Option<Duration> {
        if let EngineError::PortTaken { port, .. } = error {
            let work = self.schedule.step(id).map(|step| &step.kind);
            let starts = matches!(
                work,
                Some(StepKind::Action(
                    Action::StartContainer(_) | Action::Cutover(_)
                ))
            );
            let wanted = matches!(self.phase, Phase::Deploying | Phase::RollingBack);
            return (starts && wanted && self.released_port(port)).then_some(PORT_RELEASE_TIMEOUT);
        }
        let undoes = matches!(self.phase, Phase::RollingBack | Phase::CleaningUp);
        (undoes && error.is_away()).then_some(ENGINE_RECOVERY_TIMEOUT)
    }

    /// Records that the engine was unavailable: containers may have stopped that this run did not
    /// stop.
    fn record_outage(&mut self, id: StepId, error: &EngineError) {
        let optional = self.schedule.step(id).is_some_and(|step| step.non_fatal);
        let counts = self.phase != Phase::Deploying || !optional;
        if !matches!(error, EngineError::Unreachable { .. }) || !counts || self.engine_restarted {
            return;
        }
        self.engine_restarted = true;
        if matches!(self.phase, Phase::RollingBack | Phase::CleaningUp) {
            let text = format!(
                "{error}; waiting for it, {} at most",
                shown(ENGINE_RECOVERY_TIMEOUT)
            );
            self.emit(Event::Warning { text });
        }
    }

    /// Retries a step after its pause.
    pub(super) fn try_again(&mut self, id: StepId) {
        let waiting = |again: &mut RetryState| mem::replace(&mut again.waiting, false);
        if !self.retries.get_mut(&id).is_some_and(waiting) {
            return;
        }
        if let Some(StepKind::Action(action)) = self.schedule.step(id).map(|step| step.kind.clone())
        {
            self.running.insert(id);
            self.effects.push(Effect::Perform(id, action));
        }
    }

    /// Whether this run stopped a container that held this host port.
    fn released_port(&self, port: &str) -> bool {
        let stopped = [Stage::Forward, Stage::Back]
            .into_iter()
            .flat_map(|part| self.schedule.those(part, &[StepStatus::Done]))
            .filter_map(|id| match &self.schedule.step(id)?.kind {
                StepKind::Action(Action::StopContainer { container, .. }) => Some(container),
                _ => None,
            });
        let stopped: BTreeSet<&ContainerName> = stopped.collect();
        let is = |published: u16| published.to_string() == port;
        let origin = self.settings.origin.containers.iter();
        let before = origin
            .filter(|(name, _)| stopped.contains(name))
            .any(|(_, it)| it.ports.iter().any(|held| is(held.published)));
        before
            || self.plan.steps.iter().any(|step| match &step.kind {
                StepKind::Action(Action::CreateContainer(create)) => {
                    let mut ports = create.spec.ports.iter();
                    stopped.contains(&create.name)
                        && ports.any(|port| port.published.is_some_and(is))
                }
                _ => false,
            })
    }

    /// Cancels all drains and pending retries.
    pub(super) fn cancel_timers(&mut self) {
        let waiting = mem::take(&mut self.retries).into_iter();
        let waiting = waiting.filter(|(_, it)| it.waiting).map(|(id, _)| id);
        for id in waiting.chain(mem::take(&mut self.draining)) {
            self.effects.push(Effect::Cancel(id));
            self.end(id, StepStatus::Cancelled);
        }
    }
}
