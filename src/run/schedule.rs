//! The scheduler: the steps of a run with their dependencies, statuses and times.
//!
//! It does not depend on what the steps do. Rollback steps are appended, so that the id of a step
//! stays the same for the whole run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    event::PathSegment,
    plan::{Action, Plan, Step, StepId, StepKind},
};

/// Stage of a run. Steps start only while their stage is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Deploy of the new generation.
    Forward,
    /// Cleanup after the commit.
    Cleanup,
    /// Rollback to the old generation.
    Back,
}

/// Status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepStatus {
    /// Not started.
    Waiting,
    /// Started.
    Running,
    /// Succeeded.
    Done,
    /// Failed.
    Failed,
    /// Not started because a required step failed.
    Skipped,
    /// Started and cancelled.
    Cancelled,
}

#[derive(Debug)]
struct Node {
    step: Step,
    part: Stage,
    /// Steps that must have ended before, with any status.
    after: BTreeSet<StepId>,
    /// Steps that wait for this one.
    waiters: Vec<StepId>,
    /// Number of steps that this one still waits for.
    blockers: usize,
    status: StepStatus,
    started: Duration,
    ended: Duration,
}

/// The steps of a run.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    nodes: Vec<Node>,
    /// Steps that wait only for their stage.
    ready: BTreeSet<(Stage, StepId)>,
    /// Active stage.
    turn: Option<Stage>,
    /// Number of steps of the active stage that have not ended.
    open: usize,
    /// Number of running builds and pulls.
    heavy: usize,
}

/// Whether a step builds or pulls an image, which takes long and has no effect until it is done.
pub(super) fn is_heavy(work: &StepKind) -> bool {
    matches!(
        work,
        StepKind::Action(Action::BuildImage(_) | Action::PullImage(_))
    )
}

/// Whether a step runs a hook, which is a command of the user and may never end.
pub(super) fn is_hook(work: &StepKind) -> bool {
    matches!(work, StepKind::Action(Action::RunHook(_)))
}

/// Whether a step copies a volume, which may take long.
pub(super) fn is_copy(work: &StepKind) -> bool {
    matches!(work, StepKind::Action(Action::SnapshotVolume(_)))
}

impl Schedule {
    /// Appends the steps of a plan. With `back`, they are rollback steps, and `back` contains
    /// ordering constraints beyond their requirements.
    pub(super) fn append(&mut self, plan: Plan, back: Option<&BTreeMap<StepId, BTreeSet<StepId>>>) {
        let offset = self.nodes.len();
        let shift = |ids: BTreeSet<StepId>| -> BTreeSet<StepId> {
            ids.into_iter().map(|id| StepId(id.0 + offset)).collect()
        };
        for (index, mut step) in plan.steps.into_iter().enumerate() {
            step.requires = shift(step.requires);
            let order = back.and_then(|back| back.get(&StepId(index)));
            let mut after = shift(order.cloned().unwrap_or_default());
            after.retain(|id| !step.requires.contains(id));
            let part = match (back, step.after_commit) {
                (Some(_), _) => Stage::Back,
                (None, true) => Stage::Cleanup,
                (None, false) => Stage::Forward,
            };
            self.nodes.push(Node {
                step,
                part,
                after,
                waiters: Vec::new(),
                blockers: 0,
                status: StepStatus::Waiting,
                started: Duration::ZERO,
                ended: Duration::ZERO,
            });
        }
        for index in offset..self.nodes.len() {
            self.connect(StepId(index));
        }
    }

    fn connect(&mut self, id: StepId) {
        let Some(node) = self.nodes.get(id.0) else {
            return;
        };
        let blockers: Vec<StepId> = node.step.requires.union(&node.after).copied().collect();
        for blocker in &blockers {
            if let Some(blocker) = self.nodes.get_mut(blocker.0) {
                blocker.waiters.push(id);
            }
        }
        if let Some(node) = self.nodes.get_mut(id.0) {
            node.blockers = blockers.len();
            if blockers.is_empty() {
                self.ready.insert((node.part, id));
            }
        }
    }

    /// Activates a stage.
    pub(super) fn turn(&mut self, part: Stage) {
        let unended = |node: &&Node| {
            node.part == part && matches!(node.status, StepStatus::Waiting | StepStatus::Running)
        };
        self.open = self.nodes.iter().filter(unended).count();
        self.turn = Some(part);
    }

    /// Takes the steps that can start now. At most `cap` builds and pulls run at a time.
    pub(super) fn take_ready(&mut self, cap: Option<usize>, now: Duration) -> Vec<StepId> {
        let Some(turn) = self.turn else {
            return Vec::new();
        };
        let of_turn = (turn, StepId(0))..=(turn, StepId(usize::MAX));
        let candidates: Vec<StepId> = self.ready.range(of_turn).map(|(_, id)| *id).collect();
        let mut taken = Vec::with_capacity(candidates.len());
        for id in candidates {
            let Some(node) = self.nodes.get_mut(id.0) else {
                continue;
            };
            if is_heavy(&node.step.kind) {
                if cap.is_some_and(|cap| self.heavy >= cap.max(1)) {
                    continue;
                }
                self.heavy += 1;
            }
            node.status = StepStatus::Running;
            node.started = now;
            self.ready.remove(&(turn, id));
            taken.push(id);
        }
        taken
    }

    /// Ends a step. Returns the steps that are skipped because of it.
    pub(super) fn end(&mut self, id: StepId, status: StepStatus, now: Duration) -> Vec<StepId> {
        let mut skipped = Vec::new();
        let mut ended = vec![(id, status)];
        while let Some((id, status)) = ended.pop() {
            let Some(node) = self.nodes.get_mut(id.0) else {
                continue;
            };
            if !matches!(node.status, StepStatus::Waiting | StepStatus::Running) {
                continue;
            }
            if node.status == StepStatus::Running && is_heavy(&node.step.kind) {
                self.heavy -= 1;
            }
            node.status = status;
            node.ended = now;
            self.ready.remove(&(node.part, id));
            if status == StepStatus::Skipped {
                node.started = now;
                skipped.push(id);
            }
            let optional = node.step.non_fatal;
            if self.turn == Some(node.part) {
                self.open -= 1;
            }
            for waiter in node.waiters.clone() {
                let Some(node) = self.nodes.get_mut(waiter.0) else {
                    continue;
                };
                node.blockers -= 1;
                let unmet = status != StepStatus::Done && node.step.requires.contains(&id);
                // A required step continues without an optional one.
                let without = optional && !node.step.non_fatal;
                if unmet && !without {
                    ended.push((waiter, StepStatus::Skipped));
                } else if node.blockers == 0 && node.status == StepStatus::Waiting {
                    self.ready.insert((node.part, waiter));
                }
            }
        }
        skipped.sort_unstable();
        skipped
    }

    /// Cancels waiting steps of a stage that match `unwanted`.
    pub(super) fn cancel_cancellable(&mut self, part: Stage, unwanted: impl Fn(&Step) -> bool) {
        for id in self.those(part, &[StepStatus::Waiting]) {
            if self.step(id).is_some_and(&unwanted) {
                self.end(id, StepStatus::Cancelled, Duration::ZERO);
            }
        }
    }

    /// Returns the number of steps of the active stage that have not ended.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn step(&self, id: StepId) -> Option<&Step> {
        self.nodes.get(id.0).map(|node| &node.step)
    }

    /// Returns when a step started.
    pub(super) fn started(&self, id: StepId) -> Duration {
        self.nodes
            .get(id.0)
            .map_or(Duration::ZERO, |node| node.started)
    }

    /// Returns when a step ended; zero if it has not.
    pub(super) fn ended(&self, id: StepId) -> Duration {
        self.nodes
            .get(id.0)
            .map_or(Duration::ZERO, |node| node.ended)
    }

    /// Returns when the last dependency of a step ended.
    pub(super) fn free_since(&self, id: StepId) -> Duration {
        let Some(node) = self.nodes.get(id.0) else {
            return Duration::ZERO;
        };
        let blockers = node.step.requires.union(&node.after);
        let ended = blockers
            .filter_map(|id| self.nodes.get(id.0))
            .map(|it| it.ended);
        ended.max().unwrap_or(node.started)
    }

    /// Returns the steps of a stage with one of these statuses.
    pub(super) fn those(&self, part: Stage, wanted: &[StepStatus]) -> Vec<StepId> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.part == part && wanted.contains(&node.status))
            .map(|(index, _)| StepId(index))
            .collect()
    }

    /// Returns the critical path of a stage, in order of time.
    pub(super) fn chain(&self, part: Stage) -> Vec<PathSegment> {
        let begun = self.those(
            part,
            &[StepStatus::Done, StepStatus::Failed, StepStatus::Cancelled],
        );
        let begun: BTreeSet<StepId> = begun.into_iter().collect();
        let last = |ids: &BTreeSet<StepId>| {
            let begun = ids.intersection(&begun);
            begun
                .filter_map(|id| self.nodes.get(id.0).map(|node| (node.ended, *id)))
                .max()
        };
        let mut segments = Vec::new();
        let mut next = last(&begun);
        while let Some((_, id)) = next {
            let Some(node) = self.nodes.get(id.0) else {
                break;
            };
            segments.push(PathSegment {
                subject: node.step.subject.clone(),
                verb: verb(&node.step.kind).to_owned(),
                elapsed: node.ended.saturating_sub(node.started),
            });
            next = last(&node.step.requires.union(&node.after).copied().collect());
        }
        segments.reverse();
        segments
    }
}

/// Returns the verb of a step in the present tense, without its object.
pub(super) fn verb(work: &StepKind) -> &'static str {
    match work {
        StepKind::Action(action) => action.verb(),
        StepKind::AwaitReady { .. } => "waiting until ready",
        StepKind::Drain { .. } => "draining",
        StepKind::Verify(_) => "verifying",
    }
}

/// Returns the name of the object of a step.
pub(super) fn object(work: &StepKind) -> String {
    match work {
        StepKind::Action(action) => action.object().to_owned(),
        StepKind::AwaitReady { container, .. } => container.to_string(),
        StepKind::Drain { object, .. } => object.clone(),
        StepKind::Verify(check) => check.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{ContainerName, ImageRef},
        plan::{PullImage, Reason, Subject},
    };

    const NOW: Duration = Duration::ZERO;

    fn step(action: Action, needs: &[usize]) -> Step {
        let needs = needs.iter().copied().map(StepId).collect();
        Step {
            requires: needs,
            ..Step::act(action, Subject::Project, Reason::NotFound)
        }
    }

    fn start(needs: &[usize]) -> Step {
        step(
            Action::StartContainer(ContainerName::new("shop-c").unwrap()),
            needs,
        )
    }

    fn pull() -> Step {
        let image = ImageRef::new("app").unwrap();
        step(
            Action::PullImage(PullImage {
                image,
                platform: None,
            }),
            &[],
        )
    }

    fn schedule(steps: Vec<Step>) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.append(Plan { steps }, None);
        schedule.turn(Stage::Forward);
        schedule
    }

    fn ids(ids: &[usize]) -> Vec<StepId> {
        ids.iter().copied().map(StepId).collect()
    }

    #[test]
    fn step_starts_after_last_requirement() {
        let mut schedule = schedule(vec![start(&[]), start(&[]), start(&[0, 1])]);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[0, 1]));
        schedule.end(StepId(1), StepStatus::Done, NOW);
        assert!(schedule.take_ready(None, NOW).is_empty());
        schedule.end(StepId(0), StepStatus::Done, NOW);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[2]));
        assert_eq!(schedule.open(), 1);
    }

    #[test]
    fn image_steps_respect_concurrency_limit() {
        let mut schedule = schedule(vec![pull(), pull(), start(&[]), pull()]);
        assert_eq!(schedule.take_ready(Some(2), NOW), ids(&[0, 1, 2]));
        schedule.end(StepId(0), StepStatus::Done, NOW);
        assert_eq!(schedule.take_ready(Some(2), NOW), ids(&[3]));
    }

    #[test]
    fn failed_optional_step_skips_only_optional_dependents() {
        let optional = start(&[]).non_fatal();
        let steps = vec![
            optional,
            start(&[0]).non_fatal(),
            start(&[1]).non_fatal(),
            start(&[2]),
        ];
        let mut schedule = schedule(steps);
        schedule.take_ready(None, NOW);
        assert_eq!(
            schedule.end(StepId(0), StepStatus::Failed, NOW),
            ids(&[1, 2])
        );
        assert_eq!(schedule.take_ready(None, NOW), ids(&[3]));
    }

    #[test]
    fn steps_start_only_in_active_stage() {
        let mut schedule = schedule(vec![start(&[]).after_commit(), start(&[])]);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[1]));
        schedule.end(StepId(1), StepStatus::Done, NOW);
        assert_eq!(schedule.open(), 0);
        schedule.turn(Stage::Cleanup);
        assert_eq!(
            (schedule.open(), schedule.take_ready(None, NOW)),
            (1, ids(&[0]))
        );
    }

    #[test]
    fn rollback_continues_after_failed_step() {
        let mut schedule = schedule(vec![start(&[])]);
        let steps = vec![start(&[]), start(&[]), start(&[0])];
        let after = BTreeMap::from([(StepId(1), BTreeSet::from([StepId(0)]))]);
        schedule.append(Plan { steps }, Some(&after));
        schedule.turn(Stage::Back);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[1]));
        assert_eq!(schedule.end(StepId(1), StepStatus::Failed, NOW), ids(&[3]));
        assert_eq!(schedule.take_ready(None, NOW), ids(&[2]));
    }

    #[test]
    fn critical_path_follows_last_dependencies() {
        let at = Duration::from_millis;
        let mut schedule = schedule(vec![start(&[]), pull(), start(&[0, 1])]);
        schedule.take_ready(None, at(0));
        schedule.end(StepId(0), StepStatus::Done, at(10));
        schedule.end(StepId(1), StepStatus::Done, at(70));
        schedule.take_ready(None, at(70));
        schedule.end(StepId(2), StepStatus::Done, at(100));
        let chain = schedule.chain(Stage::Forward);
        let chain: Vec<(&str, Duration)> = chain
            .iter()
            .map(|it| (it.verb.as_str(), it.elapsed))
            .collect();
        assert_eq!(
            chain,
            [("pulling image", at(70)), ("starting container", at(30))]
        );
    }
}
