//! Clients that send requests to a service all the time, and their counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    env,
    fmt::{self, Display, Formatter, Write as _},
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::Deserialize;

/// The program of all clients; its head comment documents its variables.
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/cutover/programs/client.js"
);

/// Returns whether Node.js is missing on this machine, and prints that.
pub fn is_missing(story: &str) -> bool {
    let found = Command::new("node").arg("--version").output();
    let missing = !found.is_ok_and(|output| output.status.success());
    if missing {
        let required = env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
        assert!(!required, "Node.js is required and not installed");
        print(&format!("skipped `{story}`: Node.js is not installed"));
    }
    missing
}

/// Prints a remark or a measurement.
#[expect(clippy::print_stderr, reason = "not asserted, and of interest")]
pub fn print(text: &str) {
    eprintln!("{text}");
}

/// A kind of client, from `kinds.json`.
#[derive(Clone, Deserialize)]
pub struct Kind {
    /// The name of the client's service.
    #[serde(skip)]
    pub name: String,
    /// The requested path.
    path: String,
    /// Whether the client requests the published proxy, from this machine.
    #[serde(default)]
    pub published: bool,
    /// Variables of the program, which set how it sends requests.
    env: BTreeMap<String, String>,
}

impl Kind {
    /// Returns the kind with this name.
    pub fn named(name: &str) -> Self {
        let mut kinds: BTreeMap<String, Self> =
            serde_json::from_str(include_str!("kinds.json")).unwrap();
        let kind = kinds.remove(name);
        let kind = kind.unwrap_or_else(|| panic!("there is no client `{name}`"));
        let name = name.to_owned();
        Self { name, ..kind }
    }

    /// Returns the client's service in a manifest, which requests `web`; empty for a client on this
    /// machine.
    pub fn service(&self, image: &str) -> String {
        let Self { name, path, .. } = self;
        if self.published {
            return String::new();
        }
        let mut variables = String::new();
        for (key, value) in &self.env {
            let _ = write!(variables, " {key}=\"{value}\"");
        }
        format!(
            r#"
            service "{name}" {{
                image "{image}"
                command "/node" "/programs/client.js"
                env URL="http://web:8080{path}"{variables}
                depends-on "web"
                ready {{ log "first answers"; }}
            }}
            "#
        )
    }

    /// Starts the same client on this machine, for a published port.
    pub fn here(&self, port: u16) -> Here {
        let env = self.env.iter();
        let env: Vec<_> = env
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        Here::begin(&format!("http://127.0.0.1:{port}{}", self.path), &env)
    }
}

/// The counts of a client.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub total: u64,
    pub failed: u64,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// Requests without a byte for more than 5 s.
    pub hanging: u64,
    /// Requests that waited for more than 0.5 s.
    pub slow: u64,
    /// Idle connections that the server closed just when a request arrived.
    pub idle_resets: u64,
    /// The longest wait.
    pub longest_ms: f64,
    /// The longest time without a good answer.
    pub longest_gap_ms: f64,
    /// Good answers by the version that gave them.
    pub versions: BTreeMap<String, u64>,
    /// Whether the client stopped before the report, at its own limits.
    pub bounded: bool,
}

impl Report {
    /// Parses the report in a line of a client's output.
    pub fn parse(line: &str) -> Option<Self> {
        let report = line.trim().strip_prefix("report ")?;
        Some(serde_json::from_str(report).unwrap())
    }

    /// Checks that each request got a good answer, and that there were requests.
    #[track_caller]
    pub fn all_answered(self) -> Self {
        assert!(self.failed == 0 && self.hanging == 0, "{self}");
        assert!(self.total > 0 && !self.bounded, "{self}");
        self
    }

    /// Checks that both versions answered.
    #[track_caller]
    pub fn by_both(self) -> Self {
        for version in ["one", "two"] {
            assert!(self.versions.contains_key(version), "{self}");
        }
        self
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            total,
            failed,
            errors,
            hanging,
            slow,
            idle_resets,
            longest_ms,
            longest_gap_ms,
            versions,
            ..
        } = self;
        write!(
            out,
            "{total} requests, {failed} failed {errors:?}, {hanging} hanging, {slow} slow, \
             {idle_resets} idle resets, longest {longest_ms:.0} ms, \
             {longest_gap_ms:.0} ms without an answer, by version {versions:?}"
        )
    }
}

/// A client on this machine.
pub struct Here {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Here {
    /// Starts the client; returns after the first answers.
    pub fn begin(url: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new("node");
        command.arg(PROGRAM).env("URL", url);
        command.envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let begun = lines.any(|line| line.unwrap() == "first answers");
        assert!(begun, "{url} does not answer");
        Self { child, lines }
    }

    /// Returns the counts since the last report.
    pub fn report(&mut self) -> Report {
        signal(&self.child, "USR2");
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find_map(|line| Report::parse(&line)).unwrap()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Sends a signal to a process on this machine.
pub fn signal(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    let ended = Command::new("sh").args(["-c", &line]).status().unwrap();
    assert!(ended.success(), "{line}");
}

/// Ends a process on this machine, if it still runs.
pub fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
