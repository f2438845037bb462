//! A stack in the shape of CI-Mandat: two services with data in volumes, one that depends on them,
//! and one in front; the latter two publish a port. A further service has no port, and is switched
//! without a gap.

use cimandat::event::Outcome;

use crate::support::{Client, Ended, Inner, Running, World, free_port};

/// The services of the stack.
const SERVICES: [&str; 5] = ["backend", "database", "frontend", "redis", "worker"];

/// The stack in its own world.
pub struct Stack {
    pub world: World,
    backend: u16,
    frontend: u16,
}

impl Stack {
    /// Creates the stack on this engine; `None` without one.
    pub fn new(story: &str, inner: Option<Inner>) -> Option<Self> {
        Some(Self {
            world: World::on(story, inner)?,
            backend: free_port(),
            frontend: free_port(),
        })
    }

    /// Writes the manifest.
    pub fn manifest(&self, text: &str) {
        let (backend, frontend) = (self.backend, self.frontend);
        self.world.manifest(&format!(
            r##"
            deploy stabilize="0s"
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
                port "{backend}:8080"
            }}
            service "frontend" {{
                use "page"
                depends-on "backend"
                port "{frontend}:8080"
            }}
            service "worker" {{ use "page"; depends-on "redis"; }}
            "##
        ));
    }

    /// Runs the program, which may be killed at a request.
    pub fn run(&self, arguments: &[&str], crash: Option<&str>) -> Ended {
        let mut command = self.world.command(arguments);
        if let Some(crash) = crash {
            command.env("CIMANDAT_CRASH", crash);
        }
        Running::begin(&self.world, command).end()
    }

    pub fn up(&self, crash: Option<&str>) -> Ended {
        self.run(&["up", "--progress", "json"], crash)
    }

    /// Returns the number of changing requests in an update.
    pub fn requests(&self) -> u64 {
        self.manifest("one");
        self.up(None).with(0, Outcome::Converged);
        self.manifest("two");
        let ended = self.up(Some("count"));
        let counted = ended.err.trim().strip_prefix("changing requests: ");
        let counted = counted.and_then(|count| count.parse().ok());
        let counted = counted.unwrap_or_else(|| panic!("{ended:?}"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        counted
    }

    /// Returns the generation of the project if it is complete: everything runs, is of one
    /// generation, answers, has its data, and nothing else exists.
    pub fn whole(&self) -> Result<String, String> {
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
        let address = self.world.address();
        for port in [self.backend, self.frontend] {
            let answer = Client::ask_at(&address, port);
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
                return Err(format!("the data of `{service}` is lost"));
            }
        }
        Ok(text)
    }

    /// Recovers an interrupted update, and deploys again; returns the generation after the
    /// recovery, and the exit code of the recovery.
    pub fn recovered(&self) -> Result<(String, i32), String> {
        let recovered = self.run(&["recover"], None);
        let story = || format!("{}{}", recovered.out, recovered.err);
        let text = self.whole().map_err(|why| format!("{why}\n{}", story()))?;
        // The exit code is correct: 5 means that the old generation runs again.
        let code = match recovered.code {
            Some(0) => 0,
            Some(5) if text == "one" => 5,
            _ => return Err(format!("{text}: {:?} {}", recovered.code, story())),
        };
        // Nothing blocks the next deploy.
        self.up(None).with_code(0);
        match self.whole()?.as_str() {
            "two" => Ok((text, code)),
            other => Err(format!("afterwards it is `{other}`")),
        }
    }
}
