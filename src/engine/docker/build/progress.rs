//! Converts the builder's reports into progress events, and keeps the evidence about a failed step.
//!
//! A fold without I/O: reports go in, progress events come out, and the details of a failure are
//! available at the end.

use std::collections::{BTreeMap, VecDeque};

use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use crate::event::{BuildStepState, Progress};

/// Number of lines that are kept of a step's output, from its end.
const LAST_LINES: usize = 20;

/// The state of a build so far.
#[derive(Debug, Default)]
pub(super) struct ProgressLog {
    steps: BTreeMap<String, Step>,
    /// The digest of the step that failed first. Other steps fail only because they are cancelled.
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    state: Option<BuildStepState>,
    last_lines: VecDeque<String>,
    /// The beginning of a line whose end has not arrived yet, by stream.
    partial: BTreeMap<i64, Vec<u8>>,
}

/// A step that failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) output: Vec<String>,
}

impl ProgressLog {
    /// Applies a report and returns its progress events.
    pub(super) fn take(&mut self, report: StatusResponse) -> Vec<Progress> {
        let mut progress = Vec::new();
        for vertex in report.vertexes {
            progress.extend(self.vertex(vertex));
        }
        for log in &report.logs {
            progress.extend(self.log(log));
        }
        progress
    }

    /// Returns the failed step, if a step failed. Its output includes lines without an end.
    pub(super) fn failed(mut self) -> Option<Failed> {
        let mut step = self.steps.remove(&self.failed?)?;
        for (_, partial) in std::mem::take(&mut step.partial) {
            if !partial.is_empty() {
                step.keep(text(&partial));
            }
        }
        Some(Failed {
            step: step.name,
            output: step.last_lines.into(),
        })
    }

    fn vertex(&mut self, vertex: Vertex) -> Option<Progress> {
        let state = state(&vertex)?;
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        step.name.clone_from(&vertex.name);
        if step.state == Some(state) {
            return None;
        }
        step.state = Some(state);
        if state == BuildStepState::Failed
            && self.failed.is_none()
            && !vertex.error.contains("context canceled")
        {
            self.failed = Some(vertex.digest.clone());
        }
        Some(Progress::BuildStep {
            digest: vertex.digest,
            name: vertex.name,
            state,
        })
    }

    fn log(&mut self, log: &VertexLog) -> Vec<Progress> {
        let step = self.steps.entry(log.vertex.clone()).or_default();
        let partial = step.partial.entry(log.stream).or_default();
        partial.extend_from_slice(&log.msg);
        let Some(end) = partial.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = partial.split_off(end + 1);
        let whole = std::mem::replace(partial, rest);
        let mut progress = Vec::new();
        for line in whole[..end].split(|&byte| byte == b'\n') {
            let line = text(line);
            step.keep(line.clone());
            progress.push(Progress::BuildOutput {
                digest: log.vertex.clone(),
                line,
            });
        }
        progress
    }
}

impl Step {
    fn keep(&mut self, line: String) {
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line);
    }
}

/// Returns a line as a terminal would show it, without text that a carriage return overwrote.
fn text(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line).to_owned()
}

fn state(vertex: &Vertex) -> Option<BuildStepState> {
    let started = vertex.started?;
    let Some(completed) = vertex.completed else {
        return Some(BuildStepState::Running);
    };
    if !vertex.error.is_empty() {
        return Some(BuildStepState::Failed);
    }
    if vertex.cached {
        return Some(BuildStepState::Cached);
    }
    #[expect(clippy::cast_precision_loss, reason = "a step takes less than 2^52 s")]
    let seconds = (completed.seconds - started.seconds) as f64;
    let seconds = seconds + f64::from(completed.nanos - started.nanos) / 1e9;
    Some(BuildStepState::Done(seconds.max(0.0)))
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::google::protobuf::Timestamp;

    use super::*;

    const fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    fn vertex(digest: &str, completed: Option<Timestamp>, error: &str) -> StatusResponse {
        let vertex = Vertex {
            digest: digest.into(),
            name: format!("step {digest}"),
            started: Some(at(10, 900_000_000)),
            completed,
            error: error.into(),
            ..Vertex::default()
        };
        StatusResponse {
            vertexes: vec![vertex],
            ..StatusResponse::default()
        }
    }

    fn log(digest: &str, text: &str) -> StatusResponse {
        let log = VertexLog {
            vertex: digest.into(),
            msg: text.into(),
            ..VertexLog::default()
        };
        StatusResponse {
            logs: vec![log],
            ..StatusResponse::default()
        }
    }

    #[test]
    fn progress_reports_whole_lines_and_each_state_once() {
        let mut story = ProgressLog::default();
        assert_eq!(story.take(vertex("a", None, "")).len(), 1);
        assert_eq!(story.take(vertex("a", None, "")), []);
        assert_eq!(story.take(log("a", "one\ntw")).len(), 1);
        let told = story.take(log("a", "o\r\n10 %\r100 %\n"));
        let lines: Vec<_> = told
            .iter()
            .map(|progress| match progress {
                Progress::BuildOutput { line, .. } => line.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines, ["two", "100 %"]);
        let done = story.take(vertex("a", Some(at(12, 400_000_000)), ""));
        let Progress::BuildStep { state, .. } = &done[0] else {
            panic!("{done:?}")
        };
        assert_eq!(*state, BuildStepState::Done(1.5));
        assert_eq!(story.failed(), None);
    }

    #[test]
    fn failed_step_is_distinguished_from_cancelled_steps() {
        let mut story = ProgressLog::default();
        story.take(vertex("b", Some(at(11, 0)), "context canceled"));
        for number in 0..30 {
            story.take(log("a", &format!("line {number}\n")));
        }
        story.take(log("a", "without an end"));
        story.take(vertex("a", Some(at(11, 0)), "exit code: 3"));
        let failed = story.failed().unwrap();
        assert_eq!(failed.step, "step a");
        assert_eq!(failed.output.len(), LAST_LINES);
        assert_eq!(failed.output[18..], ["line 29", "without an end"]);
    }
}
