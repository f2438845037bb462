//! A service under update, and its clients.
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

/// Builds the image with Node.js and the programs, and prints its name.
const IMAGE_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/node-image");
/// The time for which clients continue after an update, so that late failures are counted.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// The timeout of a report, which waits for hanging requests.
const PATIENCE: Duration = Duration::from_mins(1);
/// The interval between two reads of a log.
const LOOK: Duration = Duration::from_millis(100);

/// The service `web`, which requests `back`, and its clients; `page`, with a published port, is a
/// proxy before it.
pub struct Stand {
    pub world: World,
    image: String,
    clients: Vec<Kind>,
    /// The published port of `page`.
    port: u16,
    /// The clients on this machine.
    here: RefCell<Vec<Here>>,
}

impl Stand {
    /// Creates a stand with clients of these kinds; `None` without an engine or Node.js.
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

    /// Deploys the first version, and starts the clients.
    pub fn begin(&self, more: &str) {
        self.up("one", more).with(0, Outcome::Converged);
        let published = self.clients.iter().filter(|kind| kind.published);
        self.here
            .replace(published.map(|kind| kind.here(self.port)).collect());
    }

    /// Deploys; `text` is the version of `web`, `more` is added to its node.
    pub fn up(&self, text: &str, more: &str) -> Ended {
        self.manifest(text, more);
        self.world.up()
    }

    /// As [`Self::up`], but killed at a request, or with `count` in place of a request: prints the
    /// number of requests.
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
            deploy stabilize="1s"
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

    /// Lets the clients continue for a time, then returns and prints their counts since the last
    /// report.
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

    /// Returns the counts of a client in a container since its last report.
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

    /// Returns the reports in a container's log.
    fn printed(&self, container: &str) -> Vec<Report> {
        let path = format!("/containers/{container}/logs?stdout=1");
        let log = self.world.api.ask("GET", &path, None).body;
        // Each line has a header of a few bytes, which may not be text.
        let log = String::from_utf8_lossy(&log).into_owned();
        let reports = log.lines().filter_map(|line| {
            let start = line.find("report ")?;
            Report::parse(&line[start..])
        });
        reports.collect()
    }
}

/// Returns the image with Node.js and the programs.
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
