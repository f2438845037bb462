//! A separate project on the engine, with a folder for its manifest; dropping it removes
//! everything.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::TcpListener,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    process::Command,
    sync::Mutex,
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Api, Ended, Inner, Running};

/// The only image that the tests start.
pub const IMAGE: &str = "debian:trixie-slim";

/// Programs for services: `web` answers with `TEXT` on 8080; `doomed` exits with 3 on `SIGUSR1`,
/// and writes a line at its start; `talker` writes a line for each `SIGUSR1`; `deaf` ignores
/// `SIGTERM`.
const PROGRAMS: &str = r##"
template "web" {
    image "debian:trixie-slim"
    command "perl" "-MSocket" "-e" #"""
        socket(SERVER, PF_INET, SOCK_STREAM, 0) or die "socket";
        setsockopt(SERVER, SOL_SOCKET, SO_REUSEADDR, 1);
        bind(SERVER, sockaddr_in(8080, INADDR_ANY)) or die "bind";
        listen(SERVER, 64) or die "listen";
        while (accept(CLIENT, SERVER)) {
            while (<CLIENT>) { last unless /\S/ }
            print CLIENT "HTTP/1.0 200 OK\r\n\r\n$$ENV{TEXT}\n";
            close CLIENT;
        }
        """#
}
template "doomed" {
    image "debian:trixie-slim"
    command "perl" "-e" #"""
        $$| = 1;
        $$SIG{USR1} = sub { exit 3 };
        print "at work\n";
        sleep 600 while 1;
        """#
}
template "talker" {
    image "debian:trixie-slim"
    command "perl" "-e" #"""
        $$| = 1;
        my $$line = 0;
        $$SIG{USR1} = sub { $$line++; print "line $$line\n" };
        print "at work\n";
        sleep 600 while 1;
        """#
}
template "deaf" {
    image "debian:trixie-slim"
    command "perl" "-e" #"""
        $$| = 1;
        $$SIG{TERM} = 'IGNORE';
        print "at work\n";
        sleep 600 while 1;
        """#
    stop-grace-period "60s"
}
"##;

/// A separate project.
pub struct World {
    /// The project's name: `it-deploys-…` with a random end.
    pub project: String,
    /// The engine.
    pub api: Api,
    /// The inner engine, if the world is not on this machine's engine.
    inner: Option<Inner>,
    folder: TempDir,
    told: RefCell<String>,
}

/// A container in comparable form: its ID, and whether it runs.
pub type Seen = (String, bool);

impl World {
    /// Creates a world; `None` without an engine, or without the image on it. The reason is
    /// printed; with `CIMANDAT_TEST_ENGINE=require` it is a failure.
    pub fn new(story: &str) -> Option<Self> {
        Self::on(story, None)
    }

    /// As [`Self::new`], on an inner engine, or with `None` on that of this machine.
    pub fn on(story: &str, inner: Option<Inner>) -> Option<Self> {
        let host = inner.as_ref().map(|it| it.host.clone());
        let found = Api::find(host.or_else(|| env::var("DOCKER_HOST").ok())).and_then(|api| {
            match api
                .ask("GET", &format!("/images/{IMAGE}/json"), None)
                .status
            {
                200 => Ok(api),
                _ => Err(format!("`{IMAGE}` is not on the engine")),
            }
        });
        match found {
            Ok(api) => Some(Self {
                project: format!("it-deploys-{story}-{:08x}", random()),
                api,
                inner,
                folder: TempDir::new().unwrap(),
                told: RefCell::default(),
            }),
            Err(why) => {
                let required =
                    env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
                assert!(!required, "{why}");
                skip(story, &why);
                None
            }
        }
    }

    /// Writes the manifest: the project's name, the programs, and this text.
    pub fn manifest(&self, text: &str) {
        let manifest = format!("project \"{}\"\n{PROGRAMS}\n{text}", self.project);
        fs::write(self.path("cimandat.kdl"), manifest).unwrap();
    }

    /// Returns the path of a file in the manifest's folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Returns the address on which ports are published.
    pub fn address(&self) -> String {
        match self.inner {
            None => "127.0.0.1".to_owned(),
            Some(_) => Inner::address(),
        }
    }

    /// Returns the program with these arguments in the manifest's folder, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        const PROGRAM: &str = env!("CARGO_BIN_EXE_cimandat");
        let mut command = match &self.inner {
            None => Command::new(PROGRAM),
            Some(inner) => inner.command(PROGRAM),
        };
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("CIMANDAT_PROJECT");
        command
    }

    /// Starts the program.
    pub fn begin(&self, arguments: &[&str]) -> Running<'_> {
        Running::begin(self, self.command(arguments))
    }

    /// Runs the program, and waits for its exit.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.begin(arguments).end()
    }

    /// Runs `up` with events as output.
    pub fn up(&self) -> Ended {
        self.run(&["up", "--progress", "json"])
    }

    /// Starts `up` with events as output.
    pub fn begin_up(&self) -> Running<'_> {
        self.begin(&["up", "--progress", "json"])
    }

    /// Records output of the program.
    pub(super) fn heard(&self, text: &str) {
        self.told.borrow_mut().push_str(text);
    }

    /// Returns all output of the program in this world.
    pub fn told(&self) -> String {
        self.told.borrow().clone()
    }

    /// Returns the name of a service's first container.
    pub fn name(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    /// Returns a service's first container, as the engine reports it.
    pub fn inspect(&self, service: &str) -> Value {
        self.api
            .get(&format!("/containers/{}/json", self.name(service)))
    }

    /// Returns all containers of the project by name.
    pub fn containers(&self) -> BTreeMap<String, Seen> {
        let listed = self.api.containers(&self.project);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let label = |it: &Value, key: &str| it["Labels"][format!("io.cimandat.{key}")].clone();
        let generation = |it: &Value| text(&label(it, "generation")).parse::<u64>().unwrap();
        // The journal is not one of the project's containers; a stopped container of an earlier
        // generation is a kept one.
        let own: Vec<&Value> = listed
            .iter()
            .filter(|it| label(it, "service").is_string())
            .collect();
        let retired = |it: &Value| {
            let own_name = format!(".g{}", generation(it));
            let later = |other: &&&Value| {
                label(other, "service") == label(it, "service")
                    && generation(other) > generation(it)
            };
            it["State"] == "exited"
                && text(&it["Names"][0]).ends_with(&own_name)
                && own.iter().any(|other| later(&other))
        };
        let seen = own.iter().filter(|it| !retired(it)).map(|it| {
            let name = text(&it["Names"][0]);
            (
                name.trim_start_matches('/').to_owned(),
                (text(&it["Id"]), it["State"] == "running"),
            )
        });
        seen.collect()
    }

    /// Returns the ID of a service's first container, which must run.
    #[track_caller]
    pub fn running(&self, service: &str) -> String {
        let containers = self.containers();
        match containers.get(&self.name(service)) {
            Some((id, true)) => id.clone(),
            _ => panic!("`{service}` does not run: {containers:?}"),
        }
    }

    /// Returns all containers and networks of the project on the engine.
    pub fn things(&self) -> Vec<String> {
        let mut things: Vec<String> = self.containers().into_keys().collect();
        things.extend(self.api.networks(&self.project));
        things
    }

    /// Returns the names of the project's volumes on the engine, without that of its journal.
    pub fn volumes(&self) -> Vec<String> {
        let mut volumes = self.api.volumes(&self.project);
        volumes.retain(|it| *it != format!("cimandat.state.{}", self.project));
        volumes
    }

    fn remove_by_hand(&self) -> Vec<String> {
        let api = &self.api;
        let mut left = Vec::new();
        let mut remove = |path: String| {
            api.ask("DELETE", &path, None);
            left.push(path);
        };
        for it in api.containers(&self.project) {
            let id = it["Id"].as_str().unwrap();
            remove(format!("/containers/{id}?force=1&v=1"));
        }
        api.networks(&self.project)
            .into_iter()
            .for_each(|it| remove(format!("/networks/{it}")));
        api.volumes(&self.project)
            .into_iter()
            .for_each(|it| remove(format!("/volumes/{it}")));
        api.generations(&self.project)
            .into_iter()
            .for_each(|it| remove(format!("/images/{it}")));
        left
    }

    /// Whether the engine refuses to remove a network that has no container: it has lost track of an
    /// endpoint, which only its restart repairs. Engine 28.5 does so now and then under load.
    fn engine_lost_an_endpoint(&self) -> bool {
        self.api.networks(&self.project).iter().any(|name| {
            let found = self.api.get(&format!("/networks/{name}"));
            let containers = found["Containers"].as_object();
            let removed = self.api.ask("DELETE", &format!("/networks/{name}"), None);
            let answer = String::from_utf8_lossy(&removed.body).into_owned();
            containers.is_some_and(serde_json::Map::is_empty) && answer.contains("active endpoints")
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let down = ["down", "--volumes", "--timeout", "1", "-p", &self.project];
        let down = self.command(&down).output();
        if thread::panicking() {
            // A second panic would suppress the message of the first one.
            let remove = AssertUnwindSafe(|| self.remove_by_hand());
            let _ = panic::catch_unwind(remove);
            return;
        }
        let left = self.remove_by_hand();
        // What could be removed just now was left over by `down`; what could not is the engine's.
        let output = down.as_ref().map(|it| String::from_utf8_lossy(&it.stderr));
        let reported = output.is_ok_and(|it| it.contains("lost track of it"));
        let is_lost = reported && self.engine_lost_an_endpoint();
        assert!(is_lost || left.is_empty(), "{left:?} {down:?}");
    }
}

/// Returns a port of this host that is free, and that no other test gets.
///
/// The port is below the range from which the kernel takes local ports of connections.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// Returns the first of `count` such ports in a row.
pub fn free_ports(count: u16) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let listening = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_err();
    loop {
        let first = u16::try_from(20_000 + random() % 12_000).unwrap();
        let mut ports = first..first + count;
        if !ports.any(|port| given.contains(&port) || listening(port)) {
            given.extend(first..first + count);
            return first;
        }
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap()
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test must not pass in silence"
)]
fn skip(story: &str, why: &str) {
    eprintln!("skipped `{story}`: {why}");
}
