//! The running program, and its result.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cimandat::event::{Event, EventEnvelope, Outcome};

use super::World;

/// The timeout of any wait; long, as the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// A run of the program that has not ended. Dropping it kills the program.
pub struct Running<'w> {
    world: &'w World,
    child: Child,
    lines: Receiver<String>,
    out: String,
    err: Option<JoinHandle<String>>,
}

impl<'w> Running<'w> {
    /// Starts a command that is, or becomes, the program.
    pub fn begin(world: &'w World, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut err = child.stderr.take().unwrap();
        let err = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            world,
            child,
            lines,
            out: String::new(),
            err: Some(err),
        }
    }

    /// Waits for a line on standard output.
    pub fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("waited in vain for {what}; it printed:\n{}", self.out);
            };
            self.out.push_str(&line);
            self.out.push('\n');
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Waits for an event.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let line = self.line(what, |line| parse(line).is_some_and(|it| wanted(&it.event)));
        parse(&line).unwrap().event
    }

    /// Sends `SIGINT`, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: &str) {
        let line = format!("kill -{signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the exit.
    pub fn end(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.out = format!("{}{line}\n", self.out),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it does not end; it printed:\n{}", self.out)
                }
            }
        }
        let status = self.child.wait().unwrap();
        let err = self.err.take().unwrap().join().unwrap();
        self.world.heard(&self.out);
        self.world.heard(&err);
        let out = std::mem::take(&mut self.out);
        Ended {
            code: status.code(),
            events: out.lines().filter_map(parse).collect(),
            out,
            err,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // The program has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<EventEnvelope> {
    serde_json::from_str(line).ok()
}

/// A run of the program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None`: a signal killed the program.
    pub code: Option<i32>,
    /// The events on standard output.
    pub events: Vec<EventEnvelope>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    /// Checks the exit code and its verdict, which is the last event, and that nothing else was
    /// printed.
    #[track_caller]
    pub fn with(self, code: i32, verdict: Outcome) -> Self {
        let ended = self.with_code(code);
        let (first, last) = (ended.events.first(), ended.events.last());
        assert!(
            matches!(
                first,
                Some(EventEnvelope {
                    event: Event::RunStarted { .. },
                    ..
                })
            ),
            "{first:?}"
        );
        match last.map(|last| &last.event) {
            Some(Event::RunFinished { outcome: told, .. }) => assert_eq!(*told, verdict),
            other => panic!("the last event is {other:?}"),
        }
        assert_eq!(
            ended.events.len(),
            ended.out.lines().count(),
            "{}",
            ended.out
        );
        assert_eq!(ended.err, "");
        ended
    }

    /// Returns the started steps, as `creating container x`, in the order of their starts.
    pub fn steps(&self) -> Vec<String> {
        let begun = self
            .events
            .iter()
            .filter_map(|stamped| match &stamped.event {
                Event::StepStarted { verb, object, .. } => Some(format!("{verb} {object}")),
                _ => None,
            });
        begun.collect()
    }

    /// Returns the time of the first matching event.
    #[track_caller]
    pub fn when(&self, wanted: impl Fn(&Event) -> bool) -> Duration {
        let found = self.events.iter().find(|stamped| wanted(&stamped.event));
        found
            .unwrap_or_else(|| panic!("no such event in\n{}", self.out))
            .at
    }

    /// Returns the first value that the closure extracts from an event.
    #[track_caller]
    pub fn told<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let found = self
            .events
            .iter()
            .find_map(|stamped| wanted(&stamped.event));
        found.unwrap_or_else(|| panic!("no such event in\n{}", self.out))
    }
}
