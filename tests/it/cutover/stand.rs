//! A service that is updated, and clients that ask it meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    cell::RefCell,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use cimandat::event::Outcome;

use super::client::{Here, Kind, Report, is_missing, print};
use crate::support::{Ended, Running, World, free_port};

/// Makes the image with Node.js and the programs, and prints its name.
const IMAGE_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/node-image");
/// For how long clients go on after an update, so that what goes wrong late is seen.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// The longest that a report may take: a hanging request is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a log.
const LOOK: Duration = Duration::from_millis(100);

/// The service `web`, which asks `back`, and its clients; `page`, with a port, stands before it.
pub struct Stand {
    pub world: World,
    image: String,
    clients: Vec<Kind>,
    /// Where `page` is published.
    port: u16,
    /// The clients on this machine.
    here: RefCell<Vec<Here>>,
}

impl Stand {
    /// One with clients of these kinds; `None` where there is no engine, or no Node.js.
    pub fn new(story: &str, clients: &[&str]) -> Option<Self> {
        if is_missing(story) {
            return None;
        }
        let world = World::new(&format!("cutover-{story}"))?;
        Some(Self {
            world,
            image: image(),
            clients: clients.iter().map(|name| Kind::named(name)).collect(),
            port: free_port(),
            here: RefCell::default(),
        })
    }

    /// Deploys the first version, and lets the clients begin.
    pub fn begin(&self, more: &str) {
        self.up("one", more).with(0, Outcome::Converged);
        let published = self.clients.iter().filter(|kind| kind.published);
        self.here
            .replace(published.map(|kind| kind.here(self.port)).collect());
    }

    /// Deploys; `TEXT` of `web` says which version it is, `more` is of its node.
    pub fn up(&self, text: &str, more: &str) -> Ended {
        self.manifest(text, more);
        self.world.up()
    }

    /// The same, killed at a request, or with `count` told how many requests it makes.
    pub fn killed_up(&self, text: &str, more: &str, at: &str) -> Ended {
        self.manifest(text, more);
        let mut command = self.world.command(&["up", "--progress", "json"]);
        command.env("CIMANDAT_CRASH", at);
        Running::begin(&self.world, command).end()
    }

    fn manifest(&self, text: &str, more: &str) {
        let (image, port) = (&self.image, self.port);
        let clients: String = self.clients.iter().map(|it| it.service(image)).collect();
        self.world.manifest(&format!(
            r#"
            deploy settle="1s"
            template "server" {{
                image "{image}"
                command "/node" "/programs/server.js"
                ready {{ http 8080; }}
            }}
            service "back" {{ use "server"; env TEXT="back"; }}
            service "web" {{
                use "server"
                env TEXT="{text}" UPSTREAM="http://back:8080/"
                depends-on "back"
                {more}
            }}
            service "page" {{
                use "server"
                env TEXT="page" UPSTREAM="http://web:8080/"
                port "127.0.0.1:{port}:8080"
                depends-on "web"
            }}
            {clients}
            "#
        ));
    }

    /// Lets the clients go on for a time, then gives what each has counted since its last report,
    /// and prints it.
    pub fn reports(&self) -> Vec<Report> {
        thread::sleep(AFTERWARDS);
        let mut here = self.here.borrow_mut();
        let mut here = here.iter_mut();
        let reports = self.clients.iter().map(|kind| {
            let report = if kind.published {
                here.next().unwrap().report()
            } else {
                self.report(&kind.name)
            };
            print(&format!("{}: {report}", kind.name));
            report
        });
        reports.collect()
    }

    /// What a client in a container counted since the last report.
    fn report(&self, service: &str) -> Report {
        let name = self.world.name(service);
        let before = self.printed(&name).len();
        self.world.api.signal(&name, "USR2");
        let until = Instant::now() + PATIENCE;
        loop {
            let mut reports = self.printed(&name);
            if reports.len() > before {
                return reports.pop().unwrap();
            }
            assert!(Instant::now() < until, "`{name}` does not report");
            thread::sleep(LOOK);
        }
    }

    /// The reports in a container's log.
    fn printed(&self, container: &str) -> Vec<Report> {
        let path = format!("/containers/{container}/logs?stdout=1");
        let log = self.world.api.ask("GET", &path, None).body;
        // Each line has a head of a few bytes, which need not be text.
        let log = String::from_utf8_lossy(&log).into_owned();
        let reports = log.lines().filter_map(|line| {
            let start = line.find("report ")?;
            Report::parse(&line[start..])
        });
        reports.collect()
    }
}

/// The image with Node.js and the programs.
fn image() -> String {
    static IMAGE: OnceLock<String> = OnceLock::new();
    let make = || {
        let made = Command::new(IMAGE_SCRIPT).output().unwrap();
        let error = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{error}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    IMAGE.get_or_init(make).clone()
}
