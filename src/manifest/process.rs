//! Processes of a container: commands, environment, health checks, hooks, logging.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    Template,
    context::LowerContext,
    map::open_pairs,
    node::Node,
    reader::{Reader, texts, unknown_node},
    scalar::{ContainerPath, Read, invalid},
};
use crate::{
    diagnostic::{SchemaError, ValueError, suggest},
    span::{Span, Spanned},
};

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Program and arguments; empty (`command` without arguments) removes the image's command.
    Exec(Vec<String>),
    /// A command line for the container's shell (`shell=`).
    Shell(String),
}

/// A variable of a container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// A value in the manifest; may contain secrets.
    Value(Template),
    /// The value in the environment of the user that deploys, if it is set there (`env "NAME"`).
    PassThrough,
}

/// A file of variables (`env-file`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Path of the file, absolute.
    pub path: Spanned<PathBuf>,
    /// Whether the file may be missing.
    pub optional: bool,
    /// Whether lines are read verbatim, without quotes and interpolation.
    pub raw: bool,
}

/// The engine's own health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// Span of the declaration.
    pub span: Span,
    /// The test to run.
    pub test: HealthTest,
    /// Interval between two checks.
    pub interval: Option<Duration>,
    /// Timeout of one check.
    pub timeout: Option<Duration>,
    /// Number of consecutive failures until the container is `unhealthy`.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Interval between two checks in the start period.
    pub start_interval: Option<Duration>,
}

/// The test of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// No test; the image's own check is switched off (`disable=#true`).
    Disabled,
    /// The image's own test, with other timings.
    Image,
    /// A command in the manifest.
    Command(Command),
}

/// A command that runs at a lifecycle event of a container (`post-start`, `pre-stop`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Span of the declaration.
    pub span: Span,
    /// Command to run.
    pub command: Command,
    /// User, instead of the container's own.
    pub user: Option<String>,
    /// Working folder, instead of the container's own.
    pub working_dir: Option<String>,
    /// Whether the command has all capabilities.
    pub privileged: bool,
    /// Additional environment variables.
    pub env: BTreeMap<String, Spanned<EnvValue>>,
}

/// Log destination of a container (`logging DRIVER option=…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Log driver of the engine.
    pub driver: Spanned<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// Action of a development session when a file changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Path to watch, absolute.
    pub path: Spanned<PathBuf>,
    /// `sync`, `rebuild`, `restart` or `sync+restart`.
    pub action: String,
    /// Path inside the container.
    pub target: Option<String>,
    /// Patterns of ignored paths.
    pub ignore: Vec<String>,
}

const NAMES: &str = "names of variables have no `=`: `env NAME=\"value\"`";

/// Reads `command` or `entrypoint`; a node without arguments is an empty command.
pub(super) fn command(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<Command>> {
    let mut reader = Reader::new(node, scope);
    let shell = reader.placed::<String>("shell");
    let mut words = Vec::new();
    let mut complete = true;
    let mut first = None;
    while let Some(scalar) = reader.next() {
        first.get_or_insert(scalar.span);
        match String::read(scalar, scope) {
            Some(word) => words.push(word),
            None => complete = false,
        }
    }
    reader.end();
    let command = match (shell, first) {
        (Some(shell), Some(first)) => {
            scope.mistake(SchemaError::Conflict {
                one: "`shell=`".to_owned(),
                other: "a program with arguments".to_owned(),
                at: shell.span.max(first),
                first: shell.span.min(first),
                help: None,
            });
            return None;
        }
        (Some(shell), None) => Command::Shell(shell.value),
        (None, _) => Command::Exec(words),
    };
    complete.then(|| Spanned::new(command, node.head()))
}

/// Reads `env` into the variables of a container.
pub(super) fn env(
    node: &Node,
    into: &mut BTreeMap<String, Spanned<EnvValue>>,
    scope: &LowerContext<'_>,
) {
    for (name, value) in open_pairs::<Template>(node, scope) {
        if name.is_empty() || name.contains('=') {
            scope.mistake(ValueError::Invalid {
                wanted: "the name of a variable".to_owned(),
                found: name,
                at: value.span,
                help: Some(NAMES.to_owned()),
            });
            continue;
        }
        let value = value.map(|value| value.map_or(EnvValue::PassThrough, EnvValue::Value));
        into.insert(name, value);
    }
}

/// Reads an `env-file` of a service.
pub(super) fn env_file(node: &Node, scope: &LowerContext<'_>) -> Option<EnvFile> {
    let mut reader = Reader::new(node, scope);
    let path = reader.argument("a path");
    let (optional, raw) = (reader.flag("optional"), reader.flag("raw"));
    reader.end();
    Some(EnvFile {
        path: path?,
        optional,
        raw,
    })
}

/// Reads a `healthcheck`.
pub(super) fn healthcheck(node: &Node, scope: &LowerContext<'_>) -> Option<Healthcheck> {
    let mut reader = Reader::new(node, scope);
    let disable = reader.flag("disable");
    let mut check = Healthcheck {
        span: reader.span(),
        test: if disable {
            HealthTest::Disabled
        } else {
            HealthTest::Image
        },
        interval: reader.property("interval"),
        timeout: reader.property("timeout"),
        retries: reader.number("retries", 1..=1_000_000),
        start_period: reader.property("start-period"),
        start_interval: reader.property("start-interval"),
    };
    for child in reader.children() {
        match child.name.value.as_str() {
            "command" if disable => scope.mistake(SchemaError::Conflict {
                one: "`disable=#true`".to_owned(),
                other: "a command".to_owned(),
                at: child.name.span,
                first: node.name.span,
                help: None,
            }),
            "command" => check.test = HealthTest::Command(command(child, scope)?.value),
            _ => unknown_node(child, "a health check", &["command"], scope),
        }
    }
    reader.end();
    Some(check)
}

/// Reads `post-start` or `pre-stop`.
pub(super) fn hook(node: &Node, scope: &LowerContext<'_>) -> Option<Hook> {
    let mut reader = Reader::new(node, scope);
    let user = reader.property("user");
    let working_dir = reader
        .property::<ContainerPath>("working-dir")
        .map(|path| path.0);
    let privileged = reader.flag("privileged");
    let mut line = None;
    let mut variables = BTreeMap::new();
    for child in reader.children() {
        match child.name.value.as_str() {
            "command" => line = command(child, scope),
            "env" => env(child, &mut variables, scope),
            _ => unknown_node(child, "a hook", &["command", "env"], scope),
        }
    }
    if line.is_none() {
        scope.mistake(SchemaError::MissingChild {
            node: node.name.value.clone(),
            wanted: "a command".to_owned(),
            at: node.name.span,
            help: Some(format!(
                "`{} {{ command \"prog\" \"arg\" }}`",
                node.name.value
            )),
        });
    }
    let span = reader.span();
    reader.end();
    Some(Hook {
        span,
        command: line?.value,
        user,
        working_dir,
        privileged,
        env: variables,
    })
}

/// Reads `logging DRIVER option="…"`.
pub(super) fn logging(node: &Node, scope: &LowerContext<'_>) -> Option<Logging> {
    let mut reader = Reader::new(node, scope);
    let driver = reader.argument("a driver, such as `\"json-file\"`");
    let options = reader.others::<String>();
    reader.end();
    let options = options
        .into_iter()
        .map(|(name, value)| (name, value.value))
        .collect();
    Some(Logging {
        driver: driver?,
        options,
    })
}

/// Linux signals, without the prefix `SIG`.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS",
    "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
    "XFSZ",
];

/// Reads `stop-signal`: a name or a number, as the engine knows them.
pub(super) fn signal(node: &Node, scope: &LowerContext<'_>) -> Option<Spanned<String>> {
    let mut reader = Reader::new(node, scope);
    let written = reader.needed("a signal, such as `\"SIGTERM\"`");
    reader.end();
    let written = written?;
    let text = String::read(written, scope)?;
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let counted = |base: &str, sign: char, most: u8| {
        let count = name.strip_prefix(base)?.strip_prefix(sign)?.parse().ok();
        count.filter(|count: &u8| (1..=most).contains(count))
    };
    let known = SIGNALS.contains(&name)
        || counted("RTMIN", '+', 15).is_some()
        || counted("RTMAX", '-', 14).is_some()
        || text
            .parse::<u8>()
            .is_ok_and(|number| (1..=64).contains(&number));
    if known {
        return Some(Spanned::new(text, written.span));
    }
    let near = suggest(&name.to_lowercase(), SIGNALS.iter().copied());
    let help = near.map_or_else(
        || "such as `SIGTERM`, `SIGINT` or `SIGQUIT`".to_owned(),
        |near| format!("did you mean `SIG{near}`?"),
    );
    invalid(written, scope, "a signal", Some(&help))
}

const ACTIONS: &[(&str, &str)] = &[
    ("sync", "sync"),
    ("rebuild", "rebuild"),
    ("restart", "restart"),
    ("sync+restart", "sync+restart"),
];

/// Reads a `watch`.
pub(super) fn watch(node: &Node, scope: &LowerContext<'_>) -> Option<Watch> {
    let mut reader = Reader::new(node, scope);
    let path = reader.argument("a path");
    let action = reader.word("action", ACTIONS);
    let target = reader
        .property::<ContainerPath>("target")
        .map(|path| path.0);
    let mut ignore: Vec<String> = reader.property("ignore").into_iter().collect();
    for child in reader.children() {
        match child.name.value.as_str() {
            "ignore" => {
                let mut inner = Reader::new(child, scope);
                ignore.extend(texts(inner.all("a pattern")));
                inner.end();
            }
            _ => unknown_node(child, "`watch`", &["ignore"], scope),
        }
    }
    if node.property("action").is_none() {
        reader.missing(
            "`action=`",
            Some("one of `sync`, `rebuild`, `restart`, `sync+restart`"),
        );
    }
    reader.end();
    Some(Watch {
        path: path?,
        action: action?.to_owned(),
        target,
        ignore,
    })
}
