//! Clients that ask a service all the time, and what they count.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    env,
    fmt::{self, Display, Formatter, Write as _},
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::Deserialize;

/// The program of all clients; it says in its head what its variables mean.
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/cutover/programs/client.js"
);

/// Whether there is no Node.js on this machine, which is printed.
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
    /// The name of its service.
    #[serde(skip)]
    pub name: String,
    /// What it asks for.
    path: String,
    /// Whether it asks the published proxy, from this machine.
    #[serde(default)]
    pub published: bool,
    /// How it asks: variables of the program.
    env: BTreeMap<String, String>,
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Self {
        let mut kinds: BTreeMap<String, Self> =
            serde_json::from_str(include_str!("kinds.json")).unwrap();
        let kind = kinds.remove(name);
        let kind = kind.unwrap_or_else(|| panic!("there is no client `{name}`"));
        let name = name.to_owned();
        Self { name, ..kind }
    }

    /// Its service in a manifest, which asks `web`; nothing for a client on this machine.
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

    /// The same client on this machine, which asks a published port.
    pub fn here(&self, port: u16) -> Here {
        let env = self.env.iter();
        let env: Vec<_> = env
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        Here::begin(&format!("http://127.0.0.1:{port}{}", self.path), &env)
    }
}

/// What a client counted.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub total: u64,
    pub failed: u64,
    /// Failures by their kind.
    pub errors: BTreeMap<String, u64>,
    /// Requests without a byte for more than 5 s.
    pub hanging: u64,
    /// Requests that waited for more than 0.5 s.
    pub slow: u64,
    /// Idle connections that the server closed itself just when a request came.
    pub idle_resets: u64,
    /// The longest wait.
    pub longest_ms: f64,
    /// The longest time without a good answer.
    pub longest_gap_ms: f64,
    /// Good answers by the version that gave them.
    pub versions: BTreeMap<String, u64>,
    /// Whether the client stopped asking before the report, at its bounds.
    pub bounded: bool,
}

impl Report {
    /// The report in a line of what a client printed.
    pub fn parse(line: &str) -> Option<Self> {
        let report = line.trim().strip_prefix("report ")?;
        Some(serde_json::from_str(report).unwrap())
    }

    /// Insists that each request got a good answer, and that there were some.
    #[track_caller]
    pub fn all_answered(self) -> Self {
        assert!(self.failed == 0 && self.hanging == 0, "{self}");
        assert!(self.total > 0 && !self.bounded, "{self}");
        self
    }

    /// Insists that both versions answered.
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
    /// Begins to ask; returns when first answers have come.
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

    /// What it counted since the last report.
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

/// Sends a signal to a program of this machine.
pub fn signal(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    let ended = Command::new("sh").args(["-c", &line]).status().unwrap();
    assert!(ended.success(), "{line}");
}

/// Ends a program of this machine, if it has not ended.
pub fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
