//! The program is killed at a request to the engine, and `recover` clears up.
//!
//! The stack has the shape of CI-Mandat: two services that keep data in volumes, one that needs
//! them, and one in front, both with a port of the host; and one more without, which is switched
//! without a gap. `CIMANDAT_CRASH_POINTS=all` tries every
//! changing request of its update, before it was sent and after it was answered, a list like
//! `before:3,after:37` those; otherwise a few are tried. What came of each is told on standard error.

use std::{env, fmt::Write as _};

use cimandat::event::Verdict;

use crate::support::{Client, Ended, World, free_port};

/// So many points are tried where not all are asked for.
const SAMPLE: usize = 3;

/// The services of the stack.
const SERVICES: [&str; 5] = ["backend", "database", "frontend", "redis", "worker"];

struct Stack {
    world: World,
    backend: u16,
    frontend: u16,
}

/// What came of one crash.
struct Row {
    at: String,
    /// The generation that the project has in the end.
    text: String,
    told: String,
}

impl Stack {
    fn new(story: &str) -> Option<Self> {
        Some(Self {
            world: World::new(story)?,
            backend: free_port(),
            frontend: free_port(),
        })
    }

    /// Says what the stack is to be.
    fn manifest(&self, text: &str) {
        let (backend, frontend) = (self.backend, self.frontend);
        self.world.manifest(&format!(
            r##"
            deploy settle="0s"
            template "keeper" {{
                image "debian:trixie-slim"
                restart "unless-stopped"
                env TEXT="{text}"
                command "perl" "-MSocket" "-e" #"""
                    open(LOG, ">>", "/data/log") or die "log";
                    print LOG "$$ENV{{TEXT}}\n";
                    close LOG;
                    socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
                    bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
                    listen(SERVER, 64) or die "listen";
                    close CLIENT while accept(CLIENT, SERVER);
                    """#
                stop-grace-period "1s"
                ready {{ tcp 8080; }}
            }}
            template "page" {{
                use "web"
                restart "unless-stopped"
                env TEXT="{text}"
                stop-grace-period "1s"
                ready {{ http 8080 contains="{text}"; }}
            }}
            volume "data"
            volume "cache"
            service "database" {{ use "keeper"; volume "data" "/data"; }}
            service "redis" {{ use "keeper"; volume "cache" "/data"; }}
            service "backend" {{
                use "page"
                depends-on "database" "redis"
                port "127.0.0.1:{backend}:8080"
            }}
            service "frontend" {{
                use "page"
                depends-on "backend"
                port "127.0.0.1:{frontend}:8080"
            }}
            service "worker" {{ use "page"; depends-on "redis"; }}
            "##
        ));
    }

    /// Runs the program to its end, which may come at a request.
    fn run(&self, arguments: &[&str], crash: Option<&str>) -> Ended {
        let mut command = self.world.command(arguments);
        if let Some(crash) = crash {
            command.env("CIMANDAT_CRASH", crash);
        }
        crate::support::Running::begin(&self.world, command).end()
    }

    fn up(&self, crash: Option<&str>) -> Ended {
        self.run(&["up", "--progress", "json"], crash)
    }

    /// How many changing requests an update takes.
    fn requests(&self) -> u64 {
        self.manifest("one");
        self.up(None).with(0, Verdict::Converged);
        self.manifest("two");
        let ended = self.up(Some("count"));
        let counted = ended.err.trim().strip_prefix("changing requests: ");
        let counted = counted.and_then(|count| count.parse().ok());
        let counted = counted.unwrap_or_else(|| panic!("{ended:?}"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        counted
    }

    /// What the project is, if it is whole: everything runs, is of one generation, answers, has its
    /// data, and nothing else is there.
    fn whole(&self) -> Result<String, String> {
        let containers = self.world.containers();
        let names = SERVICES.map(|it| self.world.name(it));
        let runs = |name: &String| containers.get(name).is_some_and(|(_, runs)| *runs);
        let things = self.world.things();
        if !names.iter().all(runs) || things.len() != names.len() + 1 {
            return Err(format!("there is {things:?}: {containers:?}"));
        }
        let texts = SERVICES.map(|service| {
            let inspected = self.world.inspect(service);
            let env = inspected["Config"]["Env"].as_array().cloned();
            let policy = inspected["HostConfig"]["RestartPolicy"]["Name"].clone();
            let env = env.unwrap_or_default().into_iter();
            let mut env = env.filter_map(|it| Some(it.as_str()?.strip_prefix("TEXT=")?.to_owned()));
            (env.next(), policy)
        });
        let (Some(text), _) = texts[0].clone() else {
            return Err(format!("{texts:?}"));
        };
        let expected = (Some(text.clone()), serde_json::json!("unless-stopped"));
        if texts.iter().any(|it| *it != expected) {
            return Err(format!("{texts:?}"));
        }
        for port in [self.backend, self.frontend] {
            let answer = Client::ask(port);
            if answer.as_ref() != Some(&text) {
                return Err(format!("{answer:?} on {port} of generation `{text}`"));
            }
        }
        for service in ["database", "redis"] {
            let path = format!(
                "/containers/{}/archive?path=/data/log",
                self.world.name(service)
            );
            let archive = self.world.api.ask("GET", &path, None).body;
            if !String::from_utf8_lossy(&archive).contains("\0one\n") {
                return Err(format!("the data of `{service}` is gone"));
            }
        }
        Ok(text)
    }
}

/// Kills an update at a request and recovers; `during`: the recovery is killed too, once.
fn crash(story: &str, at: &str, during: Option<&str>) -> Result<Row, String> {
    let stack = Stack::new(story).ok_or("no engine")?;
    stack.manifest("one");
    stack.up(None).with(0, Verdict::Converged);
    stack.manifest("two");
    let killed = stack.up(Some(at));
    if killed.code.is_some() {
        return Err(format!("not killed: {killed:?}"));
    }
    let mut told = String::new();
    if let Some(during) = during {
        let code = stack.run(&["recover"], Some(during)).code;
        let _ = write!(told, "{during} {code:?}, ");
    }
    let recovered = stack.run(&["recover"], None);
    let _ = write!(told, "{:?}", recovered.code);
    let story = || format!("{}{}{}", recovered.out, recovered.err, told);
    let text = stack.whole().map_err(|why| format!("{why}\n{}", story()))?;
    // The exit code tells the truth: 5, that it is the old one again.
    let truthful = match recovered.code {
        Some(0) => true,
        Some(5) => text == "one",
        _ => false,
    };
    if !truthful {
        return Err(format!("{text}: {}", story()));
    }
    // Nothing is in the way of the next deploy.
    stack.up(None).with_code(0);
    match stack.whole()?.as_str() {
        "two" => {}
        other => return Err(format!("afterwards it is `{other}`")),
    }
    Ok(Row {
        at: at.to_owned(),
        text,
        told,
    })
}

/// All points, or a few of them evenly.
fn points(requests: u64) -> Vec<String> {
    let all: Vec<String> = (1..=requests)
        .flat_map(|number| [format!("before:{number}"), format!("after:{number}")])
        .collect();
    if let Ok(points) = env::var("CIMANDAT_CRASH_POINTS") {
        return match points.as_str() {
            "all" => all,
            some => some.split(',').map(str::to_owned).collect(),
        };
    }
    let step = all.len() / SAMPLE;
    all.into_iter().skip(step / 2).step_by(step).collect()
}

fn try_all(story: &str, during: Option<&str>) {
    let Some(stack) = Stack::new(story) else {
        return;
    };
    let requests = stack.requests();
    drop(stack);
    let mut failed = Vec::new();
    for at in points(requests) {
        match crash(story, &at, during) {
            Ok(row) => tell(&format!("{:<12} {:<6} {}", row.at, row.text, row.told)),
            Err(why) => failed.push(format!("{at}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[expect(clippy::print_stderr, reason = "a table for the one who asked for it")]
fn tell(line: &str) {
    eprintln!("{line}");
}

#[test]
fn a_killed_update_is_recovered() {
    try_all("crash", None);
}

#[test]
fn a_killed_recovery_is_recovered() {
    try_all("crash-twice", Some("after:2"));
}

#[test]
fn a_place_to_crash_is_read_or_refused() {
    let Some(world) = World::new("crash-word") else {
        return;
    };
    let mut command = world.command(&["ps"]);
    command.env("CIMANDAT_CRASH", "sometimes");
    let output = command
        .output()
        .map(|it| String::from_utf8_lossy(&it.stderr).into_owned());
    assert_eq!(
        output.as_deref().unwrap_or_default(),
        "error: `CIMANDAT_CRASH` is neither `before:K`, `after:K` with K from 1, nor `count`\n"
    );
}
