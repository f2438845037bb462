//! Which step may start: the steps with what they wait for, how each does, and when.
//!
//! Knows nothing of what steps do. Grows once, by the steps of the way back, so that a step's
//! number is its own for the whole run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    event::PathSegment,
    plan::{Action, Plan, Step, StepId, StepKind},
};

/// A part of a run; its steps start only when it is its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// To the new generation.
    Forward,
    /// After the commit.
    Cleanup,
    /// To the old generation.
    Back,
}

/// How a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepStatus {
    /// Not begun.
    Waiting,
    /// Begun.
    Running,
    /// Succeeded.
    Done,
    /// Failed.
    Failed,
    /// Never begun, as something that it needs failed.
    Skipped,
    /// Begun and called off.
    Cancelled,
}

#[derive(Debug)]
struct Node {
    step: Step,
    part: Stage,
    /// Steps that must have ended first, in whichever way.
    after: BTreeSet<StepId>,
    /// Steps that wait for this one.
    waiters: Vec<StepId>,
    /// How many steps this one still waits for.
    blockers: usize,
    status: StepStatus,
    started: Duration,
    ended: Duration,
}

/// The steps of a run.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    nodes: Vec<Node>,
    /// Steps that wait for nothing any more but their part's turn.
    ready: BTreeSet<(Stage, StepId)>,
    /// The part whose turn it is.
    turn: Option<Stage>,
    /// How many of its steps have not ended.
    open: usize,
    /// Builds and pulls that run.
    heavy: usize,
}

/// Whether a step works on an image: long, and without effect until it is done.
pub(super) fn is_heavy(work: &StepKind) -> bool {
    matches!(
        work,
        StepKind::Action(Action::BuildImage(_) | Action::PullImage(_))
    )
}

/// Whether a step runs a command of the user's, which may never end.
pub(super) fn is_hook(work: &StepKind) -> bool {
    matches!(work, StepKind::Action(Action::RunHook(_)))
}

/// Whether a step copies what a volume holds, which may take long.
pub(super) fn is_copy(work: &StepKind) -> bool {
    matches!(work, StepKind::Action(Action::SnapshotVolume(_)))
}

impl Schedule {
    /// Adds the steps of a plan, which is on the way back if `back` says how they are ordered
    /// besides their needs.
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

    /// It is this part's turn: its steps start, and no others.
    pub(super) fn turn(&mut self, part: Stage) {
        let unended = |node: &&Node| {
            node.part == part && matches!(node.status, StepStatus::Waiting | StepStatus::Running)
        };
        self.open = self.nodes.iter().filter(unended).count();
        self.turn = Some(part);
    }

    /// Takes the steps that start now; no more than `cap` builds and pulls run at a time.
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

    /// A step has ended; gives the steps that are skipped because of it.
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
                // What does not have to be there is done without, by those that have to be.
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

    /// Steps of a part that are not to be done after all.
    pub(super) fn cancel_cancellable(&mut self, part: Stage, unwanted: impl Fn(&Step) -> bool) {
        for id in self.those(part, &[StepStatus::Waiting]) {
            if self.step(id).is_some_and(&unwanted) {
                self.end(id, StepStatus::Cancelled, Duration::ZERO);
            }
        }
    }

    /// How many steps of the part whose turn it is have not ended.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn step(&self, id: StepId) -> Option<&Step> {
        self.nodes.get(id.0).map(|node| &node.step)
    }

    /// When a step began.
    pub(super) fn started(&self, id: StepId) -> Duration {
        self.nodes
            .get(id.0)
            .map_or(Duration::ZERO, |node| node.started)
    }

    /// When a step ended; zero: it has not.
    pub(super) fn ended(&self, id: StepId) -> Duration {
        self.nodes
            .get(id.0)
            .map_or(Duration::ZERO, |node| node.ended)
    }

    /// When the last step ended that this one waited for.
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

    /// The steps of a part that are in one of these conditions.
    pub(super) fn those(&self, part: Stage, wanted: &[StepStatus]) -> Vec<StepId> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.part == part && wanted.contains(&node.status))
            .map(|(index, _)| StepId(index))
            .collect()
    }

    /// The chain of steps that the end of this part waited for, in the order of time.
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

/// What a person calls a step, in the present, without its object.
pub(super) fn verb(work: &StepKind) -> &'static str {
    match work {
        StepKind::Action(action) => action.verb(),
        StepKind::AwaitReady { .. } => "waiting until ready",
        StepKind::Drain { .. } => "draining",
        StepKind::Verify(_) => "verifying",
    }
}

/// The name of what a step is about.
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
    fn a_step_starts_when_its_last_need_is_met() {
        let mut schedule = schedule(vec![start(&[]), start(&[]), start(&[0, 1])]);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[0, 1]));
        schedule.end(StepId(1), StepStatus::Done, NOW);
        assert!(schedule.take_ready(None, NOW).is_empty());
        schedule.end(StepId(0), StepStatus::Done, NOW);
        assert_eq!(schedule.take_ready(None, NOW), ids(&[2]));
        assert_eq!(schedule.open(), 1);
    }

    #[test]
    fn no_more_images_at_a_time_than_allowed() {
        let mut schedule = schedule(vec![pull(), pull(), start(&[]), pull()]);
        assert_eq!(schedule.take_ready(Some(2), NOW), ids(&[0, 1, 2]));
        schedule.end(StepId(0), StepStatus::Done, NOW);
        assert_eq!(schedule.take_ready(Some(2), NOW), ids(&[3]));
    }

    #[test]
    fn what_failed_takes_along_what_needs_it_and_leaves_what_can_do_without() {
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
    fn each_part_has_its_turn() {
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
    fn the_way_back_goes_on_after_what_failed() {
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
    fn the_chain_leads_along_what_was_waited_for() {
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
