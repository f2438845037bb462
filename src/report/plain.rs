//! The plain mode: one line for each event, in aligned columns, for pipes and CI.
//!
//! Never moves the cursor. Prints the same answer of a probe only once in a row.

use std::collections::BTreeMap;

use super::{
    failure, phrases,
    run_view::RunView,
    summary,
    text::{self, Color, Paint},
};
use crate::{
    event::{BuildStepState, Event, EventEnvelope, Progress, Purpose},
    name::ServiceName,
    plan::{Reason, StepId, Subject},
};

/// Maximum width of the name column.
const MAX_WIDTH: usize = 24;
/// Width of the time column: `+1234.567s`.
const CLOCK: usize = 10;

/// Formats events as lines.
#[derive(Debug)]
pub struct Plain {
    board: RunView,
    paint: Paint,
    /// Current width of the name column.
    column: usize,
    /// Last answer of each probe.
    answers: BTreeMap<(StepId, String), String>,
    /// Number of complete layers when a pull was last reported.
    layers: BTreeMap<StepId, u32>,
}

impl Plain {
    /// Creates the formatter, with or without colours.
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self {
            board: RunView::default(),
            paint,
            column: 0,
            answers: BTreeMap::new(),
            layers: BTreeMap::new(),
        }
    }

    /// Returns the lines for an event.
    #[must_use]
    pub fn lines(&mut self, stamped: &EventEnvelope) -> Vec<String> {
        let object = self.object_of(&stamped.event);
        self.board.apply(stamped);
        let project = self.board.project.clone();
        if matches!(stamped.event, Event::RunStarted { .. }) {
            self.column = self.column();
        }
        let (who, told) = match &stamped.event {
            Event::RunStarted { .. } => {
                let prefix = ["", "simulation: "][usize::from(stamped.simulated)];
                (project, vec![format!("{prefix}{}", self.change_counts())])
            }
            Event::Replanned { .. } => {
                let counts = self.board.counts().to_do();
                (project, vec![format!("with its images there: {counts}")])
            }
            Event::StepStarted { subject, .. }
            | Event::StepFinished { subject, .. }
            | Event::StepFailed { subject, .. }
            | Event::ReadinessStarted { subject, .. }
            | Event::ProbeResult { subject, .. }
            | Event::Ready { subject, .. }
            | Event::ReadinessFailed { subject, .. }
            | Event::UnhealthyAfterReady { subject, .. } => {
                let who = self.board.label(subject);
                let told = self.of_subject(&stamped.event, &object);
                (who, told)
            }
            Event::Progress {
                step,
                subject,
                progress,
            } => (self.board.label(subject), self.progress(*step, progress)),
            Event::Stabilizing { duration } => {
                let limit = text::limit(*duration);
                (
                    project,
                    vec![format!("all ready, and must stay so for {limit}")],
                )
            }
            Event::Interrupted { response } => (
                project,
                vec![self.highlight(phrases::interrupted(*response))],
            ),
            // The interrupt message already says that the run rolls back.
            Event::RollbackStarted { .. } if self.board.interrupted => (project, Vec::new()),
            Event::RollbackStarted { cause } => (
                project,
                vec![self.highlight(&format!("rolling back: {cause}"))],
            ),
            Event::Committed => (project, vec!["committed".to_owned()]),
            Event::PartiallyCommitted { committed: new, .. } => {
                let names: Vec<&str> = new.iter().map(ServiceName::as_str).collect();
                let text = format!("committed in part: {}", names.join(", "));
                (project, vec![self.highlight(&text)])
            }
            Event::Warning { text } => (project, vec![self.highlight(&format!("warning: {text}"))]),
            Event::RunFinished { .. } => (project, self.end()),
        };
        self.columns(stamped, &who, &told)
    }

    fn highlight(&self, text: &str) -> String {
        self.paint.tone(Color::Odd, &text::clean(text))
    }

    /// Returns the object of a step that ends now, because its last event does not name it.
    fn object_of(&self, event: &Event) -> String {
        match event {
            Event::StepFinished { step, subject, .. } => self
                .board
                .under_way(*step, subject)
                .map_or_else(String::new, |running| running.object.clone()),
            _ => String::new(),
        }
    }

    /// Returns the width of the names that are known at the start of the run.
    fn column(&self) -> usize {
        let services = self.board.services.iter();
        let names = services.map(|service| {
            let number = match service.numbers() {
                1 => String::new(),
                last => format!("-{last}"),
            };
            text::width(service.name.as_str()) + number.len()
        });
        let project = text::width(&self.board.project);
        names.chain([project]).max().unwrap_or(0).min(MAX_WIDTH)
    }

    /// Describes what a run is about to do.
    fn change_counts(&self) -> String {
        let RunView { verb, services, .. } = &self.board;
        let all = text::count(services.len(), "service");
        match self.board.purpose {
            Purpose::RollBack { deploy } => {
                format!("{verb}: rolling back deploy {deploy}; {all} to check")
            }
            Purpose::Finish { deploy } => format!("{verb}: finishing deploy {deploy}; {all}"),
            Purpose::Project | Purpose::Services => {
                let counts = self.board.counts().to_do();
                let counts = if counts.is_empty() { all } else { counts };
                format!("{verb}: {counts}")
            }
        }
    }

    /// Returns the state of a service after its gate has passed.
    fn goal(&self, subject: &Subject) -> &'static str {
        match subject {
            Subject::Service { name, .. }
                if self.board.known(name).is_some_and(|known| known.job) =>
            {
                "done"
            }
            _ => "ready",
        }
    }

    /// Puts time and name in front of the first line. The other lines are indented below its text.
    fn columns(&mut self, stamped: &EventEnvelope, who: &str, told: &[String]) -> Vec<String> {
        if told.is_empty() {
            return Vec::new();
        }
        // The sign marks a time that was simulated and not measured.
        let sign = if stamped.simulated { '~' } else { '+' };
        let clock = format!(
            "{sign}{}.{:03}s",
            stamped.at.as_secs(),
            stamped.at.subsec_millis()
        );
        let clock = self.paint.tone(Color::Dim, &format!("{clock:>CLOCK$}"));
        // Names of networks and volumes are not known in advance. A wider name widens the column.
        self.column = self.column.max(text::width(who)).min(MAX_WIDTH);
        let who = text::pad(who, self.column);
        let blank = " ".repeat(CLOCK + 2 + self.column);
        told.iter()
            .enumerate()
            .map(|(index, line)| match index {
                0 => format!("{clock}  {who}  {line}"),
                _ => format!("{blank}  {line}"),
            })
            .collect()
    }

    fn of_subject(&mut self, event: &Event, object: &str) -> Vec<String> {
        match event {
            Event::StepStarted {
                subject,
                verb,
                object,
                reason,
                ..
            } => vec![begun(subject, verb, object, reason)],
            Event::StepFinished {
                verb,
                elapsed: took,
                ..
            } => {
                vec![format!(
                    "{} {object} in {}",
                    phrases::past_tense(verb),
                    text::took(*took)
                )]
            }
            Event::ReadinessStarted {
                probes,
                timeout: within,
                ..
            } => {
                let limit = text::limit(*within);
                vec![format!(
                    "waiting until ready, {limit} at most: {}",
                    probes.join(", ")
                )]
            }
            Event::ProbeResult {
                step,
                probe,
                answer,
                ..
            } => {
                let last = self.answers.insert((*step, probe.clone()), answer.clone());
                if last.as_ref() == Some(answer) {
                    return Vec::new();
                }
                vec![format!("{probe}: {}", text::clean(answer))]
            }
            Event::Ready {
                subject,
                elapsed: took,
                ..
            } => {
                let passed = format!("{} after {}", self.goal(subject), text::took(*took));
                vec![self.paint.tone(Color::Good, &passed)]
            }
            failed => failure::of(failed, &self.board, self.paint),
        }
    }

    fn progress(&mut self, step: StepId, progress: &Progress) -> Vec<String> {
        match progress {
            Progress::BuildStep { name, state, .. } => {
                let state = match state {
                    BuildStepState::Running => String::new(),
                    BuildStepState::Cached => "  cached".to_owned(),
                    BuildStepState::Done(seconds) => format!("  done in {seconds:.1} s"),
                    BuildStepState::Failed => "  failed".to_owned(),
                };
                vec![format!("{}{state}", text::clean(name))]
            }
            Progress::BuildOutput { line, .. } => vec![format!("│ {}", text::clean(line))],
            Progress::Pull {
                done,
                total,
                layers_done,
                layers,
            } => {
                if self.layers.insert(step, *layers_done) == Some(*layers_done) {
                    return Vec::new();
                }
                vec![phrases::pull((*done, *total), (*layers_done, *layers))]
            }
            Progress::Context { .. } => Vec::new(),
        }
    }

    fn end(&self) -> Vec<String> {
        let Some(ending) = &self.board.ending else {
            return Vec::new();
        };
        let mut lines = summary::verdict(&self.board, ending, self.paint);
        lines.extend(summary::critical_path(&self.board, ending));
        lines
    }
}

/// Formats the start of a step, with the reason if it adds information.
fn begun(subject: &Subject, verb: &str, object: &str, reason: &Reason) -> String {
    match (subject, reason) {
        (_, Reason::Verify) => format!("verify: {object}"),
        (Subject::Image { .. }, Reason::NotFound) => format!("{verb} {object} (not on the engine)"),
        _ => format!("{verb} {object} ({})", phrases::reason(reason)),
    }
}
